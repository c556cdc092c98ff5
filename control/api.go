package control

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"andon/correction"
	"andon/order"
)

// gatherTime bounds how long gateways are asked.
const gatherTime = 500 * time.Millisecond

// correctionView is a correction as the API shows it.
type correctionView struct {
	correction.Correction
	State        string     `json:"state"`
	Revision     uint64     `json:"revision"` // that its last change made
	Effect       effectView `json:"effect"`
	TimeToEffect *float64   `json:"time_to_effect_ms,omitempty"` // missing: not complete
	CreatedBy    string     `json:"created_by"`
	LiftedAt     time.Time  `json:"lifted_at,omitzero"`
	History      []change   `json:"history"`
}

// view shows a correction. The caller holds mu for writing: looking at an effect
// may find it complete.
func (c *Control) view(r *record) correctionView {
	v := correctionView{Correction: r.Correction, State: r.stateAt(c.early()), Revision: r.revision, CreatedBy: r.createdBy, History: r.history}
	v.Effect, v.TimeToEffect = c.effect(r, c.cfg.Now())
	if r.gone == "lifted" {
		v.LiftedAt = r.changed
	}
	return v
}

func (c *Control) show1(id string) (correctionView, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.state.corrections[id]
	if r == nil {
		return correctionView{}, problem("not_found", "there is no correction "+strconv.Quote(short(id)))
	}
	return c.view(r), nil
}

func (c *Control) postCorrection(cl *call) error {
	cor, hash, err := cl.decodeCorrection()
	if err != nil {
		return err
	}
	idem, err := cl.idempotency(hash)
	if err != nil {
		return err
	}
	id, replayed, err := c.create(cl.r.Context(), cl.op, cor, idem)
	if err != nil {
		return err
	}
	v, err := c.show1(id)
	if err != nil {
		return err
	}
	if replayed {
		cl.w.Header().Set("Idempotency-Replayed", "true")
	}
	cl.w.Header().Set("Location", "/api/v1/corrections/"+id)
	return cl.reply(http.StatusCreated, v)
}

type correctionList struct {
	Revision    uint64           `json:"revision"`
	Corrections []correctionView `json:"corrections"`
}

func (c *Control) getCorrections(cl *call) error {
	if err := cl.op.may("correction.read"); err != nil {
		return err
	}
	q := cl.r.URL.Query()
	for name := range q {
		if name != "state" {
			p := problem("invalid_query", "unknown parameter "+short(name))
			p.Field, p.Allowed = short(name), []string{"state"}
			return p
		}
	}
	want := q["state"]
	states := []string{"scheduled", "active", "expired", "lifted"}
	for _, s := range want {
		if !slices.Contains(states, s) {
			p := problem("invalid_query", "unknown state "+strconv.Quote(short(s)))
			p.Field, p.Allowed = "state", states
			return p
		}
	}
	c.mu.Lock()
	early := c.early()
	list := correctionList{Revision: c.state.revision, Corrections: []correctionView{}}
	for _, r := range c.state.list {
		if len(want) == 0 || slices.Contains(want, r.stateAt(early)) {
			list.Corrections = append(list.Corrections, c.view(r))
		}
	}
	c.mu.Unlock()
	return cl.reply(http.StatusOK, list)
}

func (c *Control) getCorrection(cl *call) error {
	if err := cl.op.may("correction.read"); err != nil {
		return err
	}
	v, err := c.show1(cl.r.PathValue("id"))
	if err != nil {
		return err
	}
	return cl.reply(http.StatusOK, v)
}

// reasoned is a body with nothing but a reason.
type reasoned struct {
	Reason string `json:"reason"`
}

// change decodes a body, runs a command on a correction and shows the result.
func changeOne[T any](c *Control, cl *call, run func(ctx context.Context, op *operator, id string, x T) error) error {
	x, err := decode[T](cl)
	if err != nil {
		return err
	}
	id := cl.r.PathValue("id")
	if err := run(cl.r.Context(), cl.op, id, x); err != nil {
		return err
	}
	v, err := c.show1(id)
	if err != nil {
		return err
	}
	return cl.reply(http.StatusOK, v)
}

func (c *Control) postLift(cl *call) error {
	return changeOne(c, cl, func(ctx context.Context, op *operator, id string, x reasoned) error {
		return c.lift(ctx, op, id, x.Reason)
	})
}

func (c *Control) postExtend(cl *call) error { return changeOne(c, cl, c.extend) }
func (c *Control) postRatify(cl *call) error { return changeOne(c, cl, c.ratify) }

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

type pointList struct {
	Revision uint64      `json:"revision"` // what every point should enforce
	Points   []pointView `json:"points"`
}

func (c *Control) getPoints(cl *call) error {
	if err := cl.op.may("point.read"); err != nil {
		return err
	}
	c.mu.RLock()
	list := pointList{Revision: c.state.revision, Points: []pointView{}}
	now := c.cfg.Now()
	for _, p := range c.points {
		list.Points = append(list.Points, c.pointView(p, now))
	}
	c.mu.RUnlock()
	slices.SortFunc(list.Points, func(a, b pointView) int { return strings.Compare(a.Name, b.Name) })
	return cl.reply(http.StatusOK, list)
}

// deletePoint takes a point off the list that will not come back.
func (c *Control) deletePoint(cl *call) error {
	if err := cl.op.may("point.remove"); err != nil {
		return err
	}
	name := cl.r.PathValue("name")
	_, err := c.execute(cl.r.Context(), cl.op.id, func(s *state, _ time.Time) ([]draft, error) {
		c.mu.RLock()
		defer c.mu.RUnlock()
		p := c.points[name]
		if p == nil {
			return nil, problem("not_found", "there is no enforcement point "+strconv.Quote(short(name)))
		}
		if c.cfg.Now().Before(p.lease) {
			return nil, problem("point_live", "it is live and would come back with its next beat; stop it, and wait until its lease has run out")
		}
		return []draft{{typeRemoved, removedBody{Name: name}}}, nil
	})
	if err != nil {
		return err
	}
	c.mu.Lock()
	delete(c.points, name)
	c.mu.Unlock()
	cl.w.WriteHeader(http.StatusNoContent)
	return nil
}

// keyView is a caller's key as the API shows it: never its hash.
type keyView struct {
	ID         string    `json:"id"`
	Secret     string    `json:"secret,omitempty"` // once, in the answer that makes it
	Org        string    `json:"org"`
	User       string    `json:"user,omitempty"`
	Tier       string    `json:"tier,omitempty"`
	Surface    string    `json:"surface,omitempty"`
	Attributes []string  `json:"attributes"`
	UseCases   []string  `json:"use_cases"`
	ExpiresAt  time.Time `json:"expires_at,omitzero"`
	CreatedAt  time.Time `json:"created_at"`
	CreatedBy  string    `json:"created_by"`
	RevokedAt  time.Time `json:"revoked_at,omitzero"`
}

func viewKey(k *keyRecord) keyView {
	return keyView{
		ID: k.ID, Org: k.Org, User: k.User, Tier: k.Tier, Surface: k.Surface, Attributes: k.Attributes, UseCases: k.UseCases,
		ExpiresAt: k.ExpiresAt, CreatedAt: k.createdAt, CreatedBy: k.createdBy, RevokedAt: k.revokedAt,
	}
}

func (c *Control) showKey(id string) keyView {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return viewKey(c.state.keys[id])
}

func (c *Control) postKey(cl *call) error {
	spec, err := decode[keySpec](cl)
	if err != nil {
		return err
	}
	id, text, err := c.createKey(cl.r.Context(), cl.op, spec)
	if err != nil {
		return err
	}
	v := c.showKey(id)
	v.Secret = text
	cl.w.Header().Set("Location", "/api/v1/keys/"+id)
	return cl.reply(http.StatusCreated, v)
}

type keyList struct {
	Keys []keyView `json:"keys"`
}

func (c *Control) getKeys(cl *call) error {
	if err := cl.op.may("key.read"); err != nil {
		return err
	}
	list := keyList{Keys: []keyView{}}
	c.mu.RLock()
	for _, k := range c.state.keyList {
		list.Keys = append(list.Keys, viewKey(k))
	}
	c.mu.RUnlock()
	return cl.reply(http.StatusOK, list)
}

func (c *Control) deleteKey(cl *call) error {
	id := cl.r.PathValue("id")
	if err := c.revokeKey(cl.r.Context(), cl.op, id, cl.r.URL.Query().Get("reason")); err != nil {
		return err
	}
	return cl.reply(http.StatusOK, c.showKey(id))
}

type modelList struct {
	Models []ModelInfo `json:"models"`
}

func (c *Control) getModels(cl *call) error {
	if err := cl.op.may("model.read"); err != nil {
		return err
	}
	models := c.models()
	list := modelList{Models: []ModelInfo{}}
	for _, name := range slices.Sorted(maps.Keys(models)) {
		list.Models = append(list.Models, models[name])
	}
	return cl.reply(http.StatusOK, list)
}

type whoamiView struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Role string `json:"role"`
}

func (c *Control) getWhoami(cl *call) error {
	return cl.reply(http.StatusOK, whoamiView{cl.op.id, cl.op.name, cl.op.role})
}
