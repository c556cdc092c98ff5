package gateway

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"andon/correction"
	"andon/order"
)

// renew beats several times a lease, and fetches the full state when asked to.
// It waits for the bus, so that the agent does not have to. While nobody
// answers it asks more often.
func (a *agent) renew(ctx context.Context, b Bus) {
	every := a.g.cfg.Lease / 3
	var fetching sync.WaitGroup
	fetching.Go(func() { a.fetchLists(ctx, b) }) // without it lists are never whole
	defer fetching.Wait()
	a.fetch(ctx, b, every)
	next := time.NewTimer(0)
	defer next.Stop()
	trouble := "" // why the last beat brought nothing; said once
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.resync:
			if !a.fetch(ctx, b, every) {
				pause(ctx, retrySoon)
			}
		case <-a.keys:
			if !a.fetchKeys(ctx, b, every) {
				pause(ctx, min(every, time.Second)) // who makes noise does not make load
			}
		case <-next.C:
		case <-a.beat:
		}
		err := a.sendBeat(ctx, b, every)
		if err == nil {
			trouble = ""
			next.Reset(every)
			continue
		}
		if trouble != err.Error() && ctx.Err() == nil {
			trouble = err.Error()
			a.g.log.Warn("no lease from the control plane", "error", err)
		}
		next.Reset(min(every, retrySoon))
	}
}

// retrySoon is how soon what could not be had is asked for again.
const retrySoon = 200 * time.Millisecond

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

func (a *agent) fetch(ctx context.Context, b Bus, within time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, max(within, time.Second))
	defer cancel()
	received := time.Now()
	data, err := b.Request(ctx, order.SubjectSync, nil)
	if err != nil {
		a.g.log.Warn("no full state from the control plane", "error", err) // the next beat asks again
		return false
	}
	signed, checkpoint := order.CutCheckpoint(data)
	a.g.looker.passes(checkpoint)
	ok := false
	return a.do(ctx, func() { ok = a.takeState(signed, received) == nil }) == nil && ok
}

// sendBeat tells the control plane where this gateway stands, and renews the
// lease if the control plane stands there, too. The error says why no answer came
// that could be believed.
func (a *agent) sendBeat(ctx context.Context, b Bus, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	var beat order.Beat
	var emergencies [][]byte
	var sent int64
	if err := a.do(ctx, func() { beat, emergencies, sent = a.report() }); err != nil {
		return err
	}
	for _, e := range emergencies {
		b.Publish(order.SubjectEmergency, e)
	}
	data, err := json.Marshal(beat)
	if err != nil {
		return err
	}
	answer, err := b.Request(ctx, order.SubjectBeat, data)
	if err != nil {
		return err
	}
	l, err := order.OpenLease(answer, a.follower.Trust())
	if err != nil {
		if errors.Is(err, order.ErrUntrusted) {
			a.ask(a.keys)
		}
		if errors.Is(err, order.ErrWarrant) {
			a.hand(func() { a.behind(err) })
		}
		return err
	}
	if l.Gateway != beat.Gateway || l.Nonce != beat.Nonce {
		return fmt.Errorf("the lease is for another beat (of %q)", l.Gateway)
	}
	a.g.looker.shown(&l)
	switch {
	case l.Revision > beat.Revision || a.g.current.Load() == nil:
		a.ask(a.resync)
	case l.Revision == beat.Revision && l.Head == beat.Head:
		ttl := min(time.Duration(l.TTL), a.g.cfg.Lease)
		a.g.lease.renew(sent + int64(ttl))
		a.g.clock.heard(l.At, a.g.clock.mono(), sent+int64(ttl))
		a.hand(func() { // so that the end of the new lease is scheduled
			if a.trouble == untrusted || a.trouble == ahead {
				a.trouble = ""
			}
		})
	default:
		a.g.log.Error("the control plane is behind this gateway: its record was rolled back, or it is another one", "control", l.Revision, "gateway", beat.Revision)
	}
	return nil
}

// hand hands a job in without waiting for it.
func (a *agent) hand(f func()) {
	select {
	case a.jobs <- f:
	default:
	}
}

// report is what the next beat says.
func (a *agent) report() (order.Beat, [][]byte, int64) {
	if a.unkept >= 0 {
		a.keep(time.Now(), 0)
	}
	var nonce [16]byte
	rand.Read(nonce[:])
	mono := a.g.clock.mono()
	beat := order.Beat{Gateway: a.g.cfg.Name, Boot: a.g.boot, Nonce: hex.EncodeToString(nonce[:]), Live: int64(a.g.live.len()),
		Stale: a.g.lease.over(mono), Version: Version, Features: features, Error: a.trouble}
	if rl := a.g.current.Load(); rl != nil {
		beat.Revision, beat.Head = rl.revision, rl.head
	}
	beat.Trusts = a.trusts()
	if w := a.g.looker.report.Load(); w != nil {
		beat.Witness = *w
	}
	if f := a.g.looker.peers.forks.Load(); f != nil {
		beat.Forks = *f
	}
	beat.Peers = a.g.looker.peers.ask()
	beat.Lists = a.lists.report(a.g.current.Load())
	beat.Detectors, beat.Versions = slices.Sorted(maps.Keys(a.g.detectors)), map[string][]string{}
	for _, m := range a.g.order {
		beat.Models = append(beat.Models, m.Name)
		for _, v := range append([]ModelVersion{{Version: m.Version}}, m.Versions...) {
			if v.Version != "" && m.derivative == "" {
				beat.Versions[m.Name] = append(beat.Versions[m.Name], v.Version)
			}
		}
	}
	var signed [][]byte
	for _, e := range a.follower.Emergencies() {
		beat.Emergencies = append(beat.Emergencies, e.ID)
		signed = append(signed, a.follower.Signed(e.ID))
	}
	return beat, signed, mono
}

// features is what this gateway can enforce.
var features = []string{
	string(correction.Access), string(correction.Access) + ".linked", string(correction.Rate), string(correction.Capability) + ".disable",
	string(correction.Capability) + ".clamp", string(correction.Capability) + ".filter", string(correction.Capability) + ".pin",
	string(correction.Use) + ".declared", string(correction.Use) + ".inferred", string(correction.Use) + ".acknowledge", string(correction.Stop),
}

// Version is the program's, set when it is built for release.
var Version = "dev"
