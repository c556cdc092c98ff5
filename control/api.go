package control

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"andon/correction"
)

// correctionView is a correction as the API shows it.
type correctionView struct {
	correction.Correction
	State        string            `json:"state"`
	Revision     uint64            `json:"revision"` // that its last change made
	Effect       effectView        `json:"effect"`
	TimeToEffect *float64          `json:"time_to_effect_ms,omitempty"` // missing: not complete
	CreatedBy    string            `json:"created_by"`
	LiftedAt     time.Time         `json:"lifted_at,omitzero"`
	History      []change          `json:"history"`
	Ratification *ratificationView `json:"ratification,omitempty"` // by others; missing: nobody has to
	Held         []string          `json:"held,omitempty"`         // stops that serve dependants their fallback, made with it
	Linked       *linksView        `json:"linked,omitempty"`       // why it has its links
	Warnings     []warning         `json:"warnings,omitempty"`     // in the answer that made it
}

// view shows a correction. The caller holds mu for writing: looking at an effect
// may find it complete.
func (c *Control) view(r *record) correctionView {
	v := correctionView{Correction: r.Correction, State: r.stateAt(c.early()), Revision: r.revision, CreatedBy: r.createdBy, History: r.history}
	v.Effect, v.TimeToEffect = c.effect(r, c.cfg.Now())
	v.Linked, v.Ratification, v.Held = r.links.view(), r.ruling.view(), r.held
	if r.gone == "lifted" {
		v.LiftedAt = r.changed
	}
	return v
}

func (c *Control) show1(op *operator, id string) (correctionView, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.state.corrections[id]
	if r == nil {
		return correctionView{}, problem("not_found", "there is no correction "+strconv.Quote(short(id)))
	}
	return c.viewFor(op, r), nil
}

func (c *Control) postCorrection(cl *call) error {
	if err := cl.op.may("correction.create"); err != nil {
		return err
	}
	cor, hash, err := cl.decodeCorrection()
	if err != nil {
		return err
	}
	idem, err := cl.idempotency(hash)
	if err != nil {
		return err
	}
	unheld, err := cl.flag("hold_down", "override")
	if err != nil {
		return err
	}
	glass, err := cl.breakGlass(append(evidenceQuery, "hold_down")...)
	if err != nil {
		return err
	}
	ctx, err := cl.evidenceWish(c)
	if err != nil {
		return err
	}
	id, replayed, err := c.create(ctx, cl.op, cor, created{idem: idem, glass: glass, unheld: unheld})
	if err != nil {
		return err
	}
	v, err := c.show1(cl.op, id)
	if err != nil {
		return err
	}
	if replayed {
		cl.w.Header().Set("Idempotency-Replayed", "true")
	}
	cor.AppliedAt = v.AppliedAt // as it was asked for: that is what people think of
	v.Warnings = c.warnings(&cor)
	c.mu.RLock()
	v.Warnings = append(v.Warnings, c.state.holdWarnings(&cor, v.Held, unheld)...)
	c.mu.RUnlock()
	cl.w.Header().Set("Location", "/api/v1/corrections/"+id)
	return cl.reply(http.StatusCreated, v)
}

type correctionList struct {
	Revision    uint64           `json:"revision"`
	Corrections []correctionView `json:"corrections"`
	Next        string           `json:"next,omitempty"` // give it as after, to go on
}

// correctionsMost bounds how many one answer lists: who asks for what is in force
// goes on until there is no next.
const correctionsMost = 500

func (c *Control) getCorrections(cl *call) error {
	if err := cl.op.may("correction.read"); err != nil {
		return err
	}
	q := query{cl.r.URL.Query()}
	want := q.Values["state"] // as often as somebody likes
	q.Del("state")
	if err := onlyQuery(q.Values, "state", "after", "limit"); err != nil {
		return err
	}
	limit, err := q.number("limit", 0, 1, correctionsMost)
	if err != nil {
		return err
	}
	states := []string{"scheduled", "active", "expired", "lifted"}
	for _, s := range want {
		if !slices.Contains(states, s) {
			p := problem("invalid_query", "unknown state "+strconv.Quote(short(s)))
			p.Field, p.Allowed = "state", states
			return p
		}
	}
	list := correctionList{Corrections: []correctionView{}}
	from := 0
	if q.Has("after") {
		c.mu.RLock()
		from = 1 + slices.IndexFunc(c.state.list, func(r *record) bool { return r.ID == q.Get("after") })
		c.mu.RUnlock()
		if from == 0 {
			return badQuery("after", "there is no correction "+strconv.Quote(short(q.Get("after"))))
		}
	}
	for more := true; more; { // nobody waits for more than a page of it: the list only grows
		c.mu.Lock()
		early := c.early()
		rest := c.state.list[from:]
		list.Revision = c.state.revision
		more = len(rest) > correctionsMost && limit == 0
		if more {
			rest = rest[:correctionsMost]
		}
		from += len(rest)
		for _, r := range rest {
			if len(want) > 0 && !slices.Contains(want, r.stateAt(early)) {
				continue
			}
			if limit > 0 && len(list.Corrections) == int(limit) {
				list.Next = list.Corrections[limit-1].ID
				break
			}
			list.Corrections = append(list.Corrections, c.viewFor(cl.op, r))
		}
		c.mu.Unlock()
	}
	return cl.reply(http.StatusOK, list)
}

func (c *Control) getCorrection(cl *call) error {
	if err := cl.op.may("correction.read"); err != nil {
		return err
	}
	v, err := c.show1(cl.op, cl.r.PathValue("id"))
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
// warn adds what is to be said of it.
func changeOne[T any](c *Control, cl *call, action string, run func(ctx context.Context, op *operator, id string, x T) error, warn ...func(op *operator, id string) []warning) error {
	if err := cl.op.may(action); err != nil {
		return err
	}
	x, err := decode[T](cl)
	if err != nil {
		return err
	}
	id := cl.r.PathValue("id")
	if err := run(cl.r.Context(), cl.op, id, x); err != nil {
		return err
	}
	v, err := c.show1(cl.op, id)
	if err != nil {
		return err
	}
	for _, w := range warn {
		v.Warnings = append(v.Warnings, w(cl.op, id)...)
	}
	return cl.reply(http.StatusOK, v)
}

func (c *Control) postLift(cl *call) error {
	return changeOne(c, cl, "correction.lift", func(ctx context.Context, op *operator, id string, x reasoned) error {
		glass, err := cl.breakGlass(evidenceQuery...)
		if err != nil {
			return err
		}
		if ctx, err = cl.evidenceWish(c); err != nil {
			return err
		}
		return c.lift(ctx, op, id, x.Reason, glass)
	}, c.unmetWarnings)
}

func (c *Control) postExtend(cl *call) error { return changeOne(c, cl, "correction.extend", c.extend) }
func (c *Control) postRatify(cl *call) error { return changeOne(c, cl, "correction.ratify", c.ratify) }
