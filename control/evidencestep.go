package control

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"andon/playbook"
)

// Evidence that nobody asks for: a run of a playbook comes to a step that takes
// it, or a correction ends by its clock. Both are written down as due first, by
// the clerk; the snapshot is taken and sealed afterwards. A step is settled in the
// transaction that seals its snapshot, so a crash leaves both or neither, and a run
// that goes on finds by the record whether its snapshot is due or there.

// endLead is how long before a correction ends by itself its evidence is taken. It
// is more than all gateways together take to answer.
const endLead = 30 * time.Second

// stepID is a step of a run.
type stepID struct{ run, step string }

// evidenceClock drafts what is due because of runs and of the time, and what can
// not be had any more.
func evidenceClock(c *Control, s *state, early time.Time) []draft {
	steps := c.stepEvidence(s)
	fresh := 0
	for _, d := range steps {
		if d.kind == typeEvidenceDue {
			fresh++
		}
	}
	return append(steps, c.endEvidence(s, fresh, early)...)
}

// stepEvidence is for the evidence steps whose turn it is: a snapshot is due; or it
// is there, sealed while the run was paused, and the step is done.
func (c *Control) stepEvidence(s *state) []draft {
	var out []draft
	fresh := 0
	for _, id := range s.playbook.live {
		r := s.playbook.runs[id]
		for _, name := range r.Snapshots() {
			st, step := r.Step(name)
			switch x := s.evidence.steps[stepID{id, name}]; {
			case x == nil && c.evidence.store == nil:
				e := playbook.Event{Run: id, Step: name, Code: "unavailable", Auto: true, Note: "no folder for evidence is configured"}
				if st.Held != e.Note {
					out = append(out, draft{playbook.StepHeld, e})
				}
			case x == nil:
				out = append(out, draft{typeEvidenceDue, evidenceBody{ID: s.evidence.nth(fresh), Incident: r.Incident, Models: s.stepModels(r, step),
					Run: id, Step: name, Reason: fmt.Sprintf("step %q of %s, playbook %s", name, id, r.Playbook.Name)}})
				fresh++
			case x.State == evidenceIsSealed:
				out = append(out, draft{playbook.StepDone, x.settles(x.Asked, x.Answered, len(x.Missing))})
			}
		}
	}
	return out
}

// stepModels are the models that an evidence step is about: those that it names,
// those of the run's incident, or those of the ladder. None stands for all.
func (s *state) stepModels(r *playbook.Run, step *playbook.Step) []string {
	if len(step.Evidence.Models) > 0 {
		return step.Evidence.Models
	}
	var of modelSet
	if in := s.book().Incident(r.Incident); in != nil {
		if models := s.modelsOf(s.book().Root(in.ID)); len(models) > 0 {
			return models
		}
	}
	for i := range r.Playbook.Steps {
		if cor := r.Playbook.Steps[i].Correction; cor != nil {
			of.add(cor.Scope.Models)
		}
	}
	return of.list()
}

// settles is what an evidence that was sealed does to its step.
func (x *evidence) settles(asked, answered, missing int) playbook.Event {
	e := playbook.Event{Run: x.Run, Step: x.Step, Evidence: x.ID, Auto: true, Note: fmt.Sprintf("%d of %d points answered", answered, asked)}
	if missing > 0 {
		e.Note += fmt.Sprintf("; %d things are missing: andon evidence show %s", missing, x.ID)
	}
	return e
}

// settleStep drafts the end of the step that a snapshot was taken for, in the
// transaction that seals it. A run that is paused, or over, is left as it is.
func (s *state) settleStep(x *evidence, b *evidenceSealedBody, now time.Time) []draft {
	r := s.playbook.runs[x.Run]
	if r == nil {
		return nil
	}
	e := x.settles(b.Asked, b.Answered, len(b.Missing))
	if _, err := r.Next(playbook.StepDone, e, now, system); err != nil {
		return nil
	}
	return []draft{{playbook.StepDone, e}}
}

// holdStep drafts why a step's snapshot was not taken; nothing if that is said
// already. It is tried again, and the step stays open.
func (s *state) holdStep(x *evidence, why string) []draft {
	r := s.playbook.runs[x.Run]
	if r == nil {
		return nil
	}
	st, _ := r.Step(x.Step)
	if r.State != playbook.Running || st == nil || st.State != playbook.Ready || st.Held == why {
		return nil
	}
	return []draft{{playbook.StepHeld, playbook.Event{Run: x.Run, Step: x.Step, Note: why, Code: "evidence_missing", Auto: true}}}
}

// leaveOut drafts that the snapshot of a step is not taken, because somebody skips
// the step.
func (s *state) leaveOut(run, step, reason string) []draft {
	x := s.evidence.steps[stepID{run, step}]
	if x == nil || x.State != evidenceIsDue {
		return nil
	}
	b := x.body()
	b.Reason = reason
	return []draft{{typeEvidenceSkipped, b}}
}

// endEvidence is for corrections that alter the system in an incident, and end by
// themselves: what stands is taken shortly before. It has to be in time; expiry
// waits for nothing. What was not taken in time is written down as missed.
func (c *Control) endEvidence(s *state, fresh int, early time.Time) []draft {
	if c.evidence.store == nil {
		return nil // nor is it taken before any other alteration
	}
	var out []draft
	due := map[string]*evidenceBody{} // by incident and end
	var order []*evidenceBody
	add := func(r *record, kind string) {
		key := kind + " " + r.Incident + " " + r.ExpiresAt.String()
		b := due[key]
		if b == nil || len(b.Corrections) == maxEvidenceModels {
			b = &evidenceBody{ID: s.evidence.nth(fresh), Incident: r.Incident, Ends: r.ExpiresAt}
			fresh++
			due[key] = b
			order = append(order, b)
			out = append(out, draft{kind, b})
		}
		b.Corrections = append(b.Corrections, r.ID)
	}
	for _, r := range s.list {
		if r.gone != "" || r.ExpiresAt.IsZero() || early.Before(r.ExpiresAt.Add(-endLead)) || r.Incident == "" || !alters(&r.Correction) {
			continue
		}
		x := s.evidence.ends[r.ID]
		switch taken := x != nil && x.Ends.Equal(r.ExpiresAt); {
		case !taken && early.Before(r.ExpiresAt):
			add(r, typeEvidenceDue)
		case !taken:
			add(r, typeEvidenceMissed)
		}
	}
	for _, b := range order {
		var of modelSet
		for _, id := range b.Corrections {
			of.add(s.corrections[id].Scope.Models)
		}
		b.Models = of.list()
	}
	for i, b := range order {
		what := b.alteration() + " ended by itself at " + b.Ends.Format(time.RFC3339)
		if out[i].kind == typeEvidenceMissed {
			b.Reason = "not taken before " + what + ": nobody was there to take it, since the control plane was down or could not write its record"
		} else {
			b.Reason = "before " + b.alteration() + " ends by itself at " + b.Ends.Format(time.RFC3339)
		}
		out[i].body = *b
	}
	for _, x := range s.evidence.due {
		if !x.Ends.IsZero() && !early.Before(x.Ends.Add(expiryMargin)) {
			b := x.body()
			b.Reason = "not taken before " + b.alteration() + " ended by itself at " + x.Ends.Format(time.RFC3339) + ": " + c.evidence.why(x.ID)
			out = append(out, draft{typeEvidenceMissed, b})
		}
	}
	return out
}

// modelSet puts models together. None, anywhere, stands for all.
type modelSet struct {
	names map[string]bool
	all   bool
}

func (m *modelSet) add(models []string) {
	m.all = m.all || len(models) == 0
	for _, n := range models {
		if m.names == nil {
			m.names = map[string]bool{}
		}
		m.names[n] = true
	}
}

// list is nil if it is all of them, or more than an evidence names.
func (m *modelSet) list() []string {
	if m.all || len(m.names) > maxEvidenceModels {
		return nil
	}
	return slices.Sorted(maps.Keys(m.names))
}

// failed keeps why an evidence that is due was not taken; "" forgets it.
func (k *evidenceKeeper) failed(id, why string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.trouble == nil {
		k.trouble = map[string]string{}
	}
	if k.trouble[id] = why; why == "" {
		delete(k.trouble, id)
	}
}

// why is the cause in words.
func (k *evidenceKeeper) why(id string) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if why := k.trouble[id]; why != "" {
		return why
	}
	return "there was not enough time"
}

// whyNotTaken says of an error what a person can do something about.
func whyNotTaken(err error) string {
	var p *Problem
	var path *fs.PathError
	why := "the control plane could not keep it; its log says why"
	switch {
	case errors.As(err, &p):
		why = p.Detail
	case errors.As(err, &path):
		why = "the disk refused it: " + path.Err.Error()
	}
	return strings.ToValidUTF8(curtailed(why, ""), "")
}
