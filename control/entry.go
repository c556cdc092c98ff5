package control

import (
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"andon/correction"
	"andon/order"
)

// The types of ledger entries, and whether an entry of the type makes a new
// revision. Their bodies follow. A type or a member that this version does not
// know stops the fold: it might have made something tighter.
const (
	typeCreated    = "correction.created"  // revision
	typeLifted     = "correction.lifted"   // revision
	typeExtended   = "correction.extended" // revision
	typeRatified   = "correction.ratified" // revision
	typeExpired    = "correction.expired"  // revision
	typeAdopted    = "emergency.adopted"   // revision
	typeKey        = "key.created"         // revision
	typeRevoked    = "key.revoked"         // revision
	typeApp        = "app.registered"      // revision, where it has keys
	typeAppRemoved = "app.removed"         // revision, where it has keys
	typeOperator   = "operator.created"
	typeToken      = "operator.token_replaced"
	typeMeasured   = "effect.measured"
	typeJoined     = "point.joined"
	typeDescribed  = "point.described"
	typeRemoved    = "point.removed"
	typeHold       = "hold.decided"
)

// system is the actor of what the control plane does by itself.
const system = "control"

// createdBody is a correction as it was accepted: with id, times and defaults.
type createdBody struct {
	Correction  correction.Correction `json:"correction"`
	Idempotency *idempotency          `json:"idempotency,omitempty"`
	Ruling      *ruling               `json:"ruling,omitempty"`               // what others have to say to it
	Held        []string              `json:"held,omitempty"`                 // stops of dependants that were made first
	Overridden  []string              `json:"hold_down_overridden,omitempty"` // dependants that got no fallback first
}

// idempotency remembers the request that an entry answered.
type idempotency struct {
	Key     string `json:"key"`     // as the client gave it; belongs to the actor
	Request string `json:"request"` // hex SHA-256 of the request's canonical body
}

// changedBody is a lift, an extension, a ratification or an expiry. The times
// are the resulting ones; zero means unchanged.
type changedBody struct {
	ID        string    `json:"id"`
	Reason    string    `json:"reason,omitempty"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	ReviewBy  time.Time `json:"review_by,omitzero"`
	Level     string    `json:"level,omitempty"` // of a stop that a custody case raises
}

// adoptedBody is an emergency order: as it was signed, and its corrections as
// they are in force from now on.
type adoptedBody struct {
	ID          string                  `json:"id"`
	By          string                  `json:"by"`
	IssuedAt    time.Time               `json:"issued_at"`
	Corrections []correction.Correction `json:"corrections"`
	Ruling      *ruling                 `json:"ruling,omitempty"` // of each of them
	Signed      jsontext.Value          `json:"signed"`           // the DSSE envelope
}

type keyBody struct {
	Key order.Key `json:"key"`
}

type revokedBody struct {
	ID     string `json:"id"`
	Reason string `json:"reason,omitempty"`
}

type operatorBody struct {
	ID    string `json:"id"`
	Name  string `json:"name,omitempty"`
	Role  string `json:"role,omitempty"`
	Token string `json:"token_sha256,omitempty"` // hex; "" for who comes from an issuer

	Roles   []string `json:"roles,omitempty"`   // beside role
	Subject string   `json:"subject,omitempty"` // keyed hash of issuer and subject
	Enrol   bool     `json:"enrol,omitempty"`   // its word does not count before it has replaced the token
}

// removedOperatorBody ends an operator. What the operator did stays in the record.
type removedOperatorBody struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

// measuredBody is what a revision took to be enforced.
type measuredBody struct {
	Revision     uint64        `json:"revision"`
	Corrections  []string      `json:"corrections"`
	TimeToEffect *float64      `json:"time_to_effect_ms,omitempty"` // missing: no gateway was live, or none stayed so, to enforce it
	AtMost       bool          `json:"at_most,omitempty"`           // seen only after the control plane restarted
	Points       []pointEffect `json:"points"`
}

// pointBody is what an enforcement point says it is.
type pointBody struct {
	Name     string   `json:"name"`
	Version  string   `json:"version,omitempty"`
	Features []string `json:"features,omitempty"`
	Models   []string `json:"models,omitempty"`
}

// removedBody names a point that an operator took off the list.
type removedBody struct {
	Name   string `json:"name"`
	Reason string `json:"reason,omitempty"`
}

// holdBody is what a person decided about a call that a filter held. What was
// held is not in the record.
type holdBody struct {
	ID         string `json:"id"`
	Gateway    string `json:"gateway"`
	RequestID  string `json:"request_id"`
	Correction string `json:"correction"`
	Direction  string `json:"direction"`
	Let        bool   `json:"let"`
	Reason     string `json:"reason"`
}

// body encodes an entry's body. All of them are plain data, so it cannot fail
// but for a programming error, which a test would find.
func body(v any) jsontext.Value {
	b, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		panic("control: encode entry: " + err.Error())
	}
	return b
}

func read[T any](raw jsontext.Value) (T, error) {
	var v T
	err := json.Unmarshal(raw, &v, json.RejectUnknownMembers(true))
	return v, err
}
