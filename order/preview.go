package order

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"
)

// Preview is one gateway's answer to the question what a correction would have
// done to the traffic that it has recorded, and what it would end there now.
// Merge joins several gateways' answers.
type Preview struct {
	Gateway    string `json:"gateway"`
	Pseudonyms string `json:"pseudonyms"` // id of the key: users of equal ids can be told apart across gateways

	Recorded int64     `json:"recorded"` // requests that were looked at
	Since    time.Time `json:"since,omitzero"`
	Until    time.Time `json:"until,omitzero"`
	Lost     int64     `json:"lost,omitzero"` // requests that had no room in the record

	Requests  int64 `json:"requests"`  // of them, those that it would have refused, limited or changed
	Reached   int64 `json:"reached"`   // those in its scope, whether or not it changes anything for them
	Refused   int64 `json:"refused"`   // outright
	Limited   int64 `json:"limited"`   // by the limit, as replayed
	Changed   int64 `json:"changed"`   // served, but not as asked
	Undecided int64 `json:"undecided"` // what the record does not say whether
	Already   int64 `json:"already"`   // of Requests: refused, limited or cut by another correction as it was

	LiveStreams int64 `json:"live_streams"` // running requests that it would end now

	Users  Sketch  `json:"users"`
	Orgs   Sketch  `json:"orgs"`
	Keys   Sketch  `json:"keys"`
	Models []Reach `json:"models,omitempty"`
	ByOrg  []Reach `json:"by_org,omitempty"` // the most affected
	ByKey  []Reach `json:"by_key,omitempty"` // the most affected, and all that say how critical they are

	Peaks []Peak `json:"peaks,omitempty"` // of a limit on requests per model: by model, the most

	Known   []Known  `json:"known,omitempty"`   // by dimension of the scope
	Unknown []string `json:"unknown,omitempty"` // what could not be judged, in words
	Notes   []string `json:"notes,omitempty"`   // what the figures rest on, in words
}

// Reach is how much of somebody's traffic a correction touches.
type Reach struct {
	Name        string `json:"name"`
	Org         string `json:"org,omitempty"` // of a key
	Criticality string `json:"criticality,omitempty"`
	Requests    int64  `json:"requests"` // touched
	Of          int64  `json:"of"`       // all of them
}

// Peak is the most requests for a model that came within one window of a limit.
type Peak struct {
	Model    string `json:"model"`
	Requests int64  `json:"requests"`
}

// Known is for how many recorded requests the value of a dimension is unknown.
type Known struct {
	Dimension string `json:"dimension"` // "countries", "attributes.plan", …
	Unknown   int64  `json:"unknown"`
}

// MaxReach is how many names a list of a Preview has.
const MaxReach = 200

// Sketch counts distinct values in bounded room: exactly up to SketchSize, and
// beyond it from the smallest of their hashes (k minimum values), with a standard
// error of 1.6 %. The zero value is empty. Not for concurrent use.
type Sketch struct {
	values []uint64 // ascending and distinct up to sorted, then as they came
	sorted int
	full   bool // more than SketchSize were seen: only the smallest are kept
}

// SketchSize is how many values are counted exactly.
const SketchSize = 4096

// Add counts a value, given as a hash whose 64 bits are as good as random.
func (s *Sketch) Add(hash uint64) {
	if s.full && hash >= s.values[SketchSize-1] {
		return
	}
	s.values = append(s.values, hash)
	if len(s.values) >= 4*SketchSize {
		s.settle()
	}
}

func (s *Sketch) settle() {
	if s.sorted == len(s.values) {
		return
	}
	slices.Sort(s.values)
	s.values = slices.Compact(s.values)
	if len(s.values) > SketchSize {
		s.values, s.full = s.values[:SketchSize], true
	}
	s.sorted = len(s.values)
}

// Merge adds what another sketch has counted.
func (s *Sketch) Merge(o *Sketch) {
	o.settle()
	full := s.full || o.full
	s.settle()
	s.values = append(s.values, o.values...)
	s.sorted = 0
	s.settle()
	s.full = full && len(s.values) == SketchSize || s.full
}

// Count is how many distinct values were added, and whether that is exact.
func (s *Sketch) Count() (n int64, exact bool) {
	s.settle()
	if !s.full {
		return int64(len(s.values)), true
	}
	return int64(math.Round(float64(SketchSize-1) / (float64(s.values[SketchSize-1]) / math.MaxUint64))), false
}

// MarshalText writes the sketch in base64, a flag before its hashes.
func (s Sketch) MarshalText() ([]byte, error) {
	s.values = slices.Clone(s.values)
	s.settle()
	b := make([]byte, 1, 1+8*len(s.values))
	if s.full {
		b[0] = 1
	}
	for _, v := range s.values {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	return base64.StdEncoding.AppendEncode(nil, b), nil
}

// UnmarshalText reads what MarshalText wrote, and nothing else.
func (s *Sketch) UnmarshalText(text []byte) error {
	b, err := base64.StdEncoding.AppendDecode(nil, text)
	if err != nil || len(b)%8 != 1 || len(b) > 1+8*SketchSize || b[0] > 1 || b[0] == 1 && len(b) != 1+8*SketchSize {
		return fmt.Errorf("read sketch: it is malformed")
	}
	*s = Sketch{full: b[0] == 1}
	for b = b[1:]; len(b) > 0; b = b[8:] {
		v := binary.BigEndian.Uint64(b)
		if n := len(s.values); n > 0 && v <= s.values[n-1] {
			return fmt.Errorf("read sketch: its values are not ascending")
		}
		s.values = append(s.values, v)
	}
	if s.full && s.values[SketchSize-1] == 0 {
		return fmt.Errorf("read sketch: it is malformed")
	}
	s.sorted = len(s.values)
	return nil
}
