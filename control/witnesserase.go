package control

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"andon/authority"
	"andon/ledger"
	"andon/order"
)

// private is the body of a draft that brings personal values: they become
// durable with its entry, beside the tree, and the body only names their
// commitments. The fold never sees them. See ledger.Commit.
type private struct {
	body   any
	values map[string][]byte // sealed, by commitment
}

// entry is what a draft becomes.
func (d draft) entry() ledger.Entry {
	if p, ok := d.body.(private); ok {
		return ledger.Entry{Type: d.kind, Body: body(p.body), Personal: p.values}
	}
	return ledger.Entry{Type: d.kind, Body: body(d.body)}
}

// personal returns the text behind a commitment, or "" and whether it was erased.
func (c *Control) personal(ctx context.Context, commitment string) (text string, erased bool, err error) {
	data, err := c.cfg.Log.Personal(ctx, commitment)
	if errors.Is(err, ledger.ErrErased) {
		return "", true, nil
	}
	return string(data), false, err
}

// maxErasures bounds how many values one entry erases.
const maxErasures = 1000

// erasing drafts the entry that erases values; eraseNow has to follow once it is
// durable. A crash in between does no harm: what is missing is made up for at
// the next start. Values that are erased already are passed over.
func (s *state) erasing(reason string, commitments ...string) []draft {
	var out []draft
	var names []string
	for i, n := range commitments {
		if _, gone := s.witness.erased[n]; !gone {
			names = append(names, n)
		}
		if len(names) == maxErasures || i == len(commitments)-1 && len(names) > 0 {
			out = append(out, draft{ledger.TypeErased, ledger.Erased{Commitments: names, Reason: reason}})
			names = nil
		}
	}
	return out
}

func foldErased(s *state, e ledger.Entry, _ *order.Order) (func(), error) {
	b, err := read[ledger.Erased](e.Body)
	if err != nil {
		return nil, err
	}
	if len(b.Commitments) == 0 || len(b.Commitments) > maxErasures {
		return nil, fmt.Errorf("%d commitments, not 1 to %d: %w", len(b.Commitments), maxErasures, errForm)
	}
	for _, n := range b.Commitments {
		if raw, err := hex.DecodeString(n); err != nil || len(raw) != sha256.Size || hex.EncodeToString(raw) != n {
			return nil, fmt.Errorf("%.80q is no commitment: %w", n, errForm)
		}
	}
	return func() {
		if s.witness.erased == nil {
			s.witness.erased = map[string]uint64{}
		}
		for _, n := range b.Commitments {
			s.witness.erased[n] = e.Seq
		}
	}, nil
}

// eraseWait bounds how long a request waits until the values are gone from the
// disk as well.
const eraseWait = 5 * time.Second

// eraseNow destroys values that an entry has erased. What cannot be done now,
// because somebody reads an older state of the file, is done in the background.
func (c *Control) eraseNow(ctx context.Context, commitments ...string) (done bool) {
	ctx, cancel := context.WithTimeout(ctx, eraseWait)
	defer cancel()
	err := c.cfg.Log.Erase(ctx, commitments...)
	if err == nil {
		return true
	}
	c.log.Warn("erased values may still be on the disk; it is tried again", "values", len(commitments), "error", err)
	select {
	case <-c.stopping: // the next start does it
	default:
		c.running.Go(func() { c.finishErasures(commitments) })
	}
	return false
}

// finishErasures erases until it succeeds, or the control plane stops.
func (c *Control) finishErasures(commitments []string) {
	if len(commitments) == 0 {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { // without it Stop would wait for whoever reads an older state
		select {
		case <-c.stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	for {
		err := c.cfg.Log.Erase(ctx, commitments...)
		if err == nil || errors.Is(err, ledger.ErrClosed) || ctx.Err() != nil {
			return
		}
		c.log.Error("personal values that an entry erased are still on the disk; it is tried again", "values", len(commitments), "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(clerkRest):
		}
	}
}

// allErased are the values that entries erased, for a start to make sure of.
func (s *state) allErased() []string {
	out := make([]string, 0, len(s.witness.erased))
	for n := range s.witness.erased {
		out = append(out, n)
	}
	return out
}

// erasureView is what became of an erasure.
type erasureView struct {
	Commitment string `json:"commitment"`
	Entry      uint64 `json:"entry"` // of the ledger, that says so
	Gone       bool   `json:"gone"`  // from the disk, too; if not yet, it is being done
}

// postErase erases a personal value for good. The entries that named it stand as
// they were.
func (c *Control) postErase(cl *call) error {
	if err := cl.op.may("personal.erase"); err != nil {
		return err
	}
	if err := cl.stepUp("erase a personal value"); err != nil {
		return err
	}
	b, err := decode[reasoned](cl)
	if err != nil {
		return err
	}
	if err := reasonGiven(b.Reason); err != nil {
		return err
	}
	name := cl.r.PathValue("commitment")
	_, err = c.cfg.Log.Personal(cl.r.Context(), name)
	if errors.Is(err, ledger.ErrNotFound) {
		return problem("not_found", "the ledger holds no personal value of commitment "+strconv.Quote(short(name))+"; a commitment is 64 lower-case hex digits that an entry names")
	}
	if err != nil && !errors.Is(err, ledger.ErrErased) {
		return err
	}
	err = c.act(cl.r.Context(), cl.op, func(*state) (wanted, error) {
		return wanted{question: authority.Question{Act: authority.Unmask}, do: "erase", subject: name, says: "erase the personal value " + name[:16] + "…",
			what: eraseWhat{name, b.Reason}, reason: b.Reason}, nil
	})
	if err != nil {
		return err
	}
	v := erasureView{Commitment: name, Gone: c.eraseNow(cl.r.Context(), name)}
	c.mu.RLock()
	v.Entry = c.state.witness.erased[name]
	c.mu.RUnlock()
	return cl.reply(http.StatusOK, v)
}

// eraseWhat is an erasure that others agree to.
type eraseWhat struct {
	Commitment string `json:"commitment"`
	Reason     string `json:"reason"`
}

func doErase(_ *Control, s *state, _ *operator, what jsontext.Value, _ time.Time) ([]draft, error) {
	b, err := read[eraseWhat](what)
	if err != nil {
		return nil, err
	}
	return s.erasing(b.Reason, b.Commitment), nil
}

// eraseAgreed erases what an act that was carried names.
func (c *Control) eraseAgreed(ctx context.Context, act string) {
	c.mu.RLock()
	p := c.state.authority.acts[act]
	carried := p != nil && p.Do == "erase" && p.state == actCarried
	c.mu.RUnlock()
	if !carried {
		return
	}
	if b, err := read[eraseWhat](p.What); err == nil {
		c.eraseNow(ctx, b.Commitment)
	}
}
