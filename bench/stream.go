package main

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

func streamBody(directive string) string {
	return fmt.Sprintf(`{"model":"sim-large","stream":true,"messages":[{"role":"user","content":"sim: %s"}],"user":"user-bench"}`, directive)
}

const (
	streamConns  = 16
	streamTokens = 50
)

func streamsRow(b *bench) (*result, error) {
	f, err := b.contenders("sim")
	if err != nil {
		return nil, err
	}
	req := request(chatPath, f.key, streamBody(fmt.Sprintf("tokens=%d", streamTokens)))
	whole, err := b.sameEvents(f, req)
	if err != nil {
		return nil, err
	}
	rs, err := b.rates("streams", f, pick(b, 7, 3), streamConns, pick(b, 700*time.Millisecond, 400*time.Millisecond), func(c *client) error {
		n, err := c.stream(req)
		if err == nil && n != whole {
			err = fmt.Errorf("%d events of %d arrived", n, whole)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	r := &result{what: "50-token streams, 16 connections", target: "at least 0.9 × nginx's, no event merged or delayed"}
	r.detail = table(rs.lines(f, "streams")) + f.missing() + fmt.Sprintf(`
The simulated provider writes as fast as it can, each of the %d events of a stream by itself. Before the rounds, the events that came through
each contender were compared with those of the provider: the same, byte for byte, but for the number of the call. In every stream of every
round the events were counted.
`, whole)
	b.clean()

	paces, missing, err := b.paced()
	if err != nil {
		return nil, err
	}
	r.detail += "\nAt a pace of 10 ms, 16 streams at once, with a provider that writes the time into each event:\n\n" + paces.table() + missing +
		"\nDelay is from just before the provider writes an event until the client has read it. Merged counts events that came out of one read together with another, which is also what a client that waits for a core gets from the provider itself.\n"
	own := paces[andon]
	theirs := paces[direct]
	r.measured = fmt.Sprintf("%s a second; delay of an event p99 %s (direct %s); merged %d of %s",
		thousands(int64(median(rs.rate[andon]))), ms(quantile(own.delays, 0.99)), ms(quantile(theirs.delays, 0.99)), own.merged, thousands(int64(len(own.delays))))
	if err := f.need(nginx); err != nil {
		r.verdict, r.ratio = "not measured", err.Error()
		return r, nil
	}
	ratio := median(rs.rate[andon]) / median(rs.rate[nginx])
	r.ratio = digits(ratio) + " × nginx (" + thousands(int64(median(rs.rate[nginx]))) + ")"
	// What a busy machine does to an event hits nginx, too.
	beside := paces[nginx]
	onTime := quantile(own.delays, 0.99) <= 2*max(time.Millisecond, quantile(beside.delays, 0.99)) && own.merged <= beside.merged+len(own.delays)/100
	r.verdict = judge(ratio >= 0.9 && onTime)
	return r, nil
}

var (
	callNumber = regexp.MustCompile(`chatcmpl-sim[0-9a-f]{16}`)
	created    = regexp.MustCompile(`"created":[0-9]+`)
)

// sameEvents fetches one stream through every target and compares the events
// with the provider's own. It returns how many there are.
func (b *bench) sameEvents(f *field, req []byte) (int, error) {
	var want []string
	for _, t := range f.targets {
		got, err := readEvents(t.addr, req)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", t.name, err)
		}
		if want == nil {
			want = got
		}
		if len(got) != len(want) {
			return 0, fmt.Errorf("%s: %d events instead of %d", t.name, len(got), len(want))
		}
		for i := range got {
			if got[i] != want[i] {
				return 0, fmt.Errorf("%s: event %d is %q instead of %q", t.name, i, got[i], want[i])
			}
		}
	}
	return len(want), nil
}

// readEvents returns the events of one stream, without what differs from call
// to call.
func readEvents(addr string, req []byte) ([]string, error) {
	c, err := dial(addr)
	if err != nil {
		return nil, err
	}
	defer c.close()
	if _, err := c.nc.Write(req); err != nil {
		return nil, err
	}
	h, err := c.receive()
	if err != nil {
		return nil, err
	}
	if h.status != 200 {
		return nil, c.refused(h)
	}
	var text []byte
	if err := c.body(h, func(p []byte) { text = append(text, p...) }); err != nil {
		return nil, err
	}
	text = callNumber.ReplaceAll(text, []byte("chatcmpl-sim"))
	text = created.ReplaceAll(text, []byte(`"created":0`))
	all := strings.SplitAfter(string(text), "\n\n")
	if last := all[len(all)-1]; last != "" {
		return nil, fmt.Errorf("the stream ends inside an event: %q", last)
	}
	return all[:len(all)-1], nil
}

// pace is how the events of paced streams arrived.
type pace struct {
	delays []time.Duration
	merged int // events that did not come alone
}

type paces map[string]*pace

func (p paces) table() string {
	lines := [][]string{{"", "events", "delay p50", "p99", "longest", "merged"}}
	for _, name := range []string{direct, nginx, haproxy, goproxy, andon} {
		if q := p[name]; q != nil {
			lines = append(lines, []string{name, thousands(int64(len(q.delays))), ms(median(q.delays)), ms(quantile(q.delays, 0.99)), ms(quantile(q.delays, 1)), fmt.Sprint(q.merged)})
		}
	}
	return table(lines)
}

// paced runs streams at a pace through everybody, in turns.
func (b *bench) paced() (paces, string, error) {
	f, err := b.contenders("provider")
	if err != nil {
		return nil, "", err
	}
	req := request(chatPath, f.key, streamBody(fmt.Sprintf("tokens=%d ms=10", streamTokens)))
	all := paces{}
	var mu sync.Mutex
	err = b.rounds(pick(b, 6, 2), f, func(_ int, t *target) error {
		var wg sync.WaitGroup
		errs := make([]error, streamConns)
		for i := range streamConns {
			wg.Go(func() {
				p, err := readPaced(t.addr, req)
				errs[i] = err
				mu.Lock()
				defer mu.Unlock()
				if all[t.name] == nil {
					all[t.name] = &pace{}
				}
				all[t.name].delays = append(all[t.name].delays, p.delays...)
				all[t.name].merged += p.merged
			})
			time.Sleep(600 * time.Microsecond) // so that the streams do not tick together
		}
		wg.Wait()
		return errors.Join(errs...)
	})
	return all, f.missing(), err
}

var eventEnd = []byte("\n\n")

// readPaced reads one stream of stamped events. How chunks are cut does not
// matter here: an event has arrived when its empty line has.
func readPaced(addr string, req []byte) (p pace, err error) {
	c, err := dial(addr)
	if err != nil {
		return p, err
	}
	defer c.close()
	if _, err := c.nc.Write(req); err != nil {
		return p, err
	}
	h, err := c.receive()
	if err != nil {
		return p, err
	}
	if h.status != 200 {
		return p, c.refused(h)
	}
	for {
		got := 0
		for {
			i := bytes.Index(c.buf[c.r:c.w], eventEnd)
			if i < 0 {
				break
			}
			event := c.buf[c.r : c.r+i]
			c.r += i + len(eventEnd)
			if bytes.HasSuffix(event, []byte("[DONE]")) {
				if len(p.delays) != streamTokens {
					return p, fmt.Errorf("%d events of %d arrived", len(p.delays), streamTokens)
				}
				return p, nil
			}
			_, stamp, ok := bytes.Cut(event, []byte(stamped))
			stamp, _, _ = bytes.Cut(stamp, []byte(`"`))
			at, err := strconv.ParseInt(string(stamp), 10, 64)
			if !ok || err != nil {
				return p, fmt.Errorf("an event without a time: %q", event)
			}
			p.delays = append(p.delays, time.Duration(time.Now().UnixNano()-at))
			got++
		}
		if got > 1 {
			p.merged += got
		}
		if err := c.fill(); err != nil {
			return p, fmt.Errorf("read stream: %w", err)
		}
	}
}
