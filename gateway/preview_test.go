package gateway

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"andon/correction"
	"andon/gateway/record"
	"andon/order"
)

// asProxy lets the test say who calls, as a trusted proxy does.
func asProxy(c *Config) {
	c.Identity = Identity{Mode: "header", TrustedProxies: prefixes("127.0.0.0/8")}
}

type visitor struct{ org, user, key, from, use, body string }

// visitors are calls that differ in what corrections ask for.
func visitors() (all []visitor) {
	for i := range 36 {
		v := visitor{org: []string{"acme", "globex"}[i%2], user: fmt.Sprint("u-", i%5), key: fmt.Sprint("k-", i%3),
			from: fmt.Sprintf("192.0.%d.%d", 2+i%2, 100+i), body: chat([]string{"sim-large", "sim-small"}[i%3%2], "hi")}
		if i%4 == 0 {
			v.body = chat("sim-large", "hi", `,"tools":[{"type":"function","function":{"name":"lookup"}}],"tool_choice":{"type":"function","function":{"name":"lookup"}}`)
		}
		if i%6 == 1 {
			v.body = chat("sim-small", "hi", `,"max_tokens":500`)
		}
		if i%5 == 0 {
			v.use = "legal/advice"
		}
		if i%7 == 0 {
			v.user = ""
		}
		all = append(all, v)
	}
	return all
}

func (v *visitor) send(t *testing.T, g *Gateway) answer {
	return send(t, g, "/v1/chat/completions", v.body, "Andon-Org", v.org, "Andon-User", v.user, "Andon-Key", v.key, "X-Forwarded-For", v.from, "Andon-Use-Case", v.use)
}

// What a preview counts on recorded traffic is what is then enforced on the same
// traffic, for every kind of correction.
func TestPreviewEqualsEnforcement(t *testing.T) {
	s := startSim(t)
	for name, tc := range map[string]struct {
		text    string
		changed bool // the header says that it was changed; else: a refusal
	}{
		"stop":             {text: `{"kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-large"]},"fallback":"none","reason":"r"}`},
		"block a user":     {text: `{"kind":"access","params":{"mode":"block"},"scope":{"users":["u-2","u-3"]},"reason":"r"}`},
		"block a network":  {text: `{"kind":"access","params":{"mode":"block"},"scope":{"ips":["192.0.2.0/25","192.0.3.105"]},"except":{"orgs":["globex"]},"reason":"r"}`},
		"allow only":       {text: `{"kind":"access","params":{"mode":"allow_only"},"scope":{"orgs":["acme"],"models":["sim-small"]},"reason":"r"}`},
		"allow only users": {text: `{"kind":"access","params":{"mode":"allow_only"},"scope":{"users":["u-1","u-2"]},"reason":"r"}`},
		"disable tools":    {text: `{"kind":"capability","params":{"disable":["tools"]},"scope":{"keys":["k-0","k-1"]},"reason":"r"}`},
		"prohibit":         {text: `{"kind":"use","params":{"use_case":"legal"},"scope":{"all":true},"reason":"r"}`},
		"clamp":            {text: `{"kind":"capability","params":{"clamp":{"output_tokens":200}},"scope":{"models":["sim-small"]},"reason":"r"}`, changed: true},
		"limit":            {text: `{"kind":"rate","params":{"metric":"requests","limit":4,"window":"1h","per":"key"},"scope":{"all":true},"reason":"r"}`},
		"limit users":      {text: `{"kind":"rate","params":{"metric":"requests","limit":2,"window":"1h","per":"user"},"scope":{"orgs":["acme"]},"reason":"r"}`},
		"expression":       {text: `{"kind":"access","params":{"mode":"block"},"scope":{"when":"tools_offered || org == \"globex\" && model == \"sim-large\""},"reason":"r"}`},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlane(t)
			g := p.start(s, asProxy)
			all := visitors()
			for i := range all {
				if a := all[i].send(t, g); a.status != 200 {
					t.Fatal(a.status, a.body)
				}
			}
			said, err := g.preview([]byte(tc.text))
			if err != nil {
				t.Fatal(err)
			}
			p.apply(1, tc.text)
			touched := int64(0)
			users := map[string]bool{}
			for i := range all {
				a := all[i].send(t, g)
				if refused := a.status != 200; refused == tc.changed && refused {
					t.Fatal(a.status, a.body)
				} else if refused || tc.changed && a.header.Get("Andon-Corrections") != "" {
					touched++
					if all[i].user != "" {
						users[all[i].user] = true
					}
				}
			}
			if said.Recorded != int64(len(all)) || said.Requests != touched || touched == 0 || said.Undecided != 0 {
				t.Errorf("the preview says %d of %d requests (%d undecided), %d were touched", said.Requests, said.Recorded, said.Undecided, touched)
			}
			if n, exact := said.Users.Count(); !exact || n != int64(len(users)) {
				t.Errorf("the preview says %d users, %d were touched", n, len(users))
			}
			// Asked again, it says how much of it is refused as it is.
			if tc.changed {
				return
			}
			again, err := g.preview([]byte(tc.text))
			if err != nil || again.Recorded != int64(2*len(all)) || said.Refused > 0 && again.Already != touched {
				t.Errorf("%+v %v", again, err)
			}
		})
	}
}

func TestARecordHoldsOutcomesAndLastsButNoNames(t *testing.T) {
	s, p := startSim(t), newPlane(t)
	var dir string
	set := func(c *Config) {
		asProxy(c)
		if dir == "" {
			dir = c.Data
		}
		c.Data = dir
	}
	g, stop := p.launch(s, set)
	v := visitor{org: "acme", user: "alice@acme.example", key: "k-1", from: "203.0.113.9", body: chat("sim-large", "a very secret prompt")}
	v.send(t, g)
	id := p.apply(1, `{"kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-large"]},"reason":"r"}`)
	if a := v.send(t, g); a.header.Get("Andon-Model") != "sim-small" {
		t.Fatal(a)
	}
	p.lift(1, id)
	id = p.apply(1, `{"kind":"rate","params":{"metric":"requests","limit":1,"window":"1h"},"scope":{"all":true},"reason":"r"}`)
	v.send(t, g)
	if a := v.send(t, g); a.status != 429 {
		t.Fatal(a)
	}
	p.lift(1, id)
	id = p.apply(1, `{"kind":"access","params":{"mode":"block"},"scope":{"orgs":["acme"]},"reason":"r"}`)
	if a := v.send(t, g); a.status != 403 {
		t.Fatal(a)
	}
	p.lift(1, id)
	block := `{"kind":"access","params":{"mode":"block"},"scope":{"users":["alice@acme.example"],"ips":["203.0.113.0/28"]},"reason":"r"}`
	check := func(g *Gateway) {
		t.Helper()
		got, err := g.preview([]byte(block))
		if err != nil || got.Recorded != 5 || got.Refused != 5 || got.Already != 2 {
			t.Errorf("%+v %v", got, err)
		}
		// The stopped model's calls count for the model that answered, too.
		small, err := g.preview([]byte(`{"kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-small"]},"reason":"r"}`))
		if err != nil || small.Refused != 1 || len(small.Models) != 1 || small.Models[0].Name != "sim-large" {
			t.Errorf("%+v %v", small, err)
		}
	}
	check(g)
	stop()
	g, stop = p.launch(s, set)
	check(g)
	stop()
	files := 0
	err := filepath.Walk(filepath.Join(dir, "record"), func(name string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		for _, secret := range []string{"alice", "secret prompt", "203.0.113", "\xcb\x00\x71\x09"} {
			if strings.Contains(string(data), secret) {
				t.Errorf("%s holds %q", name, secret)
			}
		}
		files++
		return err
	})
	if err != nil || files == 0 {
		t.Error(files, err)
	}
	// Switched off, it says that it knows nothing of the past.
	g, stop = p.launch(s, func(c *Config) { set(c); c.Record.Requests = -1 })
	defer stop()
	v.send(t, g)
	got, err := g.preview([]byte(block))
	if err != nil || got.Recorded != 0 || len(got.Unknown) != 1 || !strings.Contains(got.Unknown[0], "no record") {
		t.Errorf("%+v %v", got, err)
	}
}

func TestPreviewCountsRunningStreams(t *testing.T) {
	s, p := startSim(t), newPlane(t)
	g := p.start(s, nil)
	for range 3 {
		openStream(t, g, "/v1/chat/completions", chat("sim-large", "sim: tokens=500 interval=20ms", `,"stream":true,"user":"u-1"`)).next(t)
	}
	openStream(t, g, "/v1/chat/completions", chat("sim-small", "sim: tokens=500 interval=20ms", `,"stream":true`)).next(t)
	got, err := g.preview([]byte(`{"kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-large"]},"reason":"r"}`))
	if err != nil || got.LiveStreams != 3 {
		t.Fatalf("%+v %v", got, err)
	}
	if n, _ := got.Users.Count(); n != 1 {
		t.Errorf("%d users", n)
	}
	data, err := g.cfg.Bus.Request(context.Background(), order.SubjectLive, []byte(`{"kind":"access","params":{"mode":"block"},"scope":{"users":["u-1"]},"reason":"r"}`))
	if err != nil || !strings.Contains(string(data), `"live_streams":3`) || strings.Contains(string(data), "u-1") {
		t.Errorf("%s %v", data, err)
	}
}

func TestRecordConfigIsChecked(t *testing.T) {
	for want, r := range map[string]Record{
		"record.requests is 7":       {Requests: 7},
		"record.requests is 2000000": {Requests: 2_000_000},
		"record.keep is 1s":          {Keep: time.Second},
	} {
		if err := r.check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", r, err)
		}
	}
	r := Record{}
	if err := r.check(); err != nil || r.Requests != record.DefaultRequests || r.Keep != record.DefaultKeep {
		t.Error(r, err)
	}
}

// BenchmarkRemember is what the record costs a call when it ends.
func BenchmarkRemember(b *testing.B) {
	g := &Gateway{recorder: record.New(record.Config{}, record.NewPseudonyms([]byte("secret"), nil))}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan struct{})
	go func() { g.recorder.Run(ctx); close(done) }()
	m := &model{Model: Model{Name: "sim-large"}, as: "sim-large"}
	x := &exchange{g: g}
	c := &call{began: time.Now(), asked: m, model: m, req: correction.Request{Org: "acme", Key: "k-1", Users: []string{"u-1"}}}
	b.ReportAllocs()
	for b.Loop() {
		x.remember(c)
	}
	cancel()
	<-done
}
