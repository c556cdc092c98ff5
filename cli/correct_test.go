package cli

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// accepted prepares a fake that takes any correction and enforces it at once.
func accepted(t *testing.T) *fake {
	return newFake(t).
		on("POST /corrections", 201, `{"id":"c-1","revision":7,"state":"active"}`).
		on("GET /corrections/c-1", 200, effectOf("synced", "2026-11-20T12:00:00.0032Z"))
}

func TestVerbsSendWhatTheySay(t *testing.T) {
	type m = map[string]any
	type l = []any
	for _, tc := range []struct {
		args []string
		want m
	}{
		{[]string{"stop", "sim-large"}, m{"kind": "stop", "params": m{"level": "L3"}, "scope": m{"models": l{"sim-large"}}}},
		{[]string{"stop", "a", "b", "--level", "2", "--drain", "5m", "--fallback", "none"},
			m{"kind": "stop", "params": m{"level": "L2", "drain": "5m"}, "scope": m{"models": l{"a", "b"}}, "fallback": "none"}},
		{[]string{"stop", "--all", "--level", "L4"}, m{"kind": "stop", "params": m{"level": "L4"}, "scope": m{"all": true}}},
		{[]string{"block", "org=acme,acme-eu", "--model", "x", "--except", "user=u1", "--except-key", "k-1"},
			m{"kind": "access", "params": m{"mode": "block"}, "scope": m{"orgs": l{"acme", "acme-eu"}, "models": l{"x"}}, "except": m{"users": l{"u1"}, "keys": l{"k-1"}}}},
		{[]string{"block", "--attribute", "plan=free", "attribute=region=eu"},
			m{"kind": "access", "params": m{"mode": "block"}, "scope": m{"attributes": l{"plan=free", "region=eu"}}}},
		{[]string{"block", "--ip", "10.0.0.0/8", "--country", "DE", "--tier", "free", "--surface", "api", "--version", "v1", "--tool", "bash", "--use-case", "legal", "--user", "u", "--key", "k", "--when", `model == "x"`},
			m{"kind": "access", "params": m{"mode": "block"}, "scope": m{"ips": l{"10.0.0.0/8"}, "countries": l{"DE"}, "tiers": l{"free"}, "surfaces": l{"api"}, "versions": l{"v1"},
				"tools": l{"bash"}, "use_cases": l{"legal"}, "users": l{"u"}, "keys": l{"k"}, "when": `model == "x"`}}},
		{[]string{"allow-only", "orgs=acme"}, m{"kind": "access", "params": m{"mode": "allow_only"}, "scope": m{"orgs": l{"acme"}}}},
		{[]string{"limit", "--requests", "10/1m", "--per", "key", "--all"},
			m{"kind": "rate", "params": m{"metric": "requests", "limit": 10., "window": "1m", "per": "key"}, "scope": m{"all": true}}},
		{[]string{"limit", "sim-large", "--concurrent", "4", "--on-exceed", "reject"},
			m{"kind": "rate", "params": m{"metric": "concurrent", "limit": 4., "on_exceed": "reject"}, "scope": m{"models": l{"sim-large"}}}},
		{[]string{"disable", "tools,streaming", "org=acme"},
			m{"kind": "capability", "params": m{"disable": l{"tools", "streaming"}}, "scope": m{"orgs": l{"acme"}}}},
		{[]string{"clamp", "sim-large", "--output-tokens", "200"},
			m{"kind": "capability", "params": m{"clamp": m{"output_tokens": 200.}}, "scope": m{"models": l{"sim-large"}}}},
		{[]string{"clamp", "output_tokens=50", "--all"}, m{"kind": "capability", "params": m{"clamp": m{"output_tokens": 50.}}, "scope": m{"all": true}}},
		{[]string{"prohibit", "legal/advice", "--all"}, m{"kind": "use", "params": m{"use_case": "legal/advice"}, "scope": m{"all": true}}},
		{[]string{"filter", "--detector", "d", "--action", "cut", "--threshold", "0.5", "--all"},
			m{"kind": "capability", "params": m{"filter": m{"direction": "output", "detector": "d", "threshold": .5, "action": "cut"}}, "scope": m{"all": true}}},
		{[]string{"filter", "sim-large", "--pattern", "forbidden, phrase", "--regexp", "[0-9]{3}", "--exact", "--direction", "both", "--action", "redact"},
			m{"kind": "capability", "params": m{"filter": m{"direction": "both", "detector": "patterns", "patterns": l{"forbidden, phrase"}, "regexps": l{"[0-9]{3}"}, "exact": true, "action": "redact"}}, "scope": m{"models": l{"sim-large"}}}},
		{[]string{"disable", "web_search", "tool:shell", "--org", "acme", "--unknown", "include"},
			m{"kind": "capability", "params": m{"disable": l{"web_search", "tool:shell"}}, "scope": m{"orgs": l{"acme"}, "unknown": "include"}}},
		{[]string{"clamp", "sim-large", "temperature=0.2", "session-steps=4", "org=acme"},
			m{"kind": "capability", "params": m{"clamp": m{"temperature": .2, "session_steps": 4.}}, "scope": m{"models": l{"sim-large"}, "orgs": l{"acme"}}}},
		{[]string{"limit", "--metric", "tool_calls", "--limit", "9", "--window", "1d", "--per", "user", "--all"},
			m{"kind": "rate", "params": m{"metric": "tool_calls", "limit": 9., "window": "1d", "per": "user"}, "scope": m{"all": true}}},
		{[]string{"limit", "--distinct-users", "9/1h", "--per", "key", "--all"},
			m{"kind": "rate", "params": m{"metric": "distinct_users", "limit": 9., "window": "1h", "per": "key"}, "scope": m{"all": true}}},
		{[]string{"block", "user=u-1", "--linked", "org,device"}, m{"kind": "access", "params": m{"mode": "block", "linked": l{"org", "device"}}, "scope": m{"users": l{"u-1"}}}},
		{[]string{"prohibit", "cyber/malware", "--detector", "guard", "--threshold", "0.8", "--all"},
			m{"kind": "use", "params": m{"use_case": "cyber/malware", "basis": "inferred", "detector": "guard", "threshold": .8}, "scope": m{"all": true}}},
		{[]string{"prohibit", "medical", "--acknowledge-by", "72h", "--all"},
			m{"kind": "use", "params": m{"use_case": "medical", "action": "acknowledge", "acknowledge_by": "2026-11-23T12:00:00Z"}, "scope": m{"all": true}}},
		{[]string{"pin", "sim-large", "v1"}, m{"kind": "capability", "params": m{"pin": "v1"}, "scope": m{"models": l{"sim-large"}}}},
		{[]string{"stop", "x", "--for", "2h", "--review-in", "30m", "--start", "10m", "--share", "0.1", "--shadow", "--incident", "i-1", "--public-reason", "p"},
			m{"kind": "stop", "params": m{"level": "L3"}, "scope": m{"models": l{"x"}}, "starts_at": "2026-11-20T12:10:00Z", "expires_at": "2026-11-20T14:10:00Z",
				"review_by": "2026-11-20T12:30:00Z", "share": .1, "mode": "shadow", "incident": "i-1", "public_reason": "p"}},
	} {
		t.Run(strings.Join(tc.args, " "), func(t *testing.T) {
			f := accepted(t)
			f.run(t, append(tc.args, "--reason", "because")...).want(t, 0)
			sent := f.sent("POST /corrections")
			if len(sent) != 1 {
				t.Fatalf("%d corrections were sent", len(sent))
			}
			tc.want["reason"] = "because"
			if d := cmp.Diff(tc.want, sent[0].body); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
			if len(sent[0].header.Get("Idempotency-Key")) < 20 {
				t.Error("no idempotency key was made up")
			}
		})
	}
}

func TestWrongUsageSaysWhatToAdd(t *testing.T) {
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"stop", "x"}, `--reason "what happened"`},
		{[]string{"stop", "--reason", "r"}, "does not say what it reaches"},
		{[]string{"stop", "x", "--all", "--reason", "r"}, "--all contradicts"},
		{[]string{"block", "acme", "--reason", "r"}, "org=acme, user=acme"},
		{[]string{"block", "orgg=acme", "--reason", "r"}, "nothing that a correction can reach"},
		{[]string{"block", "org=", "--reason", "r"}, "names no value"},
		{[]string{"block", "org=a", "--except", "acme", "--reason", "r"}, "does not say what it names"},
		{[]string{"limit", "--all", "--reason", "r"}, "does not say what to limit"},
		{[]string{"limit", "--all", "--requests", "10", "--reason", "r"}, "--requests 10/1m"},
		{[]string{"limit", "--all", "--requests", "x/1m", "--reason", "r"}, "whole number"},
		{[]string{"limit", "--all", "--requests", "1/soon", "--reason", "r"}, "--requests"},
		{[]string{"limit", "--all", "--concurrent", "1/1m", "--reason", "r"}, "no window"},
		{[]string{"limit", "--all", "--requests", "1/1m", "--concurrent", "1", "--reason", "r"}, "two limits"},
		{[]string{"disable", "--all", "--reason", "r"}, "what to switch off"},
		{[]string{"clamp", "--all", "--reason", "r"}, "--output-tokens 200"},
		{[]string{"prohibit", "--all", "--reason", "r"}, "one use case"},
		{[]string{"pin", "x", "--reason", "r"}, "a model and a version"},
		{[]string{"filter", "--all", "--reason", "r"}, "does not say what to look for"},
		{[]string{"filter", "--all", "--pattern", "x", "--detector", "d", "--reason", "r"}, "two filters"},
		{[]string{"filter", "--all", "--pattern-file", "/dev/null", "--reason", "r"}, "holds no pattern"},
		{[]string{"clamp", "output_token=5", "--all", "--reason", "r"}, "nothing that can be clamped"},
		{[]string{"clamp", "messages=few", "--all", "--reason", "r"}, "not a number"},
		{[]string{"clamp", "messages=5", "messages=6", "--all", "--reason", "r"}, "given twice"},
		{[]string{"limit", "--metric", "requests", "--all", "--reason", "r"}, "--metric needs --limit"},
		{[]string{"limit", "--limit", "5", "--all", "--reason", "r"}, "need --metric"},
		{[]string{"limit", "--requests", "5/", "--all", "--reason", "r"}, "needs a window"},
		{[]string{"prohibit", "x", "--acknowledge-by", "soon", "--all", "--reason", "r"}, "--acknowledge-by"},
		{[]string{"stop", "sim-large", "--level", "l6", "--reason", "r"}, "andon custody open"},
		{[]string{"stop", "x", "--reason", "r", "--for", "soon"}, "--for"},
		{[]string{"stop", "x", "--reason", "r", "--wait", "soon"}, "--wait 5s"},
		{[]string{"stop", "x", "--reason", "r", "--nope"}, "unknown flag: --nope"},
		{[]string{"lift", "--reason", "r"}, "which correction"},
		{[]string{"lift", "c-1"}, "a reason is required"},
		{[]string{"extend", "c-1", "--reason", "r"}, "--for 2h"},
		{[]string{"stop", "x", "--reason", "r", "--start", "yesterday"}, "an instant (RFC 3339)"},
		{[]string{"stop", "x", "--reason", "r", "--for", "0s"}, "not a time span above zero"},
		{[]string{"stop", "x", "--reason", "r", "--share", "0"}, "--share 0 is out of bounds"},
		{[]string{"stop", "x", "--reason", "r", "--share", "2"}, "--share 2 is out of bounds"},
		{[]string{"clamp", "x", "--output-tokens", "many", "--reason", "r"}, "not a whole number"},
		{[]string{"halt", "x"}, `unknown command "halt"`},
		{[]string{"stpo", "x", "--reason", "r"}, "try: andon stop"},
		{[]string{"-o", "text", "stpo", "--reason", "r"}, `unknown command "stpo"`},
		{[]string{"keys", "revok"}, "try: andon keys revoke"},
		{[]string{"points", "remov"}, "try: andon points remove"},
		{[]string{"explain"}, "1 argument needed, 0 given"},
		{[]string{"status", "-o", "xml"}, "-o text or -o json"},
		{[]string{"keys", "create"}, "--org acme"},
	} {
		t.Run(strings.Join(tc.args, " "), func(t *testing.T) {
			f := accepted(t)
			f.run(t, tc.args...).want(t, 2, tc.want)
			if len(f.seen) > 0 {
				t.Error("something was sent")
			}
		})
	}
}

func TestActionPrintsEffectAndUndo(t *testing.T) {
	accepted(t).run(t, "stop", "sim-large", "--reason", "r").want(t, 0,
		"c-1  active  stop L3: model sim-large", "revision 7", "gw-1  synced, cut 2 running requests",
		"in effect on every live point after 3.2 ms", `undo: andon lift c-1 --reason "…"`)
}

func TestWaitsUntilEveryPointEnforces(t *testing.T) {
	f := newFake(t).on("POST /corrections", 201, `{"id":"c-1","revision":7,"state":"active"}`).
		on("GET /corrections/c-1", 200, effectOf("sent", "")).
		on("GET /corrections/c-1", 200, effectOf("sent", "")).
		on("GET /corrections/c-1", 200, effectOf("synced", "2026-11-20T12:00:00.004Z"))
	f.run(t, "stop", "sim-large", "--reason", "r").want(t, 0, "in effect on every live point")
	if n := len(f.sent("GET /corrections/c-1")); n != 3 {
		t.Errorf("asked %d times, want 3", n)
	}
}

func TestPendingIsExitFourAndNamesThePoint(t *testing.T) {
	f := newFake(t).on("POST /corrections", 201, `{"id":"c-1","revision":7,"state":"active"}`).
		on("GET /corrections/c-1", 200, effectOf("sent", ""))
	f.run(t, "stop", "sim-large", "--reason", "r", "--wait", "20ms").want(t, 4, "not yet everywhere", "gw-1 (sent)", "undo: andon lift c-1")
	f.run(t, "stop", "sim-large", "--reason", "r", "--wait", "20ms", "-o", "json").want(t, 4, `"pending":["gw-1 (sent)"]`)
	f.run(t, "stop", "sim-large", "--reason", "r", "--wait", "0").want(t, 0, "not waited for: gw-1 (sent)")

	none := newFake(t).on("POST /corrections", 201, `{"id":"c-1"}`).
		on("GET /corrections/c-1", 200, `{"id":"c-1","effect":{"desired":0,"enforcing":0,"points":[]}}`)
	none.run(t, "stop", "sim-large", "--reason", "r", "--wait", "5ms").want(t, 4, "no enforcement point is connected")

	stale := newFake(t).on("POST /corrections", 201, `{"id":"c-1"}`).
		on("GET /corrections/c-1", 200, `{"id":"c-1","effect":{"desired":1,"enforcing":0,"stale":1,"points":[{"name":"gw-1","state":"stale"}]}}`)
	stale.run(t, "stop", "sim-large", "--reason", "r", "--wait", "5ms").want(t, 4, "not everywhere: gw-1 (stale)")

	// A gateway that is gone does not hold up the answer of those that are there.
	some := newFake(t).on("POST /corrections", 201, `{"id":"c-1"}`).
		on("GET /corrections/c-1", 200, `{"id":"c-1","effect":{"desired":2,"enforcing":1,"stale":1,"points":[{"name":"gw-1","state":"synced"},{"name":"gw-2","state":"stale"}]}}`)
	some.run(t, "stop", "sim-large", "--reason", "r").want(t, 4, "gw-2  stale  its lease has run out", "not everywhere: gw-2 (stale)", "andon points remove gw-2")
	if n := len(some.sent("GET /corrections/c-1")); n != 1 {
		t.Errorf("asked %d times: waiting for a stale point helps nobody", n)
	}
}

func TestRefusalsKeepTheirMeaning(t *testing.T) {
	for _, tc := range []struct {
		status int
		body   string
		code   int
		want   []string
	}{
		{403, `{"title":"Forbidden","detail":"your role may not stop a model","status":403}`, 3, []string{"andon: your role may not stop a model"}},
		{400, `{"detail":"is not known","param":"params.filter","allowed":["disable","clamp"],"status":400}`, 2, []string{"andon: params.filter is not known", "allowed: disable, clamp"}},
		{422, `{"detail":"in the past","field":"expires_at","status":422}`, 2, []string{"where: expires_at"}},
		{409, `{"detail":"who asked for it does not decide it","status":409,"code":"not_independent"}`, 3, []string{"who asked for it"}},
		{507, `{"detail":"the disk is full; nothing was applied","status":507}`, 1, []string{"disk is full"}},
		{502, `<html>bad gateway</html>`, 1, []string{"bad gateway"}},
		{500, ``, 1, []string{"500 Internal Server Error"}},
	} {
		f := newFake(t).on("POST /corrections", tc.status, tc.body)
		f.run(t, "filter", "--detector", "d", "--all", "--reason", "r").want(t, tc.code, tc.want...)
	}
	f := newFake(t)
	runWith(t, Env{Args: []string{"status", "--server", f.URL, "--token", "wrong"}}).want(t, 1, "no such token", "check --token")
	f.on("POST /corrections", 403, `{"detail":"no","status":403,"code":"forbidden"}`)
	f.run(t, "stop", "x", "--reason", "r", "-o", "json").want(t, 3, `"code":"forbidden"`, `"exit":3`)
}

// TestWhatWasAcceptedIsNotRefused: once the control plane has accepted a command,
// nothing that goes wrong afterwards makes it look as if it had not.
func TestWhatWasAcceptedIsNotRefused(t *testing.T) {
	f := newFake(t).on("POST /corrections", 201, `{"id":"c-1","revision":2,"state":"active"}`).on("GET /corrections/c-1", 403, `{"detail":"correction.read is outside the scopes of the token","status":403,"code":"forbidden"}`)
	f.run(t, "stop", "x", "--reason", "r").want(t, 4, "c-1  accepted", "c-1 was accepted; where it is enforced is not known", "undo: andon lift c-1")
	r := f.run(t, "stop", "x", "--reason", "r", "-o", "json")
	r.want(t, 4, `"exit":4`)
	if r.out != "" {
		t.Errorf("no JSON: %s", r.out)
	}
}

func TestAsksBeforeAStopOnATerminal(t *testing.T) {
	for _, tc := range []struct {
		args   []string
		answer string
		sent   int
		code   int
	}{
		{[]string{"stop", "sim-large"}, "y\n", 1, 0},
		{[]string{"stop", "sim-large"}, "n\n", 0, 1},
		{[]string{"stop", "sim-large"}, "", 0, 1},
		{[]string{"stop", "sim-large", "--yes"}, "", 1, 0},
		{[]string{"stop", "sim-large", "--shadow"}, "", 1, 0},
		{[]string{"block", "--all"}, "n\n", 0, 1},
		{[]string{"block", "org=acme"}, "", 1, 0},
		{[]string{"allow-only", "org=acme"}, "n\n", 0, 1},
		{[]string{"pin", "sim-large", "v1"}, "n\n", 0, 1},
	} {
		f := accepted(t).on("POST /corrections/preview", 200, `{"live_streams":12,"warnings":[{"code":"unknown_version","detail":"nobody has it"}]}`).
			on("GET /models", 200, `{"models":[{"name":"sim-large","fallback":"sim-small"},{"name":"sim-small"}]}`)
		r := runWith(t, Env{Args: append(tc.args, "--reason", "r", "--server", f.URL, "--token", token), Stdin: strings.NewReader(tc.answer), Interactive: true})
		r.want(t, tc.code)
		if n := len(f.sent("POST /corrections")); n != tc.sent {
			t.Errorf("%v with answer %q: %d corrections sent, want %d", tc.args, tc.answer, n, tc.sent)
		}
		want := "warning: nobody has it\n12 running streams would be cut. Go on? [y/N]"
		if tc.args[0] == "stop" {
			want = "12 running streams would be cut; callers of sim-large get sim-small instead. Go on? [y/N]"
		}
		if tc.answer != "" && !strings.Contains(r.err, want) {
			t.Errorf("the consequence is not shown: %q", r.err)
		}
	}
}

func TestLiftAndExtend(t *testing.T) {
	f := newFake(t).
		on("POST /corrections/c-1/lift", 200, effectOf("synced", "2026-11-20T12:00:01Z")).
		on("POST /corrections/c-1/extend", 200, effectOf("synced", "2026-11-20T12:00:01Z")).
		on("GET /corrections/c-1", 200, effectOf("synced", "2026-11-20T12:00:01Z"))
	f.run(t, "lift", "c-1", "--reason", "patched").want(t, 0, "c-1", "in effect on every live point")
	if got := f.sent("POST /corrections/c-1/lift")[0].body["reason"]; got != "patched" {
		t.Errorf("reason sent: %v", got)
	}
	f.run(t, "extend", "c-1", "--for", "4h", "--reason", "r").want(t, 0)
	if got := f.sent("POST /corrections/c-1/extend")[0].body["expires_at"]; got != "2026-11-20T16:00:00Z" {
		t.Errorf("expiry sent: %v", got)
	}
	f.run(t, "lift", "c-9", "--reason", "r").want(t, 1, "nothing here")
	// What comes after one that fails stays in force, and that is said.
	f.run(t, "lift", "c-9", "c-1", "c-8", "--reason", "r").want(t, 1, "nothing here", "nothing was done about c-1, c-8", `andon lift c-1 c-8 --reason "…"`)
	if n := len(f.sent("POST /corrections/c-1/lift")); n != 1 {
		t.Errorf("c-1 was lifted %d times", n)
	}
}
