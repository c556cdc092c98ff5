package cacao

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"andon/correction"
	"andon/playbook"
)

// Meta is what the standard asks for beside the playbook.
type Meta struct {
	Org      string    // who publishes it
	Created  time.Time // of its first version
	Modified time.Time // of this one
	Signed   bool      // it will be signed
}

// extension is what the standard has no words for: all of it, as it was written.
type extension struct {
	Org      string             `json:"org"`
	Playbook *playbook.Playbook `json:"playbook"`
}

// Export writes a playbook. Its steps stand one after the other, in an order that
// keeps what comes after what; a stop-gap stands in our extension alone.
func Export(p *playbook.Playbook, m Meta) ([]byte, error) {
	d, err := document(p, m)
	if err != nil {
		return nil, fmt.Errorf("export playbook %s: %w", p.Name, err)
	}
	data, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("export playbook %s: %w", p.Name, err)
	}
	v := jsontext.Value(data)
	if err := v.Canonicalize(); err != nil {
		return nil, fmt.Errorf("export playbook %s: %w", p.Name, err)
	}
	return v, nil
}

// writer puts a document together.
type writer struct {
	p    *playbook.Playbook
	d    *Document
	used map[string]bool // activities
}

func document(p *playbook.Playbook, m Meta) (*Document, error) {
	if m.Modified.Before(m.Created) {
		m.Modified = m.Created
	}
	by := id("identity", m.Org)
	raw, err := json.Marshal(&extension{m.Org, p}, json.Deterministic(true))
	if err != nil {
		return nil, err
	}
	w := &writer{p: p, used: map[string]bool{}, d: &Document{Type: "playbook", SpecVersion: SpecVersion, ID: id("playbook", m.Org+"/"+p.Name), Name: p.Name, Description: p.Description,
		CreatedBy: by, Created: timestamp(m.Created), Modified: timestamp(m.Modified), Labels: p.Threats, Workflow: map[string]*Step{}, AgentDefinitions: map[string]Agent{},
		PlaybookExtensions: map[string]jsontext.Value{extensionID: raw},
		ExtensionDefs: map[string]ExtensionDef{extensionID: {Type: "extension-definition", Name: "andon-playbook", CreatedBy: by, Schema: "urn:andon:playbook:1", Version: "1.0.0",
			Description: "The playbook as Andon keeps it: with its stop-gap, the order of its steps as it was written, deadlines and exit criteria."}},
	}}
	w.variables()
	if err := w.workflow(); err != nil {
		return nil, err
	}
	w.summary(m.Signed)
	return w.d, nil
}

func (w *writer) variables() {
	vars := map[string]Variable{}
	for _, v := range w.p.Vars {
		one := Variable{Type: "string", Description: v.Description, External: v.Default == ""}
		if v.Default != "" {
			one.Value = &v.Default
		}
		vars["__"+v.Name+"__"] = one
	}
	for i := range w.p.Steps {
		if s := &w.p.Steps[i]; s.Decision != nil {
			vars[w.decided(s.Name)] = Variable{Type: "string", Description: "what was decided in step " + s.Name}
		}
	}
	if len(vars) > 0 {
		w.d.Variables = vars
	}
}

// decided is the variable that holds what a step decided.
func (w *writer) decided(name string) string {
	i := slices.IndexFunc(w.p.Steps, func(s playbook.Step) bool { return s.Name == name })
	return "__andon_decision_" + strconv.Itoa(i+1) + "__"
}

// inOrder are the steps so that each comes after those that it waits for.
func (w *writer) inOrder() ([]int, error) {
	var out []int
	placed := map[string]bool{}
	for len(out) < len(w.p.Steps) {
		before := len(out)
		for i := range w.p.Steps {
			if placed[w.p.Steps[i].Name] || slices.ContainsFunc(w.p.After(i), func(a string) bool { return !placed[a] }) {
				continue
			}
			placed[w.p.Steps[i].Name] = true
			out = append(out, i)
		}
		if len(out) == before {
			return nil, fmt.Errorf("its steps wait for each other; validate it first")
		}
	}
	return out, nil
}

func (w *writer) workflow() error {
	order, err := w.inOrder()
	if err != nil {
		return err
	}
	name := w.p.Name
	end := id(typeEnd, name)
	w.d.Workflow[end] = &Step{Type: typeEnd}
	next := end
	last := w.broadest()
	for k := len(order) - 1; k >= 0; k-- {
		i := order[k]
		s := &w.p.Steps[i]
		a, err := w.action(s, i == last)
		if err != nil {
			return fmt.Errorf("step %q: %w", s.Name, err)
		}
		at := id(typeAction, name+"/"+s.Name)
		w.d.Workflow[at] = a
		if s.If == nil {
			a.OnCompletion, next = next, at
			continue
		}
		passed := id(typeEnd, name+"/"+s.Name)
		a.OnCompletion = passed
		w.d.Workflow[passed] = &Step{Type: typeEnd}
		var any []string
		for _, o := range s.If.Is {
			any = append(any, w.decided(s.If.Step)+":value = '"+strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(o)+"'")
		}
		cond := id(typeIf, name+"/"+s.Name)
		w.d.Workflow[cond] = &Step{Type: typeIf, Name: "whether to do: " + s.Name, Condition: strings.Join(any, " OR "), OnTrue: at, OnCompletion: next}
		next = cond
	}
	w.d.WorkflowStart = id(typeStart, name)
	w.d.Workflow[w.d.WorkflowStart] = &Step{Type: typeStart, OnCompletion: next}
	return nil
}

// broadest is the step that takes most away: it is what eliminates the risk.
func (w *writer) broadest() int {
	at, most := -1, 0
	for i := range w.p.Steps {
		if c := w.p.Steps[i].Correction; c != nil && playbook.Narrowness(c) >= most {
			at, most = i, playbook.Narrowness(c)
		}
	}
	return at
}

func (w *writer) manual(activity, text string) Command {
	w.used[activity] = activity != ""
	return Command{Type: "manual", Command: text, Activity: activity}
}

// action is one step of ours as an action.
func (w *writer) action(s *playbook.Step, broadest bool) (*Step, error) {
	a := &Step{Type: typeAction, Name: s.Name, Description: s.Words()}
	who := "responders"
	switch {
	case s.Correction != nil:
		who = ""
		c, err := w.correction(s, broadest)
		if err != nil {
			return nil, err
		}
		if s.Confirm {
			a.Commands = append(a.Commands, w.manual("", "Somebody confirms, before the next command: "+playbook.CorrectionWords(s.Correction)))
		}
		a.Commands = append(a.Commands, c)
	case s.Task != nil:
		if s.Task.Who != "" {
			who = s.Task.Who
		}
		a.Commands, a.Timeout = []Command{w.manual("", s.Task.Do)}, time.Duration(s.Task.Within).Milliseconds()
	case s.Notice != nil:
		a.Commands = []Command{w.manual("compose-content", s.Notice.Text), w.manual("deliver-content", "Tell "+strings.Join(s.Notice.To, ", "))}
	case s.Evidence != nil:
		a.Commands = []Command{w.manual("analyze-collected-data", s.Words())}
	case s.Decision != nil:
		a.Commands = []Command{w.manual("", fmt.Sprintf("%s Decide: %s. If nobody decides within %s: %s.", s.Decision.Question, strings.Join(s.Decision.Options, " | "), s.Decision.Within, s.Decision.Default))}
		a.OutArgs, a.Timeout = []string{w.decided(s.Name)}, time.Duration(s.Decision.Within).Milliseconds()
	default:
		a.Commands, a.Delay = []Command{w.manual("", "The time is over: "+s.Words())}, time.Duration(s.Wait).Milliseconds()
	}
	a.Agent = w.agent(who)
	return a, nil
}

func (w *writer) correction(s *playbook.Step, broadest bool) (Command, error) {
	activity := "restrict-access"
	switch {
	case broadest:
		activity = "eliminate-risk"
	case s.Correction.Kind == correction.Capability:
		activity = "configure-systems"
	}
	w.used[activity] = true
	text, err := content(s.Correction, s.For, w.p.Name+"/"+s.Name)
	if err != nil {
		return Command{}, err
	}
	return Command{Type: "openc2-http", Description: playbook.CorrectionWords(s.Correction), Activity: activity, Command: "POST /.well-known/openc2 HTTP/1.1",
		Headers: map[string][]string{"Content-Type": {"application/openc2+json;version=1.0"}}, ContentB64: text}, nil
}

// agent is who carries a step out: a team, or ("") the enforcement points.
func (w *writer) agent(who string) string {
	at, a := id("group", who), Agent{Type: "group", Name: who}
	if who == "" {
		at, a = id("security-category", "andon"), Agent{Type: "security-category", Name: "andon", Category: []string{"content-gateway"}}
	}
	w.d.AgentDefinitions[at] = a
	return at
}

// summary says what kind of playbook it is. The standard asks a mitigation for an
// activity that eliminates a risk, and a notification for one that composes
// content: both are those of a step.
func (w *writer) summary(signed bool) {
	d := w.d
	for a := range w.used {
		if a != "" {
			d.PlaybookActivities = append(d.PlaybookActivities, a)
		}
	}
	slices.Sort(d.PlaybookActivities)
	if w.used["eliminate-risk"] {
		d.PlaybookTypes = append(d.PlaybookTypes, "mitigation")
	}
	if w.used["compose-content"] {
		d.PlaybookTypes = append(d.PlaybookTypes, "notification")
	}
	if w.used["analyze-collected-data"] {
		d.PlaybookTypes = append(d.PlaybookTypes, "investigation")
	}
	conditional, timed := false, false
	for _, s := range d.Workflow {
		conditional = conditional || s.Type == typeIf
		timed = timed || s.Delay > 0 || s.Timeout > 0
	}
	d.ProcessingSummary = map[string]bool{"manual_playbook": w.broadest() < 0, "if_logic": conditional, "temporal_logic": timed, "extensions": true, "digital_signatures": signed}
	if len(d.AgentDefinitions) == 0 {
		d.AgentDefinitions = nil
	}
}
