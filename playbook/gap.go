package playbook

import (
	"slices"
	"strconv"
	"time"

	"andon/correction"
)

// What can be decided about a stop-gap.
const (
	Extend  = "extend"  // it goes on, and is decided on again later
	Replace = "replace" // the ladder begins; the stop-gap stands for one more of its time
	LetGo   = "lapse"   // it ends at its time
)

// GapChoices are all there are.
var GapChoices = []string{Extend, Replace, LetGo}

// Grace is how long the corrections of a stop-gap stand beyond the deadline of
// its decision, where it is not said that it lapses. The end is given when they
// are applied, so gateways end them with no control plane at all; and as long as
// there is one and nobody has decided, it moves the end on. So a stop-gap ends by
// itself, and neither a late decision nor a day without a control plane loosens.
const Grace = 24 * time.Hour

// LastCall is how long before its end a stop-gap alarms again.
const LastCall = 15 * time.Minute

// The alarms of a stop-gap.
const (
	AlarmHalf    = "half"     // of its time is over
	AlarmLast    = "last"     // 15 minutes are left
	AlarmOverdue = "overdue"  // nobody decided; it stands on
	AlarmMoved   = "extended" // nobody decided; the end of its corrections was moved on
)

// Gap is a stop-gap that was applied.
type Gap struct {
	Corrections []string            `json:"corrections"`
	For         correction.Duration `json:"for"`
	Then        string              `json:"then"`
	Since       time.Time           `json:"since"`      // the deadline counts from it
	DecideBy    time.Time           `json:"decide_by"`  // deadline of the decision
	ExpiresAt   time.Time           `json:"expires_at"` // when the corrections end by themselves
	Alarms      []string            `json:"alarms,omitempty"`
	Choice      string              `json:"choice,omitempty"` // replace or lapse, once decided
	Extended    int                 `json:"extended,omitempty"`
	Next        string              `json:"next,omitempty"` // the run that replaces it
}

// Times are the deadline of the decision and the end of the corrections, for a
// stop-gap that is applied, or extended by d, at the time now. What lapses has
// its deadline a little before its end.
func (g *StopGap) Times(now time.Time, d correction.Duration) (decideBy, expires time.Time) {
	end := now.Add(time.Duration(d))
	if g.Then == Lapse {
		return end.Add(-min(LastCall, time.Duration(d)/4)), end
	}
	return end, end.Add(Grace)
}

// Overdue says whether the deadline has passed without a decision.
func (g *Gap) Overdue() bool { return slices.Contains(g.Alarms, AlarmOverdue) }

// DueAlarm is the alarm that is due at the time early; "" if none is.
func (g *Gap) DueAlarm(early time.Time) string {
	if g.Choice != "" {
		return ""
	}
	end := g.DecideBy
	if g.Then == Lapse {
		end = g.ExpiresAt
	}
	for _, a := range []struct {
		name string
		at   time.Time
	}{{AlarmHalf, g.Since.Add(end.Sub(g.Since) / 2)}, {AlarmLast, end.Add(-LastCall)}, {AlarmOverdue, g.DecideBy}} {
		if !early.Before(a.at) && !slices.Contains(g.Alarms, a.name) {
			return a.name
		}
	}
	return ""
}

// Moves says whether the end of the corrections is to be moved on now, because
// nobody has decided.
func (g *Gap) Moves(early time.Time) bool {
	return g.Choice == "" && g.Then != Lapse && g.Overdue() && early.After(g.ExpiresAt.Add(-Grace/2))
}

func (r *Run) takeGap(kind string, e Event, at time.Time, by string) error {
	g := r.Gap
	if g.Choice != "" {
		return disorder("the stop-gap was decided on already: %s", g.Choice)
	}
	if kind == Alarmed {
		switch e.Choice {
		case AlarmHalf, AlarmLast, AlarmOverdue:
			if slices.Contains(g.Alarms, e.Choice) {
				return disorder("the alarm %s was given", e.Choice)
			}
			g.Alarms = append(g.Alarms, e.Choice)
		case AlarmMoved:
			if !e.Expires.After(g.ExpiresAt) {
				return disorder("the end of the stop-gap would come earlier")
			}
			g.ExpiresAt = e.Expires
		default:
			return disorder("there is no alarm %s", strconv.Quote(short(e.Choice)))
		}
		return nil
	}
	if e.Expires.Before(g.ExpiresAt) && e.Choice != LetGo {
		return disorder("the end of the stop-gap would come earlier")
	}
	switch e.Choice {
	case Extend:
		g.Since, g.DecideBy, g.ExpiresAt, g.Alarms = at, e.Until, e.Expires, nil
		g.Extended++
		return nil
	case Replace:
		g.ExpiresAt, g.Next = e.Expires, e.Next
	case LetGo:
	default:
		return disorder("%s is not a choice about a stop-gap", strconv.Quote(short(e.Choice)))
	}
	g.Choice = e.Choice
	r.close(Over, e, at, by)
	return nil
}
