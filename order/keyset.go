package order

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// ErrSigner says that a key outside this process did not sign. Nothing was
// signed; a later try may succeed.
var ErrSigner = errors.New("the signing key does not answer as it should")

// RemoteSigner signs with a key that stays elsewhere: in an agent, in a token.
// sign returns the plain Ed25519 signature of message. What it returns is
// verified before it is used, so a signature that comes is one that gateways
// take. How long sign may take is its own to bound.
func RemoteSigner(public PublicKey, sign func(message []byte) ([]byte, error)) Signer {
	return Signer{public: public, remote: sign}
}

// Remote reports whether the key stays outside this process.
func (s Signer) Remote() bool { return s.remote != nil }

func (s Signer) sign(message []byte) ([]byte, error) {
	if s.key != nil {
		return ed25519.Sign(s.key, message), nil
	}
	if s.remote == nil {
		return nil, errors.New("no private key")
	}
	sig, err := s.remote(slices.Clone(message))
	if err != nil {
		return nil, fmt.Errorf("key %s: %w: %w", s.public.id, ErrSigner, err)
	}
	if len(sig) != ed25519.SignatureSize || !ed25519.Verify(s.public.key[:], message, sig) {
		return nil, fmt.Errorf("key %s: %w: its signature does not verify", s.public.id, ErrSigner)
	}
	return sig, nil
}

// TypeWarrant is the payload type of a Warrant.
const TypeWarrant = "application/vnd.andon.warrant+json"

// MaxWarrant bounds how long a warrant counts.
const MaxWarrant = 24 * time.Hour

// warranted are the messages that a warranted key may sign.
var warranted = []string{TypeOrder, TypeState, TypeLease, TypeRelease}

// Warrant lets a key of the control plane's process sign orders, states, leases
// and releases for a day, by authority of a key that is slow to ask or may be
// away for a while. It travels in each envelope, so that each can be verified
// alone. It ends by the gateway's clock where a message comes in, and not for
// what is on a gateway's disk; and with the key that gave it.
type Warrant struct {
	Key      PublicKey `json:"key"`
	IssuedAt time.Time `json:"issued_at"`
	NotAfter time.Time `json:"not_after"`
}

// NewSession makes a key that lives in this process and nowhere else, warranted
// by root from now on for d. Its Public is its own.
func NewSession(root Signer, now time.Time, d time.Duration) (Signer, error) {
	if root.warrant != nil {
		return Signer{}, fmt.Errorf("sign %s: a warranted key gives no warrants", TypeWarrant)
	}
	s, err := GenerateSigner()
	if err != nil {
		return Signer{}, err
	}
	now = now.UTC().Truncate(time.Second)
	w := Warrant{Key: s.public, IssuedAt: now, NotAfter: now.Add(d)}
	if err := w.check(); err != nil {
		return Signer{}, fmt.Errorf("sign %s: %w", TypeWarrant, err)
	}
	payload, err := canonical(w)
	if err != nil {
		return Signer{}, fmt.Errorf("sign %s: %w", TypeWarrant, err)
	}
	s.warrant, err = seal(TypeWarrant, payload, nil, root)
	return s, err
}

func (w *Warrant) check() error {
	if w.Key.id == "" || w.IssuedAt.IsZero() || !w.NotAfter.After(w.IssuedAt) || w.NotAfter.Sub(w.IssuedAt) > MaxWarrant {
		return fmt.Errorf("a warrant is for one key and at most %v", MaxWarrant)
	}
	return nil
}

// covers says why a warrant does not count for a message of a type. The zero
// time is before the end of every warrant.
func (w *Warrant) covers(kind string, early time.Time) error {
	if !slices.Contains(warranted, kind) {
		return fmt.Errorf("a warranted key may not sign a %.80q; it may sign %s", kind, strings.Join(warranted, ", "))
	}
	if early.After(w.NotAfter) {
		return fmt.Errorf("%w: that of key %s ended at %s, and here it is %s", ErrWarrant, w.Key.id, w.NotAfter.Format(time.RFC3339), early.UTC().Format(time.RFC3339))
	}
	return nil
}

func openWarrant(data []byte, keys []PublicKey) (w Warrant, by PublicKey, err error) {
	e, err := readEnvelope(data, TypeWarrant)
	if err == nil && e.Warrant != nil {
		err = errors.New("a warranted key gives no warrants")
	}
	if err == nil {
		by, err = e.verify(keys)
	}
	if err == nil {
		err = json.Unmarshal(e.Payload, &w, json.RejectUnknownMembers(true))
	}
	if err == nil {
		err = w.check()
	}
	if err != nil {
		return Warrant{}, PublicKey{}, fmt.Errorf("its warrant: %w", err)
	}
	return w, by, nil
}
