package order

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
)

// TypePlan is the payload type of a PlanVersion.
const TypePlan = "application/vnd.andon.plan+json"

// PlanVersion says that a plan was put in force, by its digest: for whoever has
// the plan and neither the ledger nor the control plane.
type PlanVersion struct {
	Org      string    `json:"org"`
	Version  int       `json:"version"`  // from 1
	Digest   string    `json:"digest"`   // SHA-256 of the plan's canonical JSON without addresses, in hex
	Previous string    `json:"previous"` // digest of the version before; "" for the first
	At       time.Time `json:"at"`
	By       string    `json:"by"` // operator
	Entry    LedgerRef `json:"entry"`
	Ledger   string    `json:"ledger,omitempty"` // its public key, as C2SP signed-note writes it
}

// SignPlan returns a version of the plan as a DSSE envelope. It is verified long
// after, and by whoever has the one key: a key that is only warranted does not
// sign it.
func SignPlan(v PlanVersion, s Signer) ([]byte, error) {
	if s.warrant != nil {
		return nil, errors.New("sign plan: a key that is only warranted does not sign it")
	}
	payload, err := canonical(v)
	if err != nil {
		return nil, fmt.Errorf("sign plan: %w", err)
	}
	return seal(TypePlan, payload, nil, s)
}

// OpenPlan verifies a version of the plan by the keys that are trusted, and reads
// it. That it is about a plan at hand is seen by the digest.
func OpenPlan(data []byte, keys []PublicKey) (PlanVersion, error) {
	e, err := readEnvelope(data, TypePlan)
	if err == nil && e.Warrant != nil {
		err = errors.New("it was signed under a warrant")
	}
	if err == nil {
		_, err = e.verify(keys)
	}
	if err != nil {
		return PlanVersion{}, fmt.Errorf("open plan: %w: %w", ErrSignature, err)
	}
	var v PlanVersion
	if err := json.Unmarshal(e.Payload, &v, json.RejectUnknownMembers(true)); err != nil {
		return PlanVersion{}, fmt.Errorf("open plan: %w: %w", ErrMalformed, err)
	}
	if v.Version < 1 || len(v.Digest) != 64 || (v.Version == 1) != (v.Previous == "") {
		return PlanVersion{}, fmt.Errorf("open plan: %w: version %d, digest %.80q, previous %.80q", ErrMalformed, v.Version, v.Digest, v.Previous)
	}
	return v, nil
}
