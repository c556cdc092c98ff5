package order

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"andon/correction"
)

// MaxEmergencyWindow bounds how long an emergency order can wait to be
// accepted, and so how long a copy of one can be replayed to a new gateway.
const MaxEmergencyWindow = 30 * 24 * time.Hour

// maxEmergencyCorrections bounds one emergency order.
const maxEmergencyCorrections = 1000

// Emergency is a set of corrections that a gateway obeys without control,
// ledger or bus, because a key that it was given for that signed it. It can only
// tighten. NotAfter ends the time to accept it, not its corrections: those
// stand until they expire, or until control has adopted them and lifts them.
type Emergency struct {
	ID          string                  `json:"id"` // "e-" and 16 hex digits
	IssuedAt    time.Time               `json:"issued_at"`
	NotAfter    time.Time               `json:"not_after"`
	By          string                  `json:"by"`          // who signed it, for the record
	Corrections []correction.Correction `json:"corrections"` // ids "<ID>-1", "<ID>-2", …
}

// NewEmergency builds a valid emergency order that can be accepted for window
// from now. It numbers the corrections.
func NewEmergency(by string, now time.Time, window time.Duration, cs ...correction.Correction) (Emergency, error) {
	var id [8]byte
	rand.Read(id[:])
	now = now.UTC().Truncate(time.Millisecond)
	e := Emergency{ID: "e-" + hex.EncodeToString(id[:]), IssuedAt: now, NotAfter: now.Add(window), By: by}
	for i, c := range cs {
		c.ID = e.correctionID(i)
		// In force on arrival, whatever the clock of who signed it says: a start in
		// the future of a gateway would delay a stop. Only L2 counts from a start.
		c.AppliedAt = time.Time{}
		if c.Level() == 2 {
			c.AppliedAt = now
		}
		e.Corrections = append(e.Corrections, c)
	}
	return e, e.Validate()
}

func (e *Emergency) correctionID(i int) string { return e.ID + "-" + strconv.Itoa(i+1) }

// Validate reports what is wrong with e, apart from its signature and the time
// it is used: it must be well formed, and it must only tighten.
func (e *Emergency) Validate() error {
	hexID, ok := strings.CutPrefix(e.ID, "e-")
	if b, err := hex.DecodeString(hexID); !ok || err != nil || len(b) != 8 || strings.ToLower(hexID) != hexID {
		return fmt.Errorf("validate emergency: id %.40q is not \"e-\" and 16 hex digits", e.ID)
	}
	if e.By == "" || len(e.By) > 200 {
		return errors.New("validate emergency: by must name who signs, in at most 200 bytes")
	}
	if e.IssuedAt.IsZero() || !e.NotAfter.After(e.IssuedAt) || e.NotAfter.Sub(e.IssuedAt) > MaxEmergencyWindow {
		return fmt.Errorf("validate emergency: not_after must follow issued_at by at most %v", MaxEmergencyWindow)
	}
	if n := len(e.Corrections); n == 0 || n > maxEmergencyCorrections {
		return fmt.Errorf("validate emergency: %d corrections, not 1 to %d", n, maxEmergencyCorrections)
	}
	for i := range e.Corrections {
		c := e.Corrections[i]
		if c.ID != e.correctionID(i) {
			return fmt.Errorf("validate emergency: correction %d has id %.40q, not %q", i+1, c.ID, e.correctionID(i))
		}
		if c.Mode != "" && c.Mode != correction.Enforce {
			return fmt.Errorf("validate emergency: correction %s: mode %q: an emergency order only enforces", c.ID, c.Mode)
		}
		switch c.Kind {
		case correction.Access, correction.Capability, correction.Use, correction.Stop, correction.Rate:
		default:
			return fmt.Errorf("validate emergency: correction %s: kind %q is not allowed: use access, capability, use, stop or rate", c.ID, c.Kind)
		}
		c.ID, c.AppliedAt = "", time.Time{} // set here, not by whoever wrote it
		if err := c.Validate(e.IssuedAt); err != nil {
			return fmt.Errorf("validate emergency: correction %d: %w", i+1, err)
		}
	}
	return nil
}
