package cli

import (
	"time"

	"andon/correction"
)

// view is a correction as the control plane shows it.
type view struct {
	correction.Correction
	State          string    `json:"state"`
	Revision       uint64    `json:"revision"`
	Effect         *effect   `json:"effect,omitempty"`
	TimeToEffectMS *float64  `json:"time_to_effect_ms,omitempty"`
	CreatedBy      string    `json:"created_by,omitempty"`
	LiftedAt       time.Time `json:"lifted_at,omitzero"`
	History        []step    `json:"history,omitempty"`
	Linked         *linked   `json:"linked,omitempty"`
	Warnings       []warning `json:"warnings,omitempty"`

	Ratification *ratification `json:"ratification,omitempty"`
	Held         []string      `json:"held,omitempty"` // stops that serve dependants their fallback
}

// warning says what may not be meant, or not have its effect.
type warning struct {
	Code   string `json:"code"`
	Field  string `json:"field,omitempty"`
	Detail string `json:"detail"`
}

// step is one thing that somebody did to a correction.
type step struct {
	At     time.Time `json:"at"`
	By     string    `json:"by"`
	Action string    `json:"action"`
	Reason string    `json:"reason,omitempty"`
	Entry  uint64    `json:"entry"` // of the ledger
}

// effect is what was asked for against what is observed.
type effect struct {
	Desired   int           `json:"desired"`
	Enforcing int           `json:"enforcing"`
	Stale     int           `json:"stale"`
	Refused   int           `json:"refused"`
	Points    []pointEffect `json:"points"`
}

type pointEffect struct {
	Name        string    `json:"name"`
	State       string    `json:"state"`
	Revision    uint64    `json:"revision"`
	EnforcingAt time.Time `json:"enforcing_at,omitzero"`
	Cut         int64     `json:"cut,omitempty"` // running requests that it ended
	Error       string    `json:"error,omitempty"`
}

// point is an enforcement point.
type point struct {
	Name       string    `json:"name"`
	State      string    `json:"state"`
	Revision   uint64    `json:"revision"`
	Lease      time.Time `json:"lease,omitzero"`
	Live       int64     `json:"live"`
	Version    string    `json:"version"`
	Features   []string  `json:"features"`
	Error      string    `json:"error,omitempty"`
	LastSeenAt time.Time `json:"last_seen_at,omitzero"`

	Credential        string    `json:"credential,omitempty"` // own, local, shared, revoked
	CredentialExpires time.Time `json:"credential_expires_at,omitzero"`

	Emergencies []string `json:"emergencies,omitempty"` // obeyed there, not adopted by the control plane
}

// previewAnswer is what a correction would do. A number that is missing was not
// measured.
type previewAnswer struct {
	Coverage       coverage    `json:"coverage"`
	Requests       *int64      `json:"requests,omitempty"`
	Reached        *int64      `json:"reached,omitempty"`
	Refused        *int64      `json:"refused,omitempty"`
	Limited        *int64      `json:"limited,omitempty"`
	Changed        *int64      `json:"changed,omitempty"`
	Undecided      *int64      `json:"undecided,omitempty"`
	Already        *int64      `json:"already,omitempty"`
	ShareOfTraffic *float64    `json:"share_of_traffic,omitempty"`
	Users          *int64      `json:"users,omitempty"`
	Orgs           *int64      `json:"orgs,omitempty"`
	Keys           *int64      `json:"keys,omitempty"`
	Estimated      []string    `json:"estimated,omitempty"`
	LiveStreams    *int64      `json:"live_streams,omitempty"`
	ByModel        []part      `json:"by_model,omitempty"`
	ByOrg          []part      `json:"by_org,omitempty"`
	Dependants     []dependant `json:"dependants,omitempty"`
	Unknown        []string    `json:"unknown"`
	Warnings       []warning   `json:"warnings,omitempty"`
}

// coverage is what the figures of a preview rest on.
type coverage struct {
	Basis    string    `json:"basis"`
	Points   int       `json:"points"`
	Answered int       `json:"answered"`
	Recorded int64     `json:"recorded"`
	Since    time.Time `json:"since,omitzero"`
	Until    time.Time `json:"until,omitzero"`
	Lost     int64     `json:"lost"`
	Records  []struct {
		Name     string    `json:"name"`
		Requests int64     `json:"requests"`
		Since    time.Time `json:"since,omitzero"`
	} `json:"records"`
	Dimensions []struct {
		Dimension string  `json:"dimension"`
		Unknown   int64   `json:"unknown"`
		Share     float64 `json:"share"`
		Rule      string  `json:"rule"`
	} `json:"dimensions"`
	Notes []string `json:"notes"`
}

// part is how much of somebody's traffic is touched.
type part struct {
	Name     string  `json:"name"`
	Requests int64   `json:"requests"`
	Of       int64   `json:"of"`
	Share    float64 `json:"share"`
}

// dependant is a caller whose traffic is touched.
type dependant struct {
	Key         string  `json:"key"`
	Org         string  `json:"org"`
	Criticality string  `json:"criticality"`
	Requests    int64   `json:"requests"`
	Share       float64 `json:"share"`
}

// key is a caller's key.
type key struct {
	ID         string    `json:"id"`
	Secret     string    `json:"secret,omitempty"` // shown once
	Org        string    `json:"org"`
	User       string    `json:"user"`
	Tier       string    `json:"tier"`
	Surface    string    `json:"surface"`
	Attributes []string  `json:"attributes"`
	UseCases   []string  `json:"use_cases"`
	ExpiresAt  time.Time `json:"expires_at,omitzero"`
	CreatedAt  time.Time `json:"created_at,omitzero"`
	RevokedAt  time.Time `json:"revoked_at,omitzero"`
	Revision   uint64    `json:"revision"`
	Effect     *effect   `json:"effect,omitempty"` // of its last change; not in lists
}
