package order

import (
	"time"
)

// The subjects on the bus, and who says what there.
const (
	SubjectOrder     = "andon.order"     // control → all: signed Order
	SubjectSync      = "andon.sync"      // gateway → control, request "" → signed State
	SubjectBeat      = "andon.beat"      // gateway → control, request Beat → signed Lease
	SubjectAck       = "andon.ack"       // gateway → control: Ack
	SubjectEmergency = "andon.emergency" // gateway → control: signed Emergency
	SubjectExplain   = "andon.explain"   // control → gateways, request ExplainRequest → Decision
	SubjectLive      = "andon.live"      // control → gateways, request a correction → Preview
)

// Beat is what an enforcement point says of itself, several times a lease.
type Beat struct {
	Gateway     string   `json:"gateway"`
	Boot        string   `json:"boot"`     // random for each process
	Nonce       string   `json:"nonce"`    // the lease in answer repeats it
	Revision    uint64   `json:"revision"` // enforcing, not merely received
	Head        Hash     `json:"head"`
	Live        int64    `json:"live"`  // requests running now
	Stale       bool     `json:"stale"` // its lease has run out; postures apply
	Version     string   `json:"version,omitempty"`
	Features    []string `json:"features,omitempty"`
	Emergencies []string `json:"emergencies,omitempty"` // held and not yet adopted
	Error       string   `json:"error,omitempty"`       // why it is not on the current revision
	Models      []string `json:"models,omitempty"`

	Trusts []string `json:"trusts,omitempty"` // ids of control's keys that count there now

	Lists map[string]ListHeld `json:"lists,omitempty"` // by name: all that its order names

	Detectors []string            `json:"detectors,omitempty"` // that filters can name there
	Versions  map[string][]string `json:"versions,omitempty"`  // by model: those that it can be pinned to

	Witness Witness  `json:"witness,omitzero"` // of the ledger's checkpoints
	Forks   []Fork   `json:"forks,omitempty"`  // at most MaxForks: other gateways that were shown another history
	Peers   []string `json:"peers,omitempty"`  // at most MaxPeers: gateways whose keys as witnesses it wants to know
}

// The phases of an Ack.
const (
	PhaseAccepted  = "accepted"  // verified and kept on disk
	PhaseEnforcing = "enforcing" // swapped in, and everything now forbidden has ended
	PhaseRefused   = "refused"   // not obeyed; Error says why
)

// Ack is what an enforcement point did with a revision.
type Ack struct {
	Gateway    string `json:"gateway"`
	Boot       string `json:"boot"`
	Revision   uint64 `json:"revision"`
	Phase      string `json:"phase"`
	Cut        int    `json:"cut,omitempty"` // live requests that were ended
	TookMicros int64  `json:"took_micros"`   // µs since the order was received
	Error      string `json:"error,omitempty"`
}

// The actions of a Decision.
const (
	ActionRefused  = "refused"
	ActionCut      = "cut"
	ActionFallback = "fallback"
	ActionClamped  = "clamped"
	ActionShadow   = "shadow"
	ActionLimited  = "limited"
)

// ExplainRequest asks what became of one request.
type ExplainRequest struct {
	RequestID string `json:"request_id"`
	All       bool   `json:"all,omitempty"` // who does not remember it answers, too: a Decision with nothing but its own name
}

// Decision is what a gateway remembers of one request that a correction
// touched. It holds no prompt text and no end user's name.
type Decision struct {
	RequestID   string    `json:"request_id"`
	Gateway     string    `json:"gateway"`
	At          time.Time `json:"at"`
	Revision    uint64    `json:"revision"`
	API         string    `json:"api"`
	Model       string    `json:"model"`
	Org         string    `json:"org,omitempty"`
	Key         string    `json:"key,omitempty"`
	User        string    `json:"user,omitempty"` // a pseudonym
	Action      string    `json:"action"`
	Status      int       `json:"status,omitempty"`
	Corrections []string  `json:"corrections"`
	ServedBy    string    `json:"served_by,omitempty"`
}
