// Package propose says which corrections answer a threat: for what is known of
// it, the narrowest ones that suffice, in order, and the next rung after each.
//
// It follows the toolkit of O'Brien, Ee and Williams, "Deployment Corrections"
// (IAPS, 2023, arXiv 2310.00328), which restricts access to a deployed model "for
// all or part of its functionality and/or users": user-based restrictions, access
// frequency limits, capability or feature restrictions, use case restrictions,
// and shutdown. Every ladder ends with the last one.
//
// It promises that every proposal is a correction that can be posted as it is
// (correction.Validate accepts it), that it reaches what the case describes, and
// that one which is not marked wider reaches nothing outside of the case's scope.
// The numbers in limits and clamps are where to start, not findings.
//
// It is pure: no I/O and no clock of its own.
package propose

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"andon/correction"
)

// Case is what is known when somebody asks. Only Threat and Scope are required.
type Case struct {
	Threat   string           `json:"threat"`
	Scope    correction.Scope `json:"scope"`              // whom and what it concerns; {"all": true} if nobody knows
	UseCase  string           `json:"use_case,omitempty"` // the use at stake, a node of the taxonomy
	Detector string           `json:"detector,omitempty"` // a configured classifier that recognises it
	Patterns []string         `json:"patterns,omitempty"` // texts by which it is recognised
	Tools    []string         `json:"tools,omitempty"`    // at stake, by name or type; scope.tools counts as well
	Version  string           `json:"version,omitempty"`  // an earlier one of the scope's models that is known to be good
	Trusted  []string         `json:"trusted,omitempty"`  // orgs that may go on
	Linked   []string         `json:"linked,omitempty"`   // "org", or names of attributes, by which accounts of one subject are known
	Reason   string           `json:"reason,omitempty"`   // for the record; default: what is proposed, and against what
	Incident string           `json:"incident,omitempty"`
}

// Proposal is one rung of the ladder.
type Proposal struct {
	Rank       int                   `json:"rank"` // 1 is the narrowest
	Title      string                `json:"title"`
	Toolkit    string                `json:"toolkit"` // of the five kinds of correction, in the paper's words
	Correction correction.Correction `json:"correction"`
	Why        string                `json:"why"`            // it suffices
	LeavesOpen string                `json:"leaves_open"`    // what it does not cover
	Reversible string                `json:"reversible"`     // what lifting gives back
	Speed      string                `json:"speed"`          // when it takes effect, and on what
	Wider      bool                  `json:"wider,omitzero"` // it reaches beyond the scope of the case
	Next       string                `json:"next,omitempty"` // title of the next rung
}

// Ladder returns the proposals for a case, the narrowest first, as of now. An
// error is a *correction.FieldError about the first field of the case that is at
// fault.
func Ladder(c Case, now time.Time) ([]Proposal, error) {
	at := slices.IndexFunc(threats, func(t struct {
		Threat
		ladder []rung
	}) bool {
		return t.Name == c.Threat
	})
	if at < 0 {
		var names []string
		for _, t := range threats {
			names = append(names, t.Name)
		}
		return nil, &correction.FieldError{Field: "threat", Detail: strconv.Quote(c.Threat) + " is not a threat that is known here", Allowed: names}
	}
	if err := c.check(now); err != nil {
		return nil, err
	}
	b := builder{Case: c, threat: &threats[at].Threat, now: now}
	for _, r := range threats[at].ladder {
		r(&b)
	}
	for i := range b.out {
		p := &b.out[i]
		p.Rank = i + 1
		if err := p.Correction.Validate(now); err != nil {
			return nil, fmt.Errorf("propose %s: %w", p.Title, err)
		}
		if i+1 < len(b.out) {
			p.Next = b.out[i+1].Title
		}
	}
	return b.out, nil
}

// Bounds of a case.
const (
	maxTools   = 100
	maxTrusted = 1000
)

// check looks at each field by the corrections that it would end up in.
func (c *Case) check(now time.Time) error {
	probe := func(x correction.Correction, rename ...string) error {
		x.Reason = "probe"
		err := x.Validate(now)
		if err == nil {
			return nil
		}
		f, ok := err.(*correction.FieldError)
		if !ok {
			return err
		}
		named := *f
		named.Field = strings.NewReplacer(rename...).Replace(f.Field)
		return &named
	}
	all := correction.Scope{All: true}
	block := correction.Params{Mode: "block"}
	if err := probe(correction.Correction{Kind: correction.Access, Params: block, Scope: c.Scope}); err != nil {
		return err
	}
	if c.UseCase != "" {
		if err := probe(correction.Correction{Kind: correction.Use, Params: correction.Params{UseCase: c.UseCase}, Scope: all}, "params.", ""); err != nil {
			return err
		}
	}
	if c.Detector != "" {
		if c.Detector == correction.DetectorPatterns {
			return &correction.FieldError{Field: "detector", Detail: `is a classifier that is configured at the gateways; "patterns" is not one: give patterns themselves`}
		}
		f := &correction.Filter{Direction: "input", Detector: c.Detector, Action: "block"}
		if err := probe(correction.Correction{Kind: correction.Capability, Params: correction.Params{Filter: f}, Scope: all}, "params.filter.", ""); err != nil {
			return err
		}
	}
	if c.Patterns != nil && len(c.Patterns) == 0 {
		return &correction.FieldError{Field: "patterns", Detail: "is an empty list; leave it out"}
	}
	if c.Patterns != nil {
		f := &correction.Filter{Direction: "input", Detector: correction.DetectorPatterns, Patterns: c.Patterns, Action: "block"}
		if err := probe(correction.Correction{Kind: correction.Capability, Params: correction.Params{Filter: f}, Scope: all}, "params.filter.", ""); err != nil {
			return err
		}
	}
	if len(c.Tools) > maxTools {
		return &correction.FieldError{Field: "tools", Detail: fmt.Sprintf("has %d names; at most %d", len(c.Tools), maxTools)}
	}
	if c.Tools != nil {
		if err := probe(correction.Correction{Kind: correction.Capability, Params: correction.Params{Disable: named(c.Tools)}, Scope: all}, "params.disable", "tools"); err != nil {
			return err
		}
	}
	if c.Version != "" {
		if len(c.Scope.Models) == 0 {
			return &correction.FieldError{Field: "version", Detail: "needs scope.models: it is a version of which model?"}
		}
		if err := probe(correction.Correction{Kind: correction.Capability, Params: correction.Params{Pin: c.Version}, Scope: correction.Scope{Models: c.Scope.Models}}, "params.pin", "version"); err != nil {
			return err
		}
	}
	if c.Trusted != nil {
		if len(c.Trusted) > maxTrusted {
			return &correction.FieldError{Field: "trusted", Detail: fmt.Sprintf("has %d orgs; at most %d", len(c.Trusted), maxTrusted)}
		}
		if err := probe(correction.Correction{Kind: correction.Access, Params: block, Scope: correction.Scope{Orgs: c.Trusted}}, "scope.orgs", "trusted"); err != nil {
			return err
		}
	}
	if c.Linked != nil {
		p := correction.Params{Mode: "block", Linked: c.Linked}
		if err := probe(correction.Correction{Kind: correction.Access, Params: p, Scope: correction.Scope{Orgs: []string{"probe"}}}, "params.", ""); err != nil {
			return err
		}
	}
	return c.checkText()
}

func (c *Case) checkText() error {
	for _, f := range []struct {
		name, text string
		most       int
	}{{"reason", c.Reason, correction.MaxReasonBytes}, {"incident", c.Incident, correction.MaxValueBytes}} {
		if len(f.text) > f.most || !utf8.ValidString(f.text) {
			return &correction.FieldError{Field: f.name, Detail: fmt.Sprintf("has to be valid UTF-8 of at most %d bytes", f.most)}
		}
	}
	return nil
}

// named writes tools as disable names them.
func named(tools []string) []string {
	list := make([]string, len(tools))
	for i, t := range tools {
		list[i] = "tool:" + t
	}
	return list
}
