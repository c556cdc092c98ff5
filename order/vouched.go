package order

import (
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
)

// SubjectVouched is where gateways tell each other which checkpoint of the ledger
// they have cosigned last, so that two of them that were shown different histories
// find it out: gateway → gateways: [Vouched].
const SubjectVouched = "andon.vouched"

// MaxVouched bounds a Vouched, in bytes.
const MaxVouched = 16 << 10

// Vouched is the newest checkpoint that a gateway has cosigned. Nothing of it is
// believed but what the signatures in it say.
type Vouched struct {
	Gateway string   `json:"gateway"`
	Key     string   `json:"key"`     // public key of its cosignatures
	LogKey  string   `json:"log_key"` // of the ledger, that signed the note
	Note    string   `json:"note"`
	Led     []string `json:"led,omitempty"` // statements that led it to that key of the ledger
}

// OpenVouched reads what another gateway says, which is bounded and not yet believed.
func OpenVouched(data []byte) (v Vouched, err error) {
	if len(data) > MaxVouched {
		return v, fmt.Errorf("read what a gateway vouches for: %d bytes, at most %d", len(data), MaxVouched)
	}
	if err := json.Unmarshal(data, &v); err != nil { // members of a newer gateway are ignored
		return v, fmt.Errorf("read what a gateway vouches for: %w", err)
	}
	if v.Gateway == "" || len(v.Gateway) > 128 || v.Key == "" || v.LogKey == "" || v.Note == "" {
		return v, errors.New("read what a gateway vouches for: it needs gateway, key, log_key and note")
	}
	return v, nil
}

// MaxPeers bounds the gateways whose keys are asked for in one beat, MaxForks the
// forks that one beat tells of.
const (
	MaxPeers = 32
	MaxForks = 4
)

// Fork is evidence that the ledger shows two histories: what this gateway and
// another one have cosigned. See witness.Fork.
type Fork struct {
	Peer       string   `json:"peer"` // name of the other gateway's cosignatures
	PeerKey    string   `json:"peer_key"`
	Own        string   `json:"own"`    // the note that this gateway vouches for
	Theirs     string   `json:"theirs"` // the note that the other vouches for
	LogKey     string   `json:"log_key"`
	PeerLogKey string   `json:"peer_log_key"`
	Led        []string `json:"led,omitempty"` // statements by which keys of the ledger follow one another
}
