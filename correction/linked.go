package correction

import "strings"

// linkOrg is what an organisation's name stands behind in Correction.Links.
const linkOrg = "org="

// linked is who a block reaches where accounts are linked: its subjects, and
// everybody of an organisation or with an attribute that is linked to them.
type linked struct {
	subjects         []cond
	orgs, attributes cond
}

func newLinked(links []string) *linked {
	var values [numDims][]string
	for _, l := range links {
		d, v := linkValue(l)
		values[d] = append(values[d], v)
	}
	return &linked{orgs: textCond(dimOrg, values[dimOrg]), attributes: textCond(dimAttribute, values[dimAttribute])}
}

// linkValue is the dimension of a link and its value there.
func linkValue(link string) (dim, string) {
	if org, ok := strings.CutPrefix(link, linkOrg); ok {
		return dimOrg, org
	}
	return dimAttribute, link
}

func (l *linked) reaches(q *query) bool {
	if l.orgs.any(q) || l.attributes.any(q) {
		return true
	}
	for i := range l.subjects {
		if !l.subjects[i].any(q) {
			return false
		}
	}
	return true
}

// linkedBy says whether the rule stands under its links as well: it does where it
// is found by a subject, which a linked account does not have.
func (r *Rule) linkedBy() bool {
	return len(r.Correction.Links) > 0 && r.act != actNothing && r.act != actWaiting && r.settled.subject()
}
