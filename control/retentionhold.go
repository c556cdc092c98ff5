package control

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"andon/authority"
	"andon/ledger"
	"andon/order"
	"andon/plan"
)

// A legal hold keeps records that somebody may have to produce: while it stands
// nothing that it covers is erased by itself, however old. Anybody who reads
// records places one, alone and at once. To release one is to loosen.

const (
	maxRetentionHolds = 1000           // in force
	maxOwnHolds       = 100            // of them, by one person
	holdGrace         = 24 * time.Hour // how long what was released is still kept: for second thoughts
	everything        = "everything"
	clockSlack        = time.Hour // how far a clock may be from the time that an operator reads elsewhere
)

// retentionHold is one, as the API shows it.
type retentionHold struct {
	ID         string    `json:"id"` // lh-1
	Of         string    `json:"of"` // everything, a class, or an incident, an evidence, a concern
	Incident   string    `json:"incident,omitempty"`
	Reason     string    `json:"reason"`
	Reference  string    `json:"reference,omitempty"` // of the matter
	By         string    `json:"by"`
	At         time.Time `json:"at"`
	Entry      uint64    `json:"entry"`
	ReleasedAt time.Time `json:"released_at,omitzero"`
	ReleasedBy string    `json:"released_by,omitempty"` // who asked for it
	Released   string    `json:"release_reason,omitempty"`
	Until      time.Time `json:"holds_until,omitzero"` // once it is released
}

// stands says whether it holds at a time.
func (h *retentionHold) stands(at time.Time) bool { return h.ReleasedAt.IsZero() || at.Before(h.Until) }

type heldBody struct {
	ID        string `json:"id"`
	Of        string `json:"of"`
	Incident  string `json:"incident,omitempty"` // that of is, or belongs to
	Reason    string `json:"reason"`
	Reference string `json:"reference,omitempty"`
}

type releasedBody struct {
	ID       string `json:"id"`
	Incident string `json:"incident,omitempty"`
	By       string `json:"by"` // who asked for it; others may have agreed
	Reason   string `json:"reason"`
}

func (r *retentionState) hold(id string) *retentionHold {
	n := number(id, "lh-")
	if n < 1 || n > len(r.holds) || r.holds[n-1].ID != id {
		return nil
	}
	return r.holds[n-1]
}

func foldHeld(s *state, e ledger.Entry, _ *order.Order) (func(), error) {
	b, err := read[heldBody](e.Body)
	if err != nil {
		return nil, err
	}
	if b.ID != "lh-"+strconv.Itoa(len(s.retention.holds)+1) || b.Of == "" {
		return nil, fmt.Errorf("legal hold %q is not the next: %w", short(b.ID), errForm)
	}
	return func() {
		s.retention.holds = append(s.retention.holds, &retentionHold{ID: b.ID, Of: b.Of, Incident: b.Incident, Reason: b.Reason, Reference: b.Reference, By: e.Actor, At: e.At.UTC(), Entry: e.Seq})
	}, nil
}

func foldReleased(s *state, e ledger.Entry, _ *order.Order) (func(), error) {
	b, err := read[releasedBody](e.Body)
	if err != nil {
		return nil, err
	}
	h := s.retention.hold(b.ID)
	if h == nil || !h.ReleasedAt.IsZero() {
		return nil, fmt.Errorf("legal hold %q does not stand: %w", short(b.ID), errForm)
	}
	return func() {
		at := e.At.UTC()
		h.ReleasedAt, h.ReleasedBy, h.Released, h.Until = at, b.By, b.Reason, at.Add(holdGrace)
	}, nil
}

// newRetentionHold is a hold to be placed.
type newRetentionHold struct {
	Of        string `json:"of"`
	Reason    string `json:"reason"`
	Reference string `json:"reference,omitempty"`
}

// holdable finds what a hold is to cover: the incident that it is in, if any. Who
// may not know of a thing is told that there is none.
func (c *Control) holdable(s *state, op *operator, of string) (in string, err error) {
	kinds := slices.DeleteFunc(append([]string{everything}, plan.RetentionClasses...), func(class string) bool { return class == "requests" })
	none := func() error {
		return badField("of", strconv.Quote(short(of))+" is nothing that can be held; give one of these, or the id of an incident (i-7), an evidence (e-3) or a concern (k-2)", kinds...)
	}
	kind, _, _ := strings.Cut(of, "-")
	switch {
	case of == "requests":
		return "", badField("of", "requests are kept by gateways, which know no legal holds: raise gateway.record.keep there, or take evidence", kinds...)
	case slices.Contains(kinds, of):
		return "", nil
	case kind == "i":
		if _, err := s.seen(op, of); err != nil {
			return "", none()
		}
		return of, nil
	case kind == "e":
		x, err := s.evidenceFor(op, of)
		if err != nil {
			return "", none()
		}
		return x.Incident, nil
	case kind == "k" && s.readsConcerns(op) && s.concern.concerns[of] != nil:
		return "", nil
	}
	return "", none()
}

// readsConcerns says whether an operator is at the desk of the concern channel; see
// atDesk.
func (s *state) readsConcerns(op *operator) bool {
	if op.roles.Has(authority.Auditor) {
		return true
	}
	for _, o := range s.operators {
		if o.active() && o.roles.Has(authority.Auditor) {
			return false
		}
	}
	return op.roles.Has(authority.Administrator)
}

// seesHold says whether an operator may know of a hold: as of what it covers.
func (s *state) seesHold(op *operator, h *retentionHold) bool {
	if strings.HasPrefix(h.Of, "k-") {
		return s.readsConcerns(op)
	}
	in := s.book().Incident(h.Incident)
	return in == nil || s.book().Sees(s.readerOf(op), in)
}

// postRetentionHold places a hold. It counts from its entry on: a pass that has
// not written its own by then erases nothing that it covers.
func (c *Control) postRetentionHold(cl *call) error {
	if err := cl.op.may("retention.hold"); err != nil {
		return err
	}
	if _, err := cl.query(); err != nil {
		return err
	}
	b, err := decode[newRetentionHold](cl)
	if err != nil {
		return err
	}
	if err := reasonGiven(b.Reason); err != nil {
		return err
	}
	if err := checkLine("reference", b.Reference, 300); err != nil {
		return err
	}
	id := ""
	_, err = c.execute(cl.r.Context(), cl.op.id, func(s *state, now time.Time) ([]draft, error) {
		in, err := c.holdable(s, cl.op, b.Of)
		if err != nil {
			return nil, err
		}
		n, own := 0, 0
		for _, h := range s.retention.holds {
			if h.stands(now) {
				n++
				if h.By == cl.op.id {
					own++
				}
			}
		}
		switch {
		case own >= maxOwnHolds: // nobody takes the room from the others
			return nil, problem("too_many_holds", fmt.Sprintf("%d legal holds that you have placed stand; have some released first, or hold a class, or %s, by somebody else", own, everything))
		case n >= maxRetentionHolds:
			return nil, problem("too_many_holds", fmt.Sprintf("%d legal holds stand; hold a class, or %s, instead", n, everything))
		}
		id = "lh-" + strconv.Itoa(len(s.retention.holds)+1)
		return []draft{{typeRetentionHeld, heldBody{ID: id, Of: b.Of, Incident: in, Reason: b.Reason, Reference: b.Reference}}}, nil
	})
	if err != nil {
		return err
	}
	return c.replyHold(cl, http.StatusCreated, id)
}

func (c *Control) replyHold(cl *call, status int, id string) error {
	c.mu.RLock()
	v := *c.state.retention.hold(id)
	c.mu.RUnlock()
	return cl.reply(status, v)
}

// releaseWhat is a release that others agree to.
type releaseWhat struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

func noHold(id string) error {
	return problem("not_found", "there is no legal hold "+strconv.Quote(short(id)))
}

func doRelease(_ *Control, s *state, op *operator, what jsontext.Value, _ time.Time) ([]draft, error) {
	b, err := read[releaseWhat](what)
	if err != nil {
		return nil, err
	}
	h := s.retention.hold(b.ID)
	if h == nil || !s.seesHold(op, h) {
		return nil, noHold(b.ID)
	}
	if !h.ReleasedAt.IsZero() {
		return nil, nil // released is released
	}
	return []draft{{typeRetentionReleased, releasedBody{ID: h.ID, Incident: h.Incident, By: op.id, Reason: b.Reason}}}, nil
}

// postRetentionRelease releases a hold, or has others asked where the rules for
// what loosens say so. What is past its time is erased holdGrace later at the
// soonest.
func (c *Control) postRetentionRelease(cl *call) error {
	if err := cl.op.may("retention.release"); err != nil {
		return err
	}
	if err := cl.stepUp("release a legal hold"); err != nil {
		return err
	}
	if _, err := cl.query(); err != nil {
		return err
	}
	b, err := decode[reasoned](cl)
	if err != nil {
		return err
	}
	if err := reasonGiven(b.Reason); err != nil {
		return err
	}
	id := cl.r.PathValue("id")
	err = c.act(cl.r.Context(), cl.op, func(s *state) (wanted, error) {
		h := s.retention.hold(id)
		if h == nil || !s.seesHold(cl.op, h) {
			return wanted{}, noHold(id)
		}
		return wanted{question: authority.Question{Act: authority.Loosen}, do: "release", subject: id, says: "release legal hold " + id + " of " + h.Of,
			what: releaseWhat{id, b.Reason}, reason: b.Reason}, nil
	})
	if err != nil {
		return err
	}
	return c.replyHold(cl, http.StatusOK, id)
}

// foldConfirmed ends a doubt: somebody who read another clock says the time is right.
func foldConfirmed(s *state, e ledger.Entry, _ *order.Order) (func(), error) {
	if _, err := read[confirmedBody](e.Body); err != nil {
		return nil, err
	}
	return func() { s.retention.doubt = clockDoubt{} }, nil
}

// confirmedBody says what time it is by another clock than the control plane's.
type confirmedBody struct {
	Now    time.Time `json:"now"`
	From   time.Time `json:"doubted_from,omitzero"`
	Reason string    `json:"reason"`
}

// newConfirmation is the time as an operator reads it elsewhere.
type newConfirmation struct {
	Now    time.Time `json:"now"`
	Reason string    `json:"reason"`
}

// clockTrouble says why erasures wait for somebody to look at the clock; "" if they
// do not. The record's time leapt, or the clock is far ahead of it.
func (s *state) clockTrouble(early time.Time) string {
	const confirm = "; nothing is erased until somebody confirms the time (andon retention clock)"
	switch d := s.retention.doubt; {
	case !d.from.IsZero():
		return fmt.Sprintf("the record's time leapt from %s to %s", d.from.Format(time.RFC3339), d.to.Format(time.RFC3339)) + confirm
	case !s.last.IsZero() && early.Sub(s.last) > maxClockGap:
		return fmt.Sprintf("the clock says %s, and the last entry of the record is of %s", early.Format(time.RFC3339), s.last.UTC().Format(time.RFC3339)) + confirm
	}
	return ""
}

// postRetentionClock confirms the time after it leapt. Whoever does says the time
// themselves, so that a clock that is wrong does not confirm itself.
func (c *Control) postRetentionClock(cl *call) error {
	if err := cl.op.may("retention.clock"); err != nil {
		return err
	}
	if err := cl.stepUp("confirm the clock by which records are erased"); err != nil {
		return err
	}
	if _, err := cl.query(); err != nil {
		return err
	}
	b, err := decode[newConfirmation](cl)
	if err != nil {
		return err
	}
	if err := reasonGiven(b.Reason); err != nil {
		return err
	}
	if b.Now.IsZero() {
		return badField("now", "missing: give the time, as another clock shows it (RFC 3339)")
	}
	_, err = c.execute(cl.r.Context(), cl.op.id, func(s *state, now time.Time) ([]draft, error) {
		clock := c.cfg.Now().UTC().Round(0)
		for name, t := range map[string]time.Time{"control plane's clock": clock, "record": now} {
			if d := t.Sub(b.Now); d > clockSlack || d < -clockSlack {
				return nil, badField("now", fmt.Sprintf("is %s, and the %s says %s: more than %s apart. Set the clock right first; nothing was confirmed", b.Now.UTC().Format(time.RFC3339), name, t.Format(time.RFC3339), "1h"))
			}
		}
		if s.clockTrouble(c.early()) == "" {
			return nil, nil // nothing is in doubt
		}
		return []draft{{typeRetentionConfirmed, confirmedBody{Now: b.Now.UTC(), From: s.retention.doubt.from, Reason: b.Reason}}}, nil
	})
	if err != nil {
		return err
	}
	c.mu.RLock()
	v := c.state.retentionClock(c.early())
	c.mu.RUnlock()
	return cl.reply(http.StatusOK, v)
}
