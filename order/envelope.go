package order

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"time"

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
//
// A [Follower] goes on from the control keys to their successors by itself; its
// [Follower.Trust] says whom it trusts now.
type Trust struct {
	Control   []PublicKey `json:"control,omitempty"`
	Emergency []PublicKey `json:"emergency,omitempty"`

	// Early is the earliest time that it can be now: by it warrants end. nil
	// stands for time.Now.
	Early func() time.Time `json:"-"`
}

func (t *Trust) early() time.Time {
	if t.Early == nil {
		return time.Now()
	}
	return t.Early()
}

// envelope is DSSE 1.0 (github.com/secure-systems-lab/dsse).
type envelope struct {
	PayloadType string      `json:"payloadType"`
	Payload     []byte      `json:"payload"` // standard base64 in JSON
	Signatures  []signature `json:"signatures"`
	Warrant     []byte      `json:"warrant,omitempty"` // a signed Warrant for the key that signed; none: it counts by itself
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
	Order | State | Lease | Emergency | Release | SnapshotAsk
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
	case *SnapshotAsk:
		return TypeSnapshotAsk
	default:
		return TypeEmergency
	}
}

// Sign returns the signed envelope of a message, as JSON. The error may be that
// of a signer outside this process: nothing was signed then.
func Sign[M Message](m M, s Signer) ([]byte, error) {
	kind := typeOf(&m)
	payload, err := canonical(&m)
	if err != nil {
		return nil, fmt.Errorf("sign %s: %w", kind, err)
	}
	return seal(kind, payload, s.warrant, s)
}

// seal signs a payload by each of the signers.
func seal(kind string, payload, warrant []byte, by ...Signer) ([]byte, error) {
	e := envelope{PayloadType: kind, Payload: payload, Warrant: warrant}
	for _, s := range by {
		sig, err := s.sign(pae(kind, payload))
		if err != nil {
			return nil, fmt.Errorf("sign %s: %w", kind, err)
		}
		e.Signatures = append(e.Signatures, signature{s.public.id, sig})
	}
	data, err := canonical(e)
	if err != nil {
		return nil, fmt.Errorf("sign %s: %w", kind, err)
	}
	return data, nil
}

// open verifies an envelope before anything of its payload is read, then reads
// the payload strictly: a member that this version does not know might be what
// makes a correction tighter, so it is refused rather than skipped.
func open[M Message](data []byte, keys []PublicKey, early time.Time) (m M, payload []byte, err error) {
	m, payload, _, err = openBy[M](data, keys, early)
	return m, payload, err
}

// openBy is open, and says by whose authority: never by that of a warranted key.
func openBy[M Message](data []byte, keys []PublicKey, early time.Time) (m M, payload []byte, by PublicKey, err error) {
	kind := typeOf(&m)
	e, err := readEnvelope(data, kind)
	if err != nil {
		return m, nil, by, fmt.Errorf("open %s: %w: %w", kind, ErrSignature, err)
	}
	if by, err = e.authority(keys, early); err != nil {
		return m, nil, by, fmt.Errorf("open %s: %w: %w", kind, ErrSignature, err)
	}
	if err := json.Unmarshal(e.Payload, &m, json.RejectUnknownMembers(true)); err != nil {
		return *new(M), nil, by, fmt.Errorf("open %s: %w: %w", kind, ErrMalformed, err)
	}
	return m, e.Payload, by, nil
}

func readEnvelope(data []byte, kind string) (e envelope, err error) {
	if err := json.Unmarshal(data, &e, json.RejectUnknownMembers(true)); err != nil {
		return e, err
	}
	if e.PayloadType != kind {
		return e, fmt.Errorf("it is a %.80q", e.PayloadType)
	}
	return e, nil
}

// authority verifies e, and returns the trusted key by whose authority it was
// signed: the key that signed, or the one that gave the warrant.
func (e *envelope) authority(keys []PublicKey, early time.Time) (PublicKey, error) {
	if e.Warrant == nil {
		return e.verify(keys)
	}
	w, by, err := openWarrant(e.Warrant, keys)
	if err != nil {
		return PublicKey{}, err
	}
	if err := w.covers(e.PayloadType, early); err != nil {
		return PublicKey{}, err
	}
	_, err = e.verify([]PublicKey{w.Key})
	return by, err
}

// verify returns the first of the keys that signed e.
func (e *envelope) verify(keys []PublicKey) (PublicKey, error) {
	if len(e.Signatures) == 0 || len(e.Signatures) > maxSignatures {
		return PublicKey{}, fmt.Errorf("%d signatures, not 1 to %d", len(e.Signatures), maxSignatures)
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
				return k, nil
			}
		}
	}
	if !known {
		return PublicKey{}, fmt.Errorf("signed by key %.16q: %w", e.Signatures[0].KeyID, ErrUntrusted)
	}
	return PublicKey{}, errors.New("the signature does not fit the contents")
}

// OpenOrder verifies and reads a signed order. Hash is its head.
func OpenOrder(data []byte, trust Trust) (Order, Hash, error) {
	o, head, _, err := openOrder(data, trust.Control, trust.early())
	return o, head, err
}

func openOrder(data []byte, keys []PublicKey, early time.Time) (Order, Hash, PublicKey, error) {
	o, payload, by, err := openBy[Order](data, keys, early)
	if err == nil && o.Revision == 0 {
		err = fmt.Errorf("open order: %w: there is no order of revision 0", ErrMalformed)
	}
	if err != nil {
		return Order{}, Hash{}, PublicKey{}, err
	}
	return o, sha256.Sum256(payload), by, nil
}

// OpenState verifies and reads a signed state.
func OpenState(data []byte, trust Trust) (State, error) {
	s, _, err := openState(data, trust.Control, trust.early())
	return s, err
}

func openState(data []byte, keys []PublicKey, early time.Time) (State, PublicKey, error) {
	s, _, by, err := openBy[State](data, keys, early)
	if err == nil {
		err = s.Check()
	}
	if err != nil {
		return State{}, PublicKey{}, err
	}
	return s, by, nil
}

// OpenLease verifies and reads a signed lease. The caller compares gateway,
// nonce, revision and head with its own.
func OpenLease(data []byte, trust Trust) (Lease, error) {
	l, _, err := open[Lease](data, trust.Control, trust.early())
	if err == nil && l.TTL <= 0 {
		return Lease{}, fmt.Errorf("open lease: %w: ttl %v", ErrMalformed, l.TTL)
	}
	return l, err
}

// OpenEmergency verifies, reads and validates a signed emergency order. It
// knows no time: [Follower.OfferEmergency] also checks the window.
func OpenEmergency(data []byte, trust Trust) (Emergency, error) {
	e, _, err := open[Emergency](data, trust.Emergency, time.Time{})
	if err != nil {
		return e, err
	}
	if err := e.Validate(); err != nil {
		return Emergency{}, fmt.Errorf("open emergency: %w: %w", ErrMalformed, err)
	}
	return e, nil
}
