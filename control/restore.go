package control

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"andon/authority"
	"andon/correction"
	"andon/ledger"
	"andon/order"
)

// This room holds the way back to the exact prior state. What was in force is
// found by folding the ledger up to then, with the very code that made it; what
// has to change to get there is one entry, one revision, and one swap at each
// gateway. It loosens, so it is agreed to like any lift, by the most demanding
// rule of all that it lifts.

const typeRestored = "state.restored" // revision

type restoreState struct{}

// How many earlier states are looked for at the same time, and how long others wait.
const (
	maxPasts = 2
	pastWait = 30 * time.Second
)

var restoreTable = []route{
	{"POST", "/api/v1/restore", typeRestored, false, (*Control).postRestore},
}

var restorePermits = map[string]authority.Set{"state.restore": actors}

var restoreCodes = map[string]code{
	"nothing_to_restore": {409, "It is as it was"},
	"changed_since":      {409, "What is in force has changed meanwhile"},
}

var restoreFolds = map[string]foldFunc{typeRestored: foldRestored}

func restoreClock(*Control, *state, time.Time) []draft { return nil }

// restoreAsk says which state is wanted. Exactly one of the first three is given.
type restoreAsk struct {
	Revision *uint64   `json:"revision,omitempty"` // the state that this order made
	At       time.Time `json:"at,omitzero"`        // the state at that time
	Before   string    `json:"before,omitempty"`   // the state before this correction, or before the first one of this incident
	Reason   string    `json:"reason"`
	Preview  bool      `json:"preview,omitempty"` // change nothing
}

// restoredBody is a restoration: what it does, and to which state.
type restoredBody struct {
	Revision  uint64                  `json:"to_revision"`
	Entry     uint64                  `json:"to_entry"` // number of entries that made that state
	Lift      []string                `json:"lift,omitempty"`
	Reinstate []correction.Correction `json:"reinstate,omitempty"` // lifted or ended since
	Change    []correction.Correction `json:"change,omitempty"`    // changed since: as they were
	Was       string                  `json:"was"`                 // digest of what is in force now, that this was decided on
	Digest    string                  `json:"digest"`              // of what is in force afterwards
	Reason    string                  `json:"reason"`
}

// inForce are the corrections that stand, as people set them: what was learned
// since (links, acknowledgements) and when somebody looks again is left out.
func (s *state) inForce(now time.Time) map[string]correction.Correction {
	out := map[string]correction.Correction{}
	for _, r := range s.list {
		if st := r.stateAt(now); st == "active" || st == "scheduled" {
			out[r.ID] = asSet(r.Correction)
		}
	}
	return out
}

func asSet(c correction.Correction) correction.Correction {
	c.Links, c.Acknowledged, c.ReviewBy = nil, nil, time.Time{}
	return c
}

// inForceDigest names a set of corrections: SHA-256 of their JSON, by id.
func inForceDigest(cs map[string]correction.Correction) string {
	sum := sha256.Sum256(body(cs)) // maps are encoded in order
	return hex.EncodeToString(sum[:])
}

// past folds the ledger up to the state that is asked for.
func (c *Control) past(ctx context.Context, ask *restoreAsk) (*state, error) {
	c.mu.RLock()
	size, current := c.state.size, c.state.revision
	c.mu.RUnlock()
	select { // the whole ledger is read: who asks often does not take the machine from the others
	case c.desk.past <- struct{}{}:
		defer func() { <-c.desk.past }()
	case <-time.After(pastWait):
		return nil, problem("unavailable", "others are looking for earlier states; try again")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	to := size
	switch {
	case ask.Revision != nil:
		if *ask.Revision > current {
			return nil, badField("revision", fmt.Sprintf("%d is not there yet; the current one is %d", *ask.Revision, current))
		}
	case ask.Before != "":
		seq, err := c.firstOf(ask.Before)
		if err != nil {
			return nil, err
		}
		to = seq
	default:
		if ask.At.After(c.cfg.Now()) {
			return nil, badField("at", "lies in the future")
		}
	}
	s, done := newState(), errors.New("there")
	err := c.cfg.Log.Read(ctx, 0, to, func(e ledger.Entry) error {
		if ask.Revision == nil && !ask.At.IsZero() && e.At.After(ask.At) {
			return done
		}
		if ask.Revision != nil && s.revision == *ask.Revision {
			return done
		}
		_, err := s.fold(e)
		return err
	})
	if err != nil && !errors.Is(err, done) {
		return nil, fmt.Errorf("%w: read what was in force: %w", errLedger, err)
	}
	return s, nil
}

// firstOf is the entry that made a correction, or the first one of an incident.
func (c *Control) firstOf(name string) (uint64, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if r := c.state.corrections[name]; r != nil {
		seq := r.history[0].Entry
		for _, id := range r.held { // made with it, and before it
			seq = min(seq, c.state.corrections[id].history[0].Entry)
		}
		return seq, nil
	}
	for _, r := range c.state.list {
		if r.Incident == name && name != "" { // those of dependants stand there before it
			return r.history[0].Entry, nil
		}
	}
	return 0, badField("before", strconv.Quote(short(name))+" is neither a correction nor an incident that has corrections")
}

// wayBack says what has to change so that what is in force is what was. Nothing
// that ended by itself since comes back, and what has ended is not lifted again.
func (s *state) wayBack(then *state, now time.Time) (restoredBody, []string) {
	b := restoredBody{Revision: then.revision, Entry: then.size}
	was, is := then.inForce(then.last), s.inForce(now)
	var ended []string
	for _, r := range s.list {
		old, stood := was[r.ID]
		cur, stands := is[r.ID]
		switch {
		case stood && !old.ExpiresAt.IsZero() && !now.Before(old.ExpiresAt):
			ended = append(ended, r.ID)
			delete(was, r.ID)
			if stands {
				b.Lift = append(b.Lift, r.ID)
			}
		case stood && !stands:
			b.Reinstate = append(b.Reinstate, old)
		case stood && string(body(old)) != string(body(cur)):
			b.Change = append(b.Change, old)
		case !stood && stands:
			b.Lift = append(b.Lift, r.ID)
		}
	}
	b.Was, b.Digest = inForceDigest(is), inForceDigest(was)
	return b, ended
}

// checkRestore says whether a restoration can be carried out now.
func (c *Control) checkRestore(s *state, b *restoredBody, now time.Time) error {
	if inForceDigest(s.inForce(now)) != b.Was {
		p := problem("changed_since", "what is in force has changed since this was asked for; nothing was changed")
		p.Hint = "ask anew: andon restore shows what it would do now"
		return p
	}
	for _, id := range b.Lift {
		if err := s.inCustody(id, "lifted"); err != nil {
			return err
		}
	}
	weight := 0
	for _, set := range [][]correction.Correction{b.Reinstate, b.Change} {
		for i := range set {
			cor := set[i]
			if err := s.inCustody(cor.ID, "changed"); err != nil {
				return err
			}
			if err := c.checkLists(&cor); err != nil {
				return fmt.Errorf("bring back %s: %w", cor.ID, err)
			}
			if _, err := correction.Compile([]correction.Correction{cor}); err != nil {
				return fmt.Errorf("bring back %s: %w", cor.ID, err)
			}
			weight += weigh(&cor)
		}
	}
	return s.room(weight)
}

func doRestore(c *Control, s *state, _ *operator, what jsontext.Value, now time.Time) ([]draft, error) {
	b, err := read[restoredBody](what)
	if err != nil {
		return nil, err
	}
	if err := c.checkRestore(s, &b, c.early()); err != nil {
		return nil, err
	}
	return []draft{{kind: typeRestored, body: b}}, nil
}

// foldRestored makes the one order that leads back.
func foldRestored(s *state, e ledger.Entry, o *order.Order) (func(), error) {
	b, err := read[restoredBody](e.Body)
	if err != nil {
		return nil, err
	}
	review := e.At.UTC().Add(defaultReview)
	var puts []correction.Correction
	for _, set := range [][]correction.Correction{b.Reinstate, b.Change} {
		for _, cor := range set {
			r := s.corrections[cor.ID]
			if r == nil {
				return nil, fmt.Errorf("correction %q was never there: %w", cor.ID, errForm)
			}
			cor.Links, cor.Acknowledged, cor.ReviewBy = r.Links, r.Acknowledged, r.ReviewBy // learned since, or still to be looked at
			if !cor.ReviewBy.IsZero() && cor.ReviewBy.Before(review) || cor.ReviewBy.IsZero() && cor.ExpiresAt.IsZero() {
				cor.ReviewBy = review
			}
			puts = append(puts, cor)
			o.Put = append(o.Put, issued(cor))
		}
	}
	for _, id := range b.Lift {
		if r := s.corrections[id]; r == nil || r.gone != "" {
			return nil, fmt.Errorf("correction %q is not in force: %w", id, errForm)
		}
	}
	o.Drop = b.Lift
	back := len(b.Reinstate)
	return func() {
		for i, cor := range puts {
			r, action := s.corrections[cor.ID], "restored"
			if i >= back {
				action = "set back"
			}
			s.weight -= r.weight
			r.Correction, r.gone, r.weight = cor, "", weigh(&cor)
			s.weight += r.weight
			r.restored(s, e, action, b.Reason)
		}
		for _, id := range b.Lift {
			r := s.corrections[id]
			s.weight -= r.weight
			r.gone, r.weight = "lifted", 0
			r.restored(s, e, "lifted", b.Reason)
		}
	}, nil
}

func (r *record) restored(s *state, e ledger.Entry, action, reason string) {
	r.measured, r.revision, r.changed = nil, s.revision, e.At.UTC()
	r.history = append(r.history, change{e.At.UTC(), e.Actor, action, reason, e.Seq})
}

// restoreLine is one correction that a restoration touches.
type restoreLine struct {
	ID   string `json:"id"`
	Says string `json:"says"`
}

// restoreView is what a restoration does, or did.
type restoreView struct {
	ToRevision uint64        `json:"to_revision"`
	ToEntry    uint64        `json:"to_entry"`
	Lift       []restoreLine `json:"lift"`
	Reinstate  []restoreLine `json:"reinstate"`
	Change     []restoreLine `json:"change"`
	EndedSince []string      `json:"ended_since"` // that expired by themselves, and stay so
	Left       []string      `json:"left"`        // what a restoration does not touch and has changed since, in words
	Digest     string        `json:"digest"`      // of what is in force afterwards
	Revision   uint64        `json:"revision,omitempty"`
	Done       bool          `json:"done"`
}

func restoreLines(s *state, ids []string, cs []correction.Correction) []restoreLine {
	out := []restoreLine{}
	for _, id := range ids {
		out = append(out, restoreLine{id, correctionFully(&s.corrections[id].Correction)})
	}
	for i := range cs {
		out = append(out, restoreLine{cs[i].ID, correctionFully(&cs[i])})
	}
	return out
}

// left says what else is different and stays so: lists and keys are not what a
// restoration is about.
func (s *state) leftAlone(then *state) []string {
	out := []string{}
	for _, k := range s.keyList {
		if old := then.keys[k.ID]; old != nil && old.revokedAt.IsZero() && !k.revokedAt.IsZero() {
			out = append(out, "key "+k.ID+" was revoked and stays so")
		}
	}
	for name, l := range s.lists {
		if old := then.lists[name]; old == nil || old.Digest != l.Digest {
			out = append(out, "list "+name+" has other entries than then")
		}
	}
	for name := range then.lists {
		if s.lists[name] == nil {
			out = append(out, "list "+name+" is no more")
		}
	}
	slices.Sort(out)
	return out[:min(len(out), 100)]
}

// postRestore leads back to a state that was.
func (c *Control) postRestore(cl *call) error {
	if err := cl.op.may("state.restore"); err != nil {
		return err
	}
	ask, err := decode[restoreAsk](cl)
	if err != nil {
		return err
	}
	n := 0
	for _, given := range []bool{ask.Revision != nil, !ask.At.IsZero(), ask.Before != ""} {
		if given {
			n++
		}
	}
	if n != 1 {
		return badField("before", "say which state: exactly one of revision, at and before", "revision", "at", "before")
	}
	if err := reasonGiven(ask.Reason); err != nil && !ask.Preview {
		return err
	}
	glass, err := cl.breakGlass()
	if err != nil {
		return err
	}
	then, err := c.past(cl.r.Context(), &ask)
	if err != nil {
		return err
	}
	var v restoreView
	show := func(s *state, now time.Time) restoredBody {
		b, ended := s.wayBack(then, now)
		b.Reason = ask.Reason
		v = restoreView{ToRevision: b.Revision, ToEntry: b.Entry, Lift: restoreLines(s, b.Lift, nil), Reinstate: restoreLines(s, nil, b.Reinstate), Change: restoreLines(s, nil, b.Change),
			EndedSince: append([]string{}, ended...), Left: s.leftAlone(then), Digest: b.Digest}
		return b
	}
	if ask.Preview {
		c.mu.RLock()
		show(c.state, c.early())
		c.mu.RUnlock()
		return cl.reply(http.StatusOK, v)
	}
	err = c.act(cl.r.Context(), cl.op, func(s *state) (wanted, error) {
		b := show(s, c.early())
		if len(b.Lift)+len(b.Reinstate)+len(b.Change) == 0 {
			return wanted{}, problem("nothing_to_restore", fmt.Sprintf("what is in force is what was at revision %d", b.Revision))
		}
		return wanted{questions: s.restoreQuestions(&b), do: "restore", subject: "state",
			says: fmt.Sprintf("restore revision %d: lift %d, bring back %d, set back %d", b.Revision, len(b.Lift), len(b.Reinstate), len(b.Change)),
			what: b, reason: ask.Reason, glass: glass, tightens: len(b.Lift)+len(b.Change) == 0}, nil
	})
	if err != nil {
		return err
	}
	c.mu.RLock()
	v.Revision, v.Done = c.state.revision, true
	if got := inForceDigest(c.state.inForce(c.early())); got != v.Digest {
		c.log.Error("ALARM: after a restoration other corrections are in force than were then", "digest", got, "then", v.Digest)
		c.metrics.alarms.Inc()
		v.Done = false
	}
	c.mu.RUnlock()
	return cl.reply(http.StatusOK, v)
}

// restoreQuestions are the acts that a restoration is made of. Where it loosens,
// that is what has to be agreed to.
func (s *state) restoreQuestions(b *restoredBody) []authority.Question {
	var out []authority.Question
	for _, id := range b.Lift {
		r := s.corrections[id]
		out = append(out, s.question(authority.Loosen, &r.Correction, r.share()))
	}
	for i := range b.Change { // it may loosen: what it was may end earlier
		r := s.corrections[b.Change[i].ID] // what it is now is what is given up
		out = append(out, s.question(authority.Loosen, &r.Correction, r.share()), s.question(authority.Loosen, &b.Change[i], nil))
	}
	for i := range b.Reinstate {
		if len(b.Lift)+len(b.Change) > 0 {
			break
		}
		out = append(out, s.question(authority.Tighten, &b.Reinstate[i], nil))
	}
	return out
}
