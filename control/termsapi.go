package control

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"

	"andon/correction"
	"andon/plan"
)

// dependantState is a dependant with what is known of it now.
type dependantState struct {
	Name           string              `json:"name"`
	Orgs           []string            `json:"orgs"`
	Models         []string            `json:"models"`
	Criticality    string              `json:"criticality"`
	HoldDown       bool                `json:"hold_down"`
	Fallback       string              `json:"fallback,omitempty"` // model
	Notice         correction.Duration `json:"notice,omitzero"`
	Contacts       []string            `json:"contacts"`
	ReceiverTested plan.Date           `json:"receiver_tested_at,omitzero"`
	Keys           int                 `json:"keys"`        // in force that its orgs have
	Corrections    []string            `json:"corrections"` // in force that name one of its orgs, or stop one of its models
	OnFallback     bool                `json:"on_fallback"` // such a stop serves it its fallback
}

type dependantStates struct {
	Dependants []dependantState `json:"dependants"`
}

// getDependants lists who depends on what, and what reaches them now.
func (c *Control) getDependants(cl *call) error {
	if err := cl.op.may("dependant.read"); err != nil {
		return err
	}
	list := dependantStates{Dependants: []dependantState{}}
	list.Dependants = append(list.Dependants, c.dependants()...)
	return cl.reply(http.StatusOK, list)
}

func (c *Control) dependants() (out []dependantState) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	s, now := c.state, c.early()
	p := s.planned()
	if p == nil {
		return nil
	}
	for i := range p.Dependants {
		d := &p.Dependants[i]
		v := dependantState{Name: d.Name, Orgs: d.Orgs, Models: d.Models, Criticality: d.Criticality, HoldDown: d.HoldDown, Notice: d.Notice,
			Contacts: d.Contacts, ReceiverTested: d.ReceiverTestedAt, Corrections: []string{}}
		if f := p.Fallback(d.Fallback); f != nil {
			v.Fallback = f.Model
		}
		for _, k := range s.keyList {
			if k.revokedAt.IsZero() && slices.Contains(d.Orgs, k.Org) {
				v.Keys++
			}
		}
		for _, r := range s.list {
			if st := r.stateAt(now); st != "active" || r.Mode == correction.Shadow || len(v.Corrections) == maxCorrectionsShown {
				continue
			}
			touches := len(r.Scope.Models) == 0
			for _, m := range r.Scope.Models {
				if known := p.Model(m); known != nil && slices.Contains(d.Models, known.Name) {
					touches = true
				}
			}
			for _, org := range d.Orgs {
				if touches && s.reaches(&r.Correction, org) {
					v.Corrections = append(v.Corrections, r.ID)
					v.OnFallback = v.OnFallback || r.Level() >= 2 && v.Fallback != "" && r.Fallback == v.Fallback
					break
				}
			}
		}
		out = append(out, v)
	}
	return out
}

const maxCorrectionsShown = 50

// policyView is what customers can rely on when corrections are applied: machine
// readable, and the part of their own terms for whoever shows a caller's key.
type policyView struct {
	Org       string       `json:"org,omitempty"`         // whose policy it is
	Version   int          `json:"plan_version,omitzero"` // it is derived from; 0: none is in force
	ReviewBy  plan.Date    `json:"review_by,omitzero"`
	Kinds     []policyKind `json:"kinds"`
	Refusal   policyError  `json:"refusal"`
	Headers   []string     `json:"headers"` // of answers that a correction touched
	GoodFaith string       `json:"good_faith"`
	Yours     *yoursView   `json:"yours,omitempty"` // for whoever shows a caller's key
}

// policyKind is one kind of correction as a caller meets it.
type policyKind struct {
	Kind       string              `json:"kind"`
	Level      string              `json:"level,omitempty"`
	Summary    string              `json:"summary"`
	Status     int                 `json:"status"`         // of a refusal
	Reversible string              `json:"reversible"`     // what lifting gives back
	Word       string              `json:"word,omitempty"` // yours: permitted, notice, forbidden
	Notice     correction.Duration `json:"notice,omitzero"`
	Section    string              `json:"section,omitempty"`
}

// policyError is how a refusal is to be recognised.
type policyError struct {
	Code   string   `json:"code"`
	Fields []string `json:"fields"`
	Stream string   `json:"stream"`
}

// yoursView is what holds for one customer.
type yoursView struct {
	Org        string            `json:"org"`
	Terms      string            `json:"terms,omitempty"`
	Source     string            `json:"source,omitempty"`
	Kinds      []policyKind      `json:"kinds"`
	Dependants []policyDependant `json:"dependants"`
}

type policyDependant struct {
	Name     string              `json:"name"`
	Models   []string            `json:"models"`
	HoldDown bool                `json:"hold_down"`
	Fallback string              `json:"fallback,omitempty"`
	Differs  string              `json:"differs,omitempty"`
	Notice   correction.Duration `json:"notice,omitzero"`
}

// policyKinds are the kinds and the levels of stop, each on its own.
func policyKinds() []policyKind {
	var out []policyKind
	for _, k := range correction.Catalogue() {
		if k.Kind != correction.Stop {
			out = append(out, policyKind{Kind: string(k.Kind), Summary: k.Summary, Status: k.Status, Reversible: k.Reversible})
			continue
		}
		for _, l := range k.Levels {
			c := correction.Correction{Kind: k.Kind, Params: correction.Params{Level: l.Name}}
			out = append(out, policyKind{Kind: string(k.Kind), Level: l.Name, Summary: l.Summary, Status: c.Status(), Reversible: l.Reversible})
		}
	}
	return out
}

// getPolicy answers anybody; who shows a caller's key learns what holds for them.
func (c *Control) getPolicy(cl *call) error {
	v := policyView{Kinds: policyKinds(), GoodFaith: "Whoever reports in good faith is never punished: POST /api/v1/concerns",
		Refusal: policyError{"andon_correction", []string{"correction_id", "kind", "scope", "reason", "review_by", "fallback", "notice_url", "appeal_url"},
			"a stream that is cut ends with the provider's own error event, never with a bare close"},
		Headers: []string{"andon-revision", "andon-request-id", "andon-fallback-from", "andon-model", "andon-corrections"}}
	if err := c.policyFor(cl.r.Header.Get("Authorization"), &v); err != nil {
		return err
	}
	return cl.reply(http.StatusOK, v)
}

// policyFor fills in what the plan says, and what it says for who asks.
func (c *Control) policyFor(authorization string, v *policyView) error {
	scheme, secret, _ := strings.Cut(authorization, " ")
	c.mu.RLock()
	defer c.mu.RUnlock()
	p := c.state.planned()
	if p != nil {
		v.Org, v.Version, v.ReviewBy = p.Org, c.state.plan.version(), p.ReviewBy
	}
	if scheme != "" {
		org, ok := c.callerOrg(secret)
		if !strings.EqualFold(scheme, "Bearer") || !ok {
			return problem("unknown_caller", "the key is none of a caller's that is in force; leave it out for the part that everybody may read")
		}
		v.Yours = c.yours(p, org)
	}
	return nil
}

// callerOrg is the org of a caller's key that is in force.
func (c *Control) callerOrg(secret string) (string, bool) {
	sum := sha256.Sum256([]byte(strings.TrimSpace(secret)))
	hash := hex.EncodeToString(sum[:])
	if !c.state.keyHashes[hash] {
		return "", false
	}
	now := c.cfg.Now()
	for _, k := range c.state.keyList {
		if k.Hash == hash {
			return k.Org, k.revokedAt.IsZero() && (k.ExpiresAt.IsZero() || now.Before(k.ExpiresAt))
		}
	}
	return "", false
}

// yours is what the plan says about one org.
func (c *Control) yours(p *plan.Plan, org string) *yoursView {
	y := &yoursView{Org: org, Kinds: []policyKind{}, Dependants: []policyDependant{}}
	t := p.TermsOf(org)
	if t != nil {
		y.Terms, y.Source = t.Name, t.Source
		for _, k := range policyKinds() {
			clause := t.Says(correction.Kind(k.Kind), k.Level)
			k.Word, k.Notice, k.Section = clause.Word, clause.Notice, clause.Section
			y.Kinds = append(y.Kinds, k)
		}
	}
	for _, d := range p.DependantsOf(nil, []string{org}) {
		one := policyDependant{Name: d.Name, Models: d.Models, HoldDown: d.HoldDown, Notice: d.Notice}
		if f := p.Fallback(d.Fallback); f != nil {
			one.Fallback, one.Differs = f.Model, f.Differences
		}
		y.Dependants = append(y.Dependants, one)
	}
	return y
}
