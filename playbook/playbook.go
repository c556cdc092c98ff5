package playbook

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"andon/correction"
)

// Bounds of a playbook. They are wide for people and narrow for machines.
const (
	MaxSteps       = 100
	MaxCorrections = 20 // of a stop-gap
	MaxVars        = 50
	MaxExit        = 20
	MaxOptions     = 16
	MaxText        = 4096 // bytes of a task, a notice, a question, a description
	MaxLine        = 200  // bytes of a name, an option, a criterion
	MaxSize        = 1 << 20
)

// Playbook is an answer to a threat.
type Playbook struct {
	Name        string   `json:"name" yaml:"name"` // a-z 0-9 . _ -, at most 64 bytes
	Description string   `json:"description,omitempty" yaml:"description,omitempty"`
	Version     string   `json:"version,omitempty" yaml:"version,omitempty"`
	Threats     []string `json:"threats,omitempty" yaml:"threats,omitempty"`
	Owner       string   `json:"owner,omitempty" yaml:"owner,omitempty"` // team
	Vars        []Var    `json:"vars,omitempty" yaml:"vars,omitempty"`
	StopGap     *StopGap `json:"stop_gap,omitempty" yaml:"stop_gap,omitempty"`
	Steps       []Step   `json:"steps" yaml:"steps"`
	Exit        []string `json:"exit" yaml:"exit"`                               // criteria; all must be met before it is closed
	TestedAt    string   `json:"tested_at,omitempty" yaml:"tested_at,omitempty"` // day of the last drill, 2026-10-01
}

// Var is a value that is known only on the day. Texts name it as CACAO does:
// "__org__:value". It may stand in lists of a scope, in a pin, a use case, a
// pattern, a fallback, reasons, and in what people read; never in an expression.
type Var struct {
	Name        string `json:"name" yaml:"name"` // letters, digits, _ and -; at most 64 bytes
	Description string `json:"description,omitempty" yaml:"description,omitempty"`
	Default     string `json:"default,omitempty" yaml:"default,omitempty"` // none: a run has to give it
	List        bool   `json:"list,omitempty" yaml:"list,omitempty"`       // several values, separated by commas; it then stands alone in a list of a scope
}

// What becomes of a stop-gap that nobody has decided about in time.
const (
	Stay  = "stay"  // it stands on, overdue, with alarms: see package control
	Lapse = "lapse" // it ends
)

// StopGap is applied in one step, and is to be replaced by a decision: within
// For, people say whether to extend it, to go up the ladder, or to let it lapse.
type StopGap struct {
	Corrections []correction.Correction `json:"corrections" yaml:"corrections"`
	For         correction.Duration     `json:"for" yaml:"for"`                       // 5m to 72h
	Then        string                  `json:"then,omitempty" yaml:"then,omitempty"` // if nobody decides: stay (default) or lapse
}

// Step is one step of a playbook. Exactly one of Correction, Task, Notice,
// Evidence, Decision and Wait is given.
type Step struct {
	Name       string                 `json:"name" yaml:"name"`
	After      []string               `json:"after,omitempty" yaml:"after,omitempty"`           // steps that come first; default the one before; "start": none
	If         *If                    `json:"if,omitempty" yaml:"if,omitempty"`                 // only if that was decided; else it is passed over
	Correction *correction.Correction `json:"correction,omitempty" yaml:"correction,omitempty"` // a rung of the ladder; without times, see For
	For        correction.Duration    `json:"for,omitempty" yaml:"for,omitempty"`               // how long the correction stands; default until it is lifted, with a review after a day
	Confirm    bool                   `json:"confirm,omitempty" yaml:"confirm,omitempty"`       // somebody says yes first
	Task       *Task                  `json:"task,omitempty" yaml:"task,omitempty"`
	Notice     *Notice                `json:"notice,omitempty" yaml:"notice,omitempty"`
	Evidence   *Evidence              `json:"evidence,omitzero" yaml:"evidence,omitempty"` // {} is one, too
	Decision   *Choice                `json:"decision,omitempty" yaml:"decision,omitempty"`
	Wait       correction.Duration    `json:"wait,omitempty" yaml:"wait,omitempty"`
}

// Start in After says that nothing comes before a step.
const Start = "start"

// If is a condition on what was decided.
type If struct {
	Step string   `json:"step" yaml:"step"` // a decision
	Is   []string `json:"is" yaml:"is"`     // options of it; any one suffices
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

// Evidence is a snapshot that the run takes by itself: of Models, or of what its
// incident is about, or its corrections. All of What is always in it.
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

// The kinds of steps.
const (
	KindCorrection = "correction"
	KindTask       = "task"
	KindNotice     = "notice"
	KindEvidence   = "evidence"
	KindDecision   = "decision"
	KindWait       = "wait"
)

// Kinds are all there are.
var Kinds = []string{KindCorrection, KindTask, KindNotice, KindEvidence, KindDecision, KindWait}

// kinds are those that are given; one, in a valid step.
func (s *Step) kinds() []string {
	var out []string
	for i, given := range []bool{s.Correction != nil, s.Task != nil, s.Notice != nil, s.Evidence != nil, s.Decision != nil, s.Wait != 0} {
		if given {
			out = append(out, Kinds[i])
		}
	}
	return out
}

// Kind is what the step is; "" if it is nothing.
func (s *Step) Kind() string {
	if k := s.kinds(); len(k) > 0 {
		return k[0]
	}
	return ""
}

// Step is the step of that name; nil if there is none.
func (p *Playbook) Step(name string) *Step {
	for i := range p.Steps {
		if p.Steps[i].Name == name {
			return &p.Steps[i]
		}
	}
	return nil
}

// After are the names of the steps that come before step i, the default filled
// in, and the decision that its condition asks for.
func (p *Playbook) After(i int) []string {
	s := &p.Steps[i]
	var out []string
	switch {
	case len(s.After) == 1 && s.After[0] == Start:
	case len(s.After) > 0:
		out = append(out, s.After...)
	case i > 0:
		out = append(out, p.Steps[i-1].Name)
	}
	if s.If != nil && !contains(out, s.If.Step) {
		out = append(out, s.If.Step)
	}
	return out
}

// Digest is the SHA-256 of the playbook's canonical JSON (RFC 8785), as
// "sha256:…". A run keeps it: what runs is what was there when it began.
func (p *Playbook) Digest() string {
	v, err := p.Canonical()
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(v)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Canonical is the playbook as canonical JSON.
func (p *Playbook) Canonical() ([]byte, error) {
	data, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	v := jsontext.Value(data)
	if err := v.Canonicalize(); err != nil {
		return nil, err
	}
	return v, nil
}

// clone is a copy that shares nothing.
func (p *Playbook) clone() *Playbook {
	data, err := json.Marshal(p)
	if err != nil {
		return &Playbook{Name: p.Name}
	}
	out := &Playbook{}
	if err := json.Unmarshal(data, out); err != nil {
		return &Playbook{Name: p.Name}
	}
	return out
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}
