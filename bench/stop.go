package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

const stopOrder = `{"kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-large"]},"reason":"benchmark"}`

// ending is one contender's rounds of a stop.
type ending struct {
	sent     []endings       // since the command was sent, by round
	accepted []endings       // since it was accepted
	took     []time.Duration // from sent to accepted
	drained  []time.Duration // from sent until the provider has no stream open
	streams  int             // held in all
	typed    int             // ended by the typed event
	proxies  time.Duration   // processor time of all rounds, from the command until the provider's side was closed
	provider time.Duration
	client   time.Duration
}

// over is one number of all rounds: what pick makes of the quantile q of each.
func over(rounds []endings, pick func([]time.Duration) time.Duration, q float64, of func(*endings) []time.Duration) time.Duration {
	var each []time.Duration
	for i := range rounds {
		each = append(each, quantile(of(&rounds[i]), q))
	}
	return pick(each)
}

func read(e *endings) []time.Duration    { return e.read }
func written(e *endings) []time.Duration { return e.written }

func worst(ds []time.Duration) time.Duration { return quantile(ds, 1) }

// shares says where the processor time went.
func (e *ending) shares() string {
	one := func(d time.Duration) string {
		return thousands(int64(d/time.Microsecond)/int64(max(1, e.streams))) + " µs"
	}
	return fmt.Sprintf("proxy %s, provider %s, client %s", one(e.proxies), one(e.provider), one(e.client))
}

// stopped runs one stop: it holds n streams, gives the command, waits for the
// end of all of them and of the provider's side.
func (b *bench) stopped(e *ending, sim *target, ts []*target, req []byte, n int, command func() (moment, error)) error {
	var addrs []string
	for _, t := range ts {
		addrs = append(addrs, t.addr)
	}
	c, err := hold(addrs, req, n)
	if err != nil {
		return err
	}
	defer c.close()
	select { // the streams run for a while before they are stopped
	case <-b.ctx.Done():
		return b.ctx.Err()
	case <-time.After(pick(b, time.Second, 300*time.Millisecond)):
	}
	if got, err := active(sim.addr); err != nil || got != n {
		return errors.Join(fmt.Errorf("the provider has %d streams open, not %d", got, n), err)
	}
	if err := c.expectEnd(); err != nil {
		return err
	}
	spent := func() (proxies time.Duration) {
		for _, t := range ts {
			proxies += t.spent()
		}
		return proxies
	}
	proxies, provider, client := spent(), sim.spent(), ownTime()
	var at moment
	err = b.profiled(fmt.Sprintf("stop-%d", n), ts[0], func() error {
		if at, err = command(); err != nil {
			return err
		}
		return c.wait(patience)
	})
	if err != nil {
		return err
	}
	gone, err := drained(sim.addr)
	if err != nil {
		return fmt.Errorf("wait for the provider's side: %w", err)
	}
	e.proxies, e.provider, e.client = e.proxies+spent()-proxies, e.provider+sim.spent()-provider, e.client+ownTime()-client
	e.sent = append(e.sent, c.endings(at.sent))
	e.accepted = append(e.accepted, c.endings(at.accepted))
	e.typed += e.sent[len(e.sent)-1].typed
	e.took = append(e.took, at.accepted.Sub(at.sent))
	e.drained = append(e.drained, gone.Sub(at.sent))
	e.streams += n
	return nil
}

// line is a contender's line of the table: times since some moment.
func (e *ending) line(name, moment string, of []endings, pick func([]time.Duration) time.Duration) []string {
	last := "not known"
	if len(of[0].written) > 0 {
		last = ms(over(of, pick, 0.99, written)) + " / " + ms(over(of, pick, 1, written))
	}
	return []string{name, moment, last, ms(over(of, pick, 0.5, read)), ms(over(of, pick, 0.99, read)), ms(over(of, pick, 1, read)),
		fmt.Sprintf("%s of %s", thousands(int64(e.typed)), thousands(int64(e.streams)))}
}

// lines are a contender's lines: the median of its rounds, and the worst.
func (e *ending) lines(name string) [][]string {
	return [][]string{e.line(name, "command accepted", e.accepted, median), e.line(name, "command accepted, worst round", e.accepted, worst),
		e.line(name, "command sent", e.sent, median)}
}

var stopHead = []string{"", "since", "last byte written, p99 / all", "read p50", "p99", "all", "with the typed end"}

func stopRow(b *bench) (*result, error) {
	const n = 1000
	provider, err := b.provider("sim")
	if err != nil {
		return nil, err
	}
	p, err := b.control(1000)
	if err != nil {
		return nil, err
	}
	g, err := b.gateway(p, andon, provider.addr)
	if err != nil {
		return nil, err
	}
	h, absent := b.haproxy(provider.addr)
	var missing errAbsent
	if absent != nil && !errors.As(absent, &missing) {
		return nil, absent
	}
	req := request(chatPath, p.key(), streamBody("tokens=100000 interval=100ms"))
	var own, theirs ending
	var effects []float64
	for range pick(b, 5, 2) {
		err := b.stopped(&own, provider, []*target{g}, req, n, func() (moment, error) {
			id, at, err := p.correct(stopOrder)
			if err != nil {
				return at, err
			}
			m, err := p.effect(id, 1)
			effects = append(effects, m.TimeToEffect)
			return at, errors.Join(err, p.lift(id))
		})
		if err != nil {
			return nil, fmt.Errorf("andon: %w %s", err, g.child.errs)
		}
		if h != nil {
			err := b.stopped(&theirs, provider, []*target{h}, req, n, func() (moment, error) { return shutdownSessions(h.admin) })
			if err != nil {
				return nil, fmt.Errorf("haproxy: %w %s", err, h.child.errs)
			}
		}
		fmt.Fprint(os.Stderr, ".")
	}
	fmt.Fprint(os.Stderr, " ")
	r := &result{what: "a stop, 1,000 live streams, last byte at the client, p99", target: "not above HAProxy's, beside it, with the typed end; provider's side closed too"}
	lines := append([][]string{stopHead}, own.lines(andon)...)
	if h != nil {
		lines = append(lines, theirs.lines("haproxy, `shutdown sessions server`")...)
	}
	r.detail = table(lines) + fmt.Sprintf(`
%d rounds of 1,000 streams that tick every 100 ms until they are ended. Andon's command is a stop of level L3 over the control API: written into the ledger, signed and
published to the gateway, answered after %s (median); from durable to enforced took %s, as the control plane measures it.
The provider had no stream open any more %s after the command was sent (asked every 2 ms). Processor time for one stream until then: %s.
`, len(own.drained), ms(median(own.took)), ms(time.Duration(median(effects)*1e6)), ms(median(own.drained)), own.shares())
	if h != nil {
		r.detail += fmt.Sprintf(`
HAProxy's command goes over its admin socket and is answered after %s, once all sessions are marked; the provider had no stream open any more %s after it was sent.
Processor time for one stream: %s.
`, ms(median(theirs.took)), ms(median(theirs.drained)), theirs.shares())
	}
	r.detail += `
"Written" is the kernel's time of arrival of the last bytes, which on loopback is the time of writing. HAProxy ends with a bare close, which has none: what is shown for it
is the last bytes before. "Read" is when the client, on the same cores, had the end.
`
	p99 := over(own.sent, median, 0.99, read)
	r.measured = fmt.Sprintf("%s since accepted, %s since sent; %s of %s typed", ms(over(own.accepted, median, 0.99, read)), ms(p99), thousands(int64(own.typed)), thousands(int64(own.streams)))
	if h == nil {
		r.verdict, r.ratio = "not measured", absent.Error()
		return r, nil
	}
	bound := over(theirs.sent, median, 0.99, read)
	r.ratio = fmt.Sprintf("%s × HAProxy (%s since accepted, %s since sent)", digits(float64(p99)/float64(bound)), ms(over(theirs.accepted, median, 0.99, read)), ms(bound))
	r.verdict = judge(p99 <= bound && own.typed == own.streams)
	return r, nil
}

// shutdownSessions ends everything that runs through HAProxy's server.
func shutdownSessions(socket string) (at moment, err error) {
	c, err := net.Dial("unix", socket)
	if err != nil {
		return at, err
	}
	defer c.Close()
	at.sent = time.Now()
	if _, err := io.WriteString(c, "shutdown sessions server provider/s1\n"); err != nil {
		return at, err
	}
	said, err := io.ReadAll(c)
	at.accepted = time.Now()
	if err == nil && len(said) > 1 {
		err = fmt.Errorf("HAProxy says %q", said)
	}
	return at, err
}

func stop10kRow(b *bench) (*result, error) {
	const gateways = 3
	n := 10_000
	r := &result{what: "a stop, 10,000 live streams over three gateways", target: "all cuts written within 100 ms of the accepted command, p99 at the client under 1 s"}
	if room := int(b.files) - 1000; room < n {
		n = room
		r.what = fmt.Sprintf("a stop, %s live streams over three gateways", thousands(int64(n)))
		r.detail = fmt.Sprintf("Only %s files may be open at once here, so there are no 10,000 streams.\n\n", thousands(int64(b.files)))
	}
	provider, err := b.provider("sim")
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
	req := request(chatPath, p.key(), streamBody("tokens=100000 interval=1s"))
	var e ending
	var effects []float64
	for range pick(b, 5, 2) {
		err := b.stopped(&e, provider, gs, req, n, func() (moment, error) {
			id, at, err := p.correct(stopOrder)
			if err != nil {
				return at, err
			}
			m, err := p.effect(id, gateways)
			effects = append(effects, m.TimeToEffect)
			return at, errors.Join(err, p.lift(id))
		})
		if err != nil {
			return nil, err
		}
		fmt.Fprint(os.Stderr, ".")
	}
	fmt.Fprint(os.Stderr, " ")
	r.detail += table(append([][]string{stopHead}, e.lines(andon)...)) + fmt.Sprintf(`
%d rounds. Each stream ticks once a second. The command was answered after %s; every gateway had looked at all its streams and ended those
concerned %s after the entry was durable (median of what the control plane measures); the provider had no stream open any more %s after the
command was sent. Client, provider, control plane and three gateways share %s. Processor time for
one stream: %s.
`, len(e.took), ms(median(e.took)), ms(time.Duration(median(effects)*1e6)), ms(median(e.drained)), cores(), e.shares())
	p99, last := over(e.accepted, median, 0.99, read), over(e.accepted, median, 1, written)
	r.measured = fmt.Sprintf("all written within %s, read p99 %s; %s of %s typed", ms(last), ms(p99), thousands(int64(e.typed)), thousands(int64(e.streams)))
	r.ratio = digits(float64(last)/1e8) + " of 100 ms, " + digits(p99.Seconds()) + " of 1 s"
	if last == 0 {
		r.verdict = "not measured: this system does not tell when bytes were written"
		return r, nil
	}
	r.verdict = judge(last <= 100*time.Millisecond && p99 < time.Second && e.typed == e.streams)
	return r, nil
}
