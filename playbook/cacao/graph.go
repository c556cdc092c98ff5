package cacao

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"andon/correction"
	"andon/playbook"
)

// How long people have for a decision that the document gives no time for.
const decideWithin = correction.Duration(time.Hour)

// A workflow is walked from its start along what follows what. Each step becomes
// one or more of ours, and each way from one to the next an edge; what runs only
// under a condition carries the decision and the options under which it does. A
// step that several ways lead to comes after all of them: those that were not
// taken are passed over.
type reader struct {
	d      *Document
	imp    *Import
	p      *playbook.Playbook
	seen   map[string][]edge // where the walk from a step comes out
	active map[string]bool   // steps that are being walked: to meet one is a circle
	nodes  map[string]*node  // the first step of ours for each of theirs
	order  []*node
	names  map[string]bool
}

// node is a step of ours in the making.
type node struct {
	playbook.Step
	from []edge // ways that lead to it
	at   string // step of theirs
	cond *condition
}

// edge leads from a step, or from the start (nil), under a condition of its own.
type edge struct {
	node *node
	only *condition
}

// condition is some options of a decision.
type condition struct {
	on *node
	is []string
}

func (r *reader) read() error {
	d := r.d
	if r.p = (&playbook.Playbook{Name: slug(d.Name), Description: prose(d.Description), Steps: []playbook.Step{}}); len(r.p.Description) > playbook.MaxText {
		r.p.Description = strings.ToValidUTF8(r.p.Description[:playbook.MaxText], "")
		r.imp.note("the description was cut after %d bytes", playbook.MaxText)
	}
	if start := d.Workflow[d.WorkflowStart]; start == nil || start.Type != typeStart {
		return bad(d.WorkflowStart, "workflow_start does not name a start step of the workflow")
	}
	if d.WorkflowException != "" {
		r.imp.note("workflow_exception %s was left out: a step of ours that fails waits for somebody to retry or skip it", short(d.WorkflowException))
	}
	r.variables()
	if _, err := r.walk([]edge{{}}, d.WorkflowStart, ""); err != nil {
		return err
	}
	for at := range d.Workflow {
		if _, met := r.seen[at]; !met && d.Workflow[at].Type != typeEnd {
			r.imp.note("step %s is never reached, and was left out", at)
		}
	}
	if len(r.order) > playbook.MaxSteps {
		return bad("", "it comes to %d steps of ours; at most %d", len(r.order), playbook.MaxSteps)
	}
	if len(r.order) == 0 {
		return bad("", "the workflow has no step that does anything")
	}
	if err := r.arrange(); err != nil {
		return err
	}
	r.p.Exit = []string{"the steps of the imported playbook have had their effect"}
	slices.Sort(r.imp.Notes)
	return nil
}

// walk goes from some edges to the step at; what comes out are the edges that
// lead to an end. from names the step that leads here, for errors.
func (r *reader) walk(in []edge, at, from string) ([]edge, error) {
	s := r.d.Workflow[at]
	switch {
	case s == nil:
		return nil, bad(cmp.Or(from, r.d.WorkflowStart), "leads to %s, which is not in the workflow", short(at))
	case s.Type == typeEnd:
		return in, nil
	case r.active[at]:
		return nil, bad(at, "the workflow comes back to it: a circle cannot be run here")
	}
	if out, met := r.seen[at]; met {
		n := r.nodes[at]
		if n == nil {
			return nil, bad(at, "several ways lead to this %s; lead them to an action first", s.Type)
		}
		r.join(n, in)
		return slices.Clone(out), nil
	}
	r.active[at] = true
	defer delete(r.active, at)
	out, err := r.step(in, at, s)
	if err != nil {
		return nil, err
	}
	var once []edge // or they would double where ways part and meet
	for _, e := range out {
		if !slices.Contains(once, e) {
			once = append(once, e)
		}
	}
	r.seen[at] = once
	return slices.Clone(once), nil
}

// join adds ways that lead to a step. The same way twice is one.
func (r *reader) join(n *node, in []edge) {
	for _, e := range in {
		if !slices.Contains(n.from, e) {
			n.from = append(n.from, e)
		}
	}
}

// add makes a step of ours that the edges lead to.
func (r *reader) add(in []edge, at string, s playbook.Step) *node {
	n := &node{Step: s, at: at}
	r.join(n, in)
	r.order = append(r.order, n)
	return n
}

// first is add, for the step of ours that other ways to theirs lead to as well.
func (r *reader) first(in []edge, at string, s playbook.Step) *node {
	n := r.add(in, at, s)
	if r.nodes[at] == nil {
		r.nodes[at] = n
	}
	return n
}

func (r *reader) step(in []edge, at string, s *Step) ([]edge, error) {
	if s.Delay > 0 && s.Type != typeStart {
		wait := time.Duration(min(s.Delay, (30*24*time.Hour).Milliseconds())) * time.Millisecond
		n := r.first(in, at, playbook.Step{Name: r.name("before " + cmp.Or(s.Name, at)), Wait: correction.Duration(max(wait, time.Second))})
		in = []edge{{node: n}}
	}
	title := cmp.Or(s.Name, at)
	switch s.Type {
	case typeStart:
		return r.then(in, at, s)
	case typeAction:
		if len(s.Commands) == 0 {
			return nil, bad(at, "it has no commands")
		}
		for i := range s.Commands {
			in = []edge{{node: r.first(in, at, r.command(at, s, i))}}
		}
		return r.then(in, at, s)
	case typePlaybook:
		n := r.first(in, at, playbook.Step{Name: r.name(title), Task: &playbook.Task{Do: "Carry out the playbook " + line(s.PlaybookID, 128) + ", then say that it is done."}})
		return r.then([]edge{{node: n}}, at, s)
	case typeParallel:
		if len(s.NextSteps) < 2 {
			return nil, bad(at, "a parallel step needs at least two next_steps")
		}
		var out []edge
		for _, next := range s.NextSteps {
			tails, err := r.walk(in, next, at)
			if err != nil {
				return nil, err
			}
			out = append(out, tails...)
		}
		return r.then(out, at, s)
	case typeIf:
		return r.branches(in, at, s, line("Does this hold? "+s.Condition, playbook.MaxText-8), []branch{{"true", s.OnTrue}, {"false", s.OnFalse}}, "false")
	case typeSwitch:
		var list []branch
		for _, c := range slices.Sorted(maps.Keys(s.Cases)) {
			list = append(list, branch{c, s.Cases[c]})
		}
		usual := "default"
		if _, ok := s.Cases[usual]; !ok {
			usual = "none of these"
			list = append(list, branch{usual, ""})
		}
		return r.branches(in, at, s, line("Which is it? "+s.Switch, playbook.MaxText-8), list, usual)
	case typeWhile:
		return nil, bad(at, "a while-condition cannot be run here: write the steps out, or as a task that is repeated by people")
	}
	return nil, bad(at, "the type %q is not known; allowed: start, end, action, playbook-action, parallel, if-condition, switch-condition", short(s.Type))
}

// branch is where a choice leads; "" is on to what follows.
type branch struct{ option, to string }

// branches makes a decision of a condition: people judge it, and what nobody
// answers falls to usual.
func (r *reader) branches(in []edge, at string, s *Step, question string, list []branch, usual string) ([]edge, error) {
	d := &playbook.Choice{Question: question, Default: usual, Within: within(s.Timeout, decideWithin)}
	for _, b := range list {
		d.Options = append(d.Options, b.option)
	}
	n := r.first(in, at, playbook.Step{Name: r.name(cmp.Or(s.Name, at)), Decision: d})
	r.imp.note("%s %s is a decision now: people judge the condition; if nobody answers within %s it counts as %q", s.Type, at, d.Within, usual)
	var out []edge
	for _, b := range list {
		e := []edge{{n, &condition{n, []string{b.option}}}}
		if b.to != "" {
			var err error
			if e, err = r.walk(e, b.to, at); err != nil {
				return nil, err
			}
		}
		out = append(out, e...)
	}
	return r.then(out, at, s)
}

// then goes on to what follows a step.
func (r *reader) then(in []edge, at string, s *Step) ([]edge, error) {
	if s.OnCompletion != "" && (s.OnSuccess != "" || s.OnFailure != "") {
		return nil, bad(at, "on_completion stands beside on_success or on_failure")
	}
	switch next := cmp.Or(s.OnCompletion, s.OnSuccess); {
	case s.OnFailure != "" && s.OnFailure != next:
		d := &playbook.Choice{Question: "Did this succeed? " + line(cmp.Or(s.Name, at), playbook.MaxLine), Options: []string{"success", "failure"}, Default: "failure", Within: decideWithin}
		n := r.add(in, at, playbook.Step{Name: r.name("outcome of " + cmp.Or(s.Name, at)), Decision: d})
		r.imp.note("on_failure of %s is a decision now: people say whether it succeeded; if nobody answers within %s it counts as failure", at, d.Within)
		var out []edge
		for _, b := range []branch{{"success", next}, {"failure", s.OnFailure}} {
			e := []edge{{n, &condition{n, []string{b.option}}}}
			if b.to != "" {
				var err error
				if e, err = r.walk(e, b.to, at); err != nil {
					return nil, err
				}
			}
			out = append(out, e...)
		}
		return out, nil
	case next != "":
		return r.walk(in, next, at)
	}
	return in, nil
}

// command is one command of an action as a step of ours. What is no correction is
// for people: its text is shown, and nothing of it is run.
func (r *reader) command(at string, s *Step, i int) playbook.Step {
	c := &s.Commands[i]
	out := playbook.Step{Name: r.name(cmp.Or(s.Name, at))}
	if c.Type == "openc2-http" {
		cor, stands, err := c.read(line(cmp.Or(s.Name, at), playbook.MaxLine))
		if err == nil {
			alone := playbook.Playbook{Name: "x", Vars: r.p.Vars, Steps: []playbook.Step{{Name: "x", Correction: cor, For: stands}}, Exit: []string{"x"}}
			for _, f := range alone.Validate(playbook.Known{}) {
				if !f.Warning {
					err = f
				}
			}
		}
		if err == nil {
			out.Correction, out.For, out.Confirm = cor, stands, true
			r.imp.note("step %s is a correction now, and asks for somebody's confirmation", at)
			return out
		}
		if !errors.Is(err, errNoCorrection) {
			err = fmt.Errorf("its correction is not valid: %w", err)
		}
		r.imp.note("command %d of %s is a task now: %s", i+1, at, short(err.Error()))
	} else if c.Type != "manual" {
		r.imp.note("command %d of %s (%s) is a task now: nothing of it is run here", i+1, at, short(c.Type))
	}
	out.Task = &playbook.Task{Do: c.text(), Who: r.who(s.Agent)}
	if s.Timeout > 0 {
		out.Task.Within = within(s.Timeout, 0)
	}
	return out
}

// text is what a person reads of a command.
func (c *Command) text() string {
	parts := []string{}
	if c.Type != "manual" {
		parts = append(parts, "By hand, after reading it ("+line(c.Type, 40)+"):")
	}
	for _, t := range []struct {
		text string
		b64  bool
	}{{c.Description, false}, {c.Command, false}, {c.CommandB64, true}, {c.Content, false}, {c.ContentB64, true}} {
		text := t.text
		if t.b64 && text != "" {
			data, err := base64.StdEncoding.DecodeString(text)
			if err != nil || !utf8.Valid(data) {
				text = fmt.Sprintf("(%d bytes that are no text; see the imported file)", len(text))
			} else {
				text = string(data)
			}
		}
		if text = prose(text); text != "" {
			parts = append(parts, text)
		}
	}
	out := strings.Join(parts, "\n")
	if len(c.Other) > len("{}") {
		out += "\n(its other members are in the imported file)"
	}
	if strings.TrimSpace(out) == "" {
		out = "(a command without a text)"
	}
	const cut = "\n(cut here; do not carry it out without the imported file)"
	if len(out) > playbook.MaxText {
		out = strings.ToValidUTF8(out[:playbook.MaxText-len(cut)], "") + cut
	}
	return out
}

// who is the agent's name.
func (r *reader) who(agent string) string {
	return line(r.d.AgentDefinitions[agent].Name, playbook.MaxLine)
}

// within is a timeout as people have it: a minute to a week.
func within(timeout int64, otherwise correction.Duration) correction.Duration {
	if timeout <= 0 {
		return otherwise
	}
	d := time.Duration(min(timeout, (7*24*time.Hour).Milliseconds())) * time.Millisecond
	return correction.Duration(max(d.Truncate(time.Second), time.Minute))
}

// arrange writes the steps: after what each comes, and under which condition.
func (r *reader) arrange() error {
	done := map[*node]bool{}
	for placed := 0; placed < len(r.order); {
		before := placed
		for _, n := range r.order {
			if done[n] || slices.ContainsFunc(n.from, func(e edge) bool { return e.node != nil && !done[e.node] }) {
				continue
			}
			if err := r.place(n); err != nil {
				return err
			}
			done[n] = true
			placed++
		}
		if placed == before {
			stuck := r.order[slices.IndexFunc(r.order, func(n *node) bool { return !done[n] })]
			return bad(stuck.at, "the workflow comes back to it: a circle cannot be run here")
		}
	}
	return nil
}

func (r *reader) place(n *node) error {
	var ways []*condition
	for _, e := range n.from {
		c := e.only
		if c == nil && e.node != nil {
			c = e.node.cond
		}
		ways = append(ways, c)
		if e.node != nil && !slices.Contains(n.After, e.node.Name) {
			n.After = append(n.After, e.node.Name)
		}
	}
	var ok bool
	if n.cond, ok = anyOf(ways); !ok {
		return bad(n.at, "it is reached in ways that depend on different decisions, which cannot be said here; split it")
	}
	if n.cond != nil {
		n.If = &playbook.If{Step: n.cond.on.Name, Is: n.cond.is}
	}
	if len(n.After) == 0 {
		n.After = []string{playbook.Start}
	}
	r.p.Steps = append(r.p.Steps, n.Step)
	return nil
}

// depth is how many decisions a condition lies within.
func (c *condition) depth() int {
	n := 0
	for x := c.on.cond; x != nil; x = x.on.cond {
		n++
	}
	return n
}

// within says whether c holds only where o does.
func (c *condition) within(o *condition) bool {
	for x := c; x != nil; x = x.on.cond {
		if x.on == o.on {
			return !slices.ContainsFunc(x.is, func(s string) bool { return !slices.Contains(o.is, s) })
		}
	}
	return false
}

// anyOf is the condition under which one of several ways is taken; ok is false
// where no single decision says it. From the inside out: all options of a decision
// together are the condition of the decision itself, and what lies within another
// way adds nothing to it.
func anyOf(ways []*condition) (_ *condition, ok bool) {
	for {
		if len(ways) == 0 || slices.Contains(ways, nil) {
			return nil, true
		}
		deepest := slices.MaxFunc(ways, func(a, b *condition) int { return cmp.Compare(a.depth(), b.depth()) })
		all := &condition{on: deepest.on}
		var rest []*condition
		for _, c := range ways {
			if c.on != all.on {
				rest = append(rest, c)
				continue
			}
			all.is = append(all.is, c.is...)
		}
		slices.Sort(all.is)
		all.is = slices.Compact(all.is)
		switch {
		case len(all.is) == len(all.on.Decision.Options):
			ways = append(rest, all.on.cond)
		case len(rest) == 0:
			return all, true
		case slices.ContainsFunc(rest, all.within):
			ways = rest
		default:
			return nil, false
		}
	}
}

// variables takes over those that can have a value before the run.
func (r *reader) variables() {
	for _, name := range slices.Sorted(maps.Keys(r.d.Variables)) {
		v := r.d.Variables[name]
		bare := strings.TrimSuffix(strings.TrimPrefix(name, "__"), "__")
		one := playbook.Var{Name: bare, Description: prose(v.Description)}
		if v.Value != nil {
			one.Default = *v.Value
		}
		p := playbook.Playbook{Name: "x", Vars: []playbook.Var{one}, Steps: []playbook.Step{{Name: "x", Wait: correction.Duration(time.Minute)}}, Exit: []string{"x"}}
		if playbook.Broken(p.Validate(playbook.Known{})) || len(r.p.Vars) == playbook.MaxVars || !v.External && one.Default == "" {
			r.imp.note("the variable %s was left out: it has no value before a run, or none that can be taken over; where a text names it, it stays as it is", short(name))
			continue
		}
		r.p.Vars = append(r.p.Vars, one)
	}
}
