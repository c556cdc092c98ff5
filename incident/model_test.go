package incident

import (
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

// desk is a book with a ledger beside it.
type desk struct {
	t    testing.TB
	b    *Book
	seq  uint64
	now  time.Time
	log  []entry
	deny bool // the next do has to fail
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
