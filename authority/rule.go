package authority

import (
	"andon/correction"
)

// Act is a class of what can be done. Rules are written for acts.
type Act string

// The acts.
const (
	Tighten      Act = "tighten"      // a correction is put in force, raised or extended
	Loosen       Act = "loosen"       // lifted, relaxed, restored
	Irreversible Act = "irreversible" // weights sealed or destroyed (L5, L6)
	ApplyPlan    Act = "plan"         // a version of the plan is put in force, a finding is waived
	Decide       Act = "decide"       // a decision is taken in an incident
	Unmask       Act = "unmask"       // personal data behind a pseudonym or a commitment is looked at or erased
	Staff        Act = "staff"        // roles that act or decide are given to somebody
	Rekey        Act = "rekey"        // a signing key is rotated, a gateway is let in
)

// Acts are all there are.
var Acts = []Act{Tighten, Loosen, Irreversible, ApplyPlan, Decide, Unmask, Staff, Rekey}

// What happens to a tightening that nobody ratified in time, and to a proposal
// that nobody answered.
const (
	Lapse = "lapse" // it ends
	Stay  = "stay"  // it stays, overdue, with an alarm
	Alarm = "alarm" // a proposal: it stays open, with an alarm
)

// Rule says who may do an act, and what it needs. All conditions that are given
// must hold; a rule without conditions is for every case of its acts. Where
// several rules apply, the more demanding word of each counts: see Rules.For.
type Rule struct {
	Name string `json:"name" yaml:"name"`
	Acts []Act  `json:"acts" yaml:"acts"`

	// Conditions.
	Kinds        []string `json:"kinds,omitempty" yaml:"kinds,omitempty"`               // correction kinds, or a level and above: "L3+", or one level: "L4"
	ShareOver    float64  `json:"share_over,omitempty" yaml:"share_over,omitempty"`     // more than this share of traffic is touched, 0 to 1. Unknown counts as everything
	Severities   []int    `json:"severities,omitempty" yaml:"severities,omitempty"`     // of the incident, 1 to 4. None known counts as 1
	NotPermitted bool     `json:"terms_forbid,omitempty" yaml:"terms_forbid,omitempty"` // the terms of a customer it reaches do not permit it, or not without notice

	// Demands.
	Roles     []Role              `json:"roles" yaml:"roles"`                             // who may do it, or propose it
	Approvals int                 `json:"approvals" yaml:"approvals"`                     // how many others have to agree. Tighten: afterwards; everything else: before
	Approvers []Role              `json:"approvers,omitempty" yaml:"approvers,omitempty"` // of which roles; default approver and commander
	Within    correction.Duration `json:"within,omitempty" yaml:"within,omitempty"`       // the others' deadline; default 1h
	Then      string              `json:"then,omitempty" yaml:"then,omitempty"`           // what happens after it: lapse, stay; default stay for tighten, lapse for the others
}
