package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"
)

func cores() string {
	if n := runtime.NumCPU(); n != 1 {
		return fmt.Sprintf("%d cores", n)
	}
	return "one core"
}

// pollPause is how long a poller rests after an answer. Without it eight of
// them would measure how long each waits for a core.
const pollPause = 500 * time.Microsecond

// blockRow blocks one user after the other and has a poller at each gateway
// wait for the first refusal.
func blockRow(b *bench) (*result, error) {
	const gateways = 8
	provider, err := b.provider("provider")
	if err != nil {
		return nil, err
	}
	p, err := b.control(1000)
	if err != nil {
		return nil, err
	}
	gs, err := b.fleet(p, gateways, provider.addr)
	if err != nil {
		return nil, err
	}
	clients := make([]*client, gateways)
	for i, g := range gs {
		if clients[i], err = dial(g.addr); err != nil {
			return nil, err
		}
		defer clients[i].close()
	}
	var each, worst, took, sinceSent []time.Duration
	var effects []float64
	rounds := pick(b, 150, 30)
	err = b.profiled("block", gs[0], func() error {
		for r := range rounds {
			if b.ctx.Err() != nil {
				return b.ctx.Err()
			}
			at, refused, id, err := blockOnce(p, clients, fmt.Sprintf("user-blocked-%d", r))
			if err != nil {
				return err
			}
			var last time.Time
			for _, t := range refused {
				each = append(each, t.Sub(at.accepted))
				if t.After(last) {
					last = t
				}
			}
			worst, took, sinceSent = append(worst, last.Sub(at.accepted)), append(took, at.accepted.Sub(at.sent)), append(sinceSent, last.Sub(at.sent))
			m, err := p.effect(id, gateways)
			if err != nil {
				return err
			}
			effects = append(effects, m.TimeToEffect)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	fmt.Fprint(os.Stderr, ". ")
	res := &result{what: "a block, first refusal on every one of 8 gateways", target: "p99 under 10 ms after the accepted command"}
	lines := [][]string{{"", "p50", "p99", "longest"}}
	for _, l := range []struct {
		name string
		ds   []time.Duration
	}{{"the last of the 8 gateways, since the command was accepted", worst}, {"each gateway, since the command was accepted", each},
		{"the last of the 8 gateways, since the command was sent", sinceSent}, {"the command, from sent to accepted", took}} {
		lines = append(lines, []string{l.name, ms(median(l.ds)), ms(quantile(l.ds, 0.99)), ms(quantile(l.ds, 1))})
	}
	res.detail = table(lines) + fmt.Sprintf(`
%d rounds: a block of one user more, given over the control API. At each gateway one client sends small calls of that user, one after the other with a pause of half a
millisecond; the time is when it has read its first refusal. What it measures includes the call in flight, and the pause. An order reaches the gateways before the
command is answered, so a time can be below zero. The control plane's own measure from durable to enforced on all 8 is %s (median), %s (p99).
Eight gateways, eight clients, control plane and provider share %s.
`, rounds, ms(time.Duration(median(effects)*1e6)), ms(time.Duration(quantile(effects, 0.99)*1e6)), cores())
	p99 := quantile(worst, 0.99)
	res.measured = fmt.Sprintf("p50 %s, p99 %s", ms(median(worst)), ms(p99))
	res.ratio = digits(p99.Seconds()*100) + " of 10 ms"
	res.verdict = judge(p99 < 10*time.Millisecond)
	return res, nil
}

// blockOnce has every client call as user, blocks the user, and returns when
// each got its first refusal.
func blockOnce(p *realPlane, clients []*client, user string) (at moment, refused []time.Time, id string, err error) {
	req := request(chatPath, p.key(), fmt.Sprintf(`{"model":"sim-large","messages":[{"role":"user","content":"Hello"}],"user":%q}`, user))
	refused = make([]time.Time, len(clients))
	errs := make([]error, len(clients))
	var wg, ready sync.WaitGroup
	ready.Add(len(clients))
	for i, c := range clients {
		wg.Go(func() {
			until := time.Now().Add(patience)
			for n := 0; ; n++ {
				status, err := c.status(req)
				now := time.Now()
				if n == 0 {
					ready.Done()
				}
				switch {
				case err != nil:
					errs[i] = err
					return
				case status == 403 && n > 0:
					refused[i] = now
					return
				case status != 200:
					errs[i] = fmt.Errorf("a call that was allowed was answered %d", status)
					return
				case now.After(until):
					errs[i] = errors.New("the block has no effect")
					return
				}
				time.Sleep(pollPause)
			}
		})
	}
	ready.Wait()
	id, at, err = p.correct(fmt.Sprintf(`{"kind":"access","params":{"mode":"block"},"scope":{"users":[%q]},"reason":"benchmark"}`, user))
	if err != nil {
		for _, c := range clients {
			c.nc.SetDeadline(time.Now()) // ends the pollers
		}
	}
	wg.Wait()
	return at, refused, id, errors.Join(append(errs, err)...)
}
