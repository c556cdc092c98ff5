package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
)

// timed is one call: when it began, and how long it took.
type timed struct {
	at   time.Time
	took time.Duration
}

// caller makes small calls over one connection, one after the other, until it
// is stopped.
type caller struct {
	stop  chan struct{}
	done  sync.WaitGroup
	calls []timed
	err   error
}

func (b *bench) caller(addr string, req []byte) (*caller, error) {
	c, err := dial(addr)
	if err != nil {
		return nil, err
	}
	k := &caller{stop: make(chan struct{})}
	k.done.Go(func() {
		defer c.close()
		for {
			select {
			case <-k.stop:
				return
			default:
			}
			from := time.Now()
			if k.err = c.call(req); k.err != nil {
				return
			}
			k.calls = append(k.calls, timed{from, time.Since(from)})
		}
	})
	return k, nil
}

// between are the calls that ran at any moment between two.
func (k *caller) between(from, to time.Time) (out []time.Duration) {
	for _, c := range k.calls {
		if c.at.Before(to) && c.at.Add(c.took).After(from) {
			out = append(out, c.took)
		}
	}
	return out
}

// ids are n made-up users, one a line. Those of two rounds have nothing in
// common.
func ids(n, round int) []byte {
	var b bytes.Buffer
	b.Grow(n * 20)
	for i := range n {
		b.WriteString("user-")
		b.WriteString(strconv.Itoa(round))
		b.WriteByte('-')
		b.WriteString(strconv.Itoa(i * 7919))
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// load puts a list, and waits until the one gateway decides by it.
func (p *realPlane) load(text []byte) (sent, taken, held time.Time, err error) {
	url := "http://" + p.hello.Addr + "/api/v1/lists/banned"
	req, err := http.NewRequest(http.MethodPut, url+"?dimension=users&reason=benchmark", bytes.NewReader(text))
	if err != nil {
		return
	}
	sent = time.Now()
	body, err := p.send(req)
	taken = time.Now()
	for held = taken; err == nil; held = time.Now() {
		var v struct {
			Points []struct {
				State string `json:"state"`
			} `json:"points"`
		}
		if err = json.Unmarshal(body, &v); err != nil || len(v.Points) == 1 && v.Points[0].State == "held" {
			return
		}
		if time.Since(sent) > time.Minute {
			err = fmt.Errorf("the gateway does not hold the list after a minute: %s", body)
			return
		}
		time.Sleep(5 * time.Millisecond)
		if req, err = http.NewRequest(http.MethodGet, url, nil); err == nil {
			body, err = p.send(req)
		}
	}
	return
}

func (p *realPlane) send(req *http.Request) ([]byte, error) {
	req.Header.Set("Authorization", "Bearer "+p.hello.Token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("list: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("list answered %d: %s", resp.StatusCode, body)
	}
	return body, err
}

// afterSwap is how long nothing else happens after a swap. Calls in the first half
// of it still count as calls during it.
const afterSwap = 200 * time.Millisecond

// listRow loads a list of millions of users, twice, while a caller goes on.
func listRow(b *bench) (*result, error) {
	n := pick(b, 5_000_000, 1_000_000)
	defer http.DefaultClient.CloseIdleConnections()
	p, err := b.control(0)
	if err != nil {
		return nil, err
	}
	sim, err := b.provider("sim")
	if err != nil {
		return nil, err
	}
	t, err := b.gateway(p, andon, sim.addr)
	if err != nil {
		return nil, err
	}
	if _, _, _, err := p.load([]byte("nobody\n")); err != nil {
		return nil, err
	}
	id, _, err := p.correct(`{"kind":"access","params":{"mode":"block"},"scope":{"lists":["banned"]},"reason":"benchmark"}`)
	if err != nil {
		return nil, err
	}
	if _, err := p.effect(id, 1); err != nil {
		return nil, err
	}
	k, err := b.caller(t.addr, request(chatPath, p.key(), smallBody()))
	if err != nil {
		return nil, err
	}
	defer func() { // where something failed
		select {
		case <-k.stop:
		default:
			close(k.stop)
		}
		k.done.Wait()
	}()
	type round struct{ began, sent, taken, held time.Time }
	var rounds []round
	var idle, loaded memory
	if err := t.child.ask(question{Do: "memory"}, &idle); err != nil {
		return nil, err
	}
	resident, grown := groupResident(t.child.pid()), uint64(0)
	for i := range pick(b, 5, 2) {
		text := ids(n, i)
		time.Sleep(time.Second) // what making it has disturbed
		r := round{began: time.Now()}
		time.Sleep(pick(b, 3*time.Second, time.Second))
		if r.sent, r.taken, r.held, err = p.load(text); err != nil {
			return nil, err
		}
		rounds = append(rounds, r)
		time.Sleep(afterSwap) // before this process makes the next text, which its caller feels
		if i == 0 {
			time.Sleep(time.Second)
			grown = max(groupResident(t.child.pid()), resident) - resident
			if err := t.child.ask(question{Do: "memory"}, &loaded); err != nil {
				return nil, err
			}
		}
	}
	close(k.stop)
	k.done.Wait()
	if k.err != nil {
		return nil, fmt.Errorf("a call failed while the list was loaded: %w", k.err)
	}
	var whole, fetch, before, building, fetching []time.Duration
	for _, r := range rounds {
		whole, fetch = append(whole, r.held.Sub(r.sent)), append(fetch, r.held.Sub(r.taken))
		before = append(before, k.between(r.began, r.sent)...)
		building = append(building, k.between(r.sent, r.taken)...)
		fetching = append(fetching, k.between(r.taken, r.held.Add(afterSwap/2))...)
	}
	slow := float64(quantile(fetching, 0.99)) / float64(quantile(before, 0.99))
	each := float64(loaded.Heap-idle.Heap) / float64(n)
	line := func(name string, ds []time.Duration) []string {
		return []string{name, thousands(int64(len(ds))), ms(quantile(ds, 0.5)), ms(quantile(ds, 0.99)), ms(quantile(ds, 1))}
	}
	return &result{
		what:     fmt.Sprintf("a named list of %s ids: load, swap, memory", thousands(int64(n))),
		target:   "under 10 s, p99 of calls at most × 1.5, at most 16 bytes an id",
		measured: fmt.Sprintf("%s s, %s bytes an id", digits(worst(whole).Seconds()), digits(each)),
		ratio:    "p99 × " + digits(slow),
		verdict:  judge(worst(whole) < 10*time.Second && slow <= 1.5 && each <= 16),
		detail: table([][]string{{"small calls of one caller", "calls", "p50", "p99", "worst"}, line("before", before),
			line("while the control plane reads and sorts the text", building), line("while the gateway fetches and swaps", fetching)}) +
			fmt.Sprintf("\nFrom the first byte of the upload until the gateway decides by the list: %s s at the worst of %d rounds, of which the gateway took %s s. "+
				"Each round replaces the list by one that has no id in common with it. Control plane, gateway, provider and caller share the cores; "+
				"the ratio is of the gateway's part, and the control plane's would be another machine's. Bytes are live heap, after a collection; the gateway's resident memory had grown by %s MB a second after the first load.\n",
				digits(worst(whole).Seconds()), len(rounds), digits(worst(fetch).Seconds()), digits(float64(grown)/1e6)),
	}, nil
}
