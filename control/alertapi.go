package control

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The states of an endpoint.
const (
	alertReady   = "ready"
	alertFailing = "failing"
	alertGone    = "disabled"
)

// alertView is an endpoint as the API shows it. Of its address there is the host
// alone: the rest may be a secret.
type alertView struct {
	Name    string         `json:"name"`
	Host    string         `json:"host"`
	Events  []string       `json:"events"`
	State   string         `json:"state"` // ready, failing, disabled
	Last    *deliveredView `json:"last_delivered,omitempty"`
	Failing time.Time      `json:"failing_since,omitzero"`
	Error   string         `json:"error,omitempty"` // of the last attempt
	Tries   int            `json:"tries,omitempty"` // of the alert that is next
	Next    time.Time      `json:"next_try_at,omitzero"`
	Waiting int            `json:"waiting"`            // alerts that it has yet to take
	More    bool           `json:"more,omitempty"`     // and more than these stand in the ledger
	GivenUp int            `json:"given_up,omitempty"` // that it refused while it took the next; since the control plane started
}

// deliveredView is an alert that an endpoint has taken.
type deliveredView struct {
	Entry uint64    `json:"entry"`
	Type  string    `json:"type"`
	At    time.Time `json:"at"`
}

type alertList struct {
	Alerts []alertView `json:"alerts"`
}

// getAlerts lists the endpoints, in the order of the configuration.
func (c *Control) getAlerts(cl *call) error {
	if err := cl.op.may("alert.read"); err != nil {
		return err
	}
	if _, err := cl.query(); err != nil {
		return err
	}
	out := alertList{Alerts: []alertView{}}
	for _, e := range c.alerts.ends {
		v := alertView{Name: e.Name, Host: e.host, Events: e.Events, State: alertReady}
		off := c.alertOff(e)
		e.mu.Lock()
		p := e.alertProgress
		e.mu.Unlock()
		v.Last, v.Failing, v.Error, v.Tries, v.Next, v.Waiting, v.More, v.GivenUp = p.last, p.failing, p.err, p.tries, p.next, p.waiting, p.more, p.givenUp
		switch {
		case off:
			v.State, v.Error = alertGone, "it answered 410: it is gone for good; a test that it takes, or another address, puts it on again"
		case !p.failing.IsZero():
			v.State = alertFailing
		}
		out.Alerts = append(out.Alerts, v)
	}
	return cl.reply(http.StatusOK, out)
}

// alertTestView is what came of a test.
type alertTestView struct {
	Name      string  `json:"name"`
	Delivered bool    `json:"delivered"`
	Status    int     `json:"status,omitempty"` // that the endpoint answered
	Error     string  `json:"error,omitempty"`
	TookMS    float64 `json:"took_ms"`
	Enabled   bool    `json:"enabled,omitempty"` // it was disabled, and is not any more
}

// postAlertTest sends an endpoint a message of type alert.test, once, and says
// what came of it.
func (c *Control) postAlertTest(cl *call) error {
	if err := cl.op.may("alert.test"); err != nil {
		return err
	}
	name := cl.r.PathValue("name")
	var e *alertEnd
	var names []string
	for _, x := range c.alerts.ends {
		if names = append(names, x.Name); x.Name == name {
			e = x
		}
	}
	if e == nil {
		p := problem("not_found", "there is no alert endpoint "+strconv.Quote(short(name)))
		p.Allowed, p.Hint = names, "endpoints are configured: control.alerts"
		return p
	}
	if !e.testing.TryLock() {
		return problem("alert_busy", "a test of "+e.Name+" is on its way; wait for it")
	}
	defer e.testing.Unlock()
	began := time.Now()
	now := c.cfg.Now().UTC().Round(0)
	var id [16]byte
	rand.Read(id[:])
	m := alertMessage{"alert.test", now, alertData{Says: "a test, asked for by " + cl.op.name + ": nothing has happened", By: cl.op.id}}
	v := alertTestView{Name: e.Name}
	var err error
	v.Status, err = e.hook.send(cl.r.Context(), "msg_"+hex.EncodeToString(id[:]), now, &m)
	v.TookMS = float64(time.Since(began).Microseconds()) / 1000
	if err != nil {
		v.Error = strings.ToValidUTF8(err.Error(), "")
		return cl.reply(http.StatusOK, v)
	}
	v.Delivered = true
	e.again.Store(true)
	if c.alertOff(e) {
		_, err := c.execute(cl.r.Context(), cl.op.id, func(s *state, _ time.Time) ([]draft, error) {
			if s.alert.off[e.Name] != e.digest {
				return nil, nil
			}
			return []draft{{typeAlertOn, alertOnBody{e.Name}}}, nil
		})
		if err != nil {
			return err
		}
		v.Enabled = true
	}
	return cl.reply(http.StatusOK, v)
}
