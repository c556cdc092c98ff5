package correction

import (
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
)

const everyField = `{"id":"c-7","kind":"rate","params":{"metric":"total_tokens","limit":5000,"window":"1h30m","per":"user","on_exceed":"queue"},` +
	`"scope":{"models":["sim-large"],"orgs":["acme"],"ips":["10.0.0.0/8"],"when":"stream"},"except":{"users":["u-1"]},"mode":"shadow","share":0.25,` +
	`"starts_at":"2026-11-23T12:00:00Z","review_by":"2026-11-24T12:00:00Z","expires_at":"2026-11-25T12:00:00Z","reason":"load","public_reason":"high load",` +
	`"incident":"i-1","fallback":"sim-small","applied_at":"2026-11-23T11:00:00Z"}`

func TestParseReadsEveryField(t *testing.T) {
	got, err := Parse([]byte(everyField))
	if err != nil {
		t.Fatal(err)
	}
	want := Correction{
		ID: "c-7", Kind: Rate,
		Params: Params{Metric: "total_tokens", Limit: ptr(int64(5000)), Window: Duration(90 * time.Minute), Per: "user", OnExceed: "queue"},
		Scope:  Scope{Models: []string{"sim-large"}, Orgs: []string{"acme"}, IPs: []string{"10.0.0.0/8"}, When: "stream"},
		Except: &Scope{Users: []string{"u-1"}}, Mode: Shadow, Share: 0.25,
		StartsAt: at, ReviewBy: at.Add(24 * time.Hour), ExpiresAt: at.Add(48 * time.Hour), AppliedAt: at.Add(-time.Hour),
		Reason: "load", PublicReason: "high load", Incident: "i-1", Fallback: "sim-small",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	out, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	if string(out) != everyField {
		t.Errorf("written again:\n%s\nwant\n%s", out, everyField)
	}
}

func TestMarshalLeavesOutWhatIsNotGiven(t *testing.T) {
	c := Correction{Kind: Stop, Params: Params{Level: "L2"}, Scope: Scope{All: true}, Reason: "r"}
	out, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"kind":"stop","params":{"level":"L2"},"scope":{"all":true},"reason":"r"}`; string(out) != want {
		t.Errorf("written as %s\nwant %s", out, want)
	}
	if _, err := Parse(out); err != nil {
		t.Errorf("Parse of what was written: %v", err)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{``, `not valid JSON: `},
		{`[]`, `wrong type: a JSON array cannot stand here; give an object`},
		{`{"kind":"stop"`, `not valid JSON: unexpected EOF`},
		{`{"kind":"stop"} {}`, `not valid JSON: `},
		{`{"kind":"stop","kind":"stop"}`, `kind: not valid JSON: duplicate object member name`},
		{"{\"kind\":\"\xff\"}", `kind: not valid JSON: invalid UTF-8`},
		{`{"mode":true}`, `mode: wrong type: a JSON boolean cannot stand here; give a text`},
		{`{"params":[]}`, `params: wrong type: a JSON array cannot stand here; give an object`},
		{`{"Kind":"stop"}`, `Kind: unknown field "Kind"; allowed: id, kind, params, scope, except, mode, share, starts_at, review_by, expires_at, reason, public_reason, legal_order, incident, fallback, applied_at, links, acknowledged`},
		{`{"kind":"stop","params":{"level":"L3","force":true}}`, `params.force: unknown field "force"; allowed: level, drain`},
		{`{"params":{"force":true},"kind":"access"}`, `params.force: unknown field "force"; allowed: mode, linked`},
		{`{"params":{"force":true}}`, `params.force: unknown field "force"; allowed: mode, linked, metric, limit, window, per, on_exceed, disable, clamp, filter, pin, use_case, basis, action, acknowledge_by, detector, threshold, level, drain`},
		{`{"params":{"filter":{"word":"x"}}}`, `params.filter.word: unknown field "word"; allowed: direction, detector, patterns, regexps, exact, threshold, on_error, action`},
		{`{"params":{"filter":[]}}`, `params.filter: wrong type: a JSON array cannot stand here; give an object`},
		{`{"params":{"filter":{"threshold":0}}}`, `params.filter.threshold: 0 would be found in everything; give 0 < threshold <= 1, or leave it out for 0.5`},
		{`{"params":{"threshold":0}}`, `params.threshold: 0 would be found in everything; give 0 < threshold <= 1, or leave it out for 0.5`},
		{`{"params":{"clamp":{"messages":"3"}}}`, `params.clamp.messages: wrong type: a JSON string cannot stand here; give a number`},
		{`{"params":{"acknowledge_by":5}}`, `params.acknowledge_by: wrong type: a JSON number cannot stand here; give a time such as "2026-11-23T15:04:05Z"`},
		{`{"links":"a=b"}`, `links: wrong type: a JSON string cannot stand here; give a list of texts`},
		{`{"scope":{"model":["m"]}}`, `scope.model: unknown field "model"; allowed: all, models, versions, surfaces, orgs, users, keys, tiers, ips, countries, attributes, tools, use_cases, lists, when, unknown`},
		{`{"except":{"model":["m"]}}`, `except.model: unknown field "model"; allowed: all, models, `},
		{`{"scope":{"models":"m"}}`, `scope.models: wrong type: a JSON string cannot stand here; give a list of texts`},
		{`{"scope":{"models":["m",3]}}`, `scope.models[1]: wrong type: a JSON number cannot stand here; give a text`},
		{`{"scope":{"all":"yes"}}`, `scope.all: wrong type: a JSON string cannot stand here; give true or false`},
		{`{"params":{"limit":"10"}}`, `params.limit: wrong type: a JSON string cannot stand here; give a whole number`},
		{`{"params":{"limit":1.5}}`, `params.limit: `},
		{`{"params":{"limit":9223372036854775808}}`, `params.limit: `},
		{`{"params":{"window":60}}`, `params.window: wrong type: a JSON number cannot stand here; give a text such as "15m"`},
		{`{"params":{"window":"60"}}`, `params.window: parse duration "60": not a number with a unit; write for example 90s, 15m, 2h, 7d or 1h30m`},
		{`{"params":{"clamp":[1]}}`, `params.clamp: wrong type: a JSON array cannot stand here; give an object of numbers`},
		{`{"expires_at":"tomorrow"}`, `expires_at: `},
		{`{"expires_at":7}`, `expires_at: wrong type: a JSON number cannot stand here; give a time such as "2026-11-23T15:04:05Z"`},
		{`{"share":"half"}`, `share: wrong type: a JSON string cannot stand here; give a number`},
		{`{"share":0}`, `share: 0 would reach nobody; give 0 < share <= 1, or leave it out to reach everybody in scope`},
		{`{"params":{"drain":"0s"}}`, `params.drain: 0s leaves no time to drain; use level L3, or leave it out for 2m`},
	} {
		t.Run(tc.in, func(t *testing.T) {
			_, err := Parse([]byte(tc.in))
			if err == nil || !strings.HasPrefix(err.Error(), tc.want) {
				t.Fatalf("Parse:\n%v\nwant\n%s", err, tc.want)
			}
			var fe *FieldError
			if !errors.As(err, &fe) {
				t.Errorf("error is a %T, not a *FieldError", err)
			}
		})
	}
}

// What an error quotes of the input is bounded, and still text.
func TestErrorsAreBounded(t *testing.T) {
	long := strings.Repeat("é", 5000)
	for _, in := range []string{
		`{"x` + long + `":1}`, `{"scope":{"x` + long + `":1}}`, `{"expires_at":"x` + long + `"}`, `{"params":{"window":"x` + long + `"}}`,
		`{"kind":"x` + long + `"}`, `{"kind":"stop","params":{"level":"L3"},"scope":{"when":"x` + long + `"}}`,
		`{"kind":"access","params":{"mode":"block"},"scope":{"ips":["x` + long[:200] + `"]}}`,
	} {
		c, err := Parse([]byte(in))
		if err == nil {
			err = c.Validate(at)
		}
		if err == nil || len(err.Error()) > 800 || !utf8.ValidString(err.Error()) {
			t.Errorf("%.60s: %v", in, err)
		}
	}
}

func TestDurationText(t *testing.T) {
	for in, want := range map[string]string{
		"90s": "1m30s", "15m": "15m", "2h": "2h", "7d": "7d", "1h30m": "1h30m", "1d12h": "1d12h", "0s": "0s", "24h": "1d", "500ms": "500ms",
		"1h0m5s": "1h0m5s", "100m": "1h40m", "1d1s": "1d1s", "31d": "31d", "10m": "10m", "20h": "20h", "1d10m": "1d10m", "106751d": "106751d",
	} {
		d, err := ParseDuration(in)
		if err != nil {
			t.Errorf("ParseDuration(%q): %v", in, err)
			continue
		}
		if d.String() != want {
			t.Errorf("ParseDuration(%q) is written as %q, want %q", in, d, want)
		}
		if again, err := ParseDuration(d.String()); err != nil || again != d {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v", d.String(), again, err, d)
		}
	}
	for _, in := range []string{"", "5", "-5s", "+5s", "d", "1.5d", "1d-2h", "1d+2h", "1d5", "h", "1w", "2d3d", "106752d", "106751d24h", "99999999999d", "3000000h", " 5s"} {
		if d, err := ParseDuration(in); err == nil {
			t.Errorf("ParseDuration(%q) = %v, want an error", in, d)
		}
	}
	if _, err := Duration(-1).MarshalText(); err == nil {
		t.Error("a negative duration was written as text")
	}
}
