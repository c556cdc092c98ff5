package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
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

// blocks are the rounds of blocks with some number of corrections in force.
type blocks struct {
	inForce   int
	each      []time.Duration // gateways, since the command was accepted
	last      []time.Duration // the last gateway of a round, since the command was accepted
	sinceSent []time.Duration
	took      []time.Duration // the command
	effects   []float64       // ms, from durable to enforced everywhere, by the control plane
}

func (s *blocks) lines() [][]string {
	line := func(name string, ds []time.Duration) []string {
		return []string{name, thousands(int64(s.inForce)), ms(median(ds)), ms(quantile(ds, 0.99)), ms(quantile(ds, 1))}
	}
	enforced := make([]time.Duration, len(s.effects))
	for i, e := range s.effects {
		enforced[i] = time.Duration(e * 1e6)
	}
	return [][]string{line("the last of the 8 gateways, since the command was accepted", s.last), line("each gateway, since the command was accepted", s.each),
		line("the last of the 8 gateways, since the command was sent", s.sinceSent), line("the command, from sent to accepted", s.took),
		line("from durable to enforced on all 8, by the control plane", enforced)}
}

// blockRow blocks one user after the other and has a poller at each gateway
// wait for the first refusal.
func blockRow(b *bench) (*result, error) {
	r := &result{what: "a block, first refusal on every one of 8 gateways", target: "p99 under 10 ms after the accepted command"}
	rounds := pick(b, 120, 30)
	lines := [][]string{{"", "corrections in force before", "p50", "p99", "longest"}}
	for _, n := range []int{0, 1000} {
		s, err := b.blocks(n, rounds)
		if err != nil {
			return nil, err
		}
		lines = append(lines, s.lines()...)
		p99 := quantile(s.last, 0.99)
		switch n {
		case 0:
			r.measured = fmt.Sprintf("p99 %s with no other correction in force", ms(p99))
		default:
			r.measured = fmt.Sprintf("p50 %s, p99 %s; ", ms(median(s.last)), ms(p99)) + r.measured
			r.ratio, r.verdict = digits(p99.Seconds()*100)+" of 10 ms", judge(p99 < 10*time.Millisecond)
		}
		b.clean()
		fmt.Fprint(os.Stderr, ".")
	}
	fmt.Fprint(os.Stderr, " ")
	r.detail = table(lines) + fmt.Sprintf(`
%d rounds each: a block of one user more, given over the control API. At each gateway one client sends small calls of that user, one after the other with a pause of half a
millisecond; the time is when it has read its first refusal, so the call in flight and the pause are in it. An order reaches the gateways before the
command is answered: a time can be below zero. The verdict is on the last of the 8 gateways of each round, with 1,000 corrections in force before.
Eight gateways, eight clients, control plane and provider share %s.
`, rounds, cores())
	return r, nil
}

// blocks measures rounds of blocks with n corrections in force before.
func (b *bench) blocks(n, rounds int) (*blocks, error) {
	const gateways = 8
	provider, err := b.provider("provider")
	if err != nil {
		return nil, err
	}
	p, err := b.control(n)
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
	s := &blocks{inForce: n}
	return s, b.profiled(fmt.Sprintf("block-%d", n), gs[0], func() error {
		for r := range rounds {
			if b.ctx.Err() != nil {
				return b.ctx.Err()
			}
			at, refused, id, err := blockOnce(p, clients, fmt.Sprintf("user-blocked-%d", r))
			if err != nil {
				return err
			}
			last := slices.MaxFunc(refused, time.Time.Compare)
			for _, t := range refused {
				s.each = append(s.each, t.Sub(at.accepted))
			}
			s.last, s.took, s.sinceSent = append(s.last, last.Sub(at.accepted)), append(s.took, at.accepted.Sub(at.sent)), append(s.sinceSent, last.Sub(at.sent))
			m, err := p.effect(id, gateways)
			if err != nil {
				return err
			}
			s.effects = append(s.effects, m.TimeToEffect)
		}
		return nil
	})
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
