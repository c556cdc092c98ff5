package control

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"andon/authority"
	"andon/ledger"
	"andon/order"
	"andon/plan"
)

// Looks at rosters.
const (
	gapWarning = 24 * time.Hour     // before a gap begins it is an alarm
	gapHorizon = 7 * 24 * time.Hour // how far ahead gaps are looked for, and back for where they began
	gapPace    = 30 * time.Second   // between two looks at the same plan
	maxGaps    = 100                // in an answer
	maxGapsOut = 20                 // entries at once
)

// rosterGapBody is a time in which nobody is on call for something. It is said
// once for each gap and version of the plan; one that lasts is said again after a
// fortnight.
type rosterGapBody struct {
	Duty string    `json:"duty"` // team/safety
	Whom string    `json:"whom"` // nobody of team safety
	Plan int       `json:"plan"` // version
	From time.Time `json:"from"`
	To   time.Time `json:"to"` // or later: a week ahead is looked
}

func (b *rosterGapBody) words() string {
	return fmt.Sprintf("%s is on call from %s to %s", b.Whom, b.From.Format("Mon 2006-01-02 15:04"), b.To.Format("Mon 2006-01-02 15:04 UTC"))
}

func foldRosterGap(s *state, e ledger.Entry, _ *order.Order) (func(), error) {
	b, err := read[rosterGapBody](e.Body)
	if err == nil && (b.Duty == "" || !b.From.Before(b.To)) {
		err = fmt.Errorf("a gap of nothing or no length: %w", errForm)
	}
	return func() {
		if s.alert.gaps == nil {
			s.alert.gaps = map[string][]rosterGapBody{}
		}
		s.alert.gaps[b.Duty] = append(slices.DeleteFunc(s.alert.gaps[b.Duty], func(o rosterGapBody) bool {
			return o.Plan != b.Plan || o.To.Before(e.At.Add(-gapHorizon))
		}), b)
	}, err
}

// saidGap says whether a gap stands in the record already.
func (a *alertState) saidGap(b *rosterGapBody) bool {
	return slices.ContainsFunc(a.gaps[b.Duty], func(o rosterGapBody) bool {
		return o.Plan == b.Plan && b.From.Before(o.To) && o.From.Before(b.To)
	})
}

// rosterWatch remembers what the rosters of the plan in force come to.
type rosterWatch struct {
	mu     sync.Mutex
	of     *plan.Plan
	duties []plan.Duty
	looked time.Time
	due    []rosterGapBody
}

// dutiesOf are the duties of a plan, which never change.
func (w *rosterWatch) dutiesOf(p *plan.Plan) []plan.Duty {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.of != p {
		w.of, w.duties, w.looked = p, plan.Duties(p), time.Time{}
	}
	return w.duties
}

// dueGaps drafts the gaps that have begun, or begin within a day, and were not
// said yet. It looks at all times that it can be now: whichever way a clock has
// jumped, no gap is missed. The caller holds mu.
func (c *Control) dueGaps(s *state, early time.Time) []draft {
	p := s.planned()
	if p == nil || len(p.Rosters) == 0 {
		return nil
	}
	duties := c.rosters.dutiesOf(p)
	now := c.cfg.Now()
	late := c.started.Round(0).Add(now.Sub(c.started)).UTC() // by the monotonic clock
	if wall := now.Round(0).UTC(); wall.After(late) {
		late = wall
	}
	if most := early.Add(gapHorizon); late.After(most) {
		late = most
	}
	c.rosters.mu.Lock()
	defer c.rosters.mu.Unlock()
	if since := late.Sub(c.rosters.looked); since < 0 || since >= gapPace {
		c.rosters.looked, c.rosters.due = late, nil
		for i := range duties {
			for _, g := range gapsOf(&duties[i], early, late) {
				if !g.From.After(late.Add(gapWarning)) {
					c.rosters.due = append(c.rosters.due, rosterGapBody{Duty: duties[i].Subject, Whom: duties[i].Whom, Plan: s.plan.version(), From: g.From, To: g.To})
				}
			}
		}
	}
	var out []draft
	for i := range c.rosters.due {
		if b := &c.rosters.due[i]; !s.alert.saidGap(b) && len(out) < maxGapsOut {
			out = append(out, draft{typeRosterGap, *b})
		}
	}
	return out
}

// gapsOf are the gaps of a duty that are not over at a time, up to a week after
// another. One that has begun shows since when, for a week.
func gapsOf(d *plan.Duty, early, late time.Time) []plan.Gap {
	gaps, err := plan.Uncovered(d.Rosters, early.Add(-gapHorizon).Truncate(time.Minute), late.Add(gapHorizon).Truncate(time.Minute))
	if err != nil {
		return nil // a roster that cannot be read is no part of a duty
	}
	return slices.DeleteFunc(gaps, func(g plan.Gap) bool { return !g.To.After(early) })
}

// onCallView is who is on call, and who is not.
type onCallView struct {
	At      time.Time      `json:"at"`
	Plan    int            `json:"plan_version,omitempty"` // missing: there is no plan in force
	Rosters []onCallRoster `json:"rosters"`
	Gaps    []onCallGap    `json:"gaps"`   // within the next seven days, at most 100
	People  []onCallPerson `json:"people"` // of rosters, who could not act
}

type onCallRoster struct {
	Name     string         `json:"name"`
	Team     string         `json:"team"`
	Role     authority.Role `json:"role"`
	TimeZone string         `json:"time_zone"`
	OnCall   []string       `json:"on_call"`           // deputies last
	Until    time.Time      `json:"until,omitzero"`    // missing: nothing changes within seven days
	Then     []string       `json:"then"`              // who follows
	Trouble  string         `json:"trouble,omitempty"` // why it cannot be read
}

type onCallGap struct {
	Duty    string    `json:"duty"`
	Whom    string    `json:"whom"`
	Rosters []string  `json:"rosters"`
	From    time.Time `json:"from"`
	To      time.Time `json:"to"`
	Now     bool      `json:"now"` // it has begun
}

type onCallPerson struct {
	Name    string `json:"name"`
	Roster  string `json:"roster"`
	Now     bool   `json:"now"` // on call
	Trouble string `json:"trouble"`
}

// getOnCall says who is on call by the plan in force.
func (c *Control) getOnCall(cl *call) error {
	if err := cl.op.may("on_call.read"); err != nil {
		return err
	}
	if _, err := cl.query(); err != nil {
		return err
	}
	now := c.cfg.Now().UTC().Round(0)
	v := onCallView{At: now, Rosters: []onCallRoster{}, Gaps: []onCallGap{}, People: []onCallPerson{}}
	c.mu.RLock()
	p := c.state.planned() // never changed once it is in force
	v.Plan = c.state.plan.version()
	held := map[string]authority.Set{}
	for _, op := range c.state.operators {
		if op.active() {
			held[op.name] |= op.roles
		}
	}
	c.mu.RUnlock()
	if p == nil {
		return cl.reply(http.StatusOK, v)
	}
	for i := range p.Rosters {
		r := &p.Rosters[i]
		o := onCallRoster{Name: r.Name, Team: r.Team, Role: r.Role, TimeZone: r.TimeZone, OnCall: []string{}, Then: []string{}}
		on, err := r.OnCall(now)
		if err == nil {
			o.OnCall = append(o.OnCall, on...)
			var then []string
			o.Until, then, err = r.NextChange(now, gapHorizon)
			o.Then = append(o.Then, then...)
		}
		if err != nil {
			o.Trouble = err.Error()
		}
		v.Rosters = append(v.Rosters, o)
		v.People = append(v.People, unable(r, on, held)...)
	}
	duties := c.rosters.dutiesOf(p)
	for i := range duties {
		d := &duties[i]
		var names []string
		for j := range d.Rosters {
			names = append(names, d.Rosters[j].Name)
		}
		for _, g := range gapsOf(d, now, now) {
			v.Gaps = append(v.Gaps, onCallGap{Duty: d.Subject, Whom: d.Whom, Rosters: names, From: g.From, To: g.To, Now: !g.From.After(now)})
		}
	}
	slices.SortStableFunc(v.Gaps, func(a, b onCallGap) int { return a.From.Compare(b.From) })
	v.Gaps = v.Gaps[:min(len(v.Gaps), maxGaps)]
	return cl.reply(http.StatusOK, v)
}

// unable are the people of a roster who could not act if they were called.
func unable(r *plan.Roster, on []string, held map[string]authority.Set) []onCallPerson {
	var out []onCallPerson
	seen := map[string]bool{}
	for i := range r.Shifts {
		for _, name := range append(slices.Clone(r.Shifts[i].People), r.Shifts[i].Deputy) {
			if name == "" || seen[name] {
				continue
			}
			seen[name] = true
			x := onCallPerson{Name: name, Roster: r.Name, Now: slices.Contains(on, name)}
			switch roles, has := held[name]; {
			case !has:
				x.Trouble = "has no account"
			case !roles.Has(r.Role):
				x.Trouble = fmt.Sprintf("is on call as %s and has the role %s", r.Role, roles)
			default:
				continue
			}
			out = append(out, x)
		}
	}
	return out
}
