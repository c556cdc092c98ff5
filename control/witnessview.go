package control

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"andon/witness"
)

// getCheckpoint answers with the current checkpoint, or the newest that at least
// ?cosigned=N have signed beside the ledger itself; with all signatures.
func (c *Control) getCheckpoint(cl *call) error {
	if err := cl.op.may("ledger.read"); err != nil {
		return err
	}
	least := 0
	if text := cl.r.URL.Query().Get("cosigned"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || n > 64 {
			return problem("invalid_query", "cosigned "+strconv.Quote(short(text))+" is not a number of witnesses: give 0 to 64")
		}
		least = n
	}
	now, err := c.cfg.Log.Checkpoint(cl.r.Context())
	if err != nil {
		return cl.raw(textPlain, nil, err)
	}
	kept, err := c.cfg.Log.Cosignatures(cl.r.Context())
	if err != nil {
		return err
	}
	text, _, err := witness.Split(now)
	if err != nil {
		return err
	}
	for _, signed := range kept {
		by, _, err := cosigners(signed)
		if err == nil && len(by) >= least && (least > 0 || strings.HasPrefix(string(signed), text+"\n")) {
			return cl.raw(textPlain, signed, nil)
		}
	}
	if least > 0 {
		return problem("not_found", fmt.Sprintf("no checkpoint carries %d cosignatures; GET /api/v1/ledger/witnesses says who has seen what", least))
	}
	return cl.raw(textPlain, now, nil)
}

// cosigners are those who have signed a checkpoint beside the ledger itself.
func cosigners(signed []byte) (by []string, size uint64, err error) {
	text, lines, err := witness.Split(signed)
	if err != nil {
		return nil, 0, err
	}
	cp, err := witness.Parse(text)
	for _, l := range lines {
		if name := nameOf(l); name != "" && name != cp.Origin {
			by = append(by, name)
		}
	}
	return by, cp.Size, err
}

// witnessView is one witness.
type witnessView struct {
	Name   string    `json:"name"`
	Kind   string    `json:"kind"`                  // gateway or outside
	Key    string    `json:"key,omitempty"`         // that its cosignatures verify by
	Size   uint64    `json:"size"`                  // entries that it vouches for
	Behind uint64    `json:"behind"`                // entries that have come since
	At     time.Time `json:"cosigned_at,omitzero"`  // as it says
	Heard  time.Time `json:"last_seen_at,omitzero"` // missing: not since the control plane started
	Alarm  string    `json:"alarm,omitempty"`       // why the ledger here does not go with what it has seen, or why it does not cosign
}

// cosignedView is a checkpoint that was cosigned.
type cosignedView struct {
	Size uint64   `json:"size"`
	By   []string `json:"by"`
}

type witnessesView struct {
	Size      uint64         `json:"size"` // entries in the ledger
	Witnesses []witnessView  `json:"witnesses"`
	Cosigned  []cosignedView `json:"cosigned"` // the newest first, at most 10
	Forks     []forkView     `json:"forks"`    // two gateways that were shown different histories
}

const shownCosigned = 10

// getWitnesses says who has seen which size, and when.
func (c *Control) getWitnesses(cl *call) error {
	if err := cl.op.may("witness.read"); err != nil {
		return err
	}
	v := witnessesView{Size: c.cfg.Log.Size(), Witnesses: []witnessView{}, Cosigned: []cosignedView{}, Forks: c.forkViews()}
	c.mu.RLock()
	keys := maps.Clone(c.state.witness.keys)
	c.mu.RUnlock()
	c.seen.mu.Lock()
	names := map[string]bool{}
	for name := range keys {
		names[name] = true
	}
	for name := range c.seen.seen {
		names[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		w := witnessView{Name: name, Kind: "gateway", Key: keys[name]}
		if s := c.seen.seen[name]; s != nil {
			w.Size, w.At, w.Heard, w.Alarm = s.size, s.at, utc(s.heard), s.alarm()
		}
		v.Witnesses = append(v.Witnesses, w)
	}
	for _, name := range slices.Sorted(maps.Keys(c.seen.outside)) {
		s := c.seen.outside[name]
		v.Witnesses = append(v.Witnesses, witnessView{Name: name, Kind: "outside", Key: s.said.Key, Size: s.size, At: s.at, Heard: utc(s.heard), Alarm: s.alarm()})
	}
	c.seen.mu.Unlock()
	for i := range v.Witnesses {
		v.Witnesses[i].Behind = v.Size - min(v.Size, v.Witnesses[i].Size)
	}
	kept, err := c.cfg.Log.Cosignatures(cl.r.Context())
	if err != nil {
		return err
	}
	for _, signed := range kept[:min(len(kept), shownCosigned)] {
		if by, size, err := cosigners(signed); err == nil {
			v.Cosigned = append(v.Cosigned, cosignedView{size, by})
		}
	}
	return cl.reply(http.StatusOK, v)
}
