package gateway

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"andon/bus"
	"andon/gateway/limit"
	"andon/order"
)

// usage is what this gateway has counted under rate corrections, told to the
// other gateways and kept on disk.
//
// What others say over the bus is not signed. It is added to what is counted
// here and never taken from it: a forged word can tighten a limit, or take back
// what another gateway's word had tightened, and every gateway stays within the
// limit by its own exact count whatever the bus carries. Package limit states what
// that is worth, and what a partition costs.
//
// Counts in windows of a minute and longer are written once a second while
// they change, and when the gateway stops; the file before is kept beside it. So a
// crash costs a second at most, and what it cost the other gateways know: they
// tell it to one that has come back. Where neither file can be read nothing is
// known of what was used. That refuses nobody, since the other gateways still count
// it; it is logged as an error, and alone such a gateway begins at nothing.
//
// No clock is believed for the time between two lives but the control plane's,
// in a lease: until it is heard, nothing of what was kept becomes free.
type usage struct {
	fleet  *limit.Fleet // nil without a bus
	inbox  chan order.Usage
	peers  atomic.Int64
	path   string
	kept   int64         // wall time at which the restored counts were kept; 0: none were, or the time since is settled
	every  time.Duration // how often to write, at least
	failed bool          // the last time
}

const (
	usageFile   = "usage.bin"
	usageBefore = "usage.prev.bin"
	usageInbox  = 1 << 12
	keepEvery   = time.Second
)

// openUsage takes over what an earlier life of this gateway has counted.
func (g *Gateway) openUsage() {
	u := &g.counted
	u.path, u.every = g.cfg.Data, keepEvery
	g.autonomy.seed = g.sessions.seed
	for _, name := range []string{usageFile, usageBefore} {
		path := filepath.Join(u.path, name)
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			if u.kept, err = g.limits.Restore(data, g.clock.mono()); err == nil {
				return
			}
		}
		g.log.Error("what was counted under rate corrections can not be read; other gateways still know it", "file", name, "error", err)
		if errors.Is(err, limit.ErrBroken) {
			os.Rename(path, path+".broken")
		}
	}
}

// keepUsage writes what is counted. It is never in the way of a request.
func (g *Gateway) keepUsage() {
	u := &g.counted
	if !g.limits.Changed() {
		return
	}
	start := time.Now()
	now, mono := g.clock.span()
	data := g.limits.Keep(nil, g.limits.Now(mono), now.Late)
	path := filepath.Join(u.path, usageFile)
	err := writeFile(path+".tmp", data)
	if err == nil {
		if err = os.Rename(path, filepath.Join(u.path, usageBefore)); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	if err == nil {
		err = os.Rename(path+".tmp", path)
	}
	if err != nil && !u.failed {
		g.log.Error("what is counted under rate corrections can not be kept", "error", err)
	}
	u.failed = err != nil
	u.every = max(keepEvery, 20*time.Since(start)) // a twentieth of a core and of the disk, at most
}

func writeFile(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

// account keeps the counts, and ends what has run for too long.
func (g *Gateway) account(ctx context.Context) {
	t := time.NewTicker(watchEvery)
	defer t.Stop()
	next, swept := time.Now().Add(keepEvery), time.Now()
	for {
		select {
		case <-ctx.Done():
			g.keepUsage()
			return
		case <-t.C:
		}
		g.autonomy.watch(g)
		now := time.Now()
		if now.After(next) {
			g.keepUsage()
			next = now.Add(g.counted.every)
		}
		if now.Sub(swept) > time.Minute {
			swept = now
			g.autonomy.sweep(g.clock.mono())
		}
	}
}

// listenUsage subscribes to what the other gateways have counted.
func (g *Gateway) listenUsage(b Bus) error {
	u := &g.counted
	u.inbox = make(chan order.Usage, usageInbox)
	u.fleet = limit.NewFleet(g.limits, g.cfg.Name, g.boot, g.clock.mono())
	var mu sync.Mutex
	own := map[string]bool{} // names of which a gateway has spoken in its own
	for _, on := range []string{order.SubjectUsage, order.Named(order.SubjectUsage, "*")} {
		_, err := b.Subscribe(on, func(m bus.Msg) {
			w, err := order.OpenUsage(m.Data)
			if err != nil {
				return
			}
			speaker := order.Speaker(m.Subject, order.SubjectUsage)
			mu.Lock()
			if speaker == w.Gateway && len(own) < mostOwn {
				own[speaker] = true
			}
			believed := speaker == w.Gateway || speaker == "" && !own[w.Gateway]
			mu.Unlock()
			if !believed {
				return
			}
			select {
			case u.inbox <- w:
			default: // what is missed is asked for
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// mostOwn bounds how many names are kept from those who come with the shared token.
const mostOwn = 1 << 14

// share counts together with the other gateways. Every 10 ms while a call waits
// for this gateway's part, every 100 ms while something is counted, and every
// second otherwise it says what is new.
func (g *Gateway) share(ctx context.Context, b Bus) {
	u := &g.counted
	g.tell(b, u.fleet.Hello())
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		hungry := false
		var words []limit.Word
		select {
		case <-ctx.Done():
			return
		case m := <-u.inbox:
			words = u.fleet.Take(heard(&m), g.clock.mono())
		case <-u.fleet.Hungry():
			hungry = true
		case <-t.C:
		}
		g.passed(g.clock.mono())
		words = append(words, u.fleet.Tick(g.clock.mono(), hungry)...)
		for i := range words {
			g.tell(b, words[i])
		}
		u.peers.Store(int64(u.fleet.Peers()))
		if u.fleet.Busy() {
			t.Reset(firstLook)
		} else {
			t.Reset(limit.Pace)
		}
	}
}

// passed lets go what fell out of its window between two lives, once the
// control plane has said how long that was.
func (g *Gateway) passed(mono int64) {
	u := &g.counted
	if u.kept == 0 {
		return
	}
	if at, ok := g.clock.vouched(mono); ok {
		g.limits.Passed(mono, time.Duration(at-mono-u.kept))
		u.kept = 0
	}
}

// vouched is the control plane's time, while its lease holds.
func (c *clock) vouched(mono int64) (at int64, ok bool) {
	off := c.control.Load()
	return off + mono, off != 0 && mono < c.fresh.Load()
}

func (g *Gateway) tell(b Bus, w limit.Word) {
	m := order.Usage{Gateway: w.Gateway, Boot: w.Boot, To: w.To, Ask: w.Ask, All: w.All, Round: w.Round, Prev: w.Prev, Part: w.Part, Parts: w.Parts,
		Buckets: make([]order.UsageBucket, len(w.Counts))}
	for i, c := range w.Counts {
		m.Buckets[i] = order.UsageBucket{Hash: c.Hash, N: c.N, Window: int64(c.Window), Values: c.Values, Seen: c.Seen}
	}
	b.Publish(order.SubjectUsage, m.Append(nil)) // what is lost is asked for
}

func heard(m *order.Usage) limit.Word {
	w := limit.Word{Gateway: m.Gateway, Boot: m.Boot, To: m.To, Ask: m.Ask, All: m.All, Round: m.Round, Prev: m.Prev, Part: m.Part, Parts: m.Parts,
		Counts: make([]limit.Count, len(m.Buckets))}
	for i, b := range m.Buckets {
		w.Counts[i] = limit.Count{Hash: b.Hash, N: b.N, Window: time.Duration(b.Window), Values: b.Values, Seen: b.Seen}
	}
	return w
}
