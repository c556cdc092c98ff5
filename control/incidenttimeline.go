package control

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"andon/correction"
	"andon/incident"
	"andon/ledger"
	"andon/playbook"
)

// timelineEntry is an entry of the ledger as a timeline shows it.
type timelineEntry struct {
	Seq        uint64       `json:"seq"`
	At         time.Time    `json:"at"`
	Type       string       `json:"type"`
	Actor      string       `json:"actor"`
	Text       string       `json:"text"`
	Refs       []string     `json:"refs,omitempty"`
	Incident   string       `json:"incident,omitempty"` // which of the merged ones wrote it
	TLP        incident.TLP `json:"tlp,omitempty"`      // of its own
	Restricted bool         `json:"restricted,omitempty"`
	Personal   bool         `json:"personal,omitempty"`
	Commitment string       `json:"commitment,omitempty"` // of a text with personal data; it can be erased
	Erased     bool         `json:"erased,omitempty"`
	Under      string       `json:"erased_under,omitempty"` // the retention that erased it, in words
}

type timelinePage struct {
	Incident string          `json:"incident"`
	Entries  []timelineEntry `json:"entries"`
	After    *uint64         `json:"after,omitempty"`  // ask with this for what follows
	Before   *uint64         `json:"before,omitempty"` // ask with this for what came before
}

// place is one entry of a timeline, and the incident that it stands in.
type place struct {
	seq uint64
	in  *incident.Incident
}

// places are up to limit entries of an incident and of those merged into it, as
// far as the reader may see the incidents: from the first after a number, or the
// last before one. more says whether there are others beyond. The caller holds mu.
func (s *state) places(r incident.Reader, in *incident.Incident, after, before *uint64, limit int) (out []place, more bool) {
	b := s.book()
	for _, f := range b.Family(in.ID) {
		if !b.Sees(r, f) {
			continue
		}
		from, n := 0, 0
		if after != nil {
			if from, _ = slices.BinarySearch(f.Entries, *after); from < len(f.Entries) && f.Entries[from] == *after {
				from++
			}
		}
		step, end := 1, len(f.Entries)
		if before != nil {
			from, _ = slices.BinarySearch(f.Entries, *before)
			from, step, end = from-1, -1, -1
		}
		for i := from; i != end && n <= limit; i += step {
			if seq := f.Entries[i]; b.Tells(r, f, seq) {
				out = append(out, place{seq, f})
				n++
			}
		}
	}
	slices.SortStableFunc(out, func(a, b place) int {
		switch {
		case a.seq < b.seq:
			return -1
		case a.seq > b.seq:
			return 1
		}
		return 0
	})
	out = slices.CompactFunc(out, func(a, b place) bool { return a.seq == b.seq })
	if len(out) > limit {
		more = true
		if before != nil {
			out = out[len(out)-limit:]
		} else {
			out = out[:limit]
		}
	}
	return out, more
}

// seek is what is still to be read of a place, and how it is marked.
type seek struct {
	seq      uint64
	incident string
	marking  *incident.Marking
}

// readTimeline reads entries. They are in order; neighbours are read at once.
func (c *Control) readTimeline(ctx context.Context, want []seek, home string) ([]timelineEntry, error) {
	out := make([]timelineEntry, 0, len(want))
	for i := 0; i < len(want); {
		j := i + 1
		for j < len(want) && want[j].seq == want[j-1].seq+1 {
			j++
		}
		err := c.cfg.Log.Read(ctx, want[i].seq, want[j-1].seq+1, func(e ledger.Entry) error {
			w := want[i]
			i++
			v := timelineEntry{Seq: e.Seq, At: e.At.UTC(), Type: e.Type, Actor: e.Actor}
			if w.incident != home {
				v.Incident = w.incident
			}
			if w.marking != nil {
				v.TLP, v.Restricted = w.marking.Label(), w.marking.Need != nil
			}
			if err := c.tellEntry(ctx, e, &v); err != nil {
				return err
			}
			out = append(out, v)
			return nil
		})
		if err != nil {
			return nil, err
		}
		i = j
	}
	return out, nil
}

// tellEntry says in words what an entry says.
func (c *Control) tellEntry(ctx context.Context, e ledger.Entry, v *timelineEntry) (err error) {
	room, _, _ := strings.Cut(e.Type, ".")
	switch {
	case room == "incident" || room == "triage" || room == "signal":
		t := incident.Tell(e.Type, e.Body)
		v.Text, v.Refs, v.Personal, v.Commitment = t.Text, t.Refs, t.Personal, t.Commitment
		if t.Commitment != "" {
			v.Text, v.Erased, err = c.personal(ctx, t.Commitment)
			v.Under = c.erasedUnder(t.Commitment)
		}
		return err
	case room == "decision":
		c.mu.RLock()
		t := incident.TellDecision(e.Type, e.Body, c.state.decision.all.Get(peek(e).ID))
		c.mu.RUnlock()
		v.Text, v.Refs = t.Text, t.Refs
		return nil
	case room == "retention" || e.Type == typeEvidenceRedacted:
		tellRetention(e, v)
		return nil
	case room == "evidence":
		tellEvidence(e, v)
		return nil
	case room == "run" && e.Type != playbook.Started:
		tellRun(e, v)
		return nil
	case e.Type == typeCreated:
		var b struct {
			Correction correction.Correction `json:"correction"`
		}
		if json.Unmarshal(e.Body, &b) == nil {
			v.Text = b.Correction.ID + " in force: " + correctionFully(&b.Correction)
			if b.Correction.Mode == correction.Shadow {
				v.Text = b.Correction.ID + " in shadow: " + correctionFully(&b.Correction)
			}
			v.Text += ": " + b.Correction.Reason
			v.Refs = []string{b.Correction.ID}
		}
		return nil
	}
	var b struct {
		ID           any `json:"id"`
		Reason       any `json:"reason"`
		Text         any `json:"text"`
		Title        any `json:"title"`
		Corrections  any `json:"corrections"`
		TimeToEffect any `json:"time_to_effect_ms"`
	}
	_ = json.Unmarshal(e.Body, &b) // what it does not hold, it does not say
	v.Text = strings.ReplaceAll(strings.Replace(e.Type, ".", " ", 1), "_", " ")
	if id, ok := b.ID.(string); ok {
		v.Text, v.Refs = v.Text+" "+id, []string{id}
	}
	if ms, ok := b.TimeToEffect.(float64); ok {
		v.Text += " after " + time.Duration(ms*float64(time.Millisecond)).Round(100*time.Microsecond).String()
	}
	for _, x := range []any{b.Title, b.Text, b.Reason} {
		if t, ok := x.(string); ok && t != "" {
			v.Text += ": " + t
		}
	}
	return nil
}

// getTimeline is a page of an incident's timeline: the ledger's entries that
// concern it.
func (c *Control) getTimeline(cl *call) error {
	if err := cl.op.may("incident.read"); err != nil {
		return err
	}
	q, err := cl.query("after", "before", "limit")
	if err != nil {
		return err
	}
	limit, err := q.number("limit", 100, 1, 500)
	if err != nil {
		return err
	}
	after, err := q.seq("after")
	if err != nil {
		return err
	}
	before, err := q.seq("before")
	if err != nil {
		return err
	}
	if after != nil && before != nil {
		return badQuery("before", "either what follows, or what came before: give one of after and before")
	}
	id := cl.r.PathValue("id")
	c.mu.RLock()
	in, err := c.state.seen(cl.op, id)
	var places []place
	var more bool
	r := c.state.readerOf(cl.op)
	if err == nil {
		places, more = c.state.places(r, in, after, before, int(limit))
	}
	want := make([]seek, len(places))
	for i, p := range places {
		want[i] = seek{p.seq, p.in.ID, p.in.MarkingOf(p.seq)}
	}
	c.mu.RUnlock()
	if err != nil {
		return err
	}
	page := timelinePage{Incident: id}
	if page.Entries, err = c.readTimeline(cl.r.Context(), want, id); err != nil {
		return err
	}
	if more && before != nil {
		page.Before = &want[0].seq
	} else if more {
		page.After = &want[len(want)-1].seq
	}
	return cl.reply(http.StatusOK, page)
}
