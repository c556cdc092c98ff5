package gateway

import (
	"strings"
	"sync"
	"testing"
	"time"
)

// A pin rolls a model back: the earlier version serves, and the answer says so.
func TestAPinServesTheEarlierVersion(t *testing.T) {
	s := startSim(t)
	p := newPlane(t)
	g := p.start(s, func(c *Config) {
		c.Models[0].Version = "sim-large-2"
		c.Models[0].Versions = []ModelVersion{{Version: "sim-large-1", UpstreamModel: "sim-large-1-weights"}}
	})
	running := openStream(t, g, "/v1/chat/completions", chat("sim-large", "sim: tokens=2000 interval=20ms", `,"stream":true`))
	running.next(t)
	id := p.apply(1, `{"kind":"capability","params":{"pin":"sim-large-1"},"scope":{"models":["sim-large"]},"reason":"rolled back"}`)
	if all := strings.Join(running.rest(t), ""); !strings.Contains(all, "andon_correction") || !strings.Contains(all, id) {
		t.Errorf("a stream of the version that was rolled back goes on: %.300s", all)
	}
	for _, name := range []string{"sim-large", "sim-large-2", "sim-large-1", "large", "openai/sim-large"} {
		a := send(t, g, "/v1/chat/completions", chat(name, "hello"))
		got := received(t, s)
		if a.status != 200 || a.header.Get("Andon-Model-Version") != "sim-large-1" || !strings.Contains(got[len(got)-1].Body, `"sim-large-1-weights"`) {
			t.Errorf("%s: %d, version %q, sent %s", name, a.status, a.header.Get("Andon-Model-Version"), got[len(got)-1].Body)
		}
		if name != "sim-large-1" && !strings.Contains(a.header.Get("Andon-Corrections"), id) {
			t.Errorf("%s: andon-corrections %q", name, a.header.Get("Andon-Corrections"))
		}
	}
	if a := send(t, g, "/v1/chat/completions", chat("ft:sim-large:acme::1", "hello")); a.status != 422 {
		t.Errorf("a fine-tune is not that version: %d", a.status)
	}
	stop := p.apply(1, `{"kind":"stop","params":{"level":"L3"},"scope":{"versions":["sim-large-1"]},"fallback":"none","reason":"that one, too"}`)
	if a := send(t, g, "/v1/chat/completions", chat("sim-large", "hello")); a.status != 503 || !strings.Contains(a.body, stop) {
		t.Errorf("the pinned version is stopped, too: %d %s", a.status, a.body)
	}
	p.lift(1, stop)
	p.apply(1, `{"kind":"capability","params":{"pin":"sim-large-0"},"scope":{"models":["sim-large"]},"reason":"another"}`)
	if a := send(t, g, "/v1/chat/completions", chat("sim-large", "hello")); a.status != 422 {
		t.Errorf("two pins that contradict: %d %s", a.status, a.body)
	}
	p.lift(1, id)
	if a := send(t, g, "/v1/chat/completions", chat("sim-large", "hello")); a.status != 422 || !strings.Contains(a.body, "sim-large-0") {
		t.Errorf("a version that is not served: %d %s", a.status, a.body)
	}
}

// The traffic of a stopped model does not take its fallback down as well.
func TestAFallbackTakesNoMoreThanItCan(t *testing.T) {
	s := startSim(t)
	p := newPlane(t)
	g := p.start(s, func(c *Config) { c.Models[1].FallbackCapacity = 2 })
	p.apply(1, `{"kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-large"]},"reason":"test"}`)
	own := openStream(t, g, "/v1/chat/completions", chat("sim-small", "sim: tokens=2000 interval=20ms", `,"stream":true`)) // its own traffic does not count
	own.next(t)
	var streams []*stream
	for range 2 {
		st := openStream(t, g, "/v1/chat/completions", chat("sim-large", "sim: tokens=2000 interval=20ms", `,"stream":true`))
		st.next(t)
		if st.resp.Header.Get("Andon-Fallback-From") != "sim-large" {
			t.Fatal("the fallback does not serve")
		}
		streams = append(streams, st)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if a := send(t, g, "/v1/chat/completions", chat("sim-large", "hello")); a.status != 503 || a.header.Get("Retry-After") == "" || a.header.Get("Andon-Fallback-From") != "" {
				t.Errorf("beyond the capacity: %d %v", a.status, a.header)
			}
		})
	}
	wg.Wait()
	if a := send(t, g, "/v1/chat/completions", chat("sim-small", "hello")); a.status != 200 {
		t.Errorf("the fallback's own callers: %d", a.status)
	}
	for _, st := range streams {
		st.resp.Body.Close()
	}
	deadline := time.Now().Add(generous)
	for send(t, g, "/v1/chat/completions", chat("sim-large", "hello")).status != 200 {
		if time.Now().After(deadline) {
			t.Fatal("places of streams that ended do not come free")
		}
	}
}
