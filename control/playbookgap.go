package control

import (
	"fmt"
	"strconv"
	"time"

	"andon/authority"
	"andon/correction"
	"andon/playbook"
)

// decideGap records what follows a stop-gap. To extend it, or to go up the
// ladder, keeps what is in force; to let it lapse gives something back, and takes
// a role that may. It returns the run that goes on.
func (c *Control) decideGap(cl *call, id string, b *runDecision) (string, error) {
	var extend correction.Duration
	switch b.Choice {
	case playbook.Extend:
		if b.For != "" {
			d, err := correction.ParseDuration(b.For)
			if err != nil {
				return "", badField("for", err.Error())
			}
			if t := time.Duration(d); t < 5*time.Minute || t > 72*time.Hour {
				return "", badField("for", d.String()+" is out of bounds: 5m to 3d")
			}
			extend = d
		}
	case playbook.LetGo:
		if err := cl.op.may("run.let_go"); err != nil {
			return "", err
		}
		fallthrough
	case playbook.Replace:
		if b.For != "" {
			return "", badField("for", "is for extend alone")
		}
	default:
		return "", badField("choice", strconv.Quote(short(b.Choice))+" is no choice about a stop-gap", playbook.GapChoices...)
	}
	c.mu.RLock()
	r, err := c.state.runFor(cl.op, id)
	c.mu.RUnlock()
	if err != nil {
		return "", err
	}
	if r.Gap == nil {
		return "", badField("step", "missing: the run is no stop-gap; say which step is decided")
	}
	var next playbook.Opening
	if b.Choice == playbook.Replace {
		if len(r.Playbook.Steps) == 0 {
			return "", problem("invalid_playbook", "playbook "+r.Playbook.Name+" has no ladder to go up; extend the stop-gap, or let it lapse")
		}
		// What is pinned is what runs; its variables are filled in already.
		if next, _, err = c.opening(r.Playbook, false, &newRun{Incident: r.Incident, Reason: b.Reason}); err != nil {
			return "", err
		}
		next.From, next.Vars, next.Digest, next.Plan = id, r.Vars, r.Digest, r.Plan
	}
	_, err = c.execute(cl.r.Context(), cl.op.id, func(s *state, now time.Time) ([]draft, error) {
		r, err := s.runFor(cl.op, id)
		if err != nil {
			return nil, err
		}
		if g := r.Gap; g.Choice != "" {
			return nil, problem("run_state", fmt.Sprintf("the stop-gap %s was decided at %s by %s: %q", id, r.EndedAt.Format(time.RFC3339), r.EndedBy, g.Choice))
		}
		e := playbook.Event{Run: id, Choice: b.Choice, Note: b.Reason, Expires: r.Gap.ExpiresAt}
		var drafts []draft
		if b.Choice == playbook.LetGo && r.Gap.Then != playbook.Lapse { // it would stand on
			for _, cid := range r.Gap.Corrections {
				if s.corrections[cid].gone != "" {
					continue
				}
				if _, err := c.draftLift(s, cl.op, cid, b.Reason); err != nil {
					return nil, err
				}
			}
		}
		if b.Choice != playbook.LetGo {
			by, expires := r.Playbook.StopGap.Times(now, extendBy(extend, r.Gap.For))
			if expires.Before(r.Gap.ExpiresAt) {
				expires = r.Gap.ExpiresAt
			}
			e.Expires = expires
			if b.Choice == playbook.Extend {
				e.Until = by
			}
			for _, cid := range r.Gap.Corrections {
				if k := s.corrections[cid]; k.gone == "" {
					if _, err := s.require(cl.op, s.question(authority.Tighten, &k.Correction, nil)); err != nil {
						return nil, err
					}
				}
			}
			drafts = s.extendGap(r.Gap.Corrections, expires, "stop-gap "+id+" ("+b.Choice+"): "+b.Reason)
		}
		if b.Choice == playbook.Replace {
			if err := s.openRun(cl.op, &next, true); err != nil {
				return nil, err
			}
			e.Next = next.ID
		}
		if _, err := happens(r, playbook.GapDecided, e, now, cl.op.id); err != nil {
			return nil, err
		}
		drafts = append(drafts, draft{playbook.GapDecided, e})
		if b.Choice == playbook.Replace {
			drafts = append(drafts, draft{playbook.Started, next})
		}
		return drafts, nil
	})
	if b.Choice == playbook.Replace && err == nil {
		return next.ID, nil
	}
	return id, err
}

// extendBy is the time of an extension: as given, or as the stop-gap was meant.
func extendBy(given, meant correction.Duration) correction.Duration {
	if given > 0 {
		return given
	}
	return meant
}
