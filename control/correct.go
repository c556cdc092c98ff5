package control

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"andon/authority"
	"andon/correction"
)

// defaultReview is when a person looks again at a correction that was given
// neither an expiry nor a review: nothing is permanent by default.
const defaultReview = 24 * time.Hour

// maxWeight bounds what is in force, in bytes: a full state has to fit into one
// message on the bus, in base64 and with its signature.
const maxWeight = 44 << 20

// maxReason bounds the reason of a lift, an extension and the like, in bytes.
const maxReason = 4096

// create puts a correction in force. The same idempotency key with the same
// request returns what was made the first time; replayed says so.
func (c *Control) create(ctx context.Context, op *operator, cor correction.Correction, how created) (id string, replayed bool, err error) {
	if err := op.may("correction.create"); err != nil {
		return "", false, err
	}
	if err := c.vet(&cor); err != nil {
		return "", false, err
	}
	how.share = c.shareFirst(ctx, op, &cor, how.glass)
	idem := how.idem
	_, err = c.execute(ctx, op.id, func(s *state, now time.Time) (drafts []draft, err error) {
		if idem != nil {
			if a := s.requests[requestID{op.id, idem.Key}]; a != nil {
				if a.request != idem.Request {
					return nil, problem("idempotency_conflict", fmt.Sprintf("the key was used for another request, which made %s; use a new key", a.correction))
				}
				id, replayed = a.correction, true
				return nil, nil
			}
		}
		id, drafts, err = c.draftRuled(s, op, cor, how, now)
		return drafts, err
	})
	if err == nil && !replayed {
		c.measureShare(id)
	}
	return id, replayed, err
}

// vet is what is asked of a correction and takes time: it is done before a
// command has its turn.
func (c *Control) vet(cor *correction.Correction) error {
	if err := checkPatterns(cor, c.cfg.Now()); err != nil {
		return err
	}
	return c.checkDetector(cor)
}

// created is how a correction comes about.
type created struct {
	idem   *idempotency
	before int      // corrections that the command has drafted already
	share  *float64 // of traffic that it reaches, if it was measured
	glass  bool     // whatever rules and limits say
	unheld bool     // dependants on the hold-down list get no fallback first
}

// draftCreate drafts a correction that was vetted, as part of a command. before
// is how many corrections the command has drafted already.
func (c *Control) draftCreate(s *state, op *operator, cor correction.Correction, idem *idempotency, before int, now time.Time) (id string, drafts []draft, err error) {
	return c.draftRuled(s, op, cor, created{idem: idem, before: before}, now)
}

func (c *Control) draftRuled(s *state, op *operator, cor correction.Correction, how created, now time.Time) (id string, drafts []draft, err error) {
	next, err := c.check(cor, now)
	if err == nil {
		err = s.checkIncident(op, &next)
	}
	if err != nil {
		return "", nil, err
	}
	id = s.correctionID(how.before)
	// By the early clock: a drain counts from this, and must not wait for a
	// clock that jumped ahead, here or in the record.
	next.ID, next.AppliedAt = id, c.early()
	if err := s.room(weigh(&next)); err != nil {
		return "", nil, err
	}
	first, overridden := []correction.Correction(nil), []string(nil)
	if how.unheld {
		for _, h := range s.holdDown(&next) {
			overridden = append(overridden, h.Name)
		}
	} else if rest, held := s.firstTheHeld(next); c.heldFit(held, now) {
		next, first = rest, held
	}
	ru, err := c.rule(s, op, &next, how.share, now)
	var glass []draft
	if err != nil && how.glass {
		q := s.question(authority.Tighten, &next, how.share)
		a := s.ask(q)
		ru = ruled(a, how.share, now)
		glass, err = s.breakGlass(op, &wanted{question: q, do: "create", subject: id, says: correctionFully(&next), reason: next.Reason}, a, now)
	}
	if err != nil {
		return "", nil, err
	}
	drafts = glass
	for i, one := range first {
		one.ID = s.correctionID(how.before + 1 + i)
		drafts = append(drafts, draft{typeCreated, createdBody{Correction: one, Ruling: ru}})
	}
	made := createdBody{Correction: next, Idempotency: how.idem, Ruling: ru, Overridden: overridden}
	for i := range first {
		made.Held = append(made.Held, s.correctionID(how.before+1+i))
	}
	drafts = append(drafts, draft{typeCreated, made})
	if b := s.learnLinks(&record{Correction: next}); b != nil {
		drafts = append(drafts, draft{typeLinked, *b})
	}
	return id, drafts, nil
}

// room reports whether the full state may grow by so many bytes.
func (s *state) room(more int) error {
	if s.weight+more > maxWeight {
		return problem("order_too_large", "with this, everything in force no longer fits into one order (44 MiB); lift what is no longer needed, or write it shorter")
	}
	return nil
}

// check is everything that is asked of a correction before it is accepted, in
// preview too. It returns the correction with its defaults.
func (c *Control) check(cor correction.Correction, now time.Time) (correction.Correction, error) {
	if cor.ID != "" || !cor.AppliedAt.IsZero() {
		field := "id"
		if cor.ID == "" {
			field = "applied_at"
		}
		return cor, badField(field, "is set by the control plane; leave it out")
	}
	cor.StartsAt, cor.ReviewBy, cor.ExpiresAt = utc(cor.StartsAt), utc(cor.ReviewBy), utc(cor.ExpiresAt)
	if cor.ReviewBy.IsZero() && cor.ExpiresAt.IsZero() {
		cor.ReviewBy = now.Add(defaultReview)
	}
	if err := cor.Validate(now); err != nil {
		return cor, err
	}
	if err := c.checkModels(&cor); err != nil {
		return cor, err
	}
	if err := c.checkLists(&cor); err != nil {
		return cor, err
	}
	// What does not compile here would not compile at a gateway either, and would
	// hold up every order after it.
	if _, err := correction.Compile([]correction.Correction{cor}); err != nil {
		return cor, err
	}
	return cor, nil
}

func utc(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC()
}

// checkModels refuses names that nobody serves: a stop with a typing error would
// otherwise be accepted, and stop nothing.
func (c *Control) checkModels(cor *correction.Correction) error {
	known := slices.Sorted(maps.Keys(c.models()))
	unknown := func(field, name string, also ...string) error {
		p := problem("unknown_model", strconv.Quote(name)+" is not a model that is served here")
		p.Field, p.Allowed = field, slices.Concat(known, also)
		return p
	}
	check := func(field string, names []string) error {
		for i, n := range names {
			if _, ok := slices.BinarySearch(known, n); !ok && len(known) > 0 {
				return unknown(fmt.Sprintf("%s.models[%d]", field, i), n)
			}
		}
		return nil
	}
	if err := check("scope", cor.Scope.Models); err != nil {
		return err
	}
	if cor.Except != nil {
		if err := check("except", cor.Except.Models); err != nil {
			return err
		}
	}
	if cor.Fallback == "" || cor.Fallback == correction.NoFallback {
		return nil
	}
	if _, ok := slices.BinarySearch(known, cor.Fallback); !ok && len(known) > 0 {
		return unknown("fallback", cor.Fallback, correction.NoFallback)
	}
	if slices.Contains(cor.Scope.Models, cor.Fallback) {
		return badField("fallback", strconv.Quote(cor.Fallback)+" is in the scope itself and cannot stand in for it")
	}
	return nil
}

// models are those configured and those that gateways say they serve.
func (c *Control) models() map[string]ModelInfo {
	known := map[string]ModelInfo{}
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, p := range c.points {
		for _, m := range p.Models {
			known[m] = ModelInfo{Name: m}
		}
	}
	for _, m := range c.cfg.Models {
		known[m.Name] = m
	}
	return known
}

// standing returns a correction that can still be changed.
func (s *state) standing(id string, now time.Time) (*record, error) {
	r := s.corrections[id]
	if r == nil {
		return nil, problem("not_found", "there is no correction "+strconv.Quote(short(id)))
	}
	switch st := r.stateAt(now); st {
	case "lifted", "expired":
		at := r.changed
		if r.gone == "" {
			at = r.ExpiresAt
		}
		return nil, problem("not_in_force", fmt.Sprintf("%s was %s at %s; make a new correction if it is needed again", id, st, at.Format(time.RFC3339)))
	}
	return r, nil
}

func short(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}

// stateAt is where a correction is in its life. now is the early time.
func (r *record) stateAt(now time.Time) string {
	switch {
	case r.gone != "":
		return r.gone
	case !r.ExpiresAt.IsZero() && !now.Before(r.ExpiresAt):
		return "expired"
	case now.Before(r.StartsAt):
		return "scheduled"
	}
	return "active"
}

func reasonGiven(reason string) error {
	if strings.TrimSpace(reason) == "" {
		return badField("reason", "missing: say why, for the record")
	}
	if len(reason) > maxReason {
		return badField("reason", fmt.Sprintf("has %d bytes; at most %d", len(reason), maxReason))
	}
	return nil
}

// lift takes a correction back. Where rules ask for others, the error is *waits.
func (c *Control) lift(ctx context.Context, op *operator, id, reason string, glass bool) error {
	if err := op.may("correction.lift"); err != nil {
		return err
	}
	if err := reasonGiven(reason); err != nil {
		return err
	}
	return c.act(ctx, op, func(s *state) (wanted, error) {
		r, err := s.standing(id, c.early())
		if err != nil {
			return wanted{}, err
		}
		return wanted{question: s.question(authority.Loosen, &r.Correction, r.share()), do: "lift", subject: id,
			says: "lift " + id + " (" + correctionFully(&r.Correction) + ")" + s.unmetWords(id), what: liftWhat{id, reason}, reason: reason, glass: glass}, nil
	})
}

// share is the share of traffic that a correction reaches, if it was measured.
func (r *record) share() *float64 {
	if r.ruling == nil {
		return nil
	}
	return r.ruling.Share
}

// draftLift drafts the end of a correction, as part of a command, if one person
// may lift it.
func (c *Control) draftLift(s *state, op *operator, id, reason string) ([]draft, error) {
	r, err := s.standing(id, c.early())
	if err != nil {
		return nil, err
	}
	a, err := s.require(op, s.question(authority.Loosen, &r.Correction, r.share()))
	if err != nil {
		return nil, err
	}
	if a.Approvals > 0 {
		p := problem("approval_needed", fmt.Sprintf("to lift %s takes %d others (rule %s)", id, a.Approvals, strings.Join(a.Rules, ", ")))
		p.Hint = "andon lift " + id + ` --reason "…" asks them`
		return nil, p
	}
	return c.draftEnd(s, id, reason)
}

// draftEnd drafts the end of a correction, whoever agreed to it.
func (c *Control) draftEnd(s *state, id, reason string) ([]draft, error) {
	if _, err := s.standing(id, c.early()); err != nil {
		return nil, err
	}
	if err := s.inCustody(id, "lifted"); err != nil {
		return nil, err
	}
	return []draft{{typeLifted, changedBody{ID: id, Reason: s.liftReason(id, reason)}}}, nil
}

// extension is what extend is asked to do.
type extension struct {
	Reason    string              `json:"reason"`
	ExpiresAt time.Time           `json:"expires_at,omitzero"`
	For       correction.Duration `json:"for,omitempty"` // from now, instead of expires_at
	ReviewBy  time.Time           `json:"review_by,omitzero"`
}

// extend moves the end of a correction later, or its review. An earlier end
// would loosen it, and that is what lift is for.
func (c *Control) extend(ctx context.Context, op *operator, id string, x extension) error {
	if err := op.may("correction.extend"); err != nil {
		return err
	}
	if err := reasonGiven(x.Reason); err != nil {
		return err
	}
	if x.For != 0 && !x.ExpiresAt.IsZero() {
		return badField("for", "is another way to write expires_at; give one of the two")
	}
	if x.For == 0 && x.ExpiresAt.IsZero() && x.ReviewBy.IsZero() {
		return badField("expires_at", "missing: give expires_at, for or review_by")
	}
	_, err := c.execute(ctx, op.id, func(s *state, now time.Time) ([]draft, error) {
		r, err := s.standing(id, c.early())
		if err != nil {
			return nil, err
		}
		if err := s.inCustody(id, "extended"); err != nil {
			return nil, err
		}
		if _, err := s.require(op, s.question(authority.Tighten, &r.Correction, r.share())); err != nil {
			return nil, err
		}
		b := changedBody{ID: id, Reason: x.Reason, ExpiresAt: utc(x.ExpiresAt), ReviewBy: utc(x.ReviewBy)}
		if x.For != 0 {
			b.ExpiresAt = now.Add(time.Duration(x.For))
		}
		if !b.ExpiresAt.IsZero() {
			if err := notEarlier(r, b.ExpiresAt); err != nil {
				return nil, err
			}
		}
		if b.ReviewBy.IsZero() && !r.ReviewBy.IsZero() && !r.ReviewBy.After(now) {
			b.ReviewBy = now.Add(defaultReview) // it was overdue, and somebody looks at it right now
		}
		return c.changed(typeExtended, r, b, now)
	})
	return err
}

func notEarlier(r *record, expires time.Time) error {
	var p *Problem
	switch {
	case r.ExpiresAt.IsZero():
		p = problem("loosening", r.ID+" stands until it is lifted; an expiry would end it earlier")
	case expires.Before(r.ExpiresAt):
		p = problem("loosening", fmt.Sprintf("%s ends at %s; this would end it earlier", r.ID, r.ExpiresAt.Format(time.RFC3339)))
	default:
		return nil
	}
	p.Field, p.Hint = "expires_at", "to end it earlier, lift it"
	return p
}

// changed checks the correction as it would be and drafts its entry.
func (c *Control) changed(kind string, r *record, b changedBody, now time.Time) ([]draft, error) {
	next := r.Correction
	next.ExpiresAt = cmp.Or(b.ExpiresAt, next.ExpiresAt)
	next.ReviewBy = cmp.Or(b.ReviewBy, next.ReviewBy)
	if b.ReviewBy.IsZero() && !next.ReviewBy.IsZero() && !next.ReviewBy.After(now) {
		next.ReviewBy = time.Time{} // overdue and not touched: nothing to object to here
	}
	if err := next.Validate(now); err != nil {
		return nil, err
	}
	return []draft{{kind, b}}, nil
}

// ratification is what ratify is asked to do.
type ratification struct {
	Reason   string    `json:"reason"`
	ReviewBy time.Time `json:"review_by,omitzero"` // default: a day from now, unless it ends before that
}

// ratify records that somebody looked at a correction and stands by it, and
// when the next look is due. While others have to ratify it, a word that cannot
// count is refused, so that nobody takes it for one that did.
func (c *Control) ratify(ctx context.Context, op *operator, id string, x ratification) error {
	if err := op.may("correction.ratify"); err != nil {
		return err
	}
	if err := reasonGiven(x.Reason); err != nil {
		return err
	}
	_, err := c.execute(ctx, op.id, func(s *state, now time.Time) ([]draft, error) {
		r, err := s.standing(id, c.early())
		if err != nil {
			return nil, err
		}
		if err := s.inCustody(id, "ratified"); err != nil {
			return nil, err
		}
		if err := op.ownHand(); err != nil {
			return nil, err
		}
		if err := r.countsFor(op, s.operators[op.id]); err != nil {
			return nil, err
		}
		b := changedBody{ID: id, Reason: x.Reason, ReviewBy: utc(x.ReviewBy)}
		if b.ReviewBy.IsZero() && (r.ExpiresAt.IsZero() || r.ExpiresAt.After(now.Add(defaultReview))) {
			b.ReviewBy = now.Add(defaultReview)
		}
		return c.changed(typeRatified, r, b, now)
	})
	return err
}
