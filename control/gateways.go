package control

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"andon/authority"
	"andon/bus"
	"andon/order"
)

// join answers gateways on the bus, and tells them the last order.
func (c *Control) join(ctx context.Context) error {
	b := c.cfg.Bus
	if b == nil {
		return nil
	}
	for subject, f := range map[string]func(bus.Msg){
		order.SubjectBeat:        c.onBeat,
		order.SubjectSync:        c.onSync,
		order.SubjectAck:         c.onAck,
		order.SubjectEmergency:   c.onEmergency,
		order.SubjectHold:        c.onHold,
		order.SubjectWorkChanged: c.onWorks,
		order.SubjectList:        c.onList,

		order.SubjectSuccessions: c.onSuccessions,
		order.SubjectLinked:      c.onLinked,
		order.SubjectAcknowledge: c.onAcknowledge,
		order.SubjectConsistency: c.onConsistency,
	} {
		for _, on := range []string{subject, order.Named(subject, "*")} { // shared, and in a gateway's own name
			if on != subject {
				f = c.lane(subject, f)
			}
			stop, err := b.Subscribe(on, f)
			if err != nil {
				return err
			}
			c.stops = append(c.stops, stop)
		}
	}
	if b.Connected() {
		if err := b.Flush(ctx); err != nil { // who asks after Start is answered
			return err
		}
	}
	b.OnReconnect(c.repeat)
	b.OnGap(func(cause error) {
		c.log.Warn("messages from gateways may be lost; their beats make up for it", "error", cause)
	})
	c.repeat()
	return nil
}

// repeat sends the last order again: to a gateway that missed it, it is the next
// one, or a gap that makes it ask; to all others a duplicate.
func (c *Control) repeat() {
	c.mu.RLock()
	defer c.mu.RUnlock()
	select {
	case <-c.stopping:
	default:
		c.send(c.last)
	}
}

func (c *Control) leave() {
	for _, stop := range c.stops {
		stop()
	}
	c.stops = nil
}

// answer sends a reply. It may fail because nobody waits any more.
func (c *Control) answer(m bus.Msg, data []byte) {
	if err := m.Respond(data); err != nil {
		c.log.Debug("an answer was not sent", "subject", m.Subject, "error", err)
	}
}

func (c *Control) onBeat(m bus.Msg) {
	var b order.Beat
	if err := json.Unmarshal(m.Data, &b); err != nil { // members of a newer gateway are ignored
		c.log.Warn("a beat cannot be read", "error", err)
		return
	}
	if checkLine("gateway", b.Gateway, maxPointName) != nil || b.Gateway == "" || len(b.Features)+len(b.Models)+len(b.Emergencies)+len(b.Lists)+len(b.Detectors)+len(b.Versions)+len(b.Trusts) > maxPointLists {
		c.log.Warn("a beat is out of bounds and was ignored", "name_bytes", len(b.Gateway))
		return
	}
	if !c.speaks(m, order.SubjectBeat, b.Gateway) {
		return
	}
	c.sighted(b.Gateway, b.Witness)
	c.forks(b.Gateway, b.Witness.Key, b.Forks)
	lease := c.beat(b)
	c.attest(&lease)
	lease.Witnesses = c.namedWitnesses(b.Peers)
	signed, err := order.Sign(lease, c.signer())
	if err != nil {
		c.log.Error("a lease cannot be signed", "error", err)
		return
	}
	c.answer(m, signed)
}

func (c *Control) onAck(m bus.Msg) {
	var a order.Ack
	if err := json.Unmarshal(m.Data, &a); err != nil {
		c.log.Warn("an acknowledgement cannot be read", "error", err)
		return
	}
	if c.speaks(m, order.SubjectAck, a.Gateway) {
		c.ack(a)
	}
}

// stateCache keeps the last signed state: after an outage many gateways ask for
// the same one.
type stateCache struct {
	mu       sync.Mutex
	revision uint64
	by       order.PublicKey
	signed   []byte
}

func (c *Control) onSync(m bus.Msg) {
	signed, err := c.signedState()
	if err != nil {
		c.log.Error("the state cannot be signed; gateways stay where they are", "error", err)
		return
	}
	c.answer(m, order.WithCheckpoint(signed, c.newest()))
}

func (c *Control) signedState() ([]byte, error) {
	c.syncs.mu.Lock()
	defer c.syncs.mu.Unlock()
	c.mu.RLock()
	s := c.signer() // a state by a key that counts no more is of no use
	if c.syncs.signed != nil && c.syncs.revision == c.state.revision && c.syncs.by == s.Public() {
		c.mu.RUnlock()
		return c.syncs.signed, nil
	}
	full := c.state.full()
	c.mu.RUnlock()
	signed, err := order.Sign(full, s)
	if err != nil {
		return nil, err
	}
	c.syncs.revision, c.syncs.by, c.syncs.signed = full.Revision, s.Public(), signed
	return signed, nil
}

// onEmergency adopts an emergency order that a gateway obeys already.
func (c *Control) onEmergency(m bus.Msg) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	id, err := c.adopt(ctx, m.Data)
	if err == nil || !c.complaints.first(err.Error()) { // its gateways offer it with every beat
		return
	}
	hint := "it is offered again"
	if errors.Is(err, order.ErrSignature) {
		hint = "if it is genuine, add the public key that signed it to gateway.emergency_trust of this control plane too, and restart it"
	}
	c.log.Error("an emergency order was not adopted; gateways that hold it go on obeying it, and it cannot be lifted", "emergency", id, "error", err, "next", hint)
}

// complaints remembers what was said already, so that what comes with every beat
// of every gateway does not drown the rest of the log.
type complaints struct {
	mu   sync.Mutex
	said map[string]bool
}

const maxComplaints = 256

// first tells whether a text is new. It forgets all once it holds too many.
func (c *complaints) first(text string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.said[text] {
		return false
	}
	if c.said == nil || len(c.said) >= maxComplaints {
		c.said = map[string]bool{}
	}
	c.said[text] = true
	return true
}

// adopt takes an emergency order into the ledger, once. Its time to be accepted
// may be over: a gateway accepted it in time, and what gateways enforce has to be
// in the record.
func (c *Control) adopt(ctx context.Context, signed []byte) (string, error) {
	e, err := order.OpenEmergency(signed, order.Trust{Emergency: c.cfg.Emergency})
	if err != nil {
		return "", fmt.Errorf("adopt emergency: %w", err)
	}
	adopted := false
	_, err = c.execute(ctx, system, func(s *state, now time.Time) ([]draft, error) {
		if adopted = s.adopted[e.ID]; adopted {
			return nil, nil
		}
		b := adoptedBody{ID: e.ID, By: e.By, IssuedAt: e.IssuedAt.UTC(), Signed: jsontext.Value(signed)}
		weight := 0
		for _, cor := range e.Corrections {
			cor.StartsAt, cor.ReviewBy, cor.ExpiresAt = utc(cor.StartsAt), utc(cor.ReviewBy), utc(cor.ExpiresAt)
			if cor.AppliedAt.IsZero() {
				cor.AppliedAt = c.early()
			}
			if cor.ReviewBy.IsZero() && cor.ExpiresAt.IsZero() {
				cor.ReviewBy = now.Add(defaultReview)
			}
			if s.corrections[cor.ID] != nil {
				return nil, errors.New("one of its corrections has an id that is in use")
			}
			b.Corrections = append(b.Corrections, cor)
			weight += weigh(&cor)
		}
		if err := s.room(weight); err != nil {
			return nil, err
		}
		for i := range b.Corrections { // the broadest of them decides who has to look
			a := s.ask(s.question(authority.Tighten, &b.Corrections[i], nil))
			if r := ruled(a, nil, now); b.Ruling == nil || r != nil && r.Approvals > b.Ruling.Approvals {
				b.Ruling = r
			}
		}
		drafts := []draft{{typeAdopted, b}}
		for i := range b.Corrections {
			if links := s.learnLinks(&record{Correction: b.Corrections[i]}); links != nil {
				drafts = append(drafts, draft{typeLinked, *links})
			}
		}
		return drafts, nil
	})
	if err == nil && !adopted {
		c.log.Warn("an emergency order was adopted", "emergency", e.ID, "by", e.By, "corrections", len(e.Corrections))
	}
	return e.ID, err
}
