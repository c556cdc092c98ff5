package control

import (
	"fmt"
	"slices"
	"time"

	"andon/authority"
	"andon/ledger"
	"andon/order"
	"andon/playbook"
)

// This room carries out playbooks. A run is a fold over entries; a step and its
// correction are one transaction, so that a crash leaves both or neither, and a
// run that goes on never applies twice. What a run does by itself it does in the
// name of whoever started or resumed it, and their authority is asked at each
// step: where it does not suffice any more, the step waits and says so.
//
// A stop-gap is a run of its own: all its corrections in one transaction, each
// with an end, and a deadline by which people decide what follows.

type playbookState struct {
	runs map[string]*playbook.Run
	list []string // ids, as they were started
	live []string // of those that are running or paused
}

var playbookTable = []route{
	{"GET", "/api/v1/playbooks", "", false, (*Control).getPlaybooks},
	{"GET", "/api/v1/playbooks/{name}", "", false, (*Control).getPlaybook},
	{"GET", "/api/v1/playbooks/{name}/cacao", "", false, (*Control).getCACAO},
	{"POST", "/api/v1/playbooks/{name}/simulate", "", false, (*Control).postSimulate},
	{"POST", "/api/v1/playbooks/{name}/stop-gap", "run.stop_gap", false, (*Control).postStopGap},
	{"POST", "/api/v1/cacao", "", false, (*Control).postCACAO},
	{"POST", "/api/v1/runs", "run.start", false, (*Control).postRun},
	{"GET", "/api/v1/runs", "", false, (*Control).getRuns},
	{"GET", "/api/v1/runs/{id}", "", false, (*Control).getRun},
	{"POST", "/api/v1/runs/{id}/advance", "run.advance", false, (*Control).postAdvance},
	{"POST", "/api/v1/runs/{id}/confirm", "run.confirm", false, stepPost("run.confirm")},
	{"POST", "/api/v1/runs/{id}/done", "run.done", false, stepPost("run.done")},
	{"POST", "/api/v1/runs/{id}/skip", "run.skip", false, stepPost("run.skip")},
	{"POST", "/api/v1/runs/{id}/retry", "run.retry", false, stepPost("run.retry")},
	{"POST", "/api/v1/runs/{id}/decide", "run.decide", false, (*Control).postRunDecide},
	{"POST", "/api/v1/runs/{id}/met", "run.met", false, stepPost("run.met")},
	{"POST", "/api/v1/runs/{id}/pause", "run.pause", false, stepPost("run.pause")},
	{"POST", "/api/v1/runs/{id}/resume", "run.resume", false, stepPost("run.resume")},
	{"POST", "/api/v1/runs/{id}/abort", "run.abort", false, stepPost("run.abort")},
	{"POST", "/api/v1/runs/{id}/end", "run.end", false, stepPost("run.end")},
}

var playbookPermits = map[string]authority.Set{
	"playbook.read": authority.All, "playbook.simulate": authority.All, "playbook.export": authority.All, "playbook.import": authority.All, "run.read": authority.All,
	"run.start": actors, "run.stop_gap": actors, "run.advance": actors, "run.confirm": actors, "run.retry": actors, "run.resume": actors,
	"run.done": deciders, "run.met": deciders, "run.decide": deciders, "run.pause": deciders, "run.skip": actors, "run.abort": actors, "run.end": actors,
	// Whoever lets a stop-gap go takes something back.
	"run.let_go": authority.SetOf(authority.Commander, authority.Approver),
}

var playbookCodes = map[string]code{
	"invalid_playbook": {422, "The playbook is not valid"},
	"not_enforceable":  {422, "A correction cannot be enforced"},
	"run_exists":       {409, "It runs already"},
	"run_state":        {409, "The run is somewhere else"},
	"bad_signature":    {422, "A signature does not hold"},
}

var playbookFolds = runFolds()

func runFolds() map[string]foldFunc {
	out := map[string]foldFunc{playbook.Started: foldRunStarted}
	for _, kind := range playbook.Events {
		out[kind] = foldRunEvent
	}
	return out
}

func foldRunStarted(s *state, e ledger.Entry, _ *order.Order) (func(), error) {
	b, err := read[playbook.Opening](e.Body)
	if err != nil {
		return nil, err
	}
	if s.playbook.runs[b.ID] != nil {
		return nil, fmt.Errorf("run %q is there already: %w", b.ID, errForm)
	}
	if b.Gap != nil {
		for _, id := range b.Gap.Corrections {
			if s.corrections[id] == nil {
				return nil, fmt.Errorf("run %q: there is no correction %q: %w", b.ID, id, errForm)
			}
		}
	}
	r, err := playbook.Begin(b, e.At.UTC(), e.Actor)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, errForm)
	}
	return func() {
		p := &s.playbook
		if p.runs == nil {
			p.runs = map[string]*playbook.Run{}
		}
		p.runs[r.ID] = r
		p.list = append(p.list, r.ID)
		p.live = append(p.live, r.ID)
	}, nil
}

func foldRunEvent(s *state, e ledger.Entry, _ *order.Order) (func(), error) {
	b, err := read[playbook.Event](e.Body)
	if err != nil {
		return nil, err
	}
	r := s.playbook.runs[b.Run]
	if r == nil {
		return nil, fmt.Errorf("there is no run %q: %w", b.Run, errForm)
	}
	for _, id := range append(slices.Clone(b.Others), b.Correction) {
		if id != "" && s.corrections[id] == nil {
			return nil, fmt.Errorf("run %q: there is no correction %q: %w", b.Run, id, errForm)
		}
	}
	if x := s.evidence.find(b.Evidence); b.Evidence != "" && (x == nil || x.State != evidenceIsSealed || x.Run != b.Run || x.Step != b.Step) {
		return nil, fmt.Errorf("run %q: evidence %q was not sealed for its step: %w", b.Run, b.Evidence, errForm)
	}
	next, err := r.Next(e.Type, b, e.At.UTC(), e.Actor)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, errForm)
	}
	return func() {
		p := &s.playbook
		p.runs[r.ID] = next
		if !next.Live() {
			p.live = slices.DeleteFunc(p.live, func(id string) bool { return id == r.ID })
		}
	}, nil
}

// playbookClock takes what nobody needs to be asked for: waits that are over,
// decisions that fall to their default, and what the time of a stop-gap brings.
func playbookClock(c *Control, s *state, early time.Time) []draft {
	var out []draft
	for _, id := range s.playbook.live {
		r := s.playbook.runs[id]
		for _, e := range r.Due(early) {
			out = append(out, draft{playbook.StepDone, e})
		}
		if r.Gap != nil {
			out = append(out, s.gapClock(r, early)...)
		}
	}
	return out
}

// gapClock is what time brings to a stop-gap that nobody has decided on.
func (s *state) gapClock(r *playbook.Run, early time.Time) []draft {
	g := r.Gap
	var standing []string
	for _, id := range g.Corrections {
		if k := s.corrections[id]; k != nil && k.gone == "" && k.stateAt(early) != "expired" {
			standing = append(standing, id)
		}
	}
	event := playbook.Event{Run: r.ID, Auto: true}
	switch {
	case len(standing) == 0:
		event.Note = "none of its corrections is in force any more"
		if g.Then == playbook.Lapse && !early.Before(g.ExpiresAt) {
			event.Note = "nobody decided in time; it lapsed, as the playbook says"
		}
		return []draft{{playbook.Ended, event}}
	case g.Moves(early):
		event.Choice, event.Expires = playbook.AlarmMoved, early.Add(playbook.Grace)
		event.Note = "nobody has decided; the end of its corrections is moved on, so that nothing loosens unseen"
		return append(s.extendGap(standing, event.Expires, "stop-gap "+r.ID+": "+event.Note), draft{playbook.Alarmed, event})
	}
	if a := g.DueAlarm(early); a != "" {
		event.Choice = a
		return []draft{{playbook.Alarmed, event}}
	}
	return nil
}

// extendGap drafts later ends. What has no end, or a later one, stays as it is.
func (s *state) extendGap(ids []string, expires time.Time, reason string) []draft {
	var out []draft
	for _, id := range ids {
		if k := s.corrections[id]; k.gone == "" && !k.ExpiresAt.IsZero() && k.ExpiresAt.Before(expires) {
			out = append(out, draft{typeExtended, changedBody{ID: id, Reason: reason, ExpiresAt: expires}})
		}
	}
	return out
}
