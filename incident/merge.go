package incident

import (
	"fmt"
	"slices"
)

// Merged says that two incidents are one. Both keep their history; what is
// still to be said is said of the second. Reopening the first undoes it: each has
// what it had, and the second keeps what was said of it since, its severity too.
type Merged struct {
	Incident string `json:"incident"`
	Into     string `json:"into"`
	Reason   string `json:"reason"`
}

// Type is the entry's type.
func (*Merged) Type() string { return "incident.merged" }

const maxMerged = 100 // incidents in one

func (x *Merged) take(b *Book, m Meta) (func(), error) {
	from, into := b.incidents[x.Incident], b.incidents[x.Into]
	if from == nil {
		return nil, notFound("incident", x.Incident)
	}
	if into == nil {
		return nil, &Error{Code: CodeNotFound, Field: "into", Detail: "there is no incident " + quote(x.Into)}
	}
	if from == into {
		return nil, wrong("into", "is the incident itself")
	}
	for _, in := range []*Incident{from, into} {
		if in.MergedInto != "" {
			return nil, mergedAlready(in)
		}
	}
	if into.Status == StatusClosed {
		return nil, &Error{Code: CodeState, Field: "into", Detail: into.ID + " is closed", Hint: "reopen it first, or merge the other way"}
	}
	if from.Kind != into.Kind {
		return nil, wrong("into", fmt.Sprintf("an exercise and what is real never meet: %s is of kind %s, %s of kind %s", from.ID, from.Kind, into.ID, into.Kind))
	}
	if !into.Marking.narrower(from.Marking) {
		return nil, &Error{Code: CodeState, Field: "into", Detail: from.ID + " is for fewer people than " + into.ID, Hint: "give " + into.ID + " the narrower marking first, or merge the other way"}
	}
	if n := len(b.family(from)) + len(b.family(into)); n > maxMerged {
		return nil, &Error{Code: CodeFull, Detail: fmt.Sprintf("that would make one of %d incidents; at most %d", n, maxMerged)}
	}
	if err := text("reason", x.Reason, MaxReason); err != nil {
		return nil, err
	}
	return func() {
		from.MergedInto = into.ID
		from.end(closeMerged, m)
		into.Merged = append(into.Merged, from.ID)
		into.Harm = mergeFacts(into.Harm, from.Harm)
		if from.Lowered.Worse(into.Lowered) {
			into.Lowered = from.Lowered
		}
		if from.Severity.Worse(into.Severity) {
			into.Severity = from.Severity
		}
		if floor := FloorOf(into.Harm); floor.Worse(into.Severity) {
			into.Severity = floor
		}
		into.Subject.add(from.Subject)
		from.entry(m)
		from.name(m.Seq, into.ID)
		into.entry(m)
		if a, ok := from.Time("first_signal_at"); ok && !a.Value.IsZero() {
			if z, ok := into.Time("first_signal_at"); !ok || a.Value.Before(z.Value) {
				into.auto("first_signal_at", a.Value, a.Status, "that of "+from.ID+", which was merged into this", m)
			}
		}
	}, nil
}

// mergeFacts puts facts together; what one says that the other has ruled out, counts.
func mergeFacts(a, b []Fact) []Fact {
	out := slices.Clone(a)
	for _, f := range b {
		i := slices.IndexFunc(out, func(x Fact) bool { return x.Harm == f.Harm })
		switch {
		case i < 0:
			out = append(out, f)
		case out[i].Status == FactRuledOut, f.Status == FactKnown:
			out[i] = f
		}
	}
	return withFacts(nil, out)
}

// SplitSpec takes a part of an incident out as one of its own.
type SplitSpec struct {
	OpenSpec
	Entries     []uint64 `json:"entries,omitempty"`     // of its timeline, to stand on the new one's as well
	Corrections []string `json:"corrections,omitempty"` // that belong to the new one from now on
	Reason      string   `json:"reason"`
}

// Split is a new incident that was part of another. Entries stay on both timelines.
type Split struct {
	Incident string `json:"incident"` // the new one
	From     string `json:"from"`
	SplitSpec
}

// Type is the entry's type.
func (*Split) Type() string { return "incident.split" }

const maxSplitEntries = 10_000

func (x *Split) take(b *Book, m Meta) (func(), error) {
	from := b.incidents[x.From]
	if from == nil {
		return nil, notFound("incident", x.From)
	}
	if err := x.check(); err != nil {
		return nil, err
	}
	if err := b.next("incident", x.Incident, b.NextIncident()); err != nil {
		return nil, err
	}
	if from.Status == StatusClosed && from.MergedInto == "" {
		return nil, &Error{Code: CodeState, Detail: from.ID + " is closed", Hint: "reopen it first"}
	}
	if x.Kind != "" && x.Kind != from.Kind {
		return nil, wrong("kind", "what is split off is what it was part of", string(from.Kind))
	}
	if len(x.Cases) > 0 {
		return nil, wrong("cases", "an incident that is split off comes of no case")
	}
	if x.Marking != nil && !x.Marking.narrower(from.Marking) {
		return nil, wrong("marking", "is for more people than "+from.ID+"; change it afterwards, with a reason")
	}
	if err := text("reason", x.Reason, MaxReason); err != nil {
		return nil, err
	}
	if len(x.Entries) > maxSplitEntries {
		return nil, wrong("entries", fmt.Sprintf("has %d values; at most %d", len(x.Entries), maxSplitEntries))
	}
	for i, seq := range x.Entries {
		if _, ok := slices.BinarySearch(from.Entries, seq); !ok {
			return nil, wrong(fmt.Sprintf("entries[%d]", i), fmt.Sprintf("entry %d is not on the timeline of %s", seq, from.ID))
		}
	}
	if err := lines("corrections", x.Corrections, maxSplitEntries, MaxName); err != nil {
		return nil, err
	}
	for i, id := range x.Corrections {
		if !slices.ContainsFunc(from.Corrections, func(c LinkedCorrection) bool { return c.ID == id }) {
			return nil, wrong(fmt.Sprintf("corrections[%d]", i), quote(id)+" is no correction of "+from.ID)
		}
	}
	in := x.make(x.Incident, m)
	in.Kind, in.SplitFrom = from.Kind, from.ID
	if in.Marking == nil {
		in.Marking = from.Marking
	}
	return func() {
		in.Entries = slices.Compact(slices.Sorted(slices.Values(x.Entries)))
		for _, seq := range in.Entries {
			in.mark(seq, from.marked[seq].Marking, from.marked[seq].by)
		}
		from.Corrections = slices.DeleteFunc(from.Corrections, func(c LinkedCorrection) bool {
			if !slices.Contains(x.Corrections, c.ID) {
				return false
			}
			in.Corrections = append(in.Corrections, c)
			b.of[c.ID] = in.ID
			return true
		})
		from.Splits = append(from.Splits, in.ID)
		b.add(in, m)
		from.entry(m)
		from.name(m.Seq, in.ID)
	}, nil
}
