package control

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"andon/authority"
	"andon/correction"
	"andon/plan"
)

// This room holds what others have a claim to: customers' terms, dependants, and
// the correction policy that customers can read. A correction that a customer's
// terms do not permit is flagged, and is a question of its own to authority; a
// dependant on the hold-down list gets its fallback before the cut.

type termsState struct{}

var termsTable = []route{
	{"GET", "/api/v1/dependants", "", false, (*Control).getDependants},
	{"GET", "/api/v1/correction-policy", "", true, (*Control).getPolicy},
}

var termsPermits = map[string]authority.Set{"dependant.read": authority.All}

var termsCodes = map[string]code{
	"unknown_caller": {401, "The key is not known"},
}

var termsFolds = map[string]foldFunc{}

func termsClock(*Control, *state, time.Time) []draft { return nil }

// termsView is what the terms of an org say of a correction that reaches it.
type termsView struct {
	Org     string              `json:"org"`
	Word    string              `json:"word"` // notice or forbidden
	Notice  correction.Duration `json:"notice,omitzero"`
	Section string              `json:"section,omitempty"`
	Terms   string              `json:"terms"`
	Source  string              `json:"source"`
}

// reaches says whether a correction can touch calls of an org, and whether it is
// about that org alone or about everybody.
func (s *state) reaches(cor *correction.Correction, org string) bool {
	if sc := cor.Except; sc != nil && onlyOrgs(sc) && slices.Contains(sc.Orgs, org) {
		return false
	}
	sc := &cor.Scope
	if cor.Params.Mode == allowOnly {
		return !slices.Contains(sc.Orgs, org)
	}
	if len(sc.Orgs) > 0 && !slices.Contains(sc.Orgs, org) {
		return false
	}
	return len(sc.Keys) == 0 || slices.ContainsFunc(sc.Keys, func(id string) bool {
		k := s.keys[id]
		return k != nil && k.Org == org
	})
}

// onlyOrgs says whether a scope names orgs and nothing else.
func onlyOrgs(sc *correction.Scope) bool {
	rest := *sc
	rest.Orgs = nil
	return len(sc.Orgs) > 0 && string(body(rest)) == string(body(correction.Scope{}))
}

// termsAgainst lists the orgs whose terms do not permit a correction, or not
// without more notice than it gives.
func (s *state) termsAgainst(cor *correction.Correction) []termsView {
	p := s.planned()
	if p == nil || cor.Mode == correction.Shadow {
		return nil
	}
	var out []termsView
	for i := range p.Terms {
		t := &p.Terms[i]
		clause := t.Says(cor.Kind, cor.Params.Level)
		if clause.Word == plan.Permitted || clause.Word == plan.WithNotice && noticed(cor, clause.Notice) {
			continue
		}
		for _, org := range t.Orgs {
			if s.reaches(cor, org) {
				out = append(out, termsView{org, clause.Word, clause.Notice, clause.Section, t.Name, t.Source})
			}
		}
	}
	return out
}

// noticed says whether a correction begins late enough for whoever has to be told
// before. What begins at once gives no notice.
func noticed(cor *correction.Correction, notice correction.Duration) bool {
	return !cor.AppliedAt.IsZero() && cor.StartsAt.Sub(cor.AppliedAt) >= time.Duration(notice) && !cor.StartsAt.IsZero()
}

// termsForbid says whether the terms of a customer that a correction reaches do
// not permit it, or not without notice.
func (s *state) termsForbid(cor *correction.Correction) bool { return len(s.termsAgainst(cor)) > 0 }

// termsWarnings say what the terms say, where a correction is previewed or made.
func (s *state) termsWarnings(cor *correction.Correction) []warning {
	var out []warning
	for i, v := range s.termsAgainst(cor) {
		if i == 20 {
			out = append(out, warning{"terms", "scope", "and the terms of more customers"})
			break
		}
		text := fmt.Sprintf("the terms of %s (%s) do not permit it", v.Org, v.Terms)
		if v.Word == plan.WithNotice {
			text = fmt.Sprintf("the terms of %s (%s) ask for %s of notice", v.Org, v.Terms, v.Notice)
		}
		if v.Section != "" {
			text += ", section " + v.Section
		}
		out = append(out, warning{"terms", "scope", text})
	}
	return out
}

// holdWarnings say what becomes of dependants on the hold-down list. by names the
// stops that serve them their fallback, once they are made; unheld says that they
// get none.
func (s *state) holdWarnings(cor *correction.Correction, by []string, unheld bool) []warning {
	var out []warning
	for _, h := range s.holdDown(cor) {
		text := fmt.Sprintf("%s (%s) goes over to %s first", h.Name, h.Criticality, h.Model)
		switch {
		case unheld:
			text = fmt.Sprintf("%s (%s) is on the hold-down list and gets no fallback first: overridden", h.Name, h.Criticality)
		case h.Why != "":
			text = fmt.Sprintf("%s (%s) is on the hold-down list and gets no fallback: %s", h.Name, h.Criticality, h.Why)
		case len(by) > 0:
			text += ", by " + strings.Join(by, ", ")
		}
		if len(h.Contacts) > 0 {
			text += "; tell " + strings.Join(h.Contacts, ", ")
		}
		out = append(out, warning{"hold_down", "fallback", text})
	}
	return out
}

// heldDependant is a dependant on the hold-down list that a stop reaches.
type heldDependant struct {
	Name        string              `json:"name"`
	Orgs        []string            `json:"orgs"`
	Criticality string              `json:"criticality"`
	Model       string              `json:"model,omitempty"` // that stands in
	Why         string              `json:"why,omitempty"`   // it gets none
	Contacts    []string            `json:"contacts"`
	Notice      correction.Duration `json:"notice,omitzero"`
}

// holdDown lists the dependants that have to get their fallback before a stop cuts
// them.
func (s *state) holdDown(cor *correction.Correction) []heldDependant {
	p := s.planned()
	if p == nil || cor.Level() < 2 || cor.Level() > 4 || cor.Mode == correction.Shadow {
		return nil
	}
	var out []heldDependant
	for _, d := range p.DependantsOf(cor.Scope.Models, nil) {
		if !d.HoldDown {
			continue
		}
		var orgs []string
		for _, o := range d.Orgs {
			if s.reaches(cor, o) {
				orgs = append(orgs, o)
			}
		}
		if len(orgs) == 0 {
			continue
		}
		h := heldDependant{Name: d.Name, Orgs: orgs, Criticality: d.Criticality, Contacts: d.Contacts, Notice: d.Notice}
		f := p.Fallback(d.Fallback)
		switch {
		case f == nil:
			h.Why = "the plan names none for it"
		case cor.Scope.All || len(cor.Scope.Models) == 0 || slices.Contains(cor.Scope.Models, f.Model):
			h.Why = f.Model + " is stopped, too"
		case cor.Except != nil && !onlyOrgs(cor.Except):
			h.Why = "the stop has exceptions of its own"
		case cor.Level() == 4 && cor.Fallback == correction.NoFallback:
			h.Why = "the stop permits no fallback"
		default:
			h.Model = f.Model
		}
		out = append(out, h)
	}
	return out
}

// firstTheHeld splits a stop: what dependants on the hold-down list get comes
// first, each a stop of its own with its fallback, and the rest spares them. At no
// time is anybody under less than the stop says.
func (s *state) firstTheHeld(cor correction.Correction) (rest correction.Correction, first []correction.Correction) {
	rest = cor
	var orgs []string
	for _, h := range s.holdDown(&cor) {
		if h.Model == "" || slices.ContainsFunc(h.Orgs, func(o string) bool { return slices.Contains(orgs, o) }) {
			continue
		}
		one := cor
		one.Scope.Orgs, one.Except, one.Fallback = h.Orgs, nil, h.Model
		one.Reason = cor.Reason + " (dependant " + h.Name + " on the hold-down list)"
		if len(one.Reason) > maxReason {
			one.Reason = cor.Reason
		}
		first = append(first, one)
		orgs = append(orgs, h.Orgs...)
	}
	if len(first) == 0 || cor.Level() == 4 { // L4 spares nobody: of two stops the earlier one's fallback is taken
		return rest, first
	}
	except := correction.Scope{}
	if cor.Except != nil {
		except.Orgs = slices.Clone(cor.Except.Orgs)
	}
	except.Orgs = append(except.Orgs, orgs...)
	slices.Sort(except.Orgs)
	except.Orgs = slices.Compact(except.Orgs)
	rest.Except = &except
	return rest, first
}

// createdIn counts the corrections that drafts make.
func createdIn(drafts []draft) (n int) {
	for _, d := range drafts {
		if d.kind == typeCreated {
			n++
		}
	}
	return n
}

// correctionID is the id of the next correction but before.
func (s *state) correctionID(before int) string {
	return "c-" + strconv.Itoa(s.nCorrections+1+before)
}

// heldFit says whether the stops of held dependants can be put in force: if one
// could not, the stop spares nobody.
func (c *Control) heldFit(held []correction.Correction, now time.Time) bool {
	for _, one := range held {
		one.ID, one.AppliedAt = "", time.Time{}
		if _, err := c.check(one, now); err != nil {
			c.log.Warn("a dependant on the hold-down list gets no fallback first", "orgs", one.Scope.Orgs, "error", err)
			return false
		}
	}
	return len(held) > 0
}
