package playbook

import (
	"andon/correction"
)

// Playbook is an answer to a threat.
type Playbook struct {
	Name        string   `json:"name" yaml:"name"`
	Description string   `json:"description,omitempty" yaml:"description,omitempty"`
	Version     string   `json:"version,omitempty" yaml:"version,omitempty"`
	Threats     []string `json:"threats,omitempty" yaml:"threats,omitempty"`
	Owner       string   `json:"owner,omitempty" yaml:"owner,omitempty"` // team
	StopGap     *StopGap `json:"stop_gap,omitempty" yaml:"stop_gap,omitempty"`
	Steps       []Step   `json:"steps" yaml:"steps"`
	Exit        []string `json:"exit" yaml:"exit"`                               // criteria; all must be met before it is closed
	TestedAt    string   `json:"tested_at,omitempty" yaml:"tested_at,omitempty"` // day of the last drill, 2026-10-01
}

// StopGap is applied in one step, and ends by itself: by then people have decided.
type StopGap struct {
	Corrections []correction.Correction `json:"corrections" yaml:"corrections"`
	For         correction.Duration     `json:"for" yaml:"for"` // 5m to 72h
}

// Step is one step of a playbook. Exactly one of Correction, Task, Notice,
// Evidence, Decision and Wait is given.
type Step struct {
	Name       string                 `json:"name" yaml:"name"`
	After      []string               `json:"after,omitempty" yaml:"after,omitempty"`           // steps that come first; default the one before
	Correction *correction.Correction `json:"correction,omitempty" yaml:"correction,omitempty"` // a rung of the ladder
	Confirm    bool                   `json:"confirm,omitempty" yaml:"confirm,omitempty"`       // somebody says yes first
	Task       *Task                  `json:"task,omitempty" yaml:"task,omitempty"`
	Notice     *Notice                `json:"notice,omitempty" yaml:"notice,omitempty"`
	Evidence   *Evidence              `json:"evidence,omitempty" yaml:"evidence,omitempty"`
	Decision   *Choice                `json:"decision,omitempty" yaml:"decision,omitempty"`
	Wait       correction.Duration    `json:"wait,omitempty" yaml:"wait,omitempty"`
}

// Task is something that a person does.
type Task struct {
	Do     string              `json:"do" yaml:"do"`
	Who    string              `json:"who,omitempty" yaml:"who,omitempty"` // team or role
	Within correction.Duration `json:"within,omitempty" yaml:"within,omitempty"`
}

// Notice is something that others are told.
type Notice struct {
	To   []string `json:"to" yaml:"to"` // contacts or dependants
	Text string   `json:"text" yaml:"text"`
}

// Evidence is a snapshot that is taken.
type Evidence struct {
	Models []string `json:"models,omitempty" yaml:"models,omitempty"`
	What   []string `json:"what,omitempty" yaml:"what,omitempty"`
}

// Choice is a decision that is asked for.
type Choice struct {
	Question string              `json:"question" yaml:"question"`
	Options  []string            `json:"options" yaml:"options"`
	Default  string              `json:"default" yaml:"default"` // one of Options: what holds if nobody answers
	Within   correction.Duration `json:"within" yaml:"within"`
}
