package order

import (
	"fmt"
	"time"
)

// The subjects by which a call waits for a person.
const (
	SubjectHold    = "andon.hold"    // gateway → control: Hold, repeated while it waits
	SubjectRelease = "andon.release" // control → gateways: signed Release
)

// TypeRelease is the payload type of a Release.
const TypeRelease = "application/vnd.andon.release+json"

// Hold is a call that a filter holds until a person has looked at it. It is
// said again every two seconds while it waits, and is over when it is not.
// The excerpt is for the person who decides: nobody keeps it.
type Hold struct {
	ID         string    `json:"id"`
	Gateway    string    `json:"gateway"`
	RequestID  string    `json:"request_id"`
	Correction string    `json:"correction"`
	Direction  string    `json:"direction"` // input | output
	Since      time.Time `json:"since"`
	Until      time.Time `json:"until"` // when it is refused if nobody decides
	Model      string    `json:"model"`
	Org        string    `json:"org,omitempty"`
	Key        string    `json:"key,omitempty"`
	User       string    `json:"user,omitempty"` // pseudonym
	Excerpt    string    `json:"excerpt"`        // at most 1,000 bytes around what was found
}

// Release is what a person decided about a held call. It is signed, since it
// may let something pass. A gateway takes it for a call that it holds, once.
type Release struct {
	Hold    string    `json:"hold"`
	Gateway string    `json:"gateway"`
	Let     bool      `json:"let"`
	By      string    `json:"by"`
	At      time.Time `json:"at"`
}

// OpenRelease verifies and reads a signed release.
func OpenRelease(data []byte, trust Trust) (Release, error) {
	r, _, err := open[Release](data, trust.Control, trust.early())
	if err == nil && (r.Hold == "" || r.Gateway == "") {
		return Release{}, fmt.Errorf("open release: %w: it names no hold", ErrMalformed)
	}
	return r, err
}
