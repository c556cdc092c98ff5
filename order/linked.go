package order

import "time"

// SubjectLinked is where gateways say by what a caller could be recognised that
// they refused under a block with linked accounts: gateway → control: [Linked].
// It is not signed: who forges it can tighten a block, and an operator sees each
// link and can take it back.
const SubjectLinked = "andon.linked"

// Linked is a caller that a block with linked accounts refused. It names nobody,
// but by what the block asks for.
type Linked struct {
	Gateway    string   `json:"gateway"`
	Correction string   `json:"correction"`
	Org        string   `json:"org,omitempty"`
	Key        string   `json:"key,omitempty"`
	Attributes []string `json:"attributes,omitempty"` // those that the block links by
	Via        string   `json:"via,omitempty"`        // the link that reached it; "": it is a subject itself
}

// SubjectAcknowledge is where gateways hand in what callers acknowledge: gateway →
// control, request [Acknowledge] → [Receipt], once it is durable in the ledger.
const SubjectAcknowledge = "andon.acknowledge"

// Acknowledge is a caller's word that it knows of a correction and abides by it.
// The gateway vouches for who calls.
type Acknowledge struct {
	Gateway    string `json:"gateway"`
	Correction string `json:"correction"`
	Org        string `json:"org,omitempty"`
	Key        string `json:"key,omitempty"` // id
	Statement  string `json:"statement"`
}

// Receipt says that an acknowledgement is in the ledger, or why it is not.
type Receipt struct {
	ID         string    `json:"id"`
	Correction string    `json:"correction"`
	Org        string    `json:"org,omitempty"` // that acknowledged
	Key        string    `json:"key,omitempty"` // that did it; alone, where no org is known
	At         time.Time `json:"at"`
	Entry      uint64    `json:"entry"` // of the ledger
	Statement  string    `json:"statement,omitempty"`
	By         string    `json:"by,omitempty"`   // the operator, where it was on behalf
	Code       string    `json:"code,omitempty"` // of the problem, if it is none
	Detail     string    `json:"detail,omitempty"`
}
