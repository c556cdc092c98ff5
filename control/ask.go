package control

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"

	"andon/order"
)

// gatherTime bounds how long gateways are asked.
const gatherTime = 500 * time.Millisecond

// previewView holds only what was measured.
type previewView struct {
	Coverage    coverageView `json:"coverage"`
	LiveStreams *int64       `json:"live_streams,omitempty"`
	Users       *int64       `json:"users,omitempty"`
	Orgs        *int64       `json:"orgs,omitempty"`
	Keys        *int64       `json:"keys,omitempty"`
	Unknown     []string     `json:"unknown"` // what nobody measured
}

// coverageView says what the figures of a preview rest on.
type coverageView struct {
	Basis    string `json:"basis"`    // "running requests"
	Points   int    `json:"points"`   // live enforcement points
	Answered int    `json:"answered"` // of them
}

func (c *Control) postPreview(cl *call) error {
	if err := cl.op.may("correction.preview"); err != nil {
		return err
	}
	cor, _, err := cl.decodeCorrection()
	if err != nil {
		return err
	}
	if cor, err = c.check(cor, c.cfg.Now().UTC().Round(0)); err != nil {
		return err
	}
	v := previewView{Coverage: coverageView{Basis: "running requests", Points: c.livePoints()}}
	ask, err := json.Marshal(cor)
	if err != nil {
		return err
	}
	answers := c.gather(cl.r.Context(), order.SubjectLive, ask, v.Coverage.Points)
	var streams int64
	users, orgs, keys := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, data := range answers {
		var l order.Live
		if err := json.Unmarshal(data, &l); err != nil {
			continue
		}
		v.Coverage.Answered++
		streams += l.LiveStreams
		for set, list := range map[*map[string]bool][]string{&users: l.Users, &orgs: l.Orgs, &keys: l.Keys} {
			for _, s := range list {
				(*set)[s] = true
			}
		}
	}
	v.Unknown = []string{"requests", "share_of_traffic", "dependants"}
	if v.Coverage.Answered > 0 {
		count := func(set map[string]bool) *int64 { n := int64(len(set)); return &n }
		v.LiveStreams, v.Users, v.Orgs, v.Keys = &streams, count(users), count(orgs), count(keys)
	} else {
		v.Unknown = append(v.Unknown, "live_streams", "users", "orgs", "keys")
	}
	return cl.reply(http.StatusOK, v)
}

func (c *Control) livePoints() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	now, n := c.cfg.Now(), 0
	for _, p := range c.points {
		if now.Before(p.lease) {
			n++
		}
	}
	return n
}

// gather asks gateways, for at most gatherTime, until max have answered.
func (c *Control) gather(ctx context.Context, subject string, data []byte, max int) [][]byte {
	if c.cfg.Bus == nil || max < 1 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, gatherTime)
	defer cancel()
	answers, err := c.cfg.Bus.Gather(ctx, subject, data, max)
	if err != nil {
		c.log.Warn("gateways cannot be asked", "subject", subject, "error", err)
	}
	return answers
}

// requestView is what became of one request.
type requestView struct {
	RequestID   string           `json:"request_id"`
	Decisions   []order.Decision `json:"decisions"`
	Corrections []correctionView `json:"corrections"`
}

// getRequest asks the gateways: they remember their last decisions, nobody else
// does. A request has one gateway, so the first answer is the whole one.
func (c *Control) getRequest(cl *call) error {
	if err := cl.op.may("request.explain"); err != nil {
		return err
	}
	id := cl.r.PathValue("id")
	if err := checkLine("id", id, 200); err != nil {
		return err
	}
	ask, err := json.Marshal(order.ExplainRequest{RequestID: id})
	if err != nil {
		return err
	}
	v := requestView{RequestID: id, Decisions: []order.Decision{}, Corrections: []correctionView{}}
	live := c.livePoints()
	for _, data := range c.gather(cl.r.Context(), order.SubjectExplain, ask, min(live, 1)) {
		var d order.Decision
		if err := json.Unmarshal(data, &d); err == nil && d.RequestID == id {
			v.Decisions = append(v.Decisions, d)
		}
	}
	if len(v.Decisions) == 0 {
		return problem("not_found", fmt.Sprintf("none of the %d live gateways remembers request %s. They remember requests that a correction touched, the latest ones, until they restart; the id is in the answer's header andon-request-id.", live, short(id)))
	}
	c.mu.Lock()
	seen := map[string]bool{}
	for _, d := range v.Decisions {
		for _, id := range d.Corrections {
			if r := c.state.corrections[id]; r != nil && !seen[id] {
				seen[id] = true
				v.Corrections = append(v.Corrections, c.view(r))
			}
		}
	}
	c.mu.Unlock()
	return cl.reply(http.StatusOK, v)
}
