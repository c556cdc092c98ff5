package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func listAnswer(points string) string {
	return `{"name":"banned","dimension":"users","entries":2,"bytes":97,"digest":"ab","revision":7,"since":"2026-11-20T11:00:00Z","by":"op-1","action":"loaded","reason":"report\u001b[31m","source_sha256":"cd","entry":9,"corrections":["c-1"],"points":[` + points + `]}`
}

const (
	gwHeld    = `{"name":"gw-1","state":"held","digest":"ab"}`
	gwLoading = `{"name":"gw-1","state":"loading","percent":40}`
	gwOld     = `{"name":"gw-1","state":"old","percent":40,"digest":"aa","error":"no answer"}`
	gwStale   = `{"name":"gw-2","state":"unknown","stale":true}`
)

func listFile(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "banned.txt")
	if err := os.WriteFile(name, []byte("alice\nbob\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestListLoadWaitsForEveryGateway(t *testing.T) {
	f := newFake(t).on("PUT /lists/banned", 201, listAnswer(gwLoading+","+gwStale)).
		on("GET /lists/banned", 200, listAnswer(gwLoading+","+gwStale)).on("GET /lists/banned", 200, listAnswer(gwHeld+","+gwStale))
	f.run(t, "list", "load", "banned", listFile(t), "--dimension", "users", "--reason", "report").
		want(t, 0, "banned  2 entries of users  revision 7", "gw-1  holds it", "gw-2  has not said yet (said last; its lease has run out)")
	sent := f.sent("PUT /lists/banned")
	if len(sent) != 1 || sent[0].header.Get("Content-Type") != "text/plain; charset=utf-8" || sent[0].header.Get("Content-Length") != "10" {
		t.Errorf("%+v", sent)
	}
	f.run(t, "list", "load", "banned", listFile(t), "--reason", "report", "-o", "json").want(t, 0, `"digest":"ab"`, `"state":"held"`)
	r := runWith(t, Env{Args: []string{"list", "load", "banned", "-", "--reason", "r", "--server", f.URL, "--token", token}, Stdin: strings.NewReader("alice\n")})
	r.want(t, 0, "holds it")
}

func TestListLoadThatIsNotHeldInTime(t *testing.T) {
	f := newFake(t).on("PUT /lists/banned", 200, listAnswer(gwOld)).on("GET /lists/banned", 200, listAnswer(gwOld))
	args := []string{"list", "load", "banned", listFile(t), "--reason", "report", "--wait"}
	f.run(t, append(args, "50ms")...).want(t, 4, "gw-1  decides by the version before, 40 % fetched: no answer", "not yet everywhere after 50 ms")
	f.run(t, append(args, "0")...).want(t, 0, "not waited for")
	f.run(t, append(args, "50ms", "-o", "json")...).want(t, 4, `"pending":["gw-1 decides by`)
	f = newFake(t).on("PUT /lists/banned", 200, listAnswer(""))
	f.run(t, append(args, "50ms")...).want(t, 4, "no gateway is connected")
	f = newFake(t).on("PUT /lists/banned", 200, listAnswer(gwOld)).on("GET /lists/banned", 200, strings.Replace(listAnswer(gwOld), `"ab"`, `"ff"`, 1))
	f.run(t, append(args, "5s")...).want(t, 1, "changed by somebody else")
}

func TestListErrors(t *testing.T) {
	f := newFake(t).on("PUT /lists/banned", 422, `{"status":422,"code":"invalid_field","field":"body","detail":"line 3: it is not valid UTF-8"}`).
		on("DELETE /lists/banned", 409, `{"status":409,"code":"list_in_use","detail":"1 corrections name banned (c-1); lift them first"}`)
	f.run(t, "list", "load", "banned", listFile(t), "--reason", "r").want(t, 2, "line 3")
	f.run(t, "list", "load", "banned", listFile(t)).want(t, 2, "does not say why")
	f.run(t, "list", "load", "banned").want(t, 2, "2 arguments needed")
	f.run(t, "list", "load", "banned", "/does/not/exist", "--reason", "r").want(t, 2, "no such file")
	f.run(t, "list", "load", "banned", t.TempDir(), "--reason", "r").want(t, 2, "is not a file")
	f.run(t, "list", "rm", "banned", "--reason", "r").want(t, 1, "lift them first")
	f.run(t, "list", "rm", "banned").want(t, 2, "does not say why")
	f.run(t, "list", "add", "banned", "--reason", "r").want(t, 2, "what to add")
	f.run(t, "list", "lod").want(t, 2, "andon list load")
	if got := f.sent("PUT /lists/banned"); len(got) != 1 {
		t.Errorf("sent %d", len(got))
	}
}

func TestListShowAndEdit(t *testing.T) {
	added := strings.Replace(listAnswer(gwHeld), `"action":"loaded"`, `"action":"added","changed":1`, 1)
	f := newFake(t).on("GET /lists", 200, `{"revision":7,"lists":[`+listAnswer(gwHeld+","+gwStale)+`]}`).on("GET /lists/banned", 200, listAnswer(gwOld)).
		on("POST /lists/banned/add", 200, added).on("POST /lists/banned/remove", 200, strings.Replace(added, "added", "removed", 1)).on("DELETE /lists/banned", 204, "")
	f.run(t, "list", "ls").want(t, 0, "NAME    DIMENSION  ENTRIES  BYTES  HELD  CHANGED", "banned  users      2        97     1/2   60 min ago  c-1")
	f.run(t, "list", "ls", "-o", "json").want(t, 0, `[{"name":"banned"`)
	r := f.run(t, "list", "show", "banned")
	r.want(t, 0, "2 entries of users, 97 bytes", "digest   ab", "source   cd", "loaded   60 min ago by op-1, revision 7, entry 9", "named by c-1", "gw-1  decides by the version before")
	if strings.Contains(r.out, "\x1b") {
		t.Error("a reason can steer the terminal")
	}
	f.run(t, "list", "show", "banned", "-o", "json").want(t, 0, `"state":"old"`)
	f.run(t, "list", "show", "other").want(t, 1, "nothing here")
	f.run(t, "list", "add", "banned", "carol", "dave", "--reason", "r").want(t, 0, "1 entry added", "gw-1  holds it")
	if got := f.sent("POST /lists/banned/add")[0].body; len(got["entries"].([]any)) != 2 || got["reason"] != "r" {
		t.Errorf("sent %v", got)
	}
	f.run(t, "list", "remove", "banned", "carol", "--reason", "r").want(t, 0, "1 entry removed")
	f.run(t, "list", "rm", "banned", "--reason", "r").want(t, 0, "banned  removed")
	newFake(t).on("GET /lists", 200, `{"lists":[]}`).run(t, "list", "ls").want(t, 0, "no list is loaded")
}

func TestCorrectionsReachLists(t *testing.T) {
	f := newFake(t).on("POST /corrections", 201, `{"id":"c-1"}`).on("GET /corrections/c-1", 200, effectOf("synced", "2026-11-20T12:00:01Z"))
	f.run(t, "block", "--list", "banned", "--except-list", "clinics", "--reason", "r").want(t, 0, "block", "banned", "clinics")
	f.run(t, "block", "list=banned", "--except", "list=clinics", "--reason", "r").want(t, 0, "banned", "clinics")
	for _, r := range f.sent("POST /corrections") {
		scope, except := r.body["scope"].(map[string]any), r.body["except"].(map[string]any)
		if scope["lists"].([]any)[0] != "banned" || except["lists"].([]any)[0] != "clinics" {
			t.Errorf("sent %v", r.body)
		}
	}
}

func TestProgressIsShownOnlyWhereItTakesLong(t *testing.T) {
	for _, tc := range []struct {
		terminal bool
		began    time.Duration
		want     string
	}{
		{false, time.Second, ""},
		{false, 3 * time.Second, "loading x: 40 %\n"},
		{true, time.Second, ""},
		{true, 3 * time.Second, "\r\x1b[Kloading x: 40 %\r\x1b[K"},
	} {
		var errs bytes.Buffer
		tick := &ticker{c: &command{Env: Env{Stderr: &errs, Terminal: tc.terminal}}, began: time.Now().Add(-tc.began), what: "loading x"}
		tick.tick("40 %")
		tick.tick("41 %")
		tick.end()
		tick.tick("42 %")
		if errs.String() != tc.want {
			t.Errorf("%+v: %q", tc, errs.String())
		}
	}
}
