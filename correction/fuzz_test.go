package correction

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
)

// What Parse takes it writes and reads again as the same, and what Validate
// takes can be compiled and decided on. Nothing panics.
func FuzzParse(f *testing.F) {
	f.Add([]byte(everyField))
	f.Add([]byte(`{"kind":"stop","params":{"level":"L2","drain":"90s"},"scope":{"all":true},"reason":"r"}`))
	f.Add([]byte(`{"kind":"access","params":{"mode":"allow_only"},"scope":{"ips":["::ffff:10.0.0.1","10.0.0.0/8"],"countries":["de"]},"except":{"when":"users[0] == user"},"reason":"r","share":0.5}`))
	f.Add([]byte(`{"kind":"capability","params":{"clamp":{"output_tokens":1}},"scope":{"attributes":["a=b"],"tools":["x"]},"reason":"r"}`))
	f.Add([]byte(`{"kind":"use","params":{"use_case":"a/b"},"scope":{"use_cases":["a"]},"reason":"r","expires_at":"9999-12-31T23:59:59Z"}`))
	f.Add([]byte(`{"kind":"capability","params":{"filter":{"direction":"both","detector":"patterns","patterns":["a"],"regexps":["b{1,3}"],"exact":true,"action":"redact"}},"scope":{"lists":["l.1"],"unknown":"include"},"reason":"r"}`))
	f.Add([]byte(`{"kind":"capability","params":{"disable":["mcp","tool:x"]},"scope":{"countries":["DE"],"unknown":"include"},"except":{"lists":["l"]},"reason":"r"}`))
	f.Add([]byte(`{"kind":"capability","params":{"clamp":{"temperature":0.5,"session_spend":1e-3,"messages":9007199254740992}},"scope":{"all":true},"reason":"r"}`))
	f.Add([]byte(`{"kind":"capability","params":{"pin":"v1"},"scope":{"models":["m"]},"reason":"r"}`))
	f.Add([]byte(`{"kind":"use","params":{"use_case":"a","action":"acknowledge","acknowledge_by":"2030-01-01T00:00:00Z"},"scope":{"all":true},"reason":"r","acknowledged":["key:k"],"applied_at":"2026-11-23T11:00:00Z"}`))
	f.Add([]byte(`{"kind":"use","params":{"use_case":"a","basis":"inferred","detector":"d","threshold":0.9},"scope":{"all":true},"reason":"r"}`))
	f.Add([]byte(`{"kind":"access","params":{"mode":"block","linked":["org"]},"scope":{"users":["v"]},"reason":"r","links":["org=o","a=b"],"applied_at":"2026-11-23T11:00:00Z"}`))
	r := Request{Generates: true, Features: Tools | MCP, Model: "m", Users: []string{"u"}, IP: netip.MustParseAddr("10.0.0.1"), Country: "DE", Attributes: []string{"a=b"}, UseCases: []string{"a/b/c"}, Tools: []string{"x"}}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse(data)
		var fe *FieldError
		if err != nil {
			if !errors.As(err, &fe) {
				t.Fatalf("error is a %T: %v", err, err)
			}
			return
		}
		if err := c.Validate(at); err != nil {
			if !errors.As(err, &fe) {
				t.Fatalf("error is a %T: %v", err, err)
			}
			return
		}
		out, err := json.Marshal(c)
		if err != nil {
			t.Fatalf("cannot be written: %v", err)
		}
		again, err := Parse(out)
		if err != nil {
			t.Fatalf("%s\nis written as\n%s\nand then: %v", data, out, err)
		}
		if d := cmp.Diff(c, again); d != "" {
			t.Fatal(d)
		}
		lists := Lists{}
		for i, name := range c.Scope.Lists {
			if lists[name] = Lost; i%2 == 0 {
				lists[name] = &testList{dimension: "users", values: []string{"u"}}
			}
		}
		p, err := CompileWith([]Correction{c}, lists)
		if err != nil {
			t.Fatalf("is valid, but: %v", err)
		}
		var v Verdict
		p.Decide(&r, At(at), &v)
		p.NextChange(at)
		_ = c.Scope.String() + c.Scope.Public()
	})
}

// An expression that compiles answers, twice the same, and a failure is judged
// against the caller.
func FuzzWhen(f *testing.F) {
	for w := range whens {
		f.Add(w)
	}
	f.Add(`users.all(u, users.all(v, users.all(w, u + v + w != "")))`)
	f.Add(`[1, 2, 3].map(x, x * output_tokens).exists(y, y / (y - y) == 1)`)
	f.Add(`timestamp("2026-01-01T00:00:00Z") < timestamp(user)`)
	f.Add(`model.matches("(a+)+$")`)
	r := Request{Model: "m1", Users: []string{"u1", "u2", "u3"}, IP: netip.MustParseAddr("10.0.0.1"), Country: "DE", Attributes: []string{"a=b"}, UseCases: []string{"a/b/c"}, Tools: []string{"x"}, OutputTokens: 7}
	f.Fuzz(func(t *testing.T, expr string) {
		prg, err := compileWhen(expr)
		if err != nil {
			return
		}
		a, b := holds(prg, &r, true), holds(prg, &r, true)
		strict := holds(prg, &r, false)
		if a != b {
			t.Fatalf("%q is %v, then %v", expr, a, b)
		}
		if strict && !a {
			t.Fatalf("%q holds, but not if a failure counts as a match", expr)
		}
	})
}

func FuzzDuration(f *testing.F) {
	for _, s := range []string{"90s", "7d", "1d12h", "1h30m", "500ms", "1d-1h", "106751d23h47m16.854775807s"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDuration(s)
		if err != nil {
			return
		}
		if d < 0 {
			t.Fatalf("%q is %d", s, d)
		}
		if again, err := ParseDuration(d.String()); err != nil || again != d {
			t.Fatalf("%q is written as %q, which is %v, %v", s, d, again, err)
		}
	})
}
