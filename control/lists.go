package control

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

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
			return nil, problem("point_live", short(name)+" is live and would come back with its next beat; stop it, and wait until its lease has run out")
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
	Revision   uint64    `json:"revision"` // of the order with its last change

	Effect *effectView `json:"effect,omitempty"` // of that change; not in lists
}

func viewKey(k *keyRecord) keyView {
	return keyView{
		ID: k.ID, Org: k.Org, User: k.User, Tier: k.Tier, Surface: k.Surface, Attributes: k.Attributes, UseCases: k.UseCases,
		ExpiresAt: k.ExpiresAt, CreatedAt: k.createdAt, CreatedBy: k.createdBy, RevokedAt: k.revokedAt, Revision: k.revision,
	}
}

// showKey is a key that exists, and where its last change stands on every point.
func (c *Control) showKey(id string) keyView {
	c.mu.RLock()
	defer c.mu.RUnlock()
	k := c.state.keys[id]
	v := viewKey(k)
	effect := c.effectOf(k.revision, c.cfg.Now(), func(*point, *pointEffect) {})
	v.Effect = &effect
	return v
}

func (c *Control) getKey(cl *call) error {
	if err := cl.op.may("key.read"); err != nil {
		return err
	}
	id := cl.r.PathValue("id")
	c.mu.RLock()
	there := c.state.keys[id] != nil
	c.mu.RUnlock()
	if !there {
		return problem("not_found", "there is no key "+strconv.Quote(short(id)))
	}
	return cl.reply(http.StatusOK, c.showKey(id))
}

func (c *Control) postKey(cl *call) error {
	if err := cl.op.may("key.create"); err != nil {
		return err
	}
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
	if err := cl.op.may("key.revoke"); err != nil {
		return err
	}
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
