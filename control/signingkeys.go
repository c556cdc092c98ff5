package control

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"

	"andon/bus"
	"andon/ledger"
	"andon/order"
)

// A key outside this process is asked twice a day: it warrants a key that lives
// here and nowhere else, which signs orders, states, leases and releases until
// then. So no order waits for an agent or a token, and the stop still works while
// it is away; and what is stolen from this process's memory counts for a day.
const (
	sessionLife  = order.MaxWarrant
	sessionRenew = sessionLife / 2
	signerPace   = 10 * time.Second // between tries
)

// activeKey is what signs: a key, and the key of this process that it has warranted.
// It is never changed once it is in place.
type activeKey struct {
	public order.PublicKey // of the key that counts
	source string
	root   order.Signer // the zero value while it cannot be had
	use    order.Signer // what signs; the zero value while nothing can
	until  time.Time    // of use; zero: no end
}

// signs reports whether what it signs now is taken.
func (i *activeKey) signs(now time.Time) bool {
	return i.use.Public().ID() != "" && (i.until.IsZero() || now.Before(i.until))
}

// signers are the keys of a control plane.
type signers struct {
	now   atomic.Pointer[activeKey]
	turn  sync.Mutex // held by the one who renews or rotates; taken before command
	next  *activeKey // to be put in place by the entry that names it; guarded by mu
	woken chan struct{}

	mu      sync.Mutex
	trouble string    // why the key that counts, or the chosen one, does not sign
	since   time.Time // of the trouble
}

func (c *Control) signingKey() *activeKey { return c.signers.now.Load() }

// signer signs what gateways take. It is the zero Signer, which signs nothing,
// while there is none.
func (c *Control) signer() order.Signer { return c.signingKey().use }

// rootSigner signs what has to be verified without a warrant: certificates. It may
// ask an agent or a token.
func (c *Control) rootSigner() (order.Signer, error) {
	i := c.signingKey()
	if i.root.Public().ID() == "" {
		return i.root, problem("signer_unavailable", "the signing key at "+i.source+" cannot be had: "+c.signers.says())
	}
	return i.root, nil
}

// OrderKey is the public key by which orders are signed now.
func (c *Control) OrderKey() order.PublicKey { return c.signingKey().public }

// Anchor is the oldest key from which gateways are led to the one that signs now.
func (c *Control) Anchor() order.PublicKey {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if told := c.state.signing.successions().Successions; len(told) > 0 {
		if s, err := order.OpenSuccession(told[0]); err == nil {
			return s.From
		}
	}
	return c.signingKey().public
}

// openSigner finds the key that counts, once the ledger is read. The ledger says
// which it is; the configuration says where to look for one that has moved. A key
// that was in force and cannot be had now is waited for: gateways go on.
func (c *Control) openSigner() error {
	c.signers.woken = make(chan struct{}, 1)
	public, source := c.state.signing.current()
	if public.ID() == "" {
		root := c.cfg.Signer
		if root.Public().ID() == "" && c.cfg.OpenSigner != nil {
			var err error
			if root, err = c.cfg.OpenSigner(c.cfg.Source, true); err != nil {
				return fmt.Errorf("open signing key: %w", err)
			}
		}
		if root.Public().ID() == "" {
			return errors.New("a signer is missing")
		}
		i, err := c.activate(root, c.cfg.Source)
		if err != nil {
			return fmt.Errorf("open signing key: %w", err)
		}
		c.signers.now.Store(i)
		return nil
	}
	i, err := c.findKey(public, source)
	if err != nil {
		c.signers.troubled(c.cfg.Now(), err)
		c.log.Error("ALARM: the key that signs orders cannot be had; gateways go on under the last order, and no command that makes one is taken", "key", public.ID(), "source", source, "error", err)
		i = &activeKey{public: public, source: source}
	}
	c.signers.now.Store(i)
	return nil
}

// findKey opens a key that is known, where it was or where it is configured now.
func (c *Control) findKey(public order.PublicKey, source string) (*activeKey, error) {
	if c.cfg.Signer.Public() == public {
		return c.activate(c.cfg.Signer, source)
	}
	if c.cfg.OpenSigner == nil {
		return nil, errors.New("this control plane opens no keys")
	}
	var errs []error
	for _, at := range []string{source, c.cfg.Source} {
		if at == "" || at == source && len(errs) > 0 {
			continue
		}
		root, err := c.cfg.OpenSigner(at, false)
		if err == nil && root.Public() != public {
			err = fmt.Errorf("at %s is key %s, not %s", at, root.Public().ID(), public.ID())
		}
		if err == nil {
			return c.activate(root, source)
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// activate puts a key to use. One outside this process is asked for a warrant.
func (c *Control) activate(root order.Signer, source string) (*activeKey, error) {
	i := &activeKey{public: root.Public(), source: source, root: root, use: root}
	if !root.Remote() {
		return i, nil
	}
	now := c.cfg.Now()
	session, err := order.NewSession(root, now, sessionLife)
	if err != nil {
		return nil, err
	}
	i.use, i.until = session, now.Add(sessionLife)
	return i, nil
}

// keepSigning renews what signs before it ends, looks for a key that cannot be
// had, and carries out a rotation that was begun.
func (c *Control) keepSigning() {
	tick := time.NewTicker(signerPace)
	defer tick.Stop()
	for {
		c.renewSigner()
		if err := c.carryRotation(context.Background()); err != nil && c.complaints.first(err.Error()) {
			c.log.Error("ALARM: the signing key that was chosen is not in place yet; the one before signs on", "error", err)
			c.metrics.alarms.Inc()
		}
		select {
		case <-c.stopping:
			return
		case <-tick.C:
		case <-c.signers.woken:
		}
	}
}

// renewSigner asks the key that counts for another warrant once half of the last
// one is over.
func (c *Control) renewSigner() {
	c.signers.turn.Lock()
	defer c.signers.turn.Unlock()
	old, now := c.signingKey(), c.cfg.Now()
	if old.signs(now) && (old.until.IsZero() || now.Before(old.until.Add(-sessionRenew))) {
		return
	}
	var i *activeKey
	var err error
	if old.root.Public().ID() != "" {
		i, err = c.activate(old.root, old.source)
	} else {
		i, err = c.findKey(old.public, old.source)
	}
	if err != nil {
		c.signers.troubled(now, err)
		if c.complaints.first("renew " + err.Error()) {
			c.log.Error("ALARM: the key that signs orders does not answer", "key", old.public.ID(), "source", old.source, "signs_until", old.until, "error", err)
			c.metrics.alarms.Inc()
		}
		return
	}
	c.mu.Lock()
	c.signers.now.Store(i)
	c.signLastLocked()
	c.mu.Unlock()
	c.signers.clear()
	if !old.signs(now) {
		c.log.Info("orders are signed again", "key", i.public.ID())
		c.repeat()
	}
}

// signLastLocked signs the last order anew, for those who missed it.
func (c *Control) signLastLocked() {
	c.last = nil
	if o := c.state.lastOrder; o != nil {
		signed, err := order.Sign(*o, c.signer())
		if err != nil {
			c.log.Error("the last order cannot be signed; gateways learn of it by resync", "revision", o.Revision, "error", err)
			return
		}
		c.last = signed
	}
}

// errMoved is a revision that was made while the keys signed; they sign again.
var errMoved = errors.New("the revision has moved")

// carryRotation puts the key in place that was chosen, if one was. Whatever it is
// ended by, it can be begun again.
func (c *Control) carryRotation(ctx context.Context) error {
	c.signers.turn.Lock()
	defer c.signers.turn.Unlock()
	for range maxConflicts {
		c.mu.RLock()
		want := c.state.signing.chosen
		s := order.Succession{N: uint64(len(c.state.signing.links)) + 1, Revision: c.state.revision, Head: c.state.head}
		c.mu.RUnlock()
		if want == nil {
			return nil
		}
		err := c.carry(ctx, want, s)
		if err == nil || !errors.Is(err, errMoved) {
			if err != nil {
				c.signers.troubled(c.cfg.Now(), err)
			} else {
				c.signers.clear()
			}
			return err
		}
	}
	return errMoved // a busy time: it is tried again
}

func (c *Control) carry(ctx context.Context, want *chosen, s order.Succession) error {
	old := c.signingKey()
	if old.root.Public().ID() == "" {
		return fmt.Errorf("the key that counts, %s, cannot be had, and no other can be named without it", old.public.ID())
	}
	c.mu.RLock()
	next := c.signers.next
	c.mu.RUnlock()
	if next == nil || next.public != want.Key || !next.signs(c.cfg.Now()) {
		if c.cfg.OpenSigner == nil {
			return errors.New("this control plane opens no keys")
		}
		root, err := c.cfg.OpenSigner(want.Source, false)
		if err == nil && root.Public() != want.Key {
			err = fmt.Errorf("at %s is key %s, not %s that was chosen", want.Source, root.Public().ID(), want.Key.ID())
		}
		if err == nil {
			next, err = c.activate(root, want.Source)
		}
		if err != nil {
			return err
		}
		c.mu.Lock()
		c.signers.next = next
		c.mu.Unlock()
	}
	s.From, s.To, s.At = old.public, next.public, c.cfg.Now().UTC().Round(0)
	signed, err := order.SignSuccession(s, old.root, next.root)
	if err != nil {
		return err
	}
	_, err = c.execute(ctx, system, func(st *state, _ time.Time) ([]draft, error) {
		switch now := st.signing.chosen; {
		case now == nil:
			return nil, nil
		case *now != *want || st.revision != s.Revision || st.head != s.Head:
			return nil, errMoved
		}
		return []draft{{kind: typeKeyRotated, body: rotatedBody{Source: want.Source, Succession: signed}}}, nil
	})
	return err
}

// turnedLocked follows an entry that puts another key in place, in the same breath:
// the next order is the new key's. The caller holds mu.
func (c *Control) turnedLocked(e ledger.Entry) {
	if e.Type == typeKeyChosen {
		c.wakeSigner() // others may have agreed to it just now
	}
	if e.Type != typeKeyRotated {
		return
	}
	public, source := c.state.signing.current()
	if next := c.signers.next; next != nil && next.public == public {
		c.signers.now.Store(next)
	} else { // somebody else wrote it
		c.signers.now.Store(&activeKey{public: public, source: source})
		c.wakeSigner()
	}
	c.signers.next = nil
	c.log.Warn("orders are signed by another key from here on", "key", public.String(), "source", source, "revision", c.state.revision)
	if c.cfg.Bus != nil {
		if data, err := json.Marshal(c.state.signing.successions()); err == nil {
			if err := c.cfg.Bus.Publish(order.SubjectSuccession, data); err != nil {
				c.log.Warn("the succession was not sent; gateways ask for it", "error", err)
			}
		}
	}
	c.signLastLocked()
	c.send(c.last)
}

func (c *Control) wakeSigner() {
	select {
	case c.signers.woken <- struct{}{}:
	default:
	}
}

// onSuccessions answers a gateway that met a key that it does not know.
func (c *Control) onSuccessions(m bus.Msg) {
	c.mu.RLock()
	list := c.state.signing.successions()
	c.mu.RUnlock()
	data, err := json.Marshal(list)
	if err != nil {
		c.log.Error("successions cannot be written", "error", err)
		return
	}
	c.answer(m, data)
}

// canSign refuses a command that makes an order while none can be signed. Nothing
// is written then: what is in the ledger and reaches no gateway would look like a
// stop.
func (c *Control) canSign(entries []ledger.Entry) error {
	i := c.signingKey()
	if i.signs(c.cfg.Now()) {
		return nil
	}
	for _, e := range entries {
		var o order.Order
		if _, err := c.state.prepare(e, &o); err != nil {
			continue // it builds on the one before it, which was looked at
		}
		if !o.Empty() {
			p := problem("signer_unavailable", fmt.Sprintf("the key that signs orders (%s, at %s) does not answer: %s. Nothing was changed", i.public.ID(), i.source, c.signers.says()))
			p.Hint = "a signed emergency order works without it: andon emergency sign"
			return p
		}
	}
	return nil
}

func (s *signers) troubled(now time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.trouble == "" {
		s.since = now.UTC()
	}
	s.trouble = err.Error()
}

func (s *signers) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trouble, s.since = "", time.Time{}
}

// says is the trouble in words.
func (s *signers) says() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.trouble == "" {
		return "it is being looked for"
	}
	return fmt.Sprintf("%s (since %s)", s.trouble, s.since.Format(time.RFC3339))
}
