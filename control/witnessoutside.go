package control

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"andon/order"
	"andon/witness"
)

// OutsideWitness is a witness that somebody else runs (C2SP tlog-witness).
type OutsideWitness struct {
	URL string // its submission prefix
	Key string // its public key, in the form of C2SP tlog-cosignature
}

// Paces of submissions to one outside witness.
const (
	submitPace    = 10 * time.Second // between two, while the ledger grows
	submitTimeout = 30 * time.Second
	submitRetry   = 2 * time.Second // after the first failure; it doubles
	submitRest    = 5 * time.Minute // and never grows beyond this
)

// openWitnesses reads who is to be asked.
func (c *Control) openWitnesses() error {
	for _, w := range c.cfg.Witnesses {
		cl, err := witness.NewClient(w.URL, w.Key)
		if err != nil {
			return err
		}
		if c.seen.outside == nil {
			c.seen.outside = map[string]*sighting{}
		}
		if c.seen.outside[cl.Name()] != nil {
			return errors.New("witness " + cl.Name() + " is given twice")
		}
		c.seen.outside[cl.Name()] = &sighting{said: order.Witness{Key: w.Key}}
		c.outside = append(c.outside, cl)
	}
	return nil
}

// submit hands checkpoints to one outside witness for as long as the control
// plane runs. No command ever waits for it.
func (c *Control) submit(cl *witness.Client) {
	defer cl.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { // without it Stop would wait for a witness that does not answer
		select {
		case <-c.stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	var last string // submitted
	wait, retry := time.Duration(0), submitRetry
	for {
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		}
		wait = c.pace
		signed := c.checkpoint()
		if string(signed) == last || len(signed) == 0 {
			continue
		}
		if err := c.submitOne(ctx, cl, signed); err != nil {
			wait = retry/2 + rand.N(retry)
			retry = min(2*retry, submitRest)
			continue
		}
		last, retry = string(signed), submitRetry
	}
}

// submitOne hands in one checkpoint and notes what came of it.
func (c *Control) submitOne(ctx context.Context, cl *witness.Client, signed []byte) error {
	ctx, cancel := context.WithTimeout(ctx, submitTimeout)
	defer cancel()
	line, err := cl.Submit(ctx, signed, c.prove)
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return err // the control plane stops
	}
	now := c.cfg.Now()
	text, _, splitErr := witness.Split(signed)
	cp, parseErr := witness.Parse(text)
	err = errors.Join(err, splitErr, parseErr)
	var r *witness.Refusal
	split := errors.As(err, &r) && r.Split
	c.seen.mu.Lock()
	s := c.seen.outside[cl.Name()]
	before := s.split
	if err == nil {
		s.size, s.at, s.heard, s.split = cp.Size, now.UTC(), now, ""
	} else {
		s.split = err.Error()
	}
	c.seen.mu.Unlock()
	if err == nil { // only now: its key is recorded before
		c.collect(cp, string(signed)+line)
	}
	switch {
	case err == nil && before != "":
		c.log.Info("an outside witness cosigns again", "witness", cl.Name(), "size", cp.Size)
	case err == nil || err.Error() == before:
	case split:
		c.log.Error("ALARM: an outside witness has seen a ledger that does not go with this one", "witness", cl.Name(), "detail", err)
		c.metrics.alarms.Inc()
	default:
		c.log.Warn("an outside witness did not cosign; it is asked again", "witness", cl.Name(), "error", err)
	}
	return err
}
