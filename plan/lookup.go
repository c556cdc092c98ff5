package plan

import (
	"slices"

	"andon/authority"
	"andon/correction"
	"andon/playbook"
)

// find is the entry of a section that a predicate takes; nil if there is none.
func find[T any](list []T, is func(*T) bool) *T {
	for i := range list {
		if is(&list[i]) {
			return &list[i]
		}
	}
	return nil
}

// All of these take a nil plan, which holds nothing. What they return belongs to
// the plan and is not to be changed.

// Model is the model that is called so: by its name, or by that of a
// derivative, which leads to its model. Nil if there is none.
func (p *Plan) Model(name string) *Model {
	if p == nil {
		return nil
	}
	return find(p.Models, func(m *Model) bool { return m.Called(name) })
}

// Called says whether a name is the model's own, or that of a derivative.
func (m *Model) Called(name string) bool {
	return m.Name == name || slices.ContainsFunc(m.Derivatives, func(d Derivative) bool { return d.Name == name })
}

// ModelNames are the names of models and derivatives, sorted.
func (p *Plan) ModelNames() []string {
	out := []string{}
	if p == nil {
		return out
	}
	for i := range p.Models {
		out = append(out, p.Models[i].Name)
		for _, d := range p.Models[i].Derivatives {
			out = append(out, d.Name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Surface is a surface by its name.
func (p *Plan) Surface(name string) *Surface {
	if p == nil {
		return nil
	}
	return find(p.Surfaces, func(s *Surface) bool { return s.Name == name })
}

// Partner is a partner by its name.
func (p *Plan) Partner(name string) *Partner {
	if p == nil {
		return nil
	}
	return find(p.Partners, func(s *Partner) bool { return s.Name == name })
}

// Threat is a threat by its name.
func (p *Plan) Threat(name string) *Threat {
	if p == nil {
		return nil
	}
	return find(p.Threats, func(t *Threat) bool { return t.Name == name })
}

// Trigger is a trigger by its name.
func (p *Plan) Trigger(name string) *Trigger {
	if p == nil {
		return nil
	}
	return find(p.Triggers, func(t *Trigger) bool { return t.Name == name })
}

// Playbook is a playbook by its name.
func (p *Plan) Playbook(name string) *playbook.Playbook {
	if p == nil {
		return nil
	}
	return find(p.Playbooks, func(b *playbook.Playbook) bool { return b.Name == name })
}

// Fallback is a fallback by its name; nil for "" and "none".
func (p *Plan) Fallback(name string) *Fallback {
	if p == nil {
		return nil
	}
	return find(p.Fallbacks, func(f *Fallback) bool { return f.Name == name })
}

// Team is a team by its name.
func (p *Plan) Team(name string) *Team {
	if p == nil {
		return nil
	}
	return find(p.Teams, func(t *Team) bool { return t.Name == name })
}

// Contact is a contact by its name.
func (p *Plan) Contact(name string) *Contact {
	if p == nil {
		return nil
	}
	return find(p.Contacts, func(c *Contact) bool { return c.Name == name })
}

// Dependant is a dependant by its name.
func (p *Plan) Dependant(name string) *Dependant {
	if p == nil {
		return nil
	}
	return find(p.Dependants, func(d *Dependant) bool { return d.Name == name })
}

// FallbackOf is what stands in for a model: nil if there is none, or none that
// the plan knows.
func (p *Plan) FallbackOf(model string) *Fallback {
	m := p.Model(model)
	if m == nil {
		return nil
	}
	return p.Fallback(m.Fallback)
}

// DependantsOf are the dependants that use any of the models and are any of the
// orgs, in the plan's order. No models means any model, no orgs any org: what is
// not known reaches everybody. A derivative's name stands for its model.
func (p *Plan) DependantsOf(models, orgs []string) []*Dependant {
	if p == nil {
		return nil
	}
	var meant []string
	for _, name := range models {
		if m := p.Model(name); m != nil {
			meant = append(meant, m.Name)
		}
	}
	var out []*Dependant
	for i := range p.Dependants {
		d := &p.Dependants[i]
		uses := len(models) == 0 || slices.ContainsFunc(meant, func(m string) bool { return slices.Contains(d.Models, m) })
		if uses && (len(orgs) == 0 || slices.ContainsFunc(orgs, func(o string) bool { return slices.Contains(d.Orgs, o) })) {
			out = append(out, d)
		}
	}
	return out
}

// TermsOf are the terms of an org's agreement; nil if the plan has none.
func (p *Plan) TermsOf(org string) *Terms {
	if p == nil {
		return nil
	}
	return find(p.Terms, func(t *Terms) bool { return slices.Contains(t.Orgs, org) })
}

// Says is what the terms say of a correction: the first clause that fits, else
// their default. level is that of a stop, "L3".
func (t *Terms) Says(kind correction.Kind, level string) TermClause {
	for _, c := range t.Clauses {
		if authority.Fits(c.Kinds, string(kind), level) {
			return c
		}
	}
	return TermClause{Word: t.Default}
}

// RetentionOf is how long a class of records is kept; nil if the plan does not say.
func (p *Plan) RetentionOf(class string) *Retention {
	if p == nil {
		return nil
	}
	return find(p.Retention, func(r *Retention) bool { return r.Class == class })
}
