package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"andon/bus"
	"andon/order"
)

// moderation stands in for a moderation endpoint: it finds the word "dangerous",
// and can be made to fail or to be slow.
type moderation struct {
	*httptest.Server
	fails atomic.Bool
	slow  atomic.Int64 // ns
	asked atomic.Int64
}

func newModeration(t *testing.T) *moderation {
	m := &moderation{}
	m.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.asked.Add(1)
		var q struct{ Input string }
		json.NewDecoder(r.Body).Decode(&q)
		select {
		case <-time.After(time.Duration(m.slow.Load())):
		case <-r.Context().Done():
		}
		if m.fails.Load() {
			http.Error(w, "broken", http.StatusInternalServerError)
			return
		}
		score := 0.01
		if strings.Contains(q.Input, "dangerous") {
			score = 0.97
		}
		fmt.Fprintf(w, `{"id":"m","model":"m","results":[{"flagged":%v,"categories":{"violence":%v},"category_scores":{"violence":%v}}]}`, score > 0.5, score > 0.5, score)
	}))
	t.Cleanup(m.Close)
	return m
}

func TestAClassifierFilters(t *testing.T) {
	s, m := startSim(t), newModeration(t)
	p := newPlane(t)
	g := p.start(s, func(c *Config) {
		c.Detectors = []Detector{{Name: "harm", Type: "moderation", URL: m.URL + "/v1", Model: "m", Category: "violence", Timeout: time.Minute}}
	})
	good, bad := `sim: text="a long and quite harmless answer. It has sentences. It goes on."`, `sim: text="it begins well. Then it is dangerous to know. And it goes on."`
	id := p.apply(1, `{"kind":"capability","params":{"filter":{"direction":"output","detector":"harm","threshold":0.8,"action":"cut"}},"scope":{"models":["sim-large"]},"reason":"test"}`)
	for _, w := range spoken {
		all := strings.Join(openStream(t, g, w.path, said(w.stream, good)).rest(t), "")
		if !strings.Contains(joined(all), "It goes on.") || strings.Contains(all, "andon_correction") {
			t.Errorf("%s: harmless: %s", w.name, all)
		}
		all = strings.Join(openStream(t, g, w.path, said(w.stream, bad)).rest(t), "")
		if strings.Contains(joined(all), "dangerous") || !strings.Contains(all, id) {
			t.Errorf("%s: %s", w.name, all)
		}
		if a := send(t, g, w.plainPath, said(w.plain, bad)); a.status != 403 || strings.Contains(a.body, "to know") {
			t.Errorf("%s, plain: %d %s", w.name, a.status, a.body)
		}
	}
	// It fails closed unless it says otherwise.
	m.fails.Store(true)
	if a := send(t, g, spoken[0].plainPath, said(spoken[0].plain, good)); a.status != 403 || !strings.Contains(a.body, "classifier failed") {
		t.Errorf("a classifier that fails: %d %s", a.status, a.body)
	}
	p.lift(1, id)
	open := p.apply(1, `{"kind":"capability","params":{"filter":{"direction":"both","detector":"harm","on_error":"pass","action":"block"}},"scope":{"models":["sim-large"]},"reason":"test"}`)
	if a := send(t, g, spoken[0].plainPath, said(spoken[0].plain, good)); a.status != 200 {
		t.Errorf("a classifier that may fail: %d %s", a.status, a.body)
	}
	m.fails.Store(false)
	if a := send(t, g, spoken[0].plainPath, said(spoken[0].plain, bad)); a.status != 403 {
		t.Errorf("on the prompt: %d %s", a.status, a.body)
	}
	p.lift(1, open)
	// A use that is inferred is prohibited like one that is declared.
	use := p.apply(1, `{"kind":"use","params":{"use_case":"violence","basis":"inferred","detector":"harm"},"scope":{"all":true},"reason":"test"}`)
	if a := send(t, g, spoken[0].plainPath, said(spoken[0].plain, bad)); a.status != 403 || !strings.Contains(a.body, `"kind":"use"`) {
		t.Errorf("an inferred use: %d %s", a.status, a.body)
	}
	p.lift(1, use)
	// A call that waits for its classifier is cut like any other.
	p.apply(1, `{"kind":"capability","params":{"filter":{"direction":"output","detector":"harm","action":"cut"}},"scope":{"all":true},"reason":"test"}`)
	m.slow.Store(int64(time.Minute))
	asked := m.asked.Load()
	st := make(chan string, 1)
	go func() {
		st <- strings.Join(openStream(t, g, spoken[0].path, said(spoken[0].stream, good)).rest(t), "")
	}()
	for m.asked.Load() == asked {
		time.Sleep(time.Millisecond)
	}
	stop := p.apply(1, `{"kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-large"]},"fallback":"none","reason":"test"}`)
	if all := <-st; !strings.Contains(all, stop) || strings.Contains(all, "harmless") {
		t.Errorf("cut while it waits: %s", all)
	}
	active(t, s, 0)
}

// A detector that the configuration does not declare can not look: what it
// should look at is refused.
func TestAnUndeclaredDetectorRefuses(t *testing.T) {
	p := newPlane(t)
	g := p.start(startSim(t), nil)
	p.apply(1, `{"kind":"capability","params":{"filter":{"direction":"output","detector":"harm","action":"cut"}},"scope":{"models":["sim-large"]},"reason":"test"}`)
	if a := send(t, g, spoken[0].plainPath, said(spoken[0].plain, "hello")); a.status != 403 {
		t.Errorf("plain: %d %s", a.status, a.body)
	}
	if st := openStream(t, g, spoken[0].path, said(spoken[0].stream, "hello")); st.resp.StatusCode != 403 {
		t.Errorf("stream: %d", st.resp.StatusCode)
	}
	if a := send(t, g, "/v1/chat/completions", chat("sim-small", "hello")); a.status != 200 {
		t.Errorf("another model: %d", a.status)
	}
}

// What a filter holds goes on, or does not, when a person has said so.
func TestACallWaitsForAPerson(t *testing.T) {
	s := startSim(t)
	p := newPlane(t)
	g := p.start(s, nil)
	held := make(chan order.Hold, 16)
	p.bus.Subscribe(order.SubjectHold, func(m bus.Msg) {
		var h order.Hold
		if err := json.Unmarshal(m.Data, &h); err != nil {
			t.Error(err)
		}
		held <- h
	})
	decide := func(let bool, signer order.Signer) order.Hold {
		t.Helper()
		select {
		case h := <-held:
			p.bus.Publish(order.SubjectRelease, must(order.Sign(order.Release{Hold: h.ID, Gateway: h.Gateway, Let: let, By: "op-1", At: time.Now()}, signer)))
			return h
		case <-time.After(generous):
			t.Fatal("nothing waits")
		}
		return order.Hold{}
	}
	for _, direction := range []string{"input", "output"} {
		id := p.apply(1, `{"kind":"capability","params":{"filter":{"direction":"`+direction+`","detector":"patterns","patterns":["doubtful words"],"action":"hold"}},"scope":{"models":["sim-large"]},"reason":"test"}`)
		text := `sim: text="it begins and then doubtful words come and more follows"`
		for _, w := range spoken {
			for _, let := range []bool{true, false} {
				done := make(chan string, 1)
				go func() {
					done <- strings.Join(openStream(t, g, w.path, said(w.stream, text)).rest(t), "")
				}()
				h := decide(let, p.signer)
				if h.Correction != id || h.Direction != direction || !strings.Contains(h.Excerpt, "doubtful words") || h.Org != "acme" {
					t.Errorf("%s: %+v", w.name, h)
				}
				all := <-done
				if let != strings.Contains(joined(all), "doubtful words come and more follows") || let == strings.Contains(all, "andon_correction") {
					t.Errorf("%s, %s, let %v: %s", w.name, direction, let, all)
				}
				plain := make(chan answer, 1)
				go func() { plain <- send(t, g, w.plainPath, said(w.plain, text)) }()
				decide(let, p.signer)
				if a := <-plain; let != (a.status == 200) || let != strings.Contains(a.body, "more follows") {
					t.Errorf("%s, %s, plain, let %v: %d %s", w.name, direction, let, a.status, a.body)
				}
			}
		}
		p.lift(1, id)
	}
	// Nobody but the control plane can let it go on, and a stop ends the waiting.
	p.apply(1, `{"kind":"capability","params":{"filter":{"direction":"input","detector":"patterns","patterns":["doubtful words"],"action":"hold"}},"scope":{"all":true},"reason":"test"}`)
	done := make(chan answer, 1)
	go func() { done <- send(t, g, "/v1/chat/completions", chat("sim-large", "doubtful words")) }()
	decide(true, p.emergency)
	select {
	case a := <-done:
		t.Fatalf("let go on by a stranger: %d %s", a.status, a.body)
	case <-time.After(100 * time.Millisecond):
	}
	stop := p.apply(1, `{"kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-large"]},"fallback":"none","reason":"test"}`)
	if a := <-done; a.status != 503 || !strings.Contains(a.body, stop) {
		t.Errorf("stopped while it waits: %d %s", a.status, a.body)
	}
}
