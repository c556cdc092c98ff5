package incident

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"pgregory.net/rapid"
)

// desk is a book with a ledger beside it.
type desk struct {
	t   testing.TB
	b   *Book
	seq uint64
	now time.Time
	log []entry
}

type entry struct {
	m    Meta
	kind string
	body []byte
}

func newDesk(t testing.TB) *desk {
	return &desk{t: t, b: NewBook(), now: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)}
}

// try does something if it can be done.
func (d *desk) try(actor string, e Event) error {
	m := Meta{Seq: d.seq, At: d.now, Actor: actor}
	if err := d.b.Check(e, m); err != nil {
		return err
	}
	body, err := json.Marshal(e, json.Deterministic(true))
	if err != nil {
		d.t.Fatal(err)
	}
	apply, err := d.b.Fold(m, e.Type(), body)
	if err != nil {
		d.t.Fatalf("%s was taken and cannot be folded: %v: %s", e.Type(), err, body)
	}
	apply()
	d.log = append(d.log, entry{m, e.Type(), body})
	d.seq++
	return nil
}

func (d *desk) do(actor string, e Event) {
	d.t.Helper()
	if err := d.try(actor, e); err != nil {
		d.t.Fatalf("%s: %v", e.Type(), err)
	}
}

func (d *desk) open(spec OpenSpec) *Incident {
	d.t.Helper()
	if spec.Title == "" {
		spec.Title = "something"
	}
	id := d.b.NextIncident()
	d.do("op-1", &Opened{id, spec})
	return d.b.Incident(id)
}

func on[S Step](id string, s S) Event { return &On[S]{id, s} }

func TestWayThrough(t *testing.T) {
	d := newDesk(t)
	d.do("op-2", d.b.Receive(SignalSpec{Type: "alert", Source: "monitor", Title: "odd answers", Severity: Sev3, Dedup: "x", Subject: Subject{Models: []string{"sim-large"}}, ObservedAt: d.now.Add(-time.Hour)}, Meta{Seq: d.seq, At: d.now, Actor: "op-2"}))
	d.do("op-2", d.b.Receive(SignalSpec{Type: "alert", Source: "monitor", Title: "odd answers", Dedup: "x"}, Meta{Seq: d.seq, At: d.now, Actor: "op-2"}))
	if s := d.b.Signal("s-1"); s.Count != 2 || s.Case != "t-1" || len(d.b.Signals()) != 1 {
		t.Fatalf("%+v", s)
	}
	d.do("op-1", &CaseAssessed{Case: "t-1", Text: "real"})
	in := d.open(OpenSpec{Cases: []string{"t-1"}})
	if in.Severity != Sev3 || in.Assumed || in.Subject.Models[0] != "sim-large" || in.Lead() != "op-1" {
		t.Fatalf("%+v", in)
	}
	if first, _ := in.Time("first_signal_at"); !first.Value.Equal(d.now.Add(-time.Hour)) {
		t.Fatalf("%+v", first)
	}
	d.do("op-1", on("i-1", StatusChange{To: StatusInvestigating}))
	if err := d.try("op-1", on("i-1", StatusChange{To: StatusContained})); err == nil {
		t.Fatal("contained by nothing")
	}
	d.b.Corrected("i-1", "c-1", true, Meta{Seq: d.seq, At: d.now})
	d.seq++
	d.do("op-1", on("i-1", StatusChange{To: StatusContained}))
	d.do("op-1", on("i-1", StatusChange{To: StatusResolved}))
	if err := d.try("op-1", on("i-1", Closed{Reason: CloseResolved, Text: "done"})); err == nil {
		t.Fatal("closed with a correction that nobody owns")
	}
	d.do("op-1", on("i-1", Closed{Reason: CloseResolved, Text: "done", Owners: map[string]string{"c-1": "op-2"}}))
	if in.Status != StatusClosed || in.Lead() != "" || in.Corrections[0].Owner != "op-2" {
		t.Fatalf("%+v", in)
	}
}

// dump is what two books have to agree on.
func dump(b *Book) string {
	data, err := json.Marshal(map[string]any{"incidents": b.incidentList, "cases": b.caseList, "signals": b.signalList, "of": b.of}, json.Deterministic(true))
	if err != nil {
		panic(err)
	}
	return string(data)
}

// again folds a desk's ledger anew.
func (d *desk) again(t testing.TB) *Book {
	b := NewBook()
	for _, e := range d.log {
		if e.kind == "test.corrected" {
			var c struct {
				Incident, Correction string
				Stands               bool
			}
			if err := json.Unmarshal(e.body, &c); err != nil {
				t.Fatal(err)
			}
			b.Corrected(c.Incident, c.Correction, c.Stands, e.m)
			continue
		}
		apply, err := b.Fold(e.m, e.kind, e.body)
		if err != nil {
			t.Fatal(err)
		}
		apply()
	}
	return b
}

// correct says that a correction of an incident stands, or no longer does.
func (d *desk) correct(in, cor string, stands bool) {
	m := Meta{Seq: d.seq, At: d.now, Actor: "op-1"}
	d.b.Corrected(in, cor, stands, m)
	body, _ := json.Marshal(map[string]any{"Incident": in, "Correction": cor, "Stands": stands})
	d.log = append(d.log, entry{m, "test.corrected", body})
	d.seq++
}

// TestModel does anything in any order. Whatever was taken: one person leads what
// is not closed and nobody what is; severity is not below the facts; nobody is
// past containment without having been contained; merged incidents form trees of
// one kind; what is split or merged can still be found; the fold gives the same
// book again.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := newDesk(&fatal{t: t})
		type shadow struct {
			status  Status
			kind    Kind
			leaders []string
		}
		model := map[string]*shadow{}
		cors := 0
		pick := func(t *rapid.T) string {
			if len(d.b.incidentList) == 0 {
				return "i-1"
			}
			return d.b.incidentList[rapid.IntRange(0, len(d.b.incidentList)-1).Draw(t, "incident")].ID
		}
		who := rapid.SampledFrom([]string{"op-1", "op-2", "op-3"})
		t.Repeat(map[string]func(*rapid.T){
			"open": func(t *rapid.T) {
				id := d.b.NextIncident()
				spec := OpenSpec{Title: "x", Kind: rapid.SampledFrom([]Kind{"", Real, Exercise}).Draw(t, "kind")}
				if rapid.Bool().Draw(t, "harm") {
					spec.Harm = []Fact{{Harm: rapid.SampledFrom(Harms).Draw(t, "fact")}}
				}
				op := who.Draw(t, "who")
				d.do(op, &Opened{id, spec})
				model[id] = &shadow{StatusOpen, d.b.incidents[id].Kind, []string{op}}
			},
			"status": func(t *rapid.T) {
				id, to := pick(t), rapid.SampledFrom(Statuses).Draw(t, "to")
				err := d.try("op-1", on(id, StatusChange{To: to, Reason: rapid.SampledFrom([]string{"", "r"}).Draw(t, "reason")}))
				if m := model[id]; err == nil {
					if !slices.Contains(Next[m.status], to) {
						t.Fatalf("%s went from %s to %s", id, m.status, to)
					}
					m.status = to
				}
			},
			"correct": func(t *rapid.T) {
				cors++
				d.correct(pick(t), fmt.Sprintf("c-%d", cors), true)
			},
			"lift": func(t *rapid.T) {
				if cors > 0 {
					c := fmt.Sprintf("c-%d", rapid.IntRange(1, cors).Draw(t, "correction"))
					d.correct(d.b.IncidentOf(c), c, false)
				}
			},
			"role": func(t *rapid.T) {
				id, x := pick(t), RoleChange{Role: rapid.SampledFrom(Roles[:2]).Draw(t, "role"), Operator: who.Draw(t, "who"), End: rapid.Bool().Draw(t, "end")}
				if err := d.try("op-1", on(id, x)); err == nil && x.Role == Commander {
					model[id].leaders = append(model[id].leaders, x.Operator)
				}
			},
			"severity": func(t *rapid.T) {
				_ = d.try("op-1", on(pick(t), SeverityChange{Severity: rapid.SampledFrom(append(Severities, "")).Draw(t, "severity"), Reason: rapid.SampledFrom([]string{"", "r"}).Draw(t, "reason"),
					Harm: []Fact{{Harm: rapid.SampledFrom(Harms).Draw(t, "fact"), Status: rapid.SampledFrom([]string{"known", "suspected", "ruled_out"}).Draw(t, "status")}}}))
			},
			"close": func(t *rapid.T) {
				id := pick(t)
				x := Closed{Reason: rapid.SampledFrom(Closings).Draw(t, "reason"), Text: "t"}
				if x.Reason == CloseDuplicate {
					x.Of = pick(t)
				}
				if d.try("op-1", on(id, x)) == nil {
					model[id].status = StatusClosed
				}
			},
			"reopen": func(t *rapid.T) {
				id, op := pick(t), who.Draw(t, "who")
				if d.try(op, on(id, Reopened{Reason: "r"})) == nil {
					if model[id].status != StatusClosed {
						t.Fatal("reopened what was not closed")
					}
					model[id].status = StatusReopened
					model[id].leaders = append(model[id].leaders, op)
				}
			},
			"merge": func(t *rapid.T) {
				from, into := pick(t), pick(t)
				if d.try("op-1", &Merged{Incident: from, Into: into, Reason: "r"}) == nil {
					if model[from].kind != model[into].kind || from == into {
						t.Fatal("merged what does not belong together")
					}
					model[from].status = StatusClosed
				}
			},
			"split": func(t *rapid.T) {
				from, id := pick(t), d.b.NextIncident()
				x := SplitSpec{OpenSpec: OpenSpec{Title: "y"}, Reason: "r"}
				if in := d.b.Incident(from); in != nil {
					x.Entries = in.Entries[:rapid.IntRange(0, len(in.Entries)).Draw(t, "entries")]
					for _, c := range in.Corrections {
						if rapid.Bool().Draw(t, "moves") {
							x.Corrections = append(x.Corrections, c.ID)
						}
					}
				}
				if d.try("op-1", &Split{id, from, x}) == nil {
					model[id] = &shadow{StatusOpen, model[from].kind, []string{"op-1"}}
				}
			},
			"note": func(t *rapid.T) { _ = d.try("op-1", on(pick(t), Note{Text: "n"})) },
			"time passes": func(t *rapid.T) {
				d.now = d.now.Add(time.Duration(rapid.IntRange(1, 100).Draw(t, "s")) * time.Second)
			},
			"": func(t *rapid.T) {
				owned := map[string]int{}
				for id, m := range model {
					in := d.b.Incident(id)
					if in.Status != m.status || in.Kind != m.kind {
						t.Fatalf("%s is %s %s, not %s %s", id, in.Kind, in.Status, m.kind, m.status)
					}
					var led []string
					now := 0
					for _, r := range in.Roles {
						if r.Role == Commander {
							led = append(led, r.Operator)
							if r.Until.IsZero() {
								now++
							}
						}
					}
					if !slices.Equal(led, m.leaders) || (now == 1) != (in.Status != StatusClosed) || now > 1 {
						t.Fatalf("%s (%s): led by %v, now by %d; want %v", id, in.Status, led, now, m.leaders)
					}
					if FloorOf(in.Harm).Worse(in.Severity) {
						t.Fatalf("%s is %s with %v", id, in.Severity, in.Harm)
					}
					if root := d.b.Root(id); root.MergedInto != "" || root.Kind != in.Kind {
						t.Fatalf("%s leads to %s", id, root.ID)
					}
					if !slices.IsSorted(in.Entries) || len(slices.Compact(slices.Clone(in.Entries))) != len(in.Entries) {
						t.Fatalf("%s: entries %v", id, in.Entries)
					}
					for _, c := range in.Corrections {
						owned[c.ID]++
						if d.b.IncidentOf(c.ID) != id {
							t.Fatalf("%s says it is of %s, and stands in %s", c.ID, d.b.IncidentOf(c.ID), id)
						}
					}
				}
				for c, n := range owned {
					if n != 1 {
						t.Fatalf("%s belongs to %d incidents", c, n)
					}
				}
				if a, b := dump(d.b), dump(d.again(d.t)); a != b {
					t.Fatalf("folded again it is another book:\n%s\n%s", a, b)
				}
			},
		})
	})
}

// fatal lets a desk stop a property.
type fatal struct {
	testing.TB
	t *rapid.T
}

func (f *fatal) Helper()                         {}
func (f *fatal) Fatal(args ...any)               { f.t.Fatal(args...) }
func (f *fatal) Fatalf(form string, args ...any) { f.t.Fatalf(form, args...) }
