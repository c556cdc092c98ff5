package order

import (
	"fmt"
	"time"

	"andon/correction"
)

// SubjectSnapshot is where one gateway is asked for evidence, in its own name:
// control → Named(SubjectSnapshot, gateway), request signed [SnapshotAsk] →
// [Snapshot].
const SubjectSnapshot = "andon.snapshot"

// TypeSnapshotAsk is the payload type of a SnapshotAsk.
const TypeSnapshotAsk = "application/vnd.andon.snapshot-ask+json"

// SnapshotAsk asks one gateway what it does with some models. It is signed, since
// the answer may hold what callers have written.
type SnapshotAsk struct {
	Gateway  string    `json:"gateway"`
	At       time.Time `json:"at"`
	Models   []string  `json:"models,omitempty"`  // empty: all
	Revision uint64    `json:"revision,omitzero"` // what stood immediately before this order; 0: what stands now
	Bytes    int       `json:"bytes"`             // the most that the answer may have
	Refusals int       `json:"refusals"`          // the most decisions that are listed
	Prompts  bool      `json:"prompts,omitempty"` // the system prompts that callers have used lately, too
}

// SnapshotFresh is how old an ask may be, by the gateway's clock: one that was
// overheard opens nothing later.
const SnapshotFresh = 10 * time.Minute

// OpenSnapshotAsk verifies and reads a signed ask.
func OpenSnapshotAsk(data []byte, trust Trust) (SnapshotAsk, error) {
	a, _, err := open[SnapshotAsk](data, trust.Control, trust.early())
	if err == nil && (a.Gateway == "" || a.Bytes < 1) {
		return SnapshotAsk{}, fmt.Errorf("open snapshot ask: %w: it names no gateway, or no bound", ErrMalformed)
	}
	return a, err
}

// Bounds of what a Snapshot lists.
const (
	MaxSnapshotRefusals    = 1000
	MaxSnapshotCorrections = 10_000
	MaxSnapshotBuckets     = 20
	MaxSnapshotPrompt      = 256 << 10 // bytes of a system prompt that is kept whole
	MaxSnapshotPrompts     = 64        // of a model
)

// Snapshot is one gateway's part of the evidence. It holds no end user's name and
// no secret; what callers wrote stands in Prompts alone.
type Snapshot struct {
	Gateway  string    `json:"gateway"`
	Boot     string    `json:"boot"`
	Version  string    `json:"version"`
	At       time.Time `json:"at"`
	Revision uint64    `json:"revision"` // in force as this was written
	Head     Hash      `json:"head"`
	Stale    bool      `json:"stale"`             // its lease had run out
	LeaseMS  int64     `json:"lease_ms"`          // what was left of it
	Trouble  string    `json:"trouble,omitempty"` // why it was not on the current revision

	Ruling    SnapshotRuling      `json:"ruling"`          // what is told of: before the order that was asked for, or now
	Captured  *Captured           `json:"captured"`        // what ran as that order came; null if that is not known any more
	Models    []SnapshotModel     `json:"models"`          // as served
	InFlight  []InFlight          `json:"in_flight"`       // now
	Detectors []SnapshotDetector  `json:"detectors"`       // that filters can name here
	Lists     map[string]ListHeld `json:"lists,omitempty"` // by name
	Limits    []SnapshotLimit     `json:"limits"`          // with what is used of them now
	Decisions []Decision          `json:"decisions"`       // the newest ones, up to the order that was asked for
	Rates     []SnapshotRate      `json:"rates"`           // calls of the last hour, minute by minute
	Prompts   []SnapshotPrompts   `json:"system_prompts"`  // by model
	Missing   []SnapshotGap       `json:"missing"`         // what this gateway could not tell, and why
}

// SnapshotGap is something that could not be had.
type SnapshotGap struct {
	What string `json:"what"`
	Why  string `json:"why"`
}

// SnapshotRuling is what was in force at a gateway.
type SnapshotRuling struct {
	Revision    uint64               `json:"revision"`
	Head        Hash                 `json:"head"` // of the order: it chains to all before
	IssuedAt    time.Time            `json:"issued_at,omitzero"`
	Rules       int                  `json:"rules"`                // compiled
	Digest      string               `json:"digest"`               // SHA-256 of the compiled corrections as JSON, the most severe first
	Emergencies int                  `json:"emergencies,omitzero"` // corrections that no order carries yet
	Corrections []SnapshotCorrection `json:"corrections"`          // that can reach the models
}

// SnapshotCorrection is a correction in force, and what its filter looks for.
type SnapshotCorrection struct {
	ID       string          `json:"id"`
	Kind     correction.Kind `json:"kind"`
	Shadow   bool            `json:"shadow,omitempty"`
	Digest   string          `json:"digest"`             // SHA-256 of the correction as JSON
	Detector string          `json:"detector,omitempty"` // of its filter
	Patterns string          `json:"patterns,omitempty"` // SHA-256 of what its filter looks for
	Error    string          `json:"error,omitempty"`    // why its filter cannot look
}

// Captured is what a gateway held on to as it put an order in force: after the
// new ruling was swapped in, as the sweep found it, before it ended anything.
type Captured struct {
	At        time.Time  `json:"at"`
	Before    uint64     `json:"before"` // revision that was in force
	Revision  uint64     `json:"revision"`
	Emergency bool       `json:"emergency,omitempty"` // an emergency order came, and no revision
	Stale     bool       `json:"stale"`               // the lease had run out
	InFlight  []InFlight `json:"in_flight"`
}

// The ages by which calls in flight are counted: up to so many seconds; the last
// count of an InFlight is of older ones.
var FlightAges = [5]int64{1, 10, 60, 600, 3600}

// InFlight counts the calls of a model in one state.
type InFlight struct {
	Model string   `json:"model"` // "": routes that name none
	State string   `json:"state"` // running, cut, gone
	Ages  [6]int64 `json:"ages"`  // by FlightAges
}

// SnapshotModel is a model as it is configured and served. It has no key.
type SnapshotModel struct {
	Name          string   `json:"name"`
	Version       string   `json:"version,omitempty"`
	Upstream      string   `json:"upstream"`
	Wire          string   `json:"wire"`
	UpstreamModel string   `json:"upstream_model"`
	Base          string   `json:"base,omitempty"`
	Aliases       []string `json:"aliases,omitempty"`
	Versions      []string `json:"versions,omitempty"` // further ones, "version=what the provider calls it"
	OnStale       string   `json:"on_stale"`
	Fallback      string   `json:"fallback,omitempty"`
	Digest        string   `json:"digest"` // SHA-256 of these members as JSON, without this one
}

// SnapshotDetector is a classifier that filters can name. It has no key.
type SnapshotDetector struct {
	Name   string `json:"name"`
	Type   string `json:"type"`
	Model  string `json:"model,omitempty"`
	Digest string `json:"digest"` // SHA-256 of its configuration, keys left out
}

// SnapshotLimit is a limit, and what is used of it.
type SnapshotLimit struct {
	Correction string           `json:"correction"`
	Metric     string           `json:"metric"`
	Limit      int64            `json:"limit"`
	Window     string           `json:"window,omitempty"`
	Per        string           `json:"per,omitempty"`
	Buckets    int              `json:"buckets"` // values that something is counted for
	Used       int64            `json:"used"`    // by all of them
	Most       []SnapshotBucket `json:"most"`    // the fullest
}

// SnapshotBucket is what one value has used. Users and addresses are pseudonyms.
type SnapshotBucket struct {
	Value string `json:"value"`
	Used  int64  `json:"used"`
}

// SnapshotRate is how the calls of one minute ended.
type SnapshotRate struct {
	Minute   time.Time        `json:"minute"`
	Outcomes map[string]int64 `json:"outcomes"`
}

// SnapshotPrompts are the system prompts that callers of a model have used
// lately.
type SnapshotPrompts struct {
	Model   string           `json:"model"`
	Seen    int64            `json:"seen"`    // system texts in all
	Unknown int64            `json:"unknown"` // of them, those of prompts that are not kept: too many new ones came at once
	Evicted int64            `json:"evicted"` // prompts that made room for others
	Prompts []SnapshotPrompt `json:"prompts"` // the most used first
}

// SnapshotPrompt is one system prompt: a whole message of role system or
// developer, or the value of the member that is one, byte for byte.
type SnapshotPrompt struct {
	SHA256 string    `json:"sha256"`        // of the text; of its head, where it is cut
	Bytes  int       `json:"bytes"`         // of the whole
	Cut    bool      `json:"cut,omitempty"` // longer than MaxSnapshotPrompt
	API    string    `json:"api"`           // of the call that it was first seen in
	Count  int64     `json:"count"`         // calls
	First  time.Time `json:"first_seen"`
	Last   time.Time `json:"last_seen"`      // to the second
	Text   string    `json:"text,omitempty"` // JSON as it was sent; "" where texts are not kept, or found no room
	Why    string    `json:"why,omitempty"`  // why there is no text
}
