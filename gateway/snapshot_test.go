package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"andon/order"
	"andon/wire"
)

// snapshot asks a gateway for evidence, as the control plane does.
func (p *plane) snapshot(gateway string, change func(*order.SnapshotAsk)) (*order.Snapshot, error) {
	p.t.Helper()
	q := order.SnapshotAsk{Gateway: gateway, At: time.Now().UTC(), Bytes: 8 << 20, Refusals: 100, Prompts: true}
	if change != nil {
		change(&q)
	}
	ctx, cancel := context.WithTimeout(context.Background(), generous)
	defer cancel()
	data, err := p.bus.Request(ctx, order.Named(order.SubjectSnapshot, "gw-1"), must(order.Sign(q, p.signer)))
	if err != nil {
		return nil, err
	}
	if len(data) > q.Bytes {
		p.t.Errorf("%d bytes, allowed were %d", len(data), q.Bytes)
	}
	s := &order.Snapshot{}
	if err := json.Unmarshal(data, s, json.RejectUnknownMembers(true)); err != nil {
		p.t.Fatal(err)
	}
	return s, nil
}

// The snapshot holds what callers sent, byte for byte, on every wire.
func TestSnapshotHoldsTheSystemPromptsAsTheyWereSent(t *testing.T) {
	for name, tc := range map[string]struct {
		path, body string
		want       []string
	}{
		"openai chat system": {"/v1/chat/completions", `{"model":"sim-large","messages":[ {"role": "system","content":"Be  \u0062rief, \"é\"."} ,{"role":"user","content":"hi"}]}`,
			[]string{`{"role": "system","content":"Be  \u0062rief, \"é\"."}`}},
		"openai chat developer, and one later": {"/v1/chat/completions", `{"model":"large","messages":[{"role":"developer","content":[{"type":"text","text":"A"}]},{"role":"user","content":"hi"},{"content":"B","role":"system"}]}`,
			[]string{`{"role":"developer","content":[{"type":"text","text":"A"}]}`, `{"content":"B","role":"system"}`}},
		"openai responses instructions": {"/v1/responses", `{"model":"sim-large","instructions":"Answer in\nFrench","input":[{"role":"developer","content":"item"},{"role":"user","content":"hi"}]}`,
			[]string{`"Answer in\nFrench"`, `{"role":"developer","content":"item"}`}},
		"anthropic text":   {"/v1/messages", `{"model":"sim-large","max_tokens":9,"system":"Be kind","messages":[{"role":"user","content":"hi"}]}`, []string{`"Be kind"`}},
		"anthropic blocks": {"/v1/messages", `{"model":"sim-large","max_tokens":9,"system": [ {"type":"text","text":"one"}, {"type":"text","text":"two"} ],"messages":[{"role":"user","content":"hi"}]}`, []string{`[ {"type":"text","text":"one"}, {"type":"text","text":"two"} ]`}},
		"gemini":           {"/v1beta/models/sim-large:generateContent", `{"systemInstruction": {"parts":[{"text":"Be exact"}]},"contents":[{"role":"user","parts":[{"text":"hi"}]}]}`, []string{`{"parts":[{"text":"Be exact"}]}`}},
		"gemini, other spelling": {"/v1beta/models/sim-large:generateContent", `{"contents":[{"role":"user","parts":[{"text":"hi"}]}],"system_instruction":{"role":"system","parts":[{"text":"x"}]}}`,
			[]string{`{"role":"system","parts":[{"text":"x"}]}`}},
		"none": {"/v1/chat/completions", `{"model":"sim-large","messages":[{"role":"user","content":"hi"}]}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlane(t)
			g := p.start(startSim(t), nil)
			for range 3 {
				if a := send(t, g, tc.path, tc.body); a.status != 200 {
					t.Fatalf("%d %s", a.status, a.body)
				}
			}
			s := must(p.snapshot("gw-1", func(q *order.SnapshotAsk) { q.Models = []string{"sim-large"} }))
			var got []string
			for _, m := range s.Prompts {
				if m.Model != "sim-large" {
					t.Error("also of", m.Model)
				}
				for _, x := range m.Prompts {
					got = append(got, x.Text)
					sum := sha256.Sum256([]byte(x.Text))
					if x.SHA256 != hex.EncodeToString(sum[:]) || x.Bytes != len(x.Text) || x.Count != 3 || x.Last.Before(x.First.Truncate(time.Second)) || x.API == "" {
						t.Errorf("%+v", x)
					}
				}
			}
			slices.Sort(got)
			want := slices.Sorted(slices.Values(tc.want))
			if !slices.Equal(got, want) {
				t.Errorf("got  %q\nwant %q", got, want)
			}
		})
	}
}

func TestSystemPromptsAreKeptAsConfigured(t *testing.T) {
	body := `{"model":"sim-large","messages":[{"role":"system","content":"secret of acme"},{"role":"user","content":"hi"}]}`
	for _, keep := range []string{"off", "digests"} {
		p := newPlane(t)
		g := p.start(startSim(t), func(c *Config) { c.SystemPrompts = keep })
		send(t, g, "/v1/chat/completions", body)
		s := must(p.snapshot("gw-1", nil))
		if text := string(must(json.Marshal(s))); strings.Contains(text, "secret of acme") {
			t.Errorf("%s: the text is there: %s", keep, text)
		}
		if off := keep == "off"; off != slices.ContainsFunc(s.Missing, func(m order.SnapshotGap) bool { return m.What == "system_prompts" }) || off != (len(s.Prompts) == 0) {
			t.Errorf("%s: %+v %+v", keep, s.Prompts, s.Missing)
		}
		if keep == "digests" {
			sum := sha256.Sum256([]byte(`{"role":"system","content":"secret of acme"}`))
			if x := s.Prompts[0].Prompts[0]; x.SHA256 != hex.EncodeToString(sum[:]) || x.Text != "" || x.Why == "" {
				t.Errorf("%+v", x)
			}
		}
	}
	cfg := newPlane(t).config(startSim(t))
	cfg.SystemPrompts = "some"
	if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), "off, digests, texts") {
		t.Error(err)
	}
}

// What stood before an order is told as it was, though the order has cut and changed it
// all by then.
func TestSnapshotIsOfBeforeTheOrder(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	g := p.start(s, nil)
	limit := p.apply(1, `{"kind":"rate","params":{"metric":"requests","limit":50,"window":"1m","per":"user"},"scope":{"models":["sim-large"]},"reason":"t"}`)
	block := p.apply(1, `{"kind":"access","params":{"mode":"block"},"scope":{"users":["mallory"]},"reason":"t"}`)
	if a := send(t, g, "/v1/chat/completions", chat("sim-large", "x", `,"user":"mallory"`)); a.status != 403 {
		t.Fatal(a.status)
	}
	var open []*stream
	for range 5 {
		st := openStream(t, g, streamed[0].path, streamed[0].body)
		st.next(t)
		open = append(open, st)
	}
	before := p.revision()
	stop := p.apply(1, `{"kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-large"]},"fallback":"none","reason":"t"}`)
	for _, st := range open {
		st.rest(t)
	}
	active(t, s, 0)
	for range 30 { // refusals that came after do not push out those before
		send(t, g, "/v1/chat/completions", chat("sim-large", "y"))
	}
	p.lift(1, limit)
	got := must(p.snapshot("gw-1", func(q *order.SnapshotAsk) { q.Revision, q.Refusals = before+1, 5 }))
	c := got.Captured
	if c == nil || c.Before != before || c.Revision != before+1 || c.Stale || len(c.InFlight) != 1 {
		t.Fatalf("%+v", c)
	}
	if f := c.InFlight[0]; f.Model != "sim-large" || f.State != "running" || f.Ages[0]+f.Ages[1] != 5 {
		t.Errorf("%+v", f)
	}
	if len(got.InFlight) != 0 {
		t.Errorf("now: %+v", got.InFlight)
	}
	var ids []string
	for _, x := range got.Ruling.Corrections {
		ids = append(ids, x.ID)
	}
	slices.Sort(ids)
	if want := []string{limit, block}; !slices.Equal(ids, want) || got.Ruling.Revision != before || len(got.Ruling.Digest) != 64 || got.Ruling.Rules != 2 {
		t.Errorf("%v %+v", ids, got.Ruling)
	}
	if len(got.Decisions) != 1 || got.Decisions[0].Action != order.ActionRefused || got.Decisions[0].Corrections[0] != block || strings.Contains(got.Decisions[0].User, "mallory") {
		t.Errorf("%+v", got.Decisions)
	}
	if l := got.Limits; len(l) != 1 || l[0].Correction != limit || l[0].Used != 5 || l[0].Buckets != 1 {
		t.Errorf("%+v", l)
	}
	// An order that has not come, one that is forgotten, and what stands now.
	late := must(p.snapshot("gw-1", func(q *order.SnapshotAsk) { q.Revision = 1000 }))
	if late.Captured != nil || len(late.Missing) != 1 || !strings.Contains(late.Missing[0].Why, "not come") {
		t.Errorf("%+v", late.Missing)
	}
	g.captures.mu.Lock()
	g.captures.ring = nil
	g.captures.mu.Unlock()
	gone := must(p.snapshot("gw-1", func(q *order.SnapshotAsk) { q.Revision = before + 1 }))
	if gone.Captured != nil || len(gone.Missing) != 1 || !strings.Contains(gone.Missing[0].Why, "no longer knows") {
		t.Errorf("%+v", gone.Missing)
	}
	now := must(p.snapshot("gw-1", nil))
	if now.Revision != p.revision() || now.Ruling.Revision != now.Revision || len(now.Missing) != 0 || len(now.Models) != 2 || now.LeaseMS <= 0 || len(now.Rates) == 0 {
		t.Errorf("%+v", now)
	}
	if m := now.Models[0]; m.Name != "sim-large" || m.Version != "sim-large-1" || m.Upstream != "sim" || len(m.Digest) != 64 {
		t.Errorf("%+v", m)
	}
	p.lift(1, stop)
}

func TestSnapshotIsGivenToTheControlPlaneAlone(t *testing.T) {
	p := newPlane(t)
	p.start(startSim(t), func(c *Config) { c.Upstreams[0].Key = "sk-provider" })
	s := must(p.snapshot("gw-1", nil))
	if text := string(must(json.Marshal(s))); strings.Contains(text, "sk-provider") || strings.Contains(text, secret) {
		t.Error("a key is in it")
	}
	ask := func(signed []byte, within time.Duration) error {
		ctx, cancel := context.WithTimeout(context.Background(), within)
		defer cancel()
		_, err := p.bus.Request(ctx, order.Named(order.SubjectSnapshot, "gw-1"), signed)
		return err
	}
	other := must(order.GenerateSigner())
	good := order.SnapshotAsk{Gateway: "gw-1", At: time.Now().UTC(), Bytes: 1 << 20}
	old, elsewhere := good, good
	old.At = old.At.Add(-time.Hour)
	elsewhere.Gateway = "gw-2"
	if ask(must(order.Sign(good, p.signer)), generous) != nil {
		t.Error("the good one got no answer")
	}
	for name, signed := range map[string][]byte{
		"unsigned": must(json.Marshal(good)), "other key": must(order.Sign(good, other)), "emergency key": must(order.Sign(good, p.emergency)),
		"old": must(order.Sign(old, p.signer)), "another gateway's": must(order.Sign(elsewhere, p.signer)), "nothing": nil,
		"another message": must(order.Sign(order.Release{Hold: "h", Gateway: "gw-1", At: time.Now()}, p.signer)),
	} {
		if ask(signed, 200*time.Millisecond) == nil {
			t.Errorf("%s: got an answer", name)
		}
	}
}

// A million different prompts cost bounded memory and bounded work, and push out none
// that is used.
func TestAMillionSystemPromptsAreBounded(t *testing.T) {
	var room atomic.Int64
	room.Store(maxPromptBytes)
	p := newPrompts(promptTexts, &room)
	used := []byte(`{"role":"system","content":"the one that is used"}`)
	all := []wire.Region{{End: len(used)}}
	p.note("openai.chat", used, all)
	p.note("openai.chat", used, all)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var wg sync.WaitGroup
	const each = 250_000
	for w := range 4 {
		wg.Go(func() {
			body := make([]byte, 0, 4096)
			for i := range each {
				body = fmt.Appendf(body[:0], `{"role":"system","content":"%d %d"}`, w, i)
				p.note("openai.chat", body, []wire.Region{{End: len(body)}})
			}
		})
	}
	wg.Wait()
	runtime.GC()
	runtime.ReadMemStats(&after)
	budget := 8 << 20
	r := p.report("m", &budget)
	if len(r.Prompts) > maxPrompts || r.Seen != 4*each+2 || r.Unknown < 4*each-1000 {
		t.Errorf("%d prompts, %d seen, %d unknown", len(r.Prompts), r.Seen, r.Unknown)
	}
	if r.Prompts[0].Text != string(used) || r.Prompts[0].Count != 2 {
		t.Errorf("the one that is used has gone: %+v", r.Prompts[0])
	}
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 1<<20 {
		t.Errorf("%d bytes are held", grown)
	}
	// Large ones: all of them in a second that is not over, second after second.
	now := time.Now()
	big := make([]byte, maxPromptText+1)
	for i := range 10 * maxPrompts {
		copy(big, fmt.Sprint(i, "-"))
		p.one("openai.chat", big, now.Add(time.Duration(i)*time.Second))
	}
	if left := room.Load(); left < maxPromptBytes-maxPrompts*maxPromptText {
		t.Errorf("%d bytes are taken", maxPromptBytes-left)
	}
	budget = 1 << 20
	r = p.report("m", &budget)
	whole, cut := 0, 0
	for _, x := range r.Prompts {
		if x.Text != "" {
			whole += len(x.Text)
		}
		if x.Cut {
			cut++
			if x.Bytes != len(big) {
				t.Errorf("%+v", x.Bytes)
			}
		}
	}
	if whole > 1<<20 || cut == 0 || budget < 0 {
		t.Errorf("%d bytes of texts, %d are cut", whole, cut)
	}
	if n := testing.AllocsPerRun(1000, func() { p.note("openai.chat", used, all) }); n != 0 {
		t.Errorf("a known prompt costs %v allocations", n)
	}
}

// When the room of all models is used up, digests are kept.
func TestSystemPromptsWithoutRoom(t *testing.T) {
	var room atomic.Int64
	room.Store(10)
	p := newPrompts(promptTexts, &room)
	p.one("a", []byte("123456789"), time.Now())
	p.one("a", []byte("12"), time.Now())
	budget := 1 << 20
	r := p.report("m", &budget)
	texts := 0
	for _, x := range r.Prompts {
		if x.Text != "" {
			texts++
		} else if x.Why == "" || len(x.SHA256) != 64 {
			t.Errorf("%+v", x)
		}
	}
	if len(r.Prompts) != 2 || texts != 1 || room.Load() != 1 {
		t.Errorf("%+v, room %d", r, room.Load())
	}
}

// BenchmarkSweep is a sweep over 10,000 streams of which it ends none.
func BenchmarkSweep(b *testing.B) {
	p := newPlane(b)
	g := p.start(startSim(b), nil)
	m, rl := g.models["sim-large"], g.current.Load()
	var who *caller
	for _, who = range rl.keys {
	}
	for range 10_000 {
		c := &call{model: m, asked: m, caller: who, began: time.Now()}
		m.describe(&c.req)
		g.live.add(c)
		b.Cleanup(func() { g.live.remove(c) })
	}
	b.ReportAllocs()
	for b.Loop() {
		g.sweep(rl)
	}
}

// BenchmarkSystemPrompt is what a call with a known system prompt of 2 KiB pays.
func BenchmarkSystemPrompt(b *testing.B) {
	var room atomic.Int64
	room.Store(maxPromptBytes)
	p := newPrompts(promptTexts, &room)
	body := []byte(strings.Repeat("system prompt ", 146))
	at := []wire.Region{{End: len(body)}}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			p.note("openai.chat", body, at)
		}
	})
}
