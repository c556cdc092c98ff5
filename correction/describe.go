package correction

import (
	"strconv"
	"strings"
)

// shown is how many values of a dimension a description spells out.
const shown = 3

// String describes the scope for operators: "everything", "model sim-large, org
// acme", "user u1 or u2 or u3 or 997 more". It names subjects, so it is not
// for callers; see Public.
func (s *Scope) String() string {
	return s.describe(func(b *strings.Builder, d *dimension, values []string) {
		b.WriteString(d.one)
		b.WriteByte(' ')
		writeValues(b, values)
	})
}

// Public describes the scope for callers: what is reached is named, who is
// reached is not ("model sim-large, certain orgs"), and neither is the
// expression of when.
func (s *Scope) Public() string {
	pub := *s
	if s.When != "" {
		pub.When = "certain conditions hold"
	}
	return pub.describe(func(b *strings.Builder, d *dimension, values []string) {
		if d.subject {
			b.WriteString("certain ")
			b.WriteString(d.name)
			return
		}
		b.WriteString(d.one)
		b.WriteByte(' ')
		writeValues(b, values)
	})
}

func (s *Scope) describe(write func(*strings.Builder, *dimension, []string)) string {
	if s.All {
		return "everything"
	}
	var b strings.Builder
	sep := func() {
		if b.Len() > 0 {
			b.WriteString(", ")
		}
	}
	for i, l := range s.lists() {
		if values := *l; len(values) > 0 {
			sep()
			write(&b, &dimensions[i], values)
		}
	}
	if len(s.Lists) > 0 {
		sep()
		write(&b, &dimension{name: "lists", one: "list", subject: true}, s.Lists)
	}
	if s.Unknown == include {
		b.WriteString(" or unknown")
	}
	if s.When != "" {
		sep()
		b.WriteString("when ")
		b.WriteString(s.When)
	}
	if b.Len() == 0 {
		return "nothing"
	}
	return b.String()
}

func writeValues(b *strings.Builder, values []string) {
	for i, v := range values {
		if i > 0 {
			b.WriteString(" or ")
		}
		if i == shown && len(values) > shown+1 {
			b.WriteString(strconv.Itoa(len(values)-shown) + " more")
			return
		}
		b.WriteString(v)
	}
}
