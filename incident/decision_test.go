package incident

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"pgregory.net/rapid"

	"andon/authority"
	"andon/correction"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// bench is decisions with a ledger beside them.
type bench struct {
	t interface{ Fatalf(string, ...any) }
	Decisions
	seq uint64
	log []entry
}

// try does something if it can be done, from what the ledger would hold of it.
func (d *bench) try(actor string, e DecisionEvent, at time.Time) error {
	m := Meta{Seq: d.seq, At: at, Actor: actor}
	if err := d.Check(e, m); err != nil {
		return err
	}
	body, err := json.Marshal(e, json.Deterministic(true))
	if err != nil {
		d.t.Fatalf("%v", err)
	}
	read, err := ReadDecision(e.Type(), body)
	if err != nil {
		d.t.Fatalf("%s cannot be read: %v: %s", e.Type(), err, body)
	}
	apply, err := d.Fold(read, m)
	if err != nil {
		d.t.Fatalf("%s was taken and cannot be folded: %v: %s", e.Type(), err, body)
	}
	apply()
	d.log = append(d.log, entry{m, e.Type(), body})
	d.seq++
	return nil
}

func threeOptions() []Option {
	stop := correction.Correction{Kind: correction.Stop, Params: correction.Params{Level: "L2"}, Scope: correction.Scope{All: true}, Reason: "r"}
	return []Option{{Title: DoNothing}, {Title: "stop", Apply: []correction.Correction{stop}}, {Title: "lift", Lift: []string{"c-1"}}}
}

func opening(id string) *DecisionOpened {
	return &DecisionOpened{About: About{ID: id, Incident: "i-1"}, Question: "q", Options: threeOptions(), Default: 1, Deadline: noon.Add(time.Hour), Seen: make([]Comparison, 3)}
}

func made(id string, option int, seen uint64, criteria ...string) *DecisionMadeBody {
	return &DecisionMadeBody{About: About{ID: id, Incident: "i-1"}, Option: option, By: "op-1", Rationale: "r", Criteria: criteria, Seen: make([]Comparison, 3), SeenIn: seen}
}

func TestWhatADecisionRefuses(t *testing.T) {
	d := &bench{t: t}
	change := func(f func(e *DecisionOpened)) *DecisionOpened { e := opening("d-1"); f(e); return e }
	for name, tc := range map[string]struct {
		e     DecisionEvent
		field string
	}{
		"another id":     {opening("d-2"), "id"},
		"one option":     {change(func(e *DecisionOpened) { e.Options, e.Seen = e.Options[:1], e.Seen[:1] }), "options"},
		"no way out":     {change(func(e *DecisionOpened) { e.Options, e.Seen = e.Options[1:], e.Seen[1:] }), "options"},
		"no such option": {change(func(e *DecisionOpened) { e.Default = 4 }), "default"},
		"in the past":    {change(func(e *DecisionOpened) { e.Deadline = noon.Add(-time.Second) }), "deadline"},
		"not compared":   {change(func(e *DecisionOpened) { e.Seen = nil }), "compared"},
		"broken text":    {change(func(e *DecisionOpened) { e.Known = "\xff" }), "known"},
	} {
		err, ok := d.try("op-1", tc.e, noon).(*Error)
		if !ok || err.Field != tc.field {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := d.try("op-1", opening("d-1"), noon); err != nil {
		t.Fatal(err)
	}
	about := About{ID: "d-1", Incident: "i-1"}
	for name, tc := range map[string]struct {
		e    DecisionEvent
		at   time.Time
		code string
	}{
		"of another incident": {&Dissented{About: About{ID: "d-1"}, Text: "no"}, noon, CodeField},
		"no such decision":    {&Dissented{About: About{ID: "d-9"}, Text: "no"}, noon, CodeNotFound},
		"overdue too early":   {&DecisionOverdue{About: about, Why: "w"}, noon.Add(59 * time.Minute), CodeState},
		"criteria before":     {&CriterionTicked{About: about, Criterion: 1, Evidence: "e"}, noon, CodeState},
		"of nobody":           {&DecisionMadeBody{About: about, Option: 1, Rationale: "r", Seen: make([]Comparison, 3)}, noon, CodeField},
		"not what was seen":   {made("d-1", 1, 7), noon, CodeField},
	} {
		err, ok := d.try("op-1", tc.e, tc.at).(*Error)
		if !ok || err.Code != tc.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range MaxDissents {
		if err := d.try("op-2", &Dissented{About: about, Text: fmt.Sprint("no ", i)}, noon); err != nil {
			t.Fatal(err)
		}
	}
	if err, ok := d.try("op-2", &Dissented{About: about, Text: "no"}, noon).(*Error); !ok || err.Code != CodeFull {
		t.Error(err)
	}
	for i := 2; i <= MaxOpen; i++ {
		if err := d.try("op-1", opening(fmt.Sprintf("d-%d", i)), noon); err != nil {
			t.Fatal(err)
		}
	}
	if err, ok := d.try("op-1", opening(d.NextID()), noon).(*Error); !ok || err.Code != CodeFull {
		t.Error(err)
	}
}

func TestWhatTheClockMayCarryOut(t *testing.T) {
	of := func(kind correction.Kind, level string, mode correction.Mode) Option {
		return Option{Apply: []correction.Correction{{Kind: kind, Mode: mode, Params: correction.Params{Level: level}}}}
	}
	back := uint64(3)
	for name, tc := range map[string]struct {
		o   Option
		may bool
	}{
		"nothing": {Option{}, true}, "a limit": {of(correction.Rate, "", ""), true}, "L0": {of(correction.Stop, "L0", ""), true}, "L2": {of(correction.Stop, "L2", ""), true},
		"L3": {of(correction.Stop, "L3", ""), false}, "L4": {of(correction.Stop, "L4", ""), false}, "L3 in shadow": {of(correction.Stop, "L3", correction.Shadow), true},
		"a lift": {Option{Lift: []string{"c-1"}}, false}, "a restoration": {Option{Restore: &Restore{Revision: &back}}, false},
		"a limit and a lift": {Option{Apply: of(correction.Rate, "", "").Apply, Lift: []string{"c-1"}}, false},
	} {
		if why := tc.o.Manual(); (why == "") != tc.may {
			t.Errorf("%s: %q", name, why)
		}
	}
}

// TestNewTakes: the roles are those that all rules leave, what is ratified is the most.
func TestNewTakes(t *testing.T) {
	before := authority.Answer{Rules: []string{"a"}, Roles: []authority.Role{authority.Commander, authority.Approver}, Approvals: 1, Approvers: []authority.Role{authority.Approver}, Within: 60e9}
	after := authority.Answer{Rules: []string{"a", "b"}, Roles: []authority.Role{authority.Commander, authority.Responder}, Approvals: 2}
	got := NewTakes(before, after)
	if fmt.Sprint(got.Rules, got.Roles, got.Approvals, got.Ratify, got.Within) != "[a b] [commander] 1 2 1m" {
		t.Error(got)
	}
	before.Approvals = 0
	if got = NewTakes(before); len(got.Approvers) != 0 || got.Within != 0 || got.Ratify != 0 {
		t.Error(got)
	}
}

// TestDecisionsModel: any events in any order. A decision is made once; what it said
// stays; a tick is there or not; and the log read anew gives the same.
func TestDecisionsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := &bench{t: t}
		now, word := noon, map[string]string{}
		for range rapid.IntRange(5, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "min")) * time.Minute)
			id := fmt.Sprintf("d-%d", rapid.IntRange(1, 4).Draw(t, "id"))
			about := About{ID: id, Incident: "i-1"}
			n := rapid.IntRange(0, 4).Draw(t, "n")
			var seen uint64
			if x := d.Get(id); x != nil {
				seen = x.ComparedIn
			}
			was := d.Get(id)
			open := was != nil && was.State == DecisionOpen
			var e DecisionEvent
			may := was != nil // what has to be taken
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0:
				o := opening(id)
				o.Deadline = now.Add(30 * time.Minute)
				e, may = o, id == d.NextID()
			case 1:
				e, may = &DecisionCompared{About: about, Seen: make([]Comparison, 3)}, open
			case 2:
				m := made(id, n, seen, "one", "two")
				m.Auto = rapid.Bool().Draw(t, "auto")
				e, may = m, open && n >= 1 && n <= 3
			case 3:
				e, may = &DecisionOverdue{About: about, Why: "w"}, open && was.Overdue == "" && !now.Before(was.Deadline)
			case 4:
				e, may = &Dissented{About: about, Text: "no", Prefer: n}, may && n <= 3
			case 5:
				unmet := rapid.Bool().Draw(t, "unmet")
				e = &CriterionTicked{About: about, Criterion: n, Evidence: "e", Unmet: unmet}
				may = may && n >= 1 && n <= len(was.Criteria) && was.Criteria[n-1].MetAt.IsZero() != unmet
			}
			if err := d.try("op-1", e, now); (err == nil) != may {
				t.Fatalf("%s of %s: %v, may %v", e.Type(), id, err, may)
			}
			left := 0
			for _, x := range d.List() {
				if x.State == DecisionOpen {
					left++
					continue
				}
				text, _ := json.Marshal(x.Made)
				if word[x.ID] != "" && word[x.ID] != string(text) {
					t.Fatalf("%s was decided twice", x.ID)
				}
				word[x.ID] = string(text)
			}
			if left != len(d.Open()) {
				t.Fatalf("%d open, counted %d", left, len(d.Open()))
			}
		}
		again := &bench{t: t}
		for _, e := range d.log {
			x, err := ReadDecision(e.kind, e.body)
			if err != nil {
				t.Fatalf("%v", err)
			}
			apply, err := again.Fold(x, e.m)
			if err != nil {
				t.Fatalf("%v", err)
			}
			apply()
			if told := TellDecision(e.kind, e.body, again.Get("d-1")); !strings.HasPrefix(told.Refs[0], "d-") || told.Text == e.kind {
				t.Fatalf("%s is not told: %q", e.kind, told.Text)
			}
		}
		a, _ := json.Marshal(d.List())
		b, _ := json.Marshal(again.List())
		if string(a) != string(b) {
			t.Fatalf("read anew it is another:\n%s\n%s", a, b)
		}
	})
}
