package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/mod/sumdb/tlog"

	"andon/bus"
	"andon/ledger"
	"andon/order"
	"andon/witness"
)

// Entries of this room: which key a witness cosigns with, and what it raised an
// alarm about.
const (
	typeWitnessKnown   = ledger.TypeWitnessKnown
	typeWitnessAlarmed = "witness.alarmed"
)

type knownBody struct {
	Gateway string `json:"gateway,omitempty"`
	Outside string `json:"outside,omitempty"` // or the name of a witness that somebody else runs
	Key     string `json:"key"`               // C2SP vkey
}

type alarmedBody struct {
	Gateway string `json:"gateway"`
	Detail  string `json:"detail"`
	Shown   string `json:"shown,omitempty"` // the checkpoint that raised it
}

func foldKnown(s *state, e ledger.Entry, _ *order.Order) (func(), error) {
	b, err := read[knownBody](e.Body)
	if err == nil && ((b.Gateway == "") == (b.Outside == "") || b.Key == "") {
		err = fmt.Errorf("a witness without name or key: %w", errForm)
	}
	return func() {
		if b.Outside != "" {
			if s.witness.outside == nil {
				s.witness.outside = map[string]string{}
			}
			s.witness.outside[b.Outside] = b.Key
			return
		}
		if s.witness.keys == nil {
			s.witness.keys = map[string]string{}
		}
		s.witness.keys[b.Gateway] = b.Key
	}, err
}

func foldAlarmed(s *state, e ledger.Entry, _ *order.Order) (func(), error) {
	b, err := read[alarmedBody](e.Body)
	return func() {
		if s.witness.alarms == nil {
			s.witness.alarms = map[string]string{}
		}
		s.witness.alarms[b.Gateway] = b.Detail
	}, err
}

// Bounds of what a gateway may say of itself as a witness, in bytes.
const (
	maxWitnessKey   = 512
	maxWitnessNote  = 8 << 10
	maxWitnessAlarm = 500
)

// witnesses is who has vouched for which checkpoint. Its lock is held for
// nothing that waits, and nothing else is locked under it.
type witnesses struct {
	mu      sync.Mutex
	seen    map[string]*sighting    // gateways, by name
	outside map[string]*sighting    // outside witnesses, by name
	forks   map[string][]forkedBody // by gateway: what it says now
	pending map[uint64]string       // cosigned notes that are not kept yet, by size
	proofs  map[[2]uint64][]byte    // the last answers to gateways: many ask for the same

	attested attested
}

// sighting is what one witness has said last.
type sighting struct {
	said  order.Witness
	size  uint64
	at    time.Time // when it says that it cosigned
	heard time.Time
	split string // what is wrong, as this control plane sees it
}

// alarm is what a person should know, "" if nothing.
func (s *sighting) alarm() string {
	if s == nil || s.said.Alarm == "" {
		if s != nil {
			return s.split
		}
		return ""
	}
	return s.said.Alarm
}

// sighted takes in what a beat says of the ledger. It runs before the beat, so
// that what it costs is under no lock.
func (c *Control) sighted(gateway string, w order.Witness) {
	if w.Key == "" && w.Alarm == "" {
		return
	}
	if len(w.Key) > maxWitnessKey || len(w.Note) > maxWitnessNote || len(w.Shown) > maxWitnessNote {
		c.log.Warn("what a gateway says as a witness is out of bounds and was ignored", "gateway", gateway)
		return
	}
	w.Alarm = strings.ToValidUTF8(w.Alarm[:min(len(w.Alarm), maxWitnessAlarm)], "")
	now := c.cfg.Now()
	c.seen.mu.Lock()
	last := c.seen.seen[gateway]
	same := last != nil && last.said == w
	if same {
		last.heard = now
	}
	full := last == nil && len(c.seen.seen) >= maxPoints
	c.seen.mu.Unlock()
	if same || full {
		return
	}
	s := &sighting{said: w, heard: now}
	var cosigned witness.Checkpoint
	keep := ""
	if w.Note != "" {
		var err error
		cosigned, keep, err = c.examine(gateway, s)
		if err != nil && c.complaints.first(gateway+" "+err.Error()) {
			c.log.Warn("a gateway's cosignature was not taken", "gateway", gateway, "error", err)
		}
	}
	if last != nil && last.said.Key == w.Key && s.split == "" && !s.at.IsZero() && s.size < last.size {
		s.split = fmt.Sprintf("it vouched for %d entries before, and now for %d: its disk was put back, or somebody repeats what it said", last.size, s.size)
	}
	if text := s.alarm(); text != "" && (last == nil || last.alarm() != text) {
		c.log.Error("ALARM: a gateway has seen a ledger that does not go with this one", "gateway", gateway, "detail", text)
		c.metrics.alarms.Inc()
	}
	c.seen.mu.Lock()
	if c.seen.seen == nil {
		c.seen.seen = map[string]*sighting{}
	}
	c.seen.seen[gateway] = s
	c.seen.mu.Unlock()
	if keep != "" { // only now: its key is recorded before
		c.collect(cosigned, keep)
	}
}

// examine verifies a gateway's cosignature and compares what it has seen with
// the ledger here. It returns the note that is worth keeping, "" if there is none.
func (c *Control) examine(gateway string, s *sighting) (cp witness.Checkpoint, keep string, err error) {
	v, err := witness.NewVerifier(s.said.Key)
	if err != nil {
		return cp, "", err
	}
	if v.Name() != witness.GatewayName(gateway) {
		return cp, "", fmt.Errorf("the key is of %q, not of %q", v.Name(), witness.GatewayName(gateway))
	}
	line, at, err := v.Line([]byte(s.said.Note))
	if err != nil {
		return cp, "", err
	}
	text, lines, err := witness.Split([]byte(s.said.Note))
	if err != nil {
		return cp, "", err
	}
	if cp, err = witness.Parse(text); err != nil {
		return cp, "", err
	}
	s.size, s.at = cp.Size, at
	if s.split = c.contradicts(cp); s.split == "" {
		// The ledger checks its own signature; of the rest, only this one is believed.
		own := slices.DeleteFunc(lines, func(l string) bool { return nameOf(l) != cp.Origin })
		keep = text + "\n" + strings.Join(own, "") + line
	}
	return cp, keep, nil
}

// nameOf is whose a signature line is.
func nameOf(line string) string {
	if f := strings.Fields(line); len(f) == 3 {
		return f[1]
	}
	return ""
}

// contradicts says how a checkpoint that somebody vouches for does not go with
// this ledger; "" if it does.
func (c *Control) contradicts(cp witness.Checkpoint) string {
	if origin, _, _ := strings.Cut(c.cfg.LedgerKey, "+"); origin != "" && cp.Origin != origin {
		return fmt.Sprintf("it has seen log %.80q, and this is log %q", cp.Origin, origin)
	}
	root, err := c.cfg.Log.Root(context.Background(), cp.Size)
	switch {
	case errors.Is(err, ledger.ErrNotFound):
		return fmt.Sprintf("it has seen %d entries, and this ledger has %d: it was rolled back", cp.Size, c.cfg.Log.Size())
	case err != nil:
		c.log.Warn("a cosigned checkpoint cannot be compared with the ledger", "error", err)
	case root != cp.Root:
		return fmt.Sprintf("it has seen another history of %d entries", cp.Size)
	}
	return ""
}

// maxPendingNotes bounds what waits to be kept.
const maxPendingNotes = 32

// collect puts a cosigned note with those that wait to be kept.
func (c *Control) collect(cp witness.Checkpoint, note string) {
	c.seen.mu.Lock()
	defer c.seen.mu.Unlock()
	if c.seen.pending == nil {
		c.seen.pending = map[uint64]string{}
	}
	if had := c.seen.pending[cp.Size]; had != "" {
		_, lines, _ := witness.Split([]byte(note))
		note = had
		for _, l := range lines {
			if !strings.Contains(had, l) && len(had) < maxWitnessNote {
				note += l
			}
		}
	}
	c.seen.pending[cp.Size] = note
	if len(c.seen.pending) > maxPendingNotes {
		delete(c.seen.pending, slices.Min(slices.Collect(maps.Keys(c.seen.pending))))
	}
}

// keepPace is how often what witnesses have said is made durable.
const keepPace = 2 * time.Second

// keepWitnesses makes durable what witnesses have said.
func (c *Control) keepWitnesses() {
	tick := time.NewTicker(keepPace)
	defer tick.Stop()
	for {
		select {
		case <-c.stopping:
			return
		case <-tick.C:
			c.keepSeen(context.Background())
		}
	}
}

// keepSeen is one round of it. The record names a key before it keeps what that has
// signed, so that whoever has the record alone can check all that it keeps.
func (c *Control) keepSeen(ctx context.Context) {
	c.seen.mu.Lock()
	pending := c.seen.pending
	c.seen.pending = nil
	said := make(map[string]sighting, len(c.seen.seen))
	for name, s := range c.seen.seen {
		said[name] = *s
	}
	forks := maps.Clone(c.seen.forks)
	outside := map[string]string{}
	for name, w := range c.seen.outside {
		if !w.at.IsZero() { // it has cosigned
			outside[name] = w.said.Key
		}
	}
	c.seen.mu.Unlock()
	news := func(s *state) []draft {
		var out []draft
		for _, name := range slices.Sorted(maps.Keys(said)) {
			w := said[name]
			// A key counts once something that it signed has verified.
			if !w.at.IsZero() && s.witness.keys[name] != w.said.Key {
				if s.witness.keys[name] != "" {
					c.log.Error("ALARM: a gateway vouches with another key than before: its memory of the ledger was lost, or somebody speaks in its name", "gateway", name)
					c.metrics.alarms.Inc()
				}
				out = append(out, draft{typeWitnessKnown, knownBody{Gateway: name, Key: w.said.Key}})
			}
			if text := w.alarm(); text != "" && s.witness.alarms[name] != text {
				out = append(out, draft{typeWitnessAlarmed, alarmedBody{name, text, w.said.Shown}})
			}
		}
		for _, name := range slices.Sorted(maps.Keys(outside)) {
			if s.witness.outside[name] != outside[name] {
				out = append(out, draft{typeWitnessKnown, knownBody{Outside: name, Key: outside[name]}})
			}
		}
		return append(out, s.forkDrafts(forks)...)
	}
	c.mu.RLock()
	nothing := len(c.state.forkDrafts(forks)) == 0
	for name, w := range said {
		text := w.alarm()
		nothing = nothing && (w.at.IsZero() || c.state.witness.keys[name] == w.said.Key) && (text == "" || c.state.witness.alarms[name] == text)
	}
	for name, key := range outside {
		nothing = nothing && c.state.witness.outside[name] == key
	}
	c.mu.RUnlock()
	if !nothing {
		_, err := c.execute(ctx, system, func(s *state, _ time.Time) ([]draft, error) { return news(s), nil })
		if err != nil {
			if c.complaints.first("witness " + err.Error()) {
				c.log.Warn("what witnesses said was not recorded; it is tried again", "error", err)
			}
			return // they go on cosigning: what waited is not missed
		}
	}
	for _, size := range slices.Sorted(maps.Keys(pending)) {
		if err := c.cfg.Log.Cosigned(ctx, []byte(pending[size])); err != nil && c.complaints.first(err.Error()) {
			c.log.Warn("a cosigned checkpoint was not kept", "size", size, "error", err)
		}
	}
}

// attested is the checkpoint that was last shown to others. What is shown never
// shrinks, or a gateway would have to take it for a roll-back.
type attested struct {
	note []byte
	size uint64
	at   time.Time
}

// newest is the ledger's checkpoint as it is now, to go with an order; nil if
// there is none.
func (c *Control) newest() []byte { return c.shown(0) }

// checkpoint is what leases and outside witnesses are shown: the one that was
// shown last, for a third of a lease, so that many cosign one and the same.
func (c *Control) checkpoint() []byte { return c.shown(c.cfg.Lease / 3) }

// shown returns what was shown last if it is younger than that, and else what is
// there now.
func (c *Control) shown(young time.Duration) []byte {
	now := c.cfg.Now()
	c.seen.mu.Lock()
	defer c.seen.mu.Unlock()
	last := &c.seen.attested
	if age := now.Sub(last.at); last.note != nil && age >= 0 && age < young {
		return last.note
	}
	note, err := c.cfg.Log.Checkpoint(context.Background())
	if err != nil {
		return nil
	}
	text, _, err := witness.Split(note)
	if err != nil {
		return nil
	}
	cp, err := witness.Parse(text)
	if err != nil || cp.Size < last.size {
		return last.note
	}
	*last = attested{note, cp.Size, now}
	return note
}

// attest adds to a lease what the ledger shows now.
func (c *Control) attest(l *order.Lease) {
	if c.cfg.LedgerKey != "" {
		l.Checkpoint, l.LedgerKey = string(c.checkpoint()), c.cfg.LedgerKey
	}
}

// maxProofs bounds the answers that are remembered.
const maxProofs = 64

// onConsistency answers a gateway that wants to see that the ledger only grew.
func (c *Control) onConsistency(m bus.Msg) {
	var q order.ConsistencyRequest
	if err := json.Unmarshal(m.Data, &q); err != nil || !c.speaks(m, order.SubjectConsistency, q.Gateway) {
		return
	}
	if q.Key != "" {
		if data, err := json.Marshal(order.Consistency{Statements: c.rekeyedFrom(q.Key)}); err == nil {
			c.answer(m, data)
		}
		return
	}
	c.seen.mu.Lock()
	data := c.seen.proofs[[2]uint64{q.Old, q.New}]
	c.seen.mu.Unlock()
	if data == nil {
		data = c.consistency(q)
	}
	if data != nil {
		c.answer(m, data)
	}
}

func (c *Control) consistency(q order.ConsistencyRequest) []byte {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	a := order.Consistency{Old: q.Old, New: q.New}
	proof, err := c.cfg.Log.Consistency(ctx, q.Old, q.New)
	switch {
	case errors.Is(err, ledger.ErrNotFound):
		a.Error = fmt.Sprintf("the ledger has %d entries", c.cfg.Log.Size())
	case err != nil:
		c.log.Error("a consistency proof could not be made; verify the ledger", "error", err)
		a.Error = "the proof could not be made; the control plane's log says why"
	}
	for _, h := range proof {
		a.Proof = append(a.Proof, h[:])
	}
	data, encodeErr := json.Marshal(a)
	if encodeErr != nil {
		return nil
	}
	if err == nil { // of a size that exists, the proof never changes
		c.seen.mu.Lock()
		if len(c.seen.proofs) >= maxProofs || c.seen.proofs == nil {
			c.seen.proofs = map[[2]uint64][]byte{}
		}
		c.seen.proofs[[2]uint64{q.Old, q.New}] = data
		c.seen.mu.Unlock()
	}
	return data
}

// prove is for outside witnesses.
func (c *Control) prove(a, b uint64) (tlog.TreeProof, error) {
	return c.cfg.Log.Consistency(context.Background(), a, b)
}

// witnessOf is what is shown of a point as a witness.
func (c *Control) witnessOf(name string) (size uint64, alarm string) {
	c.seen.mu.Lock()
	defer c.seen.mu.Unlock()
	s := c.seen.seen[name]
	fork := c.seen.forkOf(name)
	if s == nil {
		return 0, fork
	}
	return s.size, cmp.Or(fork, s.alarm())
}
