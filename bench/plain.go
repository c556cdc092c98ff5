package main

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

const chatPath = "/v1/chat/completions"

func smallBody() string {
	return `{"model":"sim-large","messages":[{"role":"system","content":"You are a helpful assistant."},{"role":"user","content":"Hello there, how are you?"}],"user":"user-bench"}`
}

// largeBody is a conversation of about 220 KB, with the escapes that text has.
func largeBody() string {
	var s strings.Builder
	s.WriteString(`{"model":"sim-large","messages":[{"role":"system","content":"You are a helpful assistant."}`)
	words := `The harbour was quiet in the early light.\nShe said: \"We leave at eight\", and the boats lay still – nobody answered. `
	for i := 0; s.Len() < 220_000-1200; i++ {
		role := "user"
		if i%2 == 1 {
			role = "assistant"
		}
		fmt.Fprintf(&s, `,{"role":%q,"content":"%d %s"}`, role, i, strings.Repeat(words, 8))
	}
	s.WriteString(`,{"role":"user","content":"And then?"}],"user":"user-bench"}`)
	return s.String()
}

// oneByOne sends calls over one connection, one after the other, and returns
// how long each took.
func oneByOne(addr string, req []byte, n int) ([]time.Duration, error) {
	c, err := dial(addr)
	if err != nil {
		return nil, err
	}
	defer c.close()
	for range 20 { // connections and caches of the proxy
		if err := c.call(req); err != nil {
			return nil, err
		}
	}
	took := make([]time.Duration, n)
	for i := range took {
		from := time.Now()
		if err := c.call(req); err != nil {
			return nil, err
		}
		took[i] = time.Since(from)
	}
	return took, nil
}

// latencies are, by target, the p50 of each round.
type latencies map[string][]time.Duration

// added is the median over the rounds of what a target adds to another.
func (l latencies) added(name, over string) time.Duration {
	d := make([]time.Duration, len(l[name]))
	for i := range d {
		d[i] = l[name][i] - l[over][i]
	}
	return median(d)
}

func (b *bench) latency(row string, f *field, req []byte, rounds, calls int) (latencies, error) {
	l := latencies{}
	err := b.rounds(rounds, f, func(_ int, t *target) error {
		return b.profiled(row, t, func() error {
			took, err := oneByOne(t.addr, req, calls)
			if err != nil {
				return err
			}
			l[t.name] = append(l[t.name], median(took))
			return nil
		})
	})
	return l, err
}

func smallRow(b *bench) (*result, error) {
	f, err := b.contenders("sim")
	if err != nil {
		return nil, err
	}
	l, err := b.latency("small", f, request(chatPath, f.key, smallBody()), pick(b, 20, 6), pick(b, 400, 200))
	if err != nil {
		return nil, err
	}
	r := &result{what: "added time of a small plain call, one connection, p50", target: "at most 2 × nginx's"}
	lines := [][]string{{"", "p50", "added to direct"}}
	for _, t := range f.targets {
		lines = append(lines, []string{t.name, ms(median(l[t.name])), ms(l.added(t.name, direct))})
	}
	r.detail = table(lines) + f.missing() + "\nThe provider is the simulated one. p50 of the calls of a round, median over the rounds; added is the median of the differences within a round.\n"
	own := l.added(andon, direct)
	r.measured = "+" + ms(own)
	if err := f.need(nginx); err != nil {
		r.verdict, r.ratio = "not measured", err.Error()
		return r, nil
	}
	ratio := float64(own) / float64(l.added(nginx, direct))
	r.ratio = digits(ratio) + " × nginx (+" + ms(l.added(nginx, direct)) + ")"
	r.verdict = judge(ratio <= 2)
	return r, nil
}

func largeRow(b *bench) (*result, error) {
	f, err := b.contenders("sim")
	if err != nil {
		return nil, err
	}
	body := largeBody()
	l, err := b.latency("large", f, request(chatPath, f.key, body), pick(b, 12, 4), pick(b, 80, 40))
	if err != nil {
		return nil, err
	}
	r := &result{what: "a 220 KB request body, p50", target: "at most 1.3 × HAProxy's"}
	lines := [][]string{{"", "p50", "added to direct"}}
	for _, t := range f.targets {
		lines = append(lines, []string{t.name, ms(median(l[t.name])), ms(l.added(t.name, direct))})
	}
	r.detail = table(lines) + f.missing() + fmt.Sprintf("\nA conversation of %s bytes, one connection. The simulated provider parses the whole of it, which is most of the time of `direct`.\n", thousands(int64(len(body))))
	own := median(l[andon])
	r.measured = ms(own)
	if err := f.need(haproxy); err != nil {
		r.verdict, r.ratio = "not measured", err.Error()
		return r, nil
	}
	ratio := float64(own) / float64(median(l[haproxy]))
	r.ratio = digits(ratio) + " × HAProxy (" + ms(median(l[haproxy])) + ")"
	r.verdict = judge(ratio <= 1.3)
	return r, nil
}

// flood sends calls over some connections for some time, as fast as they are
// answered, and returns how many were answered a second.
func flood(addr string, conns int, lasting time.Duration, one func(*client) error) (rate float64, count int, err error) {
	cs := make([]*client, conns)
	for i := range cs {
		c, err := dial(addr)
		if err != nil {
			return 0, 0, err
		}
		defer c.close()
		if err := one(c); err != nil { // warms the path up
			return 0, 0, err
		}
		cs[i] = c
	}
	var wg sync.WaitGroup
	counts, errs := make([]int, conns), make([]error, conns)
	from := time.Now()
	until := from.Add(lasting)
	for i, c := range cs {
		wg.Go(func() {
			for n := 0; ; n++ {
				if now := time.Now(); now.After(until) {
					counts[i] = n
					return
				}
				if errs[i] = one(c); errs[i] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(from)
	for i := range cs {
		if errs[i] != nil {
			return 0, 0, errs[i]
		}
		count += counts[i]
	}
	return float64(count) / took.Seconds(), count, nil
}

// rates are, by target, what each round reached.
type rates struct {
	rate map[string][]float64
	cost map[string][]float64 // µs of the proxy's processor time for one call
}

func (b *bench) rates(row string, f *field, rounds, conns int, lasting time.Duration, one func(*client) error) (rates, error) {
	rs := rates{map[string][]float64{}, map[string][]float64{}}
	err := b.rounds(rounds, f, func(_ int, t *target) error {
		return b.profiled(row, t, func() error {
			before := t.spent()
			rate, n, err := flood(t.addr, conns, lasting, one)
			if err != nil {
				return err
			}
			rs.rate[t.name] = append(rs.rate[t.name], rate)
			rs.cost[t.name] = append(rs.cost[t.name], float64((t.spent()-before).Microseconds())/float64(max(1, n)))
			return nil
		})
	})
	return rs, err
}

// lines renders rates; unit is what is counted.
func (rs rates) lines(f *field, unit string) [][]string {
	lines := [][]string{{"", unit + " a second", "of nginx's", "its processor time for one"}}
	for _, t := range f.targets {
		of, cost := "", digits(median(rs.cost[t.name]))+" µs"
		if n := median(rs.rate[nginx]); n > 0 {
			of = digits(median(rs.rate[t.name]) / n)
		}
		if t == f.provider {
			cost += " (the provider's own)"
		}
		lines = append(lines, []string{t.name, thousands(int64(median(rs.rate[t.name]))), of, cost})
	}
	return lines
}

func throughputRow(b *bench) (*result, error) {
	const conns = 32
	r := &result{what: "throughput of plain calls, 32 connections", target: "at least half of nginx's"}
	for _, role := range []string{"sim", "provider"} {
		f, err := b.contenders(role)
		if err != nil {
			return nil, err
		}
		req := request(chatPath, f.key, smallBody())
		rs, err := b.rates("throughput-"+role, f, pick(b, 7, 3), conns, pick(b, 700*time.Millisecond, 400*time.Millisecond), func(c *client) error { return c.call(req) })
		if err != nil {
			return nil, err
		}
		name := "the simulated provider"
		if role == "provider" {
			name = "a provider that does nothing but write a fixed answer"
		}
		r.detail += "With " + name + ":\n\n" + table(rs.lines(f, "calls")) + f.missing() + "\n"
		own, theirs := median(rs.rate[andon]), median(rs.rate[nginx])
		if err := f.need(nginx); err != nil {
			r.measured, r.verdict, r.ratio = thousands(int64(own))+" a second", "not measured", err.Error()
			return r, nil
		}
		if role == "sim" {
			r.measured = thousands(int64(own)) + " a second"
			r.ratio = digits(own/theirs) + " × nginx (" + thousands(int64(theirs)) + ")"
			r.verdict = judge(own/theirs >= 0.5)
		}
		b.clean()
	}
	return r, nil
}
