package control

import (
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"andon/correction"
	"andon/incident"
)

// retained is one thing whose time the plan's retention counts.
type retained struct {
	class    string
	item     string // e-1, i-7/a-2, i-7/n-12, k-3, addresses-14
	what     string
	incident string    // that it belongs to; "": none
	since    time.Time // from when on its time is counted
	digest   string    // of its file; "": it has none
	values   []string  // commitments that are not erased
	refs     []string  // what it is about: whoever waits with one of these needs it
	models   []string  // of an evidence; none: all
	seq      uint64    // entry that brought it, of a file or a note
	open     string    // why its time has not begun; "": it has
	openIn   string    // the incident that open names, if any

	due time.Time // filled in by dueAt
	why string    // who needs it
}

// retainedThings are all that could be erased, of all classes.
func (s *state) retainedThings() iter.Seq[*retained] {
	return func(yield func(*retained) bool) {
		for _, of := range []func(func(*retained) bool) bool{s.retainedEvidence, s.retainedIncidents, s.retainedConcerns, s.retainedAddresses} {
			if !of(yield) {
				return
			}
		}
	}
}

// ended counts the time of what belongs to an incident from when that was closed:
// the one that it was merged into, if it was, and those that were split off it, whose
// timelines show the same entries.
func (s *state) ended(x *retained) {
	if x.incident == "" {
		return
	}
	in := s.book().Incident(x.incident)
	if in == nil {
		return
	}
	for family := []*incident.Incident{in}; len(family) > 0; family = family[1:] {
		part := family[0]
		root := s.book().Root(part.ID)
		for _, one := range []*incident.Incident{part, root} {
			x.refs = append(x.refs, one.ID)
			for _, l := range one.Corrections {
				x.refs = append(x.refs, l.ID)
			}
		}
		if root.Status != incident.StatusClosed {
			x.open, x.openIn = "incident "+root.ID+" is open", root.ID
		} else if root.ClosedAt.After(x.since) {
			x.since = root.ClosedAt
		}
		for _, id := range part.Splits { // always younger: there is no circle
			if split := s.book().Incident(id); split != nil {
				family = append(family, split)
			}
		}
	}
}

// retainedEvidence are documents, and the texts of prompts in them.
func (s *state) retainedEvidence(yield func(*retained) bool) bool {
	for _, e := range s.evidence.list {
		if e.State != evidenceIsSealed || s.retention.erased[e.ID] != nil {
			continue
		}
		x := retained{class: "evidence", item: e.ID, what: "evidence", incident: e.Incident, since: e.SealedAt, digest: e.SHA256,
			refs: append([]string{e.ID}, e.Corrections...), models: e.Models}
		s.ended(&x)
		if !yield(&x) {
			return false
		}
		if s.retention.redacted[e.ID] == nil && !s.retention.bare[e.ID] {
			p := x
			p.class, p.what = "prompts", "system prompts in evidence"
			if !yield(&p) {
				return false
			}
		}
	}
	return true
}

// retainedIncidents are the files and personal notes of incidents.
func (s *state) retainedIncidents(yield func(*retained) bool) bool {
	for _, in := range s.book().Incidents() {
		for i := range in.Attachments {
			a := &in.Attachments[i]
			if !a.RemovedAt.IsZero() {
				continue
			}
			x := retained{class: "incidents", item: in.ID + "/" + a.ID, what: "attachment", incident: in.ID, since: a.At, digest: a.SHA256, seq: a.Entry}
			if s.ended(&x); !yield(&x) {
				return false
			}
		}
		for _, n := range s.retention.notes[in.ID] {
			x := retained{class: "incidents", item: fmt.Sprintf("%s/n-%d", in.ID, n.seq), what: "personal note", incident: in.ID, since: n.at, values: s.left(n.commitment), seq: n.seq}
			if len(x.values) == 0 {
				continue
			}
			if s.ended(&x); !yield(&x) {
				return false
			}
		}
	}
	return true
}

// retainedConcerns are the texts of concerns. Their time counts from their end.
func (s *state) retainedConcerns(yield func(*retained) bool) bool {
	for _, id := range s.concern.list {
		k := s.concern.concerns[id]
		names := []string{k.text, k.about, k.contact, k.by}
		for _, m := range k.messages {
			names = append(names, m.text)
		}
		x := retained{class: "concerns", item: id, what: "concern", since: k.changed, values: s.left(names...), refs: []string{id}}
		if len(x.values) == 0 {
			continue
		}
		if !closedConcern(k.state) {
			x.open = "concern " + id + " is open"
		}
		if !yield(&x) {
			return false
		}
	}
	return true
}

// retainedAddresses are the addresses of contacts that no plan in force has: from
// when another took its place, or from when it was proposed.
func (s *state) retainedAddresses(yield func(*retained) bool) bool {
	for _, o := range s.retention.offered {
		values := s.left(o.commitment)
		if last := s.plan.last(); len(values) == 0 || last != nil && last.addresses == o.commitment {
			continue
		}
		x := retained{class: "accounts", item: "addresses-" + strconv.FormatUint(o.seq, 10), what: "addresses of contacts in a plan that is not in force", since: o.at, values: values}
		for i := len(s.plan.versions) - 2; i >= 0; i-- {
			if s.plan.versions[i].addresses == o.commitment {
				x.since = s.plan.versions[i+1].AppliedAt
				break
			}
		}
		if !yield(&x) {
			return false
		}
	}
	return true
}

// left are those of the commitments whose values are not erased.
func (s *state) left(names ...string) (out []string) {
	for _, n := range names {
		if _, gone := s.witness.erased[n]; n != "" && !gone && len(out) < maxErasedValues {
			out = append(out, n)
		}
	}
	return out
}

// needs is who needs what, so that it is not erased.
type needs struct {
	s       *state
	all     string
	classes map[string]string
	of      map[string]string // by id: of an incident, evidence, concern, correction, commitment
	models  []modelNeed
}

// modelNeed is a case about models that have to be kept.
type modelNeed struct {
	models []string
	why    string
}

// needs gathers legal holds, and whatever is not over: decisions, runs, reviews,
// acts that wait for approval, cases of custody.
func (s *state) needs(at time.Time) *needs {
	n := &needs{s: s, classes: map[string]string{}, of: map[string]string{}}
	put := func(why string, ids ...string) {
		for _, id := range ids {
			if id == "" {
				continue
			}
			if root := s.book().Incident(id); root != nil {
				id = s.book().Root(id).ID
			}
			if n.of[id] == "" {
				n.of[id] = why
			}
		}
	}
	for _, h := range s.retention.holds {
		if !h.stands(at) {
			continue
		}
		why := "legal hold " + h.ID
		if !h.ReleasedAt.IsZero() {
			why = "legal hold " + h.ID + " was released; it holds until " + h.Until.Format(time.RFC3339)
		}
		switch {
		case h.Of == everything:
			n.all = why
		case n.s.book().Incident(h.Of) != nil, strings.Contains(h.Of, "-"):
			put(why, h.Of)
		default:
			n.classes[h.Of] = why
		}
	}
	for _, d := range s.decision.all.Open() {
		put("decision "+d.ID+" waits", d.Incident)
	}
	for _, id := range s.playbook.live {
		if r := s.playbook.runs[id]; r != nil {
			put("run "+id+" goes on", r.Incident)
		}
	}
	for _, id := range s.authority.reviewed {
		if v := s.authority.reviews[id]; v.Finding == "" {
			put("review "+v.ID+" of "+v.Subject+" waits", v.Subject)
		}
	}
	for _, id := range s.authority.actList {
		p := s.authority.acts[id]
		if p.state != actOpen {
			continue
		}
		why := p.ID + " waits for approval"
		put(why, p.Subject)
		if d := s.decision.all.Get(p.Subject); d != nil {
			put(why, d.Incident)
		}
		if h := s.retention.hold(p.Subject); h != nil {
			put(why, h.Incident)
		}
		if b, err := read[planWhat](p.What); p.Do == "plan" && err == nil {
			put(why, b.Addresses)
		}
	}
	for _, id := range s.caseList {
		k := s.cases[id]
		if k.State != caseOpen && k.State != caseSealed {
			continue
		}
		if last := len(k.LegalHolds) - 1; last >= 0 && !k.LegalHolds[last].Clear {
			n.models = append(n.models, modelNeed{k.Models, id + " found a legal hold on " + strings.Join(k.Models, ", ")})
		}
		if k.State == caseOpen {
			put("custody "+id+" is open", k.Correction)
		}
	}
	return n
}

// why says who needs a thing; "" if nobody does.
func (n *needs) why(x *retained) string {
	switch {
	case n.all != "":
		return n.all
	case n.classes[x.class] != "":
		return n.classes[x.class]
	case x.class == "prompts" && n.classes["evidence"] != "": // they are a part of it
		return n.classes["evidence"]
	case x.class == "evidence" && n.classes["prompts"] != "" && n.s.retention.redacted[x.item] == nil && !n.s.retention.bare[x.item]: // it would take them with it
		return n.classes["prompts"]
	}
	for _, ids := range [][]string{x.refs, x.values} {
		for _, id := range ids {
			if why := n.of[id]; why != "" {
				return why
			}
		}
	}
	if x.class == "evidence" || x.class == "prompts" {
		for _, m := range n.models {
			if len(x.models) == 0 || overlap(x.models, m.models) {
				return m.why
			}
		}
	}
	return x.open
}

// dueAt fills in when a thing is to be erased, and who needs it longer.
func (s *state) dueAt(x *retained, n *needs) {
	x.due, x.why = s.retention.rules[x.class].Due(x.since), n.why(x)
}

// dueNow is what may be erased at a time, the oldest first; never more than a pass
// erases. skip are things that there is nothing in, as somebody has seen.
func (s *state) dueNow(at time.Time, skip func(x *retained) bool) []*retained {
	if len(s.retention.rules) == 0 || s.clockTrouble(at) != "" {
		return nil
	}
	n, out := s.needs(at), []*retained(nil)
	whole := map[string]bool{}
	for x := range s.retainedThings() {
		s.dueAt(x, n)
		if x.due.IsZero() || at.Before(x.due) || x.why != "" || x.class == "prompts" && whole[x.item] || skip(x) {
			continue
		}
		whole[x.item] = whole[x.item] || x.class == "evidence"
		out = append(out, x)
	}
	slices.SortStableFunc(out, func(a, b *retained) int { return a.due.Compare(b.due) })
	values := 0
	for i, x := range out {
		if values += len(x.values); i == maxErased || i > 0 && values > maxErasedValues {
			return out[:i]
		}
	}
	return out
}

// age is how old a thing was, as an entry says it.
func (x *retained) age(at time.Time) correction.Duration {
	return correction.Duration(max(at.Sub(x.since), 0).Round(time.Second))
}
