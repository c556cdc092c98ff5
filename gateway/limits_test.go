package gateway

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"andon/correction"
)

func TestRequestLimitIsExactUnderConcurrentLoad(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	g := p.start(s, nil)
	id := p.apply(1, `{"kind":"rate","params":{"metric":"requests","limit":25,"window":"1h","per":"key"},"scope":{"models":["sim-large"]},"reason":"test"}`)
	var ok, limited atomic.Int64
	var wg sync.WaitGroup
	for range 10 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 10 {
				switch a := send(t, g, "/v1/chat/completions", chat("sim-large", "hello")); a.status {
				case 200:
					ok.Add(1)
				case 429:
					limited.Add(1)
					if n, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || n < 1 || n > 3660 {
						t.Errorf("Retry-After %q", a.header.Get("Retry-After"))
					}
					if !strings.Contains(a.body, id) || a.header.Get("X-Should-Retry") != "false" {
						t.Errorf("%v %s", a.header, a.body)
					}
				default:
					t.Errorf("%d %s", a.status, a.body)
				}
			}
		}()
	}
	wg.Wait()
	if ok.Load() != 25 || limited.Load() != 75 {
		t.Errorf("%d admitted, %d limited; want exactly 25 and 75", ok.Load(), limited.Load())
	}
	if a := send(t, g, "/v1/chat/completions", chat("sim-small", "hello")); a.status != 200 {
		t.Errorf("outside the scope: %d", a.status)
	}
}

func TestTokensAreSettledFromUsage(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	g := p.start(s, nil)
	p.apply(1, `{"kind":"rate","params":{"metric":"output_tokens","limit":100,"window":"1h","per":"org"},"scope":{"all":true},"reason":"test"}`)
	// Each asks for no bound, is admitted while anything is left, and uses 30.
	for i, want := range []int{200, 200, 200, 200, 429} {
		stream := ""
		if i%2 == 1 {
			stream = `,"stream":true,"stream_options":{"include_usage":true}`
		}
		if a := send(t, g, "/v1/chat/completions", chat("sim-large", "sim: tokens=30", stream)); a.status != want {
			t.Errorf("call %d: %d, want %d: %s", i+1, a.status, want, a.body)
		}
	}
}

func TestConcurrencyLimitCountsRunningStreams(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	g := p.start(s, nil)
	p.apply(1, `{"kind":"rate","params":{"metric":"concurrent","limit":2,"per":"org"},"scope":{"all":true},"reason":"test"}`)
	a, b := openStream(t, g, streamed[0].path, streamed[0].body), openStream(t, g, streamed[2].path, streamed[2].body)
	a.next(t)
	b.next(t)
	if x := send(t, g, "/v1/chat/completions", chat("sim-large", "hello")); x.status != 429 {
		t.Errorf("a third: %d", x.status)
	}
	b.resp.Body.Close()
	active(t, s, 1)
	p.await("the place to come free", func() bool {
		return send(t, g, "/v1/chat/completions", chat("sim-large", "hello")).status == 200
	})
}

func TestQueuedCallWaitsForItsPlace(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	g := p.start(s, nil)
	p.apply(1, `{"kind":"rate","params":{"metric":"concurrent","limit":1,"per":"global","on_exceed":"queue"},"scope":{"all":true},"reason":"test"}`)
	first := openStream(t, g, streamed[0].path, streamed[0].body)
	first.next(t)
	got := make(chan answer, 1)
	go func() { got <- send(t, g, "/v1/chat/completions", chat("sim-large", "hello")) }()
	p.await("the second to queue", func() bool { return g.live.len() == 2 })
	first.resp.Body.Close()
	if a := <-got; a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
	// A call that queues is ended by a stop like any other.
	again := openStream(t, g, "/v1/chat/completions", strings.Replace(streamed[0].body, "sim-large", "sim-small", 1))
	again.next(t)
	go func() { got <- send(t, g, "/v1/chat/completions", chat("sim-large", "hello")) }()
	p.await("the next to queue", func() bool { return g.live.len() == 2 })
	p.apply(1, stopLarge)
	if a := <-got; a.status != 503 {
		t.Errorf("queued under a stop: %d %s", a.status, a.body)
	}
}

// An unknown value shares one bucket: leaving the user out is no way around.
func TestUnknownUsersShareABucket(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	g := p.start(s, nil)
	p.apply(1, `{"kind":"rate","params":{"metric":"requests","limit":2,"window":"1h","per":"user"},"scope":{"all":true},"reason":"test"}`)
	for i, c := range []struct {
		user string
		want int
	}{{"u1", 200}, {"u1", 200}, {"u1", 429}, {"u2", 200}, {"", 200}, {"", 200}, {"", 429}} {
		user := ""
		if c.user != "" {
			user = fmt.Sprintf(`,"safety_identifier":%q`, c.user)
		}
		if a := send(t, g, "/v1/chat/completions", chat("sim-large", "hello", user)); a.status != c.want {
			t.Errorf("call %d by %q: %d, want %d", i, c.user, a.status, c.want)
		}
	}
}

// Neither another spelling of a user nor another address of its network is a
// bucket of its own.
func TestBucketsAreNotMultiplied(t *testing.T) {
	ip := netip.MustParseAddr
	for _, c := range []struct {
		per  string
		a, b correction.Request
		same bool
	}{
		{"user", correction.Request{Users: []string{"mallory"}}, correction.Request{Users: []string{"\uff2dALLORY\u200b "}}, true},
		{"user", correction.Request{Users: []string{"mallory"}}, correction.Request{Users: []string{"malory"}}, false},
		{"user", correction.Request{}, correction.Request{Users: []string{"\u200b"}}, true},
		{"user", correction.Request{Users: []string{"key's"}}, correction.Request{Users: []string{"key's", "claimed"}}, true},
		{"ip", correction.Request{IP: ip("2001:db8::1")}, correction.Request{IP: ip("2001:db8::ffff:1")}, true},
		{"ip", correction.Request{IP: ip("2001:db8:0:1::1")}, correction.Request{IP: ip("2001:db8::1")}, false},
		{"ip", correction.Request{IP: ip("192.0.2.1")}, correction.Request{IP: ip("192.0.2.2")}, false},
		{"org", correction.Request{Org: "acme"}, correction.Request{Org: "globex"}, false},
	} {
		if got := bucketOf(c.per, &c.a) == bucketOf(c.per, &c.b); got != c.same {
			t.Errorf("%s: %v and %v share a bucket: %v, want %v", c.per, c.a.Users, c.b.Users, got, c.same)
		}
	}
}

func TestShadowChangesNoByte(t *testing.T) {
	answer := `{"fixed":true}`
	pr := newProvider(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, answer) })
	p, s := newPlane(t), startSim(t)
	g := p.start(s, toProvider(pr, ""))
	body := chat("sim-large", "hello", `,"max_tokens":500,"tools":[{"type":"function","function":{"name":"f"}}]`)
	before := send(t, g, "/v1/chat/completions", body)
	for _, c := range []string{
		`{"kind":"stop","params":{"level":"L3"},"scope":{"all":true},"mode":"shadow","reason":"test"}`,
		`{"kind":"access","params":{"mode":"block"},"scope":{"orgs":["acme"]},"mode":"shadow","reason":"test"}`,
		`{"kind":"capability","params":{"disable":["tools"]},"scope":{"all":true},"mode":"shadow","reason":"test"}`,
		`{"kind":"capability","params":{"clamp":{"output_tokens":5}},"scope":{"all":true},"mode":"shadow","reason":"test"}`,
		`{"kind":"rate","params":{"metric":"requests","limit":1,"window":"1h"},"scope":{"all":true},"mode":"shadow","reason":"test"}`,
	} {
		p.apply(1, c)
	}
	for range 3 {
		after := send(t, g, "/v1/chat/completions", body)
		if _, sent := pr.last(); sent != body || after.body != before.body || after.status != 200 || after.header.Get("Andon-Corrections") != "" {
			t.Errorf("%d %v %s; sent %s", after.status, after.header, after.body, sent)
		}
	}
}

func TestEveryKindRefusesInItsFirstForm(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	g := p.start(s, nil)
	tools := `,"tools":[{"type":"function","function":{"name":"f"}}]`
	for _, c := range []struct {
		correction, body string
		header           []string
		status           int
		kind             string
	}{
		{`{"kind":"access","params":{"mode":"block"},"scope":{"keys":["k-1"]},"reason":"t"}`, chat("sim-large", "x"), nil, 403, "access"},
		{`{"kind":"access","params":{"mode":"block"},"scope":{"users":["mallory"]},"reason":"t"}`, chat("sim-large", "x", `,"user":"mallory"`), nil, 403, "access"},
		{`{"kind":"access","params":{"mode":"block"},"scope":{"users":["mallory"]},"reason":"t"}`, chat("sim-large", "x", `,"user":"mallory","safety_identifier":"alice"`), nil, 403, "access"},
		{`{"kind":"access","params":{"mode":"block"},"scope":{"ips":["127.0.0.0/8"]},"reason":"t"}`, chat("sim-large", "x"), []string{"X-Forwarded-For", "9.9.9.9"}, 403, "access"},
		{`{"kind":"access","params":{"mode":"allow_only"},"scope":{"orgs":["globex"]},"reason":"t"}`, chat("sim-large", "x"), nil, 403, "access"},
		{`{"kind":"access","params":{"mode":"allow_only"},"scope":{"users":["alice"]},"reason":"t"}`, chat("sim-large", "x", `,"user":"mallory","safety_identifier":"alice"`), nil, 403, "access"},
		{`{"kind":"capability","params":{"disable":["tools"]},"scope":{"all":true},"reason":"t"}`, chat("sim-large", "x", tools), nil, 422, "capability"},
		{`{"kind":"capability","params":{"disable":["streaming"]},"scope":{"all":true},"reason":"t"}`, chat("sim-large", "x", `,"stream":true`), nil, 422, "capability"},
		{`{"kind":"use","params":{"use_case":"weapons"},"scope":{"all":true},"reason":"t"}`, chat("sim-large", "x"), []string{"Andon-Use-Case", "weapons/design"}, 403, "use"},
		{`{"kind":"stop","params":{"level":"L4"},"scope":{"models":["sim-large"]},"reason":"t","fallback":"none"}`, chat("large", "x"), nil, 503, "stop"},
		{`{"kind":"stop","params":{"level":"L3"},"scope":{"all":true},"reason":"t"}`, chat("sim-large", "x"), nil, 503, "stop"}, // its fallback is stopped, too
	} {
		if a := send(t, g, "/v1/chat/completions", c.body, c.header...); a.status != 200 {
			t.Errorf("before %s: %d %s", c.correction, a.status, a.body)
		}
		id := p.apply(1, c.correction)
		a := send(t, g, "/v1/chat/completions", c.body, c.header...)
		if a.status != c.status || !strings.Contains(a.body, `"correction_id":"`+id) || !strings.Contains(a.body, `"kind":"`+c.kind) {
			t.Errorf("under %s: %d %s", c.correction, a.status, a.body)
		}
		if d := g.decisions.find(a.header.Get("Andon-Request-Id")); d == nil || d.Action != "refused" || d.Corrections[0] != id {
			t.Errorf("not explained: %+v", d)
		}
		p.lift(1, id)
	}
}

func TestIdentityFromNamedProxiesOnly(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	for _, c := range []struct {
		proxies string
		want    int
	}{{"127.0.0.1/32", 403}, {"10.0.0.0/8", 401}} {
		g := p.start(s, func(cfg *Config) {
			cfg.Name = "gw-" + c.proxies[:2]
			cfg.Identity = Identity{Mode: "header", TrustedProxies: prefixes(c.proxies)}
		})
		id := p.apply(1, `{"kind":"access","params":{"mode":"block"},"scope":{"orgs":["globex"],"ips":["203.0.113.0/24"]},"reason":"t"}`)
		a := send(t, g, "/v1/chat/completions", chat("sim-large", "x"), "Authorization", "", "Andon-Org", "globex", "X-Forwarded-For", "1.2.3.4, 203.0.113.9")
		if a.status != c.want {
			t.Errorf("proxies %s: %d, want %d: %s", c.proxies, a.status, c.want, a.body)
		}
		p.lift(1, id)
	}
}
