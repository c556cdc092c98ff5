package incident

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// SignalSpec is an observation from outside.
type SignalSpec struct {
	Type       string         `json:"type"`   // what kind of observation: "safety.alert"
	Source     string         `json:"source"` // who or what observed: a detector, a monitor, a provider
	Title      string         `json:"title"`
	Text       string         `json:"text,omitempty"`
	Severity   Severity       `json:"severity,omitempty"` // a hint
	Subject    Subject        `json:"subject,omitzero"`
	ObservedAt time.Time      `json:"observed_at,omitzero"` // default: when it came
	Dedup      string         `json:"dedup_key,omitempty"`  // the same key of the same source and sender is the same signal
	Data       jsontext.Value `json:"data,omitempty"`       // an object, at most MaxData bytes
	Marking    *Marking       `json:"marking,omitempty"`
	Exercise   bool           `json:"exercise,omitzero"` // never changes
}

// MaxData bounds the data of a signal, in bytes.
const MaxData = 32 << 10

// maxAhead is how far a source's clock may be ahead.
const maxAhead = time.Hour

func (x *SignalSpec) check(m Meta) error {
	for _, f := range []struct {
		field, value string
		limit        int
	}{{"type", x.Type, MaxName}, {"source", x.Source, MaxName}, {"title", x.Title, MaxTitle}} {
		if err := line(f.field, f.value, f.limit); err != nil {
			return err
		}
	}
	if x.Text != "" {
		if err := text("text", x.Text, MaxText); err != nil {
			return err
		}
	}
	if x.Severity != "" {
		if err := oneOf("severity", x.Severity, Severities); err != nil {
			return err
		}
	}
	if err := x.Subject.check("subject"); err != nil {
		return err
	}
	if x.ObservedAt.After(m.At.Add(maxAhead)) {
		return wrong("observed_at", fmt.Sprintf("%s is in the future; it is %s", x.ObservedAt.UTC().Format(time.RFC3339), m.At.UTC().Format(time.RFC3339)))
	}
	if err := optional("dedup_key", x.Dedup, MaxName); err != nil {
		return err
	}
	switch {
	case len(x.Data) > MaxData:
		return wrong("data", fmt.Sprintf("has %d bytes; at most %d", len(x.Data), MaxData))
	case len(x.Data) > 0 && x.Data.Kind() != '{':
		return wrong("data", "is no JSON object")
	}
	return x.Marking.check("marking")
}

// Signal is the header of a signal. Its text and data are in the ledger, at Entry.
type Signal struct {
	ID         string
	Type       string
	Source     string
	Title      string
	Severity   Severity
	Subject    Subject
	ObservedAt time.Time
	Dedup      string
	Marking    *Marking
	Exercise   bool
	At         time.Time // when it came
	LastAt     time.Time // when it came last
	Count      int       // how often it came
	By         string
	Case       string
	Entry      uint64
}

type dedupKey struct{ by, source, key string }

// SignalReceived is a new signal, with the case that looks into it.
type SignalReceived struct {
	Signal string `json:"signal"`
	Case   string `json:"case"`
	SignalSpec
}

// Type is the entry's type.
func (*SignalReceived) Type() string { return "signal.received" }

// SignalRepeated is a signal that came again.
type SignalRepeated struct {
	Signal string `json:"signal"`
}

// Type is the entry's type.
func (*SignalRepeated) Type() string { return "signal.repeated" }

func (x *SignalRepeated) take(b *Book, m Meta) (func(), error) {
	s := b.signals[x.Signal]
	if s == nil {
		return nil, notFound("signal", x.Signal)
	}
	return func() { s.Count++; s.LastAt = m.At }, nil
}

// Receive is what becomes of a signal: a new one, or one that came again.
func (b *Book) Receive(x SignalSpec, m Meta) Event {
	if x.Dedup != "" {
		if s := b.dedup[dedupKey{m.Actor, x.Source, x.Dedup}]; s != nil {
			return &SignalRepeated{Signal: s.ID}
		}
	}
	e := &SignalReceived{Signal: b.NextSignal(), Case: b.NextCase(), SignalSpec: x}
	if k := b.group[x.group()]; b.takesIn(k) {
		e.Case = k.ID
	}
	return e
}

// groupKey is what signals of one case have in common.
type groupKey struct {
	source, kind, models, marking string
	exercise                      bool
}

func (x *SignalSpec) group() groupKey {
	g := groupKey{source: x.Source, kind: x.Type, models: strings.Join(slices.Sorted(slices.Values(x.Subject.Models)), "\x00"), exercise: x.Exercise}
	if x.Marking != nil {
		if data, err := json.Marshal(x.Marking); err == nil { // plain data
			g.marking = string(data)
		}
	}
	return g
}

func (x *SignalReceived) take(b *Book, m Meta) (func(), error) {
	if err := x.check(m); err != nil {
		return nil, err
	}
	if err := b.next("signal", x.Signal, b.NextSignal()); err != nil {
		return nil, err
	}
	k := b.cases[x.Case]
	if k == nil {
		if err := b.next("case", x.Case, b.NextCase()); err != nil {
			return nil, err
		}
	} else if !b.takesIn(k) || k.Exercise != x.Exercise {
		return nil, &Error{Code: CodeState, Field: "case", Detail: k.ID + " takes in no such signal"}
	}
	s := &Signal{ID: x.Signal, Type: x.SignalSpec.Type, Source: x.Source, Title: x.Title, Severity: x.Severity, Subject: x.Subject, ObservedAt: x.ObservedAt.UTC(), Dedup: x.Dedup,
		Marking: x.Marking, Exercise: x.Exercise, At: m.At, LastAt: m.At, Count: 1, By: m.Actor, Case: x.Case, Entry: m.Seq}
	if x.ObservedAt.IsZero() {
		s.ObservedAt = m.At
	}
	return func() {
		if k == nil {
			k = &Case{ID: x.Case, Title: x.Title, Status: CaseNew, Marking: x.Marking, Exercise: x.Exercise, OpenedAt: m.At, OpenedBy: m.Actor}
			b.addCase(k)
			b.group[x.group()] = k
		}
		b.signals[s.ID] = s
		b.signalList = append(b.signalList, s)
		if s.Dedup != "" {
			b.dedup[dedupKey{m.Actor, s.Source, s.Dedup}] = s
		}
		k.take(s)
		k.entry(m)
		if in := b.incidents[k.Incident]; in != nil {
			in.entry(m)
			in.firstSignal(b, m)
		}
	}, nil
}
