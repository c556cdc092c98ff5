package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const points = `{"revision":7,"points":[{"name":"gw-1","state":"synced","revision":7,"lease":"2026-11-20T12:00:12Z","live":3},
	{"name":"gw-2","state":"stale","revision":5,"lease":"2026-11-20T11:59:00Z","live":0,"error":"hash mismatch"}]}`

const corrections = `{"revision":7,"corrections":[
	{"id":"c-1","state":"active","revision":7,"kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-large"]},"except":{"orgs":["clinic"]},"reason":"leak\u001b[31m","expires_at":"2026-11-20T13:00:00Z","effect":{"desired":2,"enforcing":1}},
	{"id":"c-0","state":"lifted","revision":3,"kind":"access","params":{"mode":"block"},"scope":{"orgs":["acme"]},"reason":"old","expires_at":"2026-11-20T13:00:00Z","lifted_at":"2026-11-20T11:50:00Z"}]}`

func TestStatusShowsDesiredAgainstObserved(t *testing.T) {
	f := newFake(t).on("GET /points", 200, points).on("GET /corrections", 200, corrections)
	r := f.run(t, "status")
	r.want(t, 0, "revision 7, NOT in force on 1 of 2 gateways", "GATEWAY  STATE   DESIRED  OBSERVED", "gw-2     stale   7        5", "60 s ago", "hash mismatch",
		"c-1  active  stop L3  model sim-large, except org clinic", "1/2", "in 60 min")
	if strings.Contains(r.out, "c-0") {
		t.Error("a lifted correction is shown as in force")
	}
	if strings.Contains(r.out, "\x1b") {
		t.Error("a reason can steer the terminal")
	}
	f.run(t, "status", "-o", "json").want(t, 0, `"points":[{`, `"revision":7`)
	f.run(t, "corrections", "--all").want(t, 0, "c-0", "c-1", "10 min ago  old")
	f.run(t, "points").want(t, 0, "gw-1")
	f.on("GET /corrections/c-1", 200, effectOf("synced", "2026-11-20T12:00:01Z"))
	f.run(t, "corrections", "c-1").want(t, 0, "reaches        model sim-large", "in effect      after 3.2 ms")
	g := newFake(t).on("GET /operators", 200, `{"operators":[{"id":"op-2","name":"ann"}]}`).on("GET /corrections/c-1", 200, `{"id":"c-1","state":"active","kind":"stop","params":{"level":"L3"},"scope":{"all":true},"reason":"r","created_by":"op-2",
		"history":[{"at":"2026-11-20T11:00:00Z","by":"op-2","action":"created","reason":"r"}],"ratification":{"state":"pending","approvals":1,"approvers":["approver"],"by":[],"until":"2026-11-20T13:00:00Z","then":"stay"}}`)
	g.run(t, "corrections", "c-1").want(t, 0, "by             ann", "ratification   to be ratified by 1 more (approver), due in 60 min: andon ratify c-1", "created by ann: r")
}

func TestStatusWithNothing(t *testing.T) {
	f := newFake(t).on("GET /points", 200, `{"revision":0,"points":[]}`).on("GET /corrections", 200, `{"corrections":[]}`)
	f.run(t, "status").want(t, 0, "no gateway is connected", "no corrections in force")
}

func TestExplain(t *testing.T) {
	f := newFake(t).on("GET /requests/r-1", 200, `{"request_id":"r-1","decisions":[{"request_id":"r-1","gateway":"gw-1","at":"2026-11-20T11:00:00Z","revision":6,"api":"openai.chat","model":"sim-large","org":"acme","action":"refused","status":503,"corrections":["c-1"]}],
		"corrections":[{"id":"c-1","state":"active","kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-large"]},"reason":"leak"}]}`)
	f.run(t, "explain", "r-1").want(t, 0, "r-1  refused with 503 Service Unavailable", "on gw-1 under revision 6", "openai.chat, model sim-large, org acme", "because of c-1", "leak")
	f.run(t, "explain", "r-2").want(t, 1, "nothing here")
	f.on("GET /requests/r-3", 200, `{"request_id":"r-3","decisions":[{"request_id":"r-3","gateway":"gw-1","at":"2026-11-20T11:00:00Z","revision":6,"action":"served","model":"sim-large"}],"corrections":[],"silent":["gw-2","gw-3"]}`)
	f.run(t, "explain", "r-3").want(t, 0, "not answered by gw-2, gw-3")
}

func TestKindsListsTheWholeCatalogue(t *testing.T) {
	env := Env{Args: []string{"kinds"}}
	runWith(t, env).want(t, 0, "stop  takes a model away", "access  ", "use  ", "capability  ", "rate  ", "block | allow_only", "streaming", "output_tokens", "L4",
		"rank 1; a refusal has status 422", "removed or refused", "a number of 0 to 2", "never", "a refusal has status 403")
	env.Args = append(env.Args, "-o", "json")
	runWith(t, env).want(t, 0, `"kind":"rate"`, `"on_exceed"`, `"$schema":"https://json-schema.org/draft/2020-12/schema"`, `"wires":["openai","gemini"]`)
}

func TestKeys(t *testing.T) {
	points := func(state string) string {
		return `{"revision":7,"points":[{"name":"gw-1","state":"` + state + `","revision":7}]}`
	}
	at := func(state string) string {
		return `{"id":"k-1","org":"acme","revision":7,"effect":{"desired":1,"points":[{"name":"gw-1","state":"` + state + `","revision":7}]}}`
	}
	f := newFake(t).on("POST /keys", 201, `{"id":"k-1","org":"acme","secret":"andon-abc"}`).
		on("GET /keys/k-1", 200, at("sent")).on("GET /keys/k-1", 200, at("synced")).
		on("GET /keys", 200, `{"keys":[{"id":"k-1","org":"acme","attributes":["a=b"]}]}`).on("DELETE /keys/k-1", 200, at("sent"))
	f.run(t, "keys", "create", "--org", "acme", "--attribute", "a=b", "--for", "1d").want(t, 0, "k-1  org acme\nandon-abc\n", "undo: andon keys revoke k-1")
	f.run(t, "keys", "create", "--org", "acme", "--use-case", "legal/advise", "--use-case", "medical").want(t, 0, `warning: "legal/advise" is not in the taxonomy`)
	f.on("GET /points", 200, points("sent")).on("GET /points", 200, points("synced")).on("PUT /apps/reader", 200, `{"name":"reader","use_cases":["medical","meddical"],"keys":1}`)
	r := f.run(t, "apps", "register", "reader", "--use-case", "medical,meddical", "--reason", "r")
	if r.want(t, 0, "  1 key\n", `warning: "meddical" is not`, "undo: andon apps remove reader"); strings.Contains(r.out, `"medical"`) {
		t.Error(r.out)
	}
	if got := len(f.sent("GET /points")); got != 2 {
		t.Errorf("gateways were asked %d times whether they know the application", got)
	}
	f.on("DELETE /apps/reader", 204, "").on("POST /corrections/c-5/acknowledge", 201, `{"id":"ack-1","correction":"c-5","org":"acme","entry":9}`)
	f.run(t, "apps", "remove", "reader", "--reason", "r").want(t, 0, "reader removed\n")
	f.run(t, "acknowledge", "c-5", "--org", "acme", "--reason", "letter").want(t, 0, "ack-1  c-5 acknowledged by acme  entry 9\n")
	late := newFake(t).on("GET /points", 200, points("sent")).on("DELETE /apps/reader", 204, "").on("PUT /apps/reader", 200, `{"name":"reader","use_cases":["medical"]}`)
	late.run(t, "apps", "remove", "reader", "--reason", "r", "--wait", "20ms").want(t, 4, "reader removed\n", "not yet everywhere after 20 ms: gw-1 (sent)")
	late.run(t, "apps", "register", "reader", "--use-case", "medical", "--reason", "r", "--wait", "20ms", "-o", "json").want(t, 4, `"pending":["gw-1 (sent)"]`)
	late.run(t, "apps", "remove", "reader", "--reason", "r", "--wait", "0").want(t, 0, "not waited for: gw-1 (sent)")
	if got := f.sent("POST /keys")[0].body["expires_at"]; got != "2026-11-21T12:00:00Z" {
		t.Errorf("expiry sent: %v", got)
	}
	f.run(t, "keys", "list").want(t, 0, "k-1  acme", "when revoked")
	f.run(t, "keys", "revoke", "k-1", "--reason", "leaked").want(t, 0, "k-1  revoked\nrefused on every live point\n")
	f = newFake(t).on("POST /keys", 201, `{"id":"k-1","org":"acme","secret":"andon-abc"}`).
		on("GET /keys/k-1", 200, at("sent")).on("DELETE /keys/k-1", 200, at("sent"))
	f.run(t, "keys", "revoke", "k-1", "--wait", "30ms").want(t, 4, "k-1  revoked\n  gw-1  sent\nnot yet everywhere after 30 ms: gw-1 (sent)\n")
	f.run(t, "keys", "revoke", "k-1", "--wait", "0").want(t, 0, "not waited for: gw-1 (sent)\n")
	f.run(t, "keys", "create", "--org", "acme", "--wait", "20ms").want(t, 0, "andon-abc\n", "not yet everywhere after 20 ms: gw-1 (sent)\n")
	f.on("DELETE /keys/k-2", 404, `{"code":"not_found","detail":"there is no key \"k-2\""}`)
	f.run(t, "keys", "revoke", "k-1", "k-2", "k-3", "--wait", "0").want(t, 1, "k-1  revoked\n", "there is no key", "andon keys revoke k-3")
}

func TestWatchPrintsLinesAndGoesOnWhereItWas(t *testing.T) {
	f := newFake(t).
		on("GET /events", 200, "id: 1\nevent: correction.created\ndata: {\"at\":\"2026-11-20T12:00:00Z\",\"id\":\"c-1\"}\n\n: ping\n\n").
		on("GET /events", 200, "id: 2\nevent: point\ndata: {\"name\":\"gw-1\",\"revision\":7,\ndata: \"state\":\"stale\"}\n\n").
		on("GET /events", 200, "id: 3\nevent: correction.created\ndata: {\"seq\":3,\"at\":\"2026-11-20T12:00:00Z\",\"type\":\"correction.created\",\"actor\":\"op-1\",\"body\":{\"correction\":{\"id\":\"c-2\",\"kind\":\"stop\",\"params\":{\"level\":\"L3\"},\"scope\":{\"all\":true},\"reason\":\"leak\"}}}\n\n").
		on("GET /events", 403, `{"detail":"token was taken back","status":403}`)
	r := f.run(t, "watch")
	r.want(t, 3, "correction.created\n", "point  gw-1 is stale at revision 7: its lease has run out", "correction.created  c-2 by op-1: stop L3: everything (leak)", "token was taken back")
	seen := f.sent("GET /events")
	if len(seen) != 4 || seen[1].header.Get("Last-Event-Id") != "1" || seen[2].header.Get("Last-Event-Id") != "2" {
		t.Errorf("did not go on where it was: %v", seen)
	}
}

func TestFindsTheControlPlane(t *testing.T) {
	f := newFake(t).on("GET /points", 200, points)
	dir := t.TempDir()
	t.Chdir(dir)
	env := func(pairs ...string) func(string) (string, bool) {
		return func(n string) (string, bool) {
			for i := 0; i < len(pairs); i += 2 {
				if pairs[i] == n {
					return pairs[i+1], true
				}
			}
			return "", false
		}
	}
	run := func(e func(string) (string, bool), args ...string) result {
		return runWith(t, Env{Args: append([]string{"points"}, args...), Lookup: e})
	}
	run(env()).want(t, 2, "no control plane is named", "ANDON_SERVER")
	run(env("ANDON_SERVER", f.URL)).want(t, 2, "no operator token")
	run(env("ANDON_SERVER", f.URL, "ANDON_TOKEN", token)).want(t, 0, "gw-1")
	run(env("ANDON_SERVER", "ftp://x", "ANDON_TOKEN", token)).want(t, 2, "not the address of a control plane")
	run(env("ANDON_SERVER", "127.0.0.1:1", "ANDON_TOKEN", token)).want(t, 1, "reach the control plane (from ANDON_SERVER)")

	for _, d := range []string{"andon-data", "other"} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
		body := `{"control":"` + f.URL + `","operator_token":"` + token + `"}`
		if err := os.WriteFile(filepath.Join(d, "dev.json"), []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run(env()).want(t, 0, "gw-1")
	run(env(), "--dev", "other").want(t, 0, "gw-1")
	run(env("ANDON_SERVER", "http://127.0.0.1:1", "ANDON_TOKEN", "x"), "--dev", "other").want(t, 0, "gw-1")
	run(env(), "--dev", "missing").want(t, 1, "missing/dev.json")
	// The token of dev.json is for its own address alone.
	run(env("ANDON_SERVER", "http://127.0.0.1:1")).want(t, 2, "no operator token is given for http://127.0.0.1:1")
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	other := newFake(t).on("GET /points", 200, points)
	f := newFake(t)
	f.on("GET /points", 302, `{"detail":"moved","status":302}`)
	f.run(t, "points").want(t, 1, "moved")
	if len(other.seen) != 0 {
		t.Error("the token went elsewhere")
	}
}

func TestCleanReplacesWhatSteersATerminal(t *testing.T) {
	var b strings.Builder
	in := "a\x1b[2J\x07\u202eb\tc\nd\u009b31m\xff"
	if n, err := clean(&b).Write([]byte(in)); err != nil || n != len(in) {
		t.Fatalf("Write = %d, %v", n, err)
	}
	if want := "a�[2J���b\tc\nd�31m�"; b.String() != strings.Replace(want, "���b", "��b", 1) {
		t.Errorf("got %q", b.String())
	}
}
