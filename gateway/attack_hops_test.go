package gateway

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Attacks on what happens between one model and the next: pins, fallbacks, and
// further models that a body names.

// Pins that send a call from one to the other and back end in a refusal.
func TestPinsThatGoInACircle(t *testing.T) {
	pr := newProvider(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "{}") })
	p, s := newPlane(t), startSim(t)
	g := p.start(s, func(c *Config) {
		toProvider(pr, "")(c)
		c.Models[0].Versions = []ModelVersion{{Version: "v1", UpstreamModel: "large-v1"}, {Version: "v2", UpstreamModel: "large-v2"}}
	})
	p.apply(1, `{"kind":"capability","params":{"pin":"v1"},"scope":{"models":["sim-large"],"versions":["sim-large-1","v2"]},"reason":"test"}`)
	p.apply(1, `{"kind":"capability","params":{"pin":"v2"},"scope":{"models":["sim-large"],"versions":["v1"]},"reason":"test"}`)
	got := make(chan answer, 1)
	go func() { got <- send(t, g, "/v1/chat/completions", chat("sim-large", "x")) }()
	select {
	case a := <-got:
		if a.status < 400 {
			t.Errorf("%d %s", a.status, a.body)
		}
	case <-time.After(generous):
		p.apply(1, `{"kind":"access","params":{"mode":"block"},"scope":{"all":true},"reason":"end it"}`)
		t.Errorf("it goes on and on: %d", (<-got).status)
	}
}

// What restricts a model restricts a call that may reach it by way of another.
func TestFurtherModelsAreRestrictedToo(t *testing.T) {
	pr := newProvider(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"id":"m","type":"message","model":"sim-large","content":[{"type":"text","text":"hi"}],"usage":{"input_tokens":1,"output_tokens":90}}`)
	})
	p, s := newPlane(t), startSim(t)
	g := p.start(s, toProvider(pr, ""))
	body := `{"model":"sim-small","max_tokens":500,"temperature":0.9,"fallbacks":[{"model":"sim-large"}],"messages":[{"role":"user","content":"x"}]%s}`
	const tools = `,"tools":[{"type":"web_search_20250305","name":"web_search"}]`
	for _, c := range []struct{ correction, more, without string }{
		{`{"kind":"capability","params":{"clamp":{"output_tokens":7}},"scope":{"models":["sim-large"]},"reason":"test"}`, "", `"max_tokens":500`},
		{`{"kind":"capability","params":{"clamp":{"temperature":0.1}},"scope":{"models":["sim-large"]},"reason":"test"}`, "", `"temperature":0.9`},
		{`{"kind":"capability","params":{"disable":["web_search"]},"scope":{"models":["sim-large"]},"reason":"test"}`, tools, `web_search`},
		{`{"kind":"capability","params":{"disable":["tool:web_search"]},"scope":{"models":["sim-large"]},"reason":"test"}`, tools, `web_search`},
		{`{"kind":"capability","params":{"pin":"sim-large-0"},"scope":{"models":["sim-large"]},"reason":"test"}`, "", `sim-large`},
	} {
		id := p.apply(1, c.correction)
		pr.forget()
		a := send(t, g, "/v1/messages", fmt.Sprintf(body, c.more))
		if _, got := pr.last(); strings.Contains(got, c.without) {
			t.Errorf("%s: the provider got %s", c.correction, got)
		} else if !strings.Contains(a.header.Get("Andon-Corrections")+a.body, id) {
			t.Errorf("%s: not told: %d %v %s", c.correction, a.status, a.header, a.body)
		}
		p.lift(1, id)
	}
	p.apply(1, `{"kind":"rate","params":{"metric":"requests","limit":1,"window":"1h","per":"org"},"scope":{"models":["sim-large"]},"reason":"test"}`)
	for i, want := range []int{200, 429} {
		if a := send(t, g, "/v1/messages", fmt.Sprintf(body, "")); a.status != want {
			t.Errorf("call %d under a limit: %d, want %d", i+1, a.status, want)
		}
	}
	if a := send(t, g, "/v1/messages", `{"model":"sim-small","max_tokens":5,"messages":[]}`); a.status != 200 {
		t.Errorf("the other model alone: %d %s", a.status, a.body)
	}
}

// A place that a fallback gives is given back once, however the call ends.
func TestPlacesOfAFallbackComeBack(t *testing.T) {
	begun := make(chan struct{}, 16)
	pr := newProvider(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, "data: "+saidPart("x")+"\n\n")
		w.(http.Flusher).Flush()
		begun <- struct{}{}
		if strings.Contains(r.Header.Get("X-How"), "break") {
			panic(http.ErrAbortHandler)
		}
		<-r.Context().Done()
	})
	p, s := newPlane(t), startSim(t)
	g := p.start(s, func(c *Config) {
		toProvider(pr, "")(c)
		c.Models[1].FallbackCapacity = 1
	})
	p.apply(1, strings.Replace(stopLarge, `,"fallback":"none"`, "", 1))
	slots := g.models["sim-small"].slots
	free := func(how string) {
		t.Helper()
		p.await(how, func() bool { return slots.taken.Load() == 0 })
	}
	for range 3 {
		st := openStream(t, g, "/v1/chat/completions", chat("sim-large", "x", `,"stream":true`))
		st.next(t)
		if st.resp.Header.Get("Andon-Model") != "sim-small" || slots.taken.Load() != 1 {
			t.Fatalf("%v, %d taken", st.resp.Header, slots.taken.Load())
		}
		if a := send(t, g, "/v1/chat/completions", chat("sim-large", "x")); a.status != 503 {
			t.Errorf("beyond its capacity: %d", a.status)
		}
		st.resp.Body.Close()
		free("its client has gone")
		st = openStream(t, g, "/v1/chat/completions", chat("sim-large", "x", `,"stream":true`))
		st.next(t)
		id := p.apply(1, `{"kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-small"]},"reason":"test"}`)
		st.rest(t)
		free("it was cut")
		p.lift(1, id)
		req := must(http.NewRequest("POST", "http://"+g.Addr()+"/v1/chat/completions", strings.NewReader(chat("sim-large", "x", `,"stream":true`))))
		req.Header.Set("Authorization", "Bearer "+secret)
		req.Header.Set("X-How", "break")
		if resp, err := http.DefaultClient.Do(req); err == nil {
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		free("its provider broke off")
	}
	if n := slots.taken.Load(); n != 0 {
		t.Errorf("%d places are taken", n)
	}
}

// A credential of the caller's stays here, by whatever header it comes.
func TestCredentialsStay(t *testing.T) {
	pr := newProvider(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "{}") })
	p, s := newPlane(t), startSim(t)
	g := p.start(s, toProvider(pr, "provider-secret"))
	for _, h := range []string{"Authorization", "X-Api-Key", "X-Goog-Api-Key", "Api-Key", "Cookie"} {
		send(t, g, "/v1/chat/completions", asLarge, h, secret, "X-Api-Key", secret)
		if r, _ := pr.last(); r == nil || strings.Contains(fmt.Sprint(r.Header), secret) {
			t.Errorf("%s: the provider got %v", h, r)
		}
	}
}
