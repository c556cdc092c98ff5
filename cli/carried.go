package cli

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// carriedOut is what came of an act that the last approval carried.
type carriedOut struct {
	Revision       uint64   `json:"revision,omitempty"`
	Corrections    []string `json:"corrections,omitempty"`
	Effect         *effect  `json:"effect,omitempty"`
	TimeToEffectMS *float64 `json:"time_to_effect_ms,omitempty"`
}

// carriedWait is how long whoever carries an act is kept to hear where it is enforced.
const carriedWait = 10 * time.Second

// settleAct waits, for an act that was carried, until it is enforced everywhere.
func (c *command) settleAct(ctx context.Context, a *act) error {
	if a.State != "carried" || a.Revision == 0 {
		return nil
	}
	cl, err := c.client()
	if err != nil {
		return err
	}
	for deadline, pause := time.Now().Add(carriedWait), 2*time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		pending, hope := a.Effect.pending()
		if len(pending) > 0 && (!hope || !time.Now().Before(deadline)) || len(pending) == 0 && (a.TimeToEffectMS != nil || !time.Now().Before(deadline)) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		var now act
		if err := cl.do(ctx, http.MethodGet, "/approvals/"+url.PathEscape(a.ID), nil, nil, &now); err != nil {
			return err
		}
		if now.Effect == nil { // it was changed since
			return nil
		}
		*a = now
	}
}

// printCarried says where what was carried is enforced, and how long that took.
func (c *command) printCarried(a *act) {
	if a.Revision == 0 {
		return
	}
	c.printf("  revision %d: %s\n", a.Revision, strings.Join(a.Corrections, ", "))
	c.points(a.Effect)
	switch pending, _ := a.Effect.pending(); {
	case a.Effect == nil:
	case len(pending) > 0:
		c.printf("  not yet everywhere: %s\n", strings.Join(pending, ", "))
	case a.TimeToEffectMS != nil:
		c.printf("  enforced everywhere after %s\n", span(time.Duration(*a.TimeToEffectMS*float64(time.Millisecond))))
	}
}
