package authority

import (
	"andon/correction"
)

// Act is a class of what can be done. Rules are written for acts.
type Act string

// The acts.
const (
	Tighten      Act = "tighten"      // a correction is put in force, raised or extended
	Loosen       Act = "loosen"       // one is lifted or relaxed, or an earlier state restored
	Irreversible Act = "irreversible" // weights are sealed or destroyed (L5, L6)
	ApplyPlan    Act = "plan"         // a version of the plan is put in force, or a finding is waived
	Decide       Act = "decide"       // a decision is taken in an incident
	Unmask       Act = "unmask"       // personal data is looked at or erased
	Staff        Act = "staff"        // somebody is given a role that acts or decides
	Rekey        Act = "rekey"        // a signing key is rotated
)

// Acts are all there are.
var Acts = []Act{Tighten, Loosen, Irreversible, ApplyPlan, Decide, Unmask, Staff, Rekey}

// What happens when a deadline passes unanswered.
const (
	Lapse = "lapse" // a tightening ends; a motion is closed, not carried
	Stay  = "stay"  // a tightening stays, overdue, with an alarm; a motion stays open, with an alarm
)

// Bounds of what a rule may say.
const (
	MaxApprovals = 9
	MinWithin    = correction.Duration(5 * 60e9)
	MaxWithin    = correction.Duration(30 * 24 * 3600e9)

	defaultWithin = correction.Duration(3600e9)
)

// Rule says who may do an act, and what it takes. All conditions that are given
// must hold; a rule without conditions is for every case of its acts. What is not
// known holds: an unmeasured share counts as everything. Where several rules
// apply, the most demanding word of each counts: see [Answer].
type Rule struct {
	Name string `json:"name" yaml:"name"`
	Acts []Act  `json:"acts" yaml:"acts"`

	// Conditions.
	Kinds       []string `json:"kinds,omitempty" yaml:"kinds,omitempty"`               // of corrections; of a stop also one level, "L4", or a level and above, "L3+"
	ShareOver   float64  `json:"share_over,omitempty" yaml:"share_over,omitempty"`     // more than this share of traffic is reached, 0 to 1
	Severities  []int    `json:"severities,omitempty" yaml:"severities,omitempty"`     // of the incident, 1 to 4
	TermsForbid bool     `json:"terms_forbid,omitempty" yaml:"terms_forbid,omitempty"` // the terms of a customer that it reaches do not permit it, or not without notice

	// Demands.
	Roles     []Role              `json:"roles" yaml:"roles"`                             // who may do it, or move it
	Approvals int                 `json:"approvals,omitempty" yaml:"approvals,omitempty"` // how many others have to agree: to a tightening afterwards, to all else before; 0 to 9
	Approvers []Role              `json:"approvers,omitempty" yaml:"approvers,omitempty"` // of which roles; default approver and commander
	Within    correction.Duration `json:"within,omitempty" yaml:"within,omitempty"`       // how long the others have, 5m to 30d; default 1h
	Then      string              `json:"then,omitempty" yaml:"then,omitempty"`           // lapse or stay; default: a tightening stays, all else lapses
}

// Question is what an act is, as far as it is known.
type Question struct {
	Act         Act      `json:"act"`
	Kind        string   `json:"kind,omitempty"`     // of the correction; "" if the act is about none
	Level       string   `json:"level,omitempty"`    // of a stop, "L0" to "L6"
	Share       *float64 `json:"share,omitempty"`    // of traffic that is reached; nil: not measured
	Severity    int      `json:"severity,omitempty"` // of the incident; 0: not known
	TermsForbid bool     `json:"terms_forbid,omitempty"`
}

// Answer is what an act takes.
type Answer struct {
	Rules     []string            `json:"rules"` // that say so, by name
	Roles     []Role              `json:"roles"` // who may do or move it; empty: nobody
	Approvals int                 `json:"approvals"`
	Approvers []Role              `json:"approvers"`
	Within    correction.Duration `json:"within"`
	Then      string              `json:"then"`
}

// May says whether somebody with those roles may do or move it.
func (a *Answer) May(roles Set) bool { return roles.Meets(SetOf(a.Roles...)) }

// Limit bounds how often one person may tighten before others look.
type Limit struct {
	Name  string              `json:"name" yaml:"name"`
	Kinds []string            `json:"kinds,omitempty" yaml:"kinds,omitempty"` // as in Rule; default all
	Count int                 `json:"count" yaml:"count"`                     // of corrections by one person that nobody else has ratified, 1 to 10,000
	Per   correction.Duration `json:"per" yaml:"per"`                         // 1m to 30d
}
