package order

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"

	"github.com/go-json-experiment/json"
)

// The payload types. A signature covers the type, so none passes for another.
const (
	TypeOrder     = "application/vnd.andon.order+json"
	TypeState     = "application/vnd.andon.state+json"
	TypeLease     = "application/vnd.andon.lease+json"
	TypeEmergency = "application/vnd.andon.emergency+json"
)

// maxSignatures bounds the work that an unauthenticated envelope can ask for.
const maxSignatures = 16

// Trust says whose signatures count: control's keys for orders, states and
// leases, the emergency keys for emergency orders alone. Several of each allow
// a key to be replaced: add the new one everywhere before the old one goes.
type Trust struct {
	Control   []PublicKey `json:"control,omitempty"`
	Emergency []PublicKey `json:"emergency,omitempty"`
}

// envelope is DSSE 1.0 (github.com/secure-systems-lab/dsse).
type envelope struct {
	PayloadType string      `json:"payloadType"`
	Payload     []byte      `json:"payload"` // standard base64 in JSON
	Signatures  []signature `json:"signatures"`
}

type signature struct {
	KeyID string `json:"keyid"`
	Sig   []byte `json:"sig"`
}

// pae is DSSE's pre-authentication encoding: what is really signed.
func pae(payloadType string, payload []byte) []byte {
	b := make([]byte, 0, len(payloadType)+len(payload)+40)
	b = append(b, "DSSEv1 "...)
	b = strconv.AppendInt(b, int64(len(payloadType)), 10)
	b = append(b, ' ')
	b = append(b, payloadType...)
	b = append(b, ' ')
	b = strconv.AppendInt(b, int64(len(payload)), 10)
	b = append(b, ' ')
	return append(b, payload...)
}

// Message is anything that is signed.
type Message interface {
	Order | State | Lease | Emergency | Release
}

func typeOf[M Message](m *M) string {
	switch any(m).(type) {
	case *Order:
		return TypeOrder
	case *State:
		return TypeState
	case *Lease:
		return TypeLease
	case *Release:
		return TypeRelease
	default:
		return TypeEmergency
	}
}

// Sign returns the signed envelope of a message, as JSON.
func Sign[M Message](m M, s Signer) ([]byte, error) {
	kind := typeOf(&m)
	if s.key == nil {
		return nil, fmt.Errorf("sign %s: no private key", kind)
	}
	payload, err := canonical(&m)
	if err != nil {
		return nil, fmt.Errorf("sign %s: %w", kind, err)
	}
	sig := ed25519.Sign(s.key, pae(kind, payload))
	data, err := canonical(envelope{kind, payload, []signature{{s.public.id, sig}}})
	if err != nil {
		return nil, fmt.Errorf("sign %s: %w", kind, err)
	}
	return data, nil
}

// open verifies an envelope before anything of its payload is read, then reads
// the payload strictly: a member that this version does not know might be what
// makes a correction tighter, so it is refused rather than skipped.
func open[M Message](data []byte, keys []PublicKey) (m M, payload []byte, err error) {
	kind := typeOf(&m)
	var e envelope
	if err := json.Unmarshal(data, &e, json.RejectUnknownMembers(true)); err != nil {
		return m, nil, fmt.Errorf("open %s: %w: %w", kind, ErrSignature, err)
	}
	if e.PayloadType != kind {
		return m, nil, fmt.Errorf("open %s: %w: it is a %q", kind, ErrSignature, e.PayloadType)
	}
	if err := e.verify(keys); err != nil {
		return m, nil, fmt.Errorf("open %s: %w: %w", kind, ErrSignature, err)
	}
	if err := json.Unmarshal(e.Payload, &m, json.RejectUnknownMembers(true)); err != nil {
		return *new(M), nil, fmt.Errorf("open %s: %w: %w", kind, ErrMalformed, err)
	}
	return m, e.Payload, nil
}

func (e *envelope) verify(keys []PublicKey) error {
	if len(e.Signatures) == 0 || len(e.Signatures) > maxSignatures {
		return fmt.Errorf("%d signatures, not 1 to %d", len(e.Signatures), maxSignatures)
	}
	signed := pae(e.PayloadType, e.Payload)
	known := false
	for _, s := range e.Signatures {
		for _, k := range keys {
			if k.id == "" || s.KeyID != k.id {
				continue
			}
			known = true
			if len(s.Sig) == ed25519.SignatureSize && ed25519.Verify(k.key[:], signed, s.Sig) {
				return nil
			}
		}
	}
	if !known {
		return fmt.Errorf("signed by key %.16q, which is not trusted", e.Signatures[0].KeyID)
	}
	return errors.New("the signature does not fit the contents")
}

// OpenOrder verifies and reads a signed order. Hash is its head.
func OpenOrder(data []byte, trust Trust) (Order, Hash, error) {
	o, payload, err := open[Order](data, trust.Control)
	if err != nil {
		return o, Hash{}, err
	}
	if o.Revision == 0 {
		return Order{}, Hash{}, fmt.Errorf("open order: %w: there is no order of revision 0", ErrMalformed)
	}
	return o, sha256.Sum256(payload), nil
}

// OpenState verifies and reads a signed state.
func OpenState(data []byte, trust Trust) (State, error) {
	s, _, err := open[State](data, trust.Control)
	if err != nil {
		return s, err
	}
	if err := s.Check(); err != nil {
		return State{}, err
	}
	return s, nil
}

// OpenLease verifies and reads a signed lease. The caller compares gateway,
// nonce, revision and head with its own.
func OpenLease(data []byte, trust Trust) (Lease, error) {
	l, _, err := open[Lease](data, trust.Control)
	if err == nil && l.TTL <= 0 {
		return Lease{}, fmt.Errorf("open lease: %w: ttl %v", ErrMalformed, l.TTL)
	}
	return l, err
}

// OpenEmergency verifies, reads and validates a signed emergency order. It
// knows no time: [Follower.OfferEmergency] also checks the window.
func OpenEmergency(data []byte, trust Trust) (Emergency, error) {
	e, _, err := open[Emergency](data, trust.Emergency)
	if err != nil {
		return e, err
	}
	if err := e.Validate(); err != nil {
		return Emergency{}, fmt.Errorf("open emergency: %w: %w", ErrMalformed, err)
	}
	return e, nil
}
