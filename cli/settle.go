package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"andon/authority"
)

// outcome is what is said once a command was accepted.
type outcome struct {
	what string // in words
	undo string // the command that takes it back; "" if there is none
	warn []warning
}

// settle waits until every point enforces what was accepted, prints where it
// stands, and returns an error with exit code 4 if that took too long. The
// command itself stands in either case.
func (c *command) settle(ctx context.Context, cl *client, id string, sent time.Time, wait time.Duration, o outcome) error {
	var v view
	pending, hope, err := await(ctx, cl, "/corrections/"+url.PathEscape(id), sent.Add(wait), func() (any, **effect) {
		v = view{}
		return &v, &v.Effect
	})
	if err != nil {
		if c.output != "json" {
			c.printf("%s  accepted  %s\n", id, o.what)
		}
		return &unsettled{fmt.Errorf("%s was accepted; where it is enforced is not known: %w", id, err), o.undo}
	}
	v.Warnings = o.warn
	return c.settled(&v, pending, hope, wait, o)
}

// await reads what was changed until every point enforces it, none of the others
// can be hoped for, or the deadline is past. fresh gives where it is read to, and
// where in it the effect stands.
func await(ctx context.Context, cl *client, path string, deadline time.Time, fresh func() (any, **effect)) (pending []string, hope bool, err error) {
	pause := 2 * time.Millisecond
	for {
		v, e := fresh()
		if err := cl.do(ctx, http.MethodGet, path, nil, nil, v); err != nil {
			return nil, false, err
		}
		pending, hope = (*e).pending()
		if !hope || !time.Now().Before(deadline) {
			return pending, hope, nil
		}
		select {
		case <-ctx.Done():
			return nil, false, ctx.Err()
		case <-time.After(min(pause, time.Until(deadline))):
		}
		pause = min(2*pause, 100*time.Millisecond)
	}
}

// everywhere waits until every point has what was accepted before, and says it to
// people where that is not so. what was accepted stands in either case.
func (c *command) everywhere(ctx context.Context, cl *client, what string, sent time.Time, wait time.Duration) (pending []string, err error) {
	now := &effect{}
	pending, hope, err := await(ctx, cl, "/points", sent.Add(wait), func() (any, **effect) {
		now = &effect{}
		return now, &now
	})
	if err != nil {
		return nil, &unsettled{err: fmt.Errorf("%s was accepted; whether every point knows of it is not known: %w", what, err)}
	}
	if len(now.Points) == 0 { // who joins later gets it with the rest
		return nil, nil
	}
	if len(pending) > 0 && c.output != "json" {
		c.missing(pending, hope, wait)
	}
	if len(pending) > 0 && wait > 0 {
		err = &reported{exitPending, "not yet known everywhere"}
	}
	return pending, err
}

// pending names the points that do not enforce yet, with their state, and says
// whether waiting can help. A point whose lease has run out has taken its
// declared posture, which may be to go on under its last order: it does not
// enforce this one, and nobody knows when it is back, so it is not waited for.
func (e *effect) pending() (points []string, hope bool) {
	if e == nil {
		return []string{"no effect is reported"}, true
	}
	for _, p := range e.Points {
		if p.State == "synced" {
			continue
		}
		text := p.Name + " (" + p.State
		if p.Error != "" {
			text += ": " + p.Error
		}
		points = append(points, text+")")
		hope = hope || p.State != "stale"
	}
	if len(e.Points) == 0 {
		return []string{"no enforcement point is connected"}, true
	}
	return points, hope
}

func (c *command) settled(v *view, pending []string, hope bool, wait time.Duration, o outcome) error {
	late := len(pending) > 0 && wait > 0
	var result error
	if late {
		result = &reported{exitPending, "not yet enforced everywhere"}
	}
	if c.output == "json" {
		if err := c.json(struct {
			*view
			Pending []string `json:"pending,omitempty"`
			Undo    string   `json:"undo,omitempty"`
		}{v, pending, o.undo}); err != nil {
			return err
		}
		return result
	}
	c.printf("%s  %s  %s\n", v.ID, v.State, o.what)
	for _, w := range v.Warnings {
		c.printf("warning: %s\n", w.Detail)
	}
	c.printf("revision %d\n", v.Revision)
	c.points(v.Effect)
	switch {
	case len(pending) > 0:
		c.missing(pending, hope, wait)
	case v.TimeToEffectMS != nil:
		c.printf("%s\n", c.took(v, " after "+span(time.Duration(*v.TimeToEffectMS*float64(time.Millisecond)))))
	default:
		c.printf("%s\n", c.took(v, ""))
	}
	if left := v.Ratification.words(v.ID, c.Now()); left != "" {
		c.printf("%s\n", left)
	}
	if o.undo != "" {
		c.printf("undo: %s\n", o.undo)
	}
	if v.Level() >= 3 && v.State == "active" && o.undo != "" {
		c.printf("%s\n", authority.GoodFaith)
	}
	return result
}

// points prints where a change stands on each point.
func (c *command) points(e *effect) {
	if e == nil {
		return
	}
	for _, p := range e.Points {
		line := "  " + p.Name + "  " + p.State
		if p.Cut > 0 {
			line += ", cut " + plural(p.Cut, "running request")
		}
		if p.State != "stale" && p.Error != "" {
			line += "  " + p.Error
		}
		if p.State == "stale" {
			line += "  its lease has run out and its models have taken their posture; it gets this when it is back (gone for good: andon points remove " + p.Name + ")"
		}
		c.printf("%s\n", line)
	}
}

// missing names the points that do not have a change.
func (c *command) missing(pending []string, hope bool, wait time.Duration) {
	names := strings.Join(pending, ", ")
	switch {
	case wait == 0:
		c.printf("not waited for: %s\n", names)
	case hope:
		c.printf("not yet everywhere after %s: %s\n", span(wait), names)
	default:
		c.printf("not everywhere: %s\n", names)
	}
}
