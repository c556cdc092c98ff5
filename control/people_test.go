package control

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"crypto/sha256"

	"github.com/go-json-experiment/json"

	"andon/authority"
	"andon/ledger"
	"andon/people"
)

// send is a request with somebody's token, or with none for "".
func (w *world) send(token, method, path, body string, out any, header ...string) (int, *Problem, http.Header) {
	w.t.Helper()
	if token != "" {
		header = append(header, "Authorization", "Bearer "+token)
	}
	keep := w.token
	defer func() { w.token = keep }()
	req, err := http.NewRequestWithContext(w.t.Context(), method, "http://"+w.c.Addr()+api+path, strings.NewReader(body))
	must(w.t, err)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	must(w.t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	must(w.t, err)
	if resp.StatusCode >= 400 {
		var p Problem
		must(w.t, json.Unmarshal(data, &p))
		return resp.StatusCode, &p, resp.Header
	}
	if out != nil {
		must(w.t, json.Unmarshal(data, out))
	}
	return resp.StatusCode, nil, resp.Header
}

// good sends what has to succeed.
func (w *world) good(token, method, path, body string, out any) {
	w.t.Helper()
	if _, p, _ := w.send(token, method, path, body, out); p != nil {
		w.t.Fatalf("%s %s: %v (%s)", method, path, p, p.Hint)
	}
}

// fails sends what has to fail with a code.
func (w *world) fails(code, token, method, path, body string) *Problem {
	w.t.Helper()
	_, p, h := w.send(token, method, path, body, nil)
	if p == nil || p.Code != code {
		w.t.Fatalf("%s %s: %v, want %s", method, path, p, code)
	}
	if p.Status == 401 && !strings.HasPrefix(h.Get("WWW-Authenticate"), "Bearer") || (p.Status == 429) && h.Get("Retry-After") == "" {
		w.t.Fatalf("%s %s: the headers of %d are missing: %v", method, path, p.Status, h)
	}
	return p
}

// hire makes an operator with roles, and gives its token.
func (w *world) hire(name string, roles ...string) operatorView {
	w.t.Helper()
	var op operatorView
	w.good(w.token, "POST", "/operators", jsonText(newOperator{Name: name, Roles: roles}), &op)
	op.Token = w.enrol(op.Token)
	return op
}

func (w *world) passwd(token, password string) {
	w.t.Helper()
	w.good(token, "PUT", "/password", jsonText(newPassword{Password: password}), nil)
}

func login(name, password string) string { return jsonText(loginAsk{Name: name, Password: password}) }

func TestPasswordSessionAndStepUp(t *testing.T) {
	w := clocked(t)
	op := w.hire("bea", "responder", "approver")
	if op.Role != "responder, approver" || len(op.Held) != 1 || op.Source != "local" {
		t.Fatalf("%+v", op)
	}
	for _, bad := range []string{"", "short", strings.Repeat("a", 40), strings.Repeat("abc", 10), "bea administrator bea", "with\na line of text", strings.Repeat("x y z q w ", 200)} {
		if p := w.fails("invalid_field", op.Token, "PUT", "/password", fmt.Sprintf(`{"password":%s}`, quote(bad))); p.Field != "password" || len(bad) > 3 && strings.Contains(p.Detail, bad) {
			t.Errorf("%+v", p)
		}
	}
	w.passwd(op.Token, passphrase)
	w.fails("invalid_field", op.Token, "PUT", "/password", jsonText(newPassword{Password: passphrase + "!"})) // the one in force is missing
	var s sessionView
	w.good("", "POST", "/session", login("bea", passphrase), &s)
	if !strings.HasPrefix(s.Token, sessionPrefix) || s.Operator != op.ID || s.Device == "" || s.ExpiresAt.Sub(s.OpenedAt) != people.DefaultSpan.Absolute {
		t.Fatalf("%+v", s)
	}
	var me whoamiView
	me = whoamiView{}
	w.good(s.Token, "GET", "/whoami", "", &me)
	if me.Kind != kindSession || me.Method != methodPassword || me.Credential != s.ID || me.SteppedUpTill.IsZero() || len(me.Roles) != 2 {
		t.Fatalf("%+v", me)
	}
	// It survives a restart, and so does that it was proved.
	w.restart()
	w.good(s.Token, "GET", "/whoami", "", &me)
	w.clock.advance(stepUpFor)
	me = whoamiView{}
	w.good(s.Token, "GET", "/whoami", "", &me)
	if !me.SteppedUpTill.IsZero() {
		t.Error("the proof counts after five minutes")
	}
	w.fails("login_failed", s.Token, "POST", "/step-up", `{"password":"not the pass phrase"}`)
	w.good(s.Token, "POST", "/step-up", fmt.Sprintf(`{"password":%q}`, passphrase), nil)
	me = whoamiView{}
	w.good(s.Token, "GET", "/whoami", "", &me)
	if me.SteppedUpTill.IsZero() {
		t.Error("the proof does not count")
	}
	// Changing the password ends the other sessions, at once.
	var other sessionView
	w.good("", "POST", "/session", login("bea", passphrase), &other)
	w.good(s.Token, "PUT", "/password", jsonText(newPassword{Password: "another phrase of words"}), nil)
	w.fails("unauthenticated", other.Token, "GET", "/whoami", "")
	w.good(s.Token, "GET", "/whoami", "", nil)
	w.fails("login_failed", "", "POST", "/session", login("bea", passphrase))
	w.restart()
	w.good("", "POST", "/session", login("bea", "another phrase of words"), &other)
	var list sessionList
	w.good(s.Token, "GET", "/sessions", "", &list)
	if len(list.Sessions) != 2 || list.Sessions[0].ID != other.ID || !list.Sessions[1].Current || list.Sessions[0].Token != "" {
		t.Fatalf("%+v", list)
	}
	w.fails("forbidden", s.Token, "GET", "/sessions?operator=all", "")
	w.good(w.token, "GET", "/sessions?operator=all", "", &list)
	w.fails("not_found", s.Token, "DELETE", "/sessions/s-99", "")
	w.good(s.Token, "DELETE", "/sessions/"+other.ID, "", nil)
	w.fails("unauthenticated", other.Token, "GET", "/whoami", "")
	w.good(s.Token, "DELETE", "/session", "", nil)
	w.fails("unauthenticated", s.Token, "GET", "/whoami", "")

	// Without use it ends, and a control plane that was away in between is no use.
	w.good("", "POST", "/session", login("bea", "another phrase of words"), &s)
	w.clock.advance(people.DefaultSpan.Idle - time.Minute)
	w.good(s.Token, "GET", "/whoami", "", nil)
	w.clock.advance(people.DefaultSpan.Idle - time.Minute)
	w.restart()
	w.good(s.Token, "GET", "/whoami", "", nil)
	w.clock.advance(people.DefaultSpan.Idle)
	w.fails("unauthenticated", s.Token, "GET", "/whoami", "")
	w.clock.advance(-2 * people.DefaultSpan.Idle) // a clock that goes back brings nobody back, once the record has it
	w.clock.advance(2 * people.DefaultSpan.Idle)
	w.c.tidy(t.Context())
	w.clock.advance(-2 * people.DefaultSpan.Idle)
	w.fails("unauthenticated", s.Token, "GET", "/whoami", "")

	// No secret in the log, in the record, or readable by others.
	record := w.record()
	file := filepath.Join(w.dir, "people.json")
	data, err := os.ReadFile(file)
	must(t, err)
	info, err := os.Stat(file)
	must(t, err)
	if info.Mode().Perm() != 0o600 || !strings.Contains(string(data), "$argon2id$v=19$") || strings.Count(string(data), "argon2id") != 1 {
		t.Errorf("%v %s", info.Mode(), data)
	}
	for _, secret := range []string{passphrase, "another phrase", s.Token, op.Token, "argon2id"} {
		if strings.Contains(w.logs.String(), secret) || strings.Contains(record, secret) {
			t.Error("a secret is in the log or in the record")
		}
	}
}

func quote(s string) string { return `"` + strings.NewReplacer("\n", `\n`).Replace(s) + `"` }

// record is the whole ledger as text.
func (w *world) record() string {
	var b strings.Builder
	must(w.t, w.log.Read(w.t.Context(), 0, w.log.Size(), func(e ledger.Entry) error {
		fmt.Fprintf(&b, "%s %s %s\n", e.Type, e.Actor, e.Body)
		return nil
	}))
	return b.String()
}

func TestARolledBackFileLetsNobodyIn(t *testing.T) {
	w := newWorld(t, nil)
	op := w.hire("bea", "responder")
	w.passwd(op.Token, passphrase)
	file := filepath.Join(w.dir, "people.json")
	old, err := os.ReadFile(file)
	must(t, err)
	var s sessionView
	w.good("", "POST", "/session", login("bea", passphrase), &s)
	w.good(s.Token, "PUT", "/password", jsonText(newPassword{Password: "another phrase of words"}), nil)
	w.stop()
	must(t, os.WriteFile(file, old, 0o600))
	w.start()
	w.fails("login_failed", "", "POST", "/session", login("bea", passphrase))
	w.good(s.Token, "GET", "/whoami", "", nil) // sessions are in the record
	w.stop()
	must(t, os.WriteFile(file, []byte(`{"key":"AAAA"`), 0o600))
	w.start() // it starts, and says so
	if !strings.Contains(w.logs.String(), "damaged") {
		t.Error("nothing says that the file is damaged")
	}
	w.good(op.Token, "GET", "/whoami", "", nil)
	w.fails("login_failed", "", "POST", "/session", login("bea", "another phrase of words"))
}

func TestNobodyLearnsWhoHasAnAccount(t *testing.T) {
	w := newWorld(t, nil)
	op := w.hire("bea", "responder")
	w.passwd(op.Token, passphrase)
	w.hire("nopassword", "responder")
	texts := map[string]bool{}
	for i, name := range []string{"bea", "nopassword", "nobody"} {
		p := w.fails("login_failed", "", "POST", "/session", login(name, fmt.Sprintf("wrong phrase number %d", i)))
		texts[p.Detail+p.Hint] = true
	}
	if len(texts) != 1 {
		t.Errorf("the answers differ: %v", texts)
	}
	if strings.Contains(w.logs.String(), "nobody\"") || strings.Contains(w.logs.String(), "operator=nobody ") {
		t.Error("what was typed as a name is in the log")
	}
}

func TestAPITokens(t *testing.T) {
	w := clocked(t)
	op := w.hire("bea", "responder", "viewer")
	ask := func(scopes string, more string) string {
		return `{"name":"ci","roles":["responder"],"scopes":[` + scopes + `]` + more + `}`
	}
	for body, field := range map[string]string{
		ask(`"correction.create"`, ``):                                                           "expires_in",
		ask(`"correction.create"`, `,"expires_in":"400d"`):                                       "expires_in",
		ask(`"correction.create"`, `,"expires_in":"1s"`):                                         "expires_in",
		ask(``, `,"expires_in":"1d"`):                                                            "scopes",
		ask(`"correction"`, `,"expires_in":"1d"`):                                                "scopes",
		ask(`"*"`, `,"expires_in":"1d"`):                                                         "scopes",
		ask(`"nothing.*"`, `,"expires_in":"1d"`):                                                 "scopes",
		strings.Replace(ask(`"correction.*"`, `,"expires_in":"1d"`), "responder", "approver", 1): "roles",
		strings.Replace(ask(`"correction.*"`, `,"expires_in":"1d"`), "responder", "king", 1):     "roles",
	} {
		if p := w.fails("invalid_field", op.Token, "POST", "/tokens", body); p.Field != field {
			t.Errorf("%s: %+v", body, p)
		}
	}
	w.fails("forbidden", op.Token, "POST", "/tokens", ask(`"correction.*"`, `,"expires_in":"1d","operator":"op-1"`))
	var tok tokenView
	w.good(op.Token, "POST", "/tokens", ask(`"correction.create","correction.read"`, `,"expires_in":"2h"`), &tok)
	w.good(tok.Token, "POST", "/corrections", stopLarge, nil)
	w.good(tok.Token, "GET", "/corrections", "", nil)
	w.good(tok.Token, "GET", "/whoami", "", nil)
	w.fails("forbidden", tok.Token, "POST", "/corrections/c-1/lift", `{"reason":"r"}`)
	w.fails("forbidden", tok.Token, "GET", "/points", "")
	w.fails("forbidden", tok.Token, "POST", "/tokens", ask(`"correction.*"`, `,"expires_in":"1d"`))
	w.fails("forbidden", tok.Token, "PUT", "/password", jsonText(newPassword{Password: passphrase}))
	// A token for everything below "token" makes no tokens either.
	var wide tokenView
	w.good(op.Token, "POST", "/tokens", ask(`"token.*","operator.*"`, `,"expires_in":"1d"`), &wide)
	w.fails("forbidden", wide.Token, "POST", "/tokens", ask(`"correction.*"`, `,"expires_in":"1d"`))
	w.fails("forbidden", wide.Token, "PUT", "/password", jsonText(newPassword{Password: passphrase}))
	w.fails("forbidden", wide.Token, "POST", "/step-up", fmt.Sprintf(`{"password":%q}`, passphrase))
	// Never more than the owner's roles, as they are now.
	w.good(w.token, "POST", "/operators/"+op.ID+"/roles", `{"roles":["viewer"],"reason":"moved on"}`, nil)
	w.fails("forbidden", tok.Token, "POST", "/corrections", stopLarge)
	w.good(w.token, "POST", "/operators/"+op.ID+"/roles", `{"roles":["responder"],"reason":"back"}`, nil)
	w.restart()
	w.good(tok.Token, "POST", "/corrections", stopLarge, nil)
	var list tokenList
	w.good(op.Token, "GET", "/tokens?limit=1", "", &list)
	if len(list.Tokens) != 1 || list.Next != tok.ID || list.Tokens[0].Token != "" || list.Tokens[0].LastUsedAt.IsZero() || list.Tokens[0].LastUsedAt.Minute() != 0 {
		t.Fatalf("%+v", list)
	}
	w.good(op.Token, "GET", "/tokens?after="+list.Next, "", &list)
	if len(list.Tokens) != 1 || list.Tokens[0].ID != wide.ID {
		t.Fatalf("%+v", list)
	}
	w.good(op.Token, "DELETE", "/tokens/"+wide.ID+"?reason=lost", "", nil)
	w.fails("unauthenticated", wide.Token, "GET", "/whoami", "")
	w.clock.advance(2 * time.Hour)
	w.fails("unauthenticated", tok.Token, "GET", "/corrections", "")
	w.good(w.token, "GET", "/tokens?operator=all", "", &list)
	if len(list.Tokens) != 2 || list.Tokens[0].State != "expired" || list.Tokens[1].State != "revoked" {
		t.Fatalf("%+v", list)
	}
	// The owner goes, and all of theirs with them.
	w.good(op.Token, "POST", "/tokens", ask(`"correction.*"`, `,"expires_in":"1d"`), &tok)
	w.good(w.token, "DELETE", "/operators/"+op.ID+"?reason=left", "", nil)
	w.fails("unauthenticated", tok.Token, "GET", "/corrections", "")
	w.fails("unauthenticated", op.Token, "GET", "/corrections", "")
}

// TestATokenThatWasRevokedAMillisecondAgo: it came in, and is revoked while its
// command waits for its turn.
func TestATokenThatWasRevokedAMillisecondAgo(t *testing.T) {
	w := newWorld(t, nil)
	op := w.hire("bea", "responder")
	var tok tokenView
	w.good(op.Token, "POST", "/tokens", `{"name":"ci","roles":["responder"],"scopes":["correction.*"],"expires_in":"1d"}`, &tok)
	for what, end := range map[string]draft{
		"token":    {typeAPIRevoked, apiRevokedBody{ID: tok.ID}},
		"role":     {typeRoles, rolesBody{op.ID, []string{"viewer"}, "r"}},
		"operator": {typeOpRemoved, removedOperatorBody{op.ID, "left"}},
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t, nil)
			op := w.hire("bea", "responder")
			var tok tokenView
			w.good(op.Token, "POST", "/tokens", `{"name":"ci","roles":["responder"],"scopes":["correction.*"],"expires_in":"1d"}`, &tok)
			cl := &call{w: &recorder{header: http.Header{}}}
			cl.r, _ = http.NewRequest("POST", "http://x"+api+"/corrections", strings.NewReader(stopLarge))
			cl.r.Header.Set("Authorization", "Bearer "+tok.Token)
			must(t, w.c.enter(cl.w, cl, &route{command: "correction.create"}))
			must(t, cl.op.may("correction.create")) // it was allowed to, a moment ago
			_, err := w.c.execute(t.Context(), "op-1", func(*state, time.Time) ([]draft, error) { return []draft{end}, nil })
			must(t, err)
			p := asProblem(w.c.postCorrection(cl))
			if p.Code != "unauthenticated" && p.Code != "forbidden" || w.revision() != 0 {
				t.Fatalf("%v at revision %d", p, w.revision())
			}
		})
	}
	_ = tok
}

func TestStreamsEndWithWhatOpenedThem(t *testing.T) {
	w := newWorld(t, nil)
	op := w.hire("bea", "responder")
	var tok tokenView
	w.good(op.Token, "POST", "/tokens", `{"name":"wall","roles":["responder"],"scopes":["event.*"],"expires_in":"1d"}`, &tok)
	w.passwd(op.Token, passphrase)
	var s sessionView
	w.good("", "POST", "/session", login("bea", passphrase), &s)
	admin := w.token
	open := func(token string) <-chan sse {
		w.token = token
		defer func() { w.token = admin }()
		in, _ := w.watch("")
		return in
	}
	ended := func(in <-chan sse) {
		t.Helper()
		for {
			select {
			case e, ok := <-in:
				if !ok {
					return
				}
				if e.name == typeCreated {
					t.Fatal("it was told what came after")
				}
			case <-time.After(30 * time.Second):
				t.Fatal("the stream goes on")
			}
		}
	}
	byToken, bySession, byOwn := open(tok.Token), open(s.Token), open(op.Token)
	w.good(admin, "DELETE", "/tokens/"+tok.ID, "", nil)
	w.create(stopLarge)
	ended(byToken)
	until(t, bySession, typeCreated, nil)
	w.good(admin, "DELETE", "/sessions/"+s.ID, "", nil)
	w.create(stopLarge)
	ended(bySession)
	until(t, byOwn, typeSessionEnded, nil)
	w.good(admin, "POST", "/operators/"+op.ID+"/roles", `{"roles":["viewer"],"reason":"no longer reads the record"}`, nil)
	for range byOwn { // until it ends
	}
}

func TestTheLastAdministratorStays(t *testing.T) {
	w := newWorld(t, nil)
	w.fails("last_operator", w.token, "DELETE", "/operators/op-1", "")
	w.fails("last_operator", w.token, "POST", "/operators/op-1/roles", `{"roles":["viewer"],"reason":"r"}`)
	b := w.hire("bea", "responder")
	w.fails("last_operator", w.token, "DELETE", "/operators/op-1", "")
	w.good(w.token, "POST", "/operators/"+b.ID+"/roles", `{"roles":["administrator","responder"],"reason":"deputy"}`, nil)
	// Two take the role from each other: one of them is too late.
	var wg sync.WaitGroup
	var mu sync.Mutex
	done := 0
	for _, c := range [][2]string{{w.token, b.ID}, {b.Token, "op-1"}} {
		wg.Go(func() {
			if _, p, _ := w.send(c[0], "POST", "/operators/"+c[1]+"/roles", `{"roles":["viewer"],"reason":"race"}`, nil); p == nil {
				mu.Lock()
				done++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if done != 1 {
		t.Fatalf("%d of two succeeded", done)
	}
}

func TestRolesAreKnownWithTheirIntervals(t *testing.T) {
	w := clocked(t)
	op := w.hire("bea", "responder")
	at := []time.Time{w.clock.Now()}
	for _, role := range []string{"approver", "viewer"} {
		w.clock.advance(time.Hour)
		w.good(w.token, "POST", "/operators/"+op.ID+"/roles", `{"roles":["`+role+`"],"reason":"rota"}`, nil)
		at = append(at, w.clock.Now())
	}
	w.restart()
	w.c.mu.RLock()
	o := w.c.state.operators[op.ID]
	w.c.mu.RUnlock()
	for i, role := range []authority.Role{authority.Responder, authority.Approver, authority.Viewer} {
		for j, when := range at {
			if got := o.heldAt(authority.SetOf(role), when.Add(time.Minute)); got != (i == j) {
				t.Errorf("%s at %d: %v", role, j, got)
			}
		}
	}
	if o.heldAt(authority.All, at[0].Add(-time.Hour)) {
		t.Error("a role before there was anybody")
	}
}

// TestOldEntriesFold: what earlier versions wrote still says the same.
func TestOldEntriesFold(t *testing.T) {
	sum := sha256.Sum256([]byte("op_old"))
	next := sha256.Sum256([]byte("op_new"))
	s := newState()
	for i, e := range []ledger.Entry{
		{Type: typeOperator, Body: []byte(`{"id":"op-1","name":"ann","role":"administrator","token_sha256":"` + hex.EncodeToString(sum[:]) + `"}`)},
		{Type: typeToken, Body: []byte(`{"id":"op-1","token_sha256":"` + hex.EncodeToString(next[:]) + `"}`)},
		{Type: typeOpRemoved, Body: []byte(`{"id":"op-1","reason":"left"}`)},
	} {
		e.Seq, e.At = uint64(i), time.Unix(int64(i), 0)
		_, err := s.fold(e)
		must(t, err)
	}
	if op := s.operators["op-1"]; op.name != "ann" || op.active() || len(s.tokens) != 0 || !op.heldAt(authority.SetOf(authority.Administrator), time.Unix(1, 0)) || op.heldAt(authority.All, time.Unix(2, 0)) {
		t.Errorf("%+v", op)
	}
}

func TestCookiesServeTheirOwnSiteAlone(t *testing.T) {
	w := newWorld(t, nil)
	op := w.hire("bea", "responder")
	w.passwd(op.Token, passphrase)
	ask := jsonText(loginAsk{Name: "bea", Password: passphrase, Cookie: true})
	if _, p, _ := w.send("", "POST", "/session", ask, nil, "Sec-Fetch-Site", "cross-site"); p == nil || p.Code != "cross_origin" {
		t.Fatal(p)
	}
	var s sessionView
	_, p, h := w.send("", "POST", "/session", ask, &s, "Sec-Fetch-Site", "same-origin")
	if p != nil || s.Token != "" {
		t.Fatal(p, s)
	}
	cookies := (&http.Response{Header: h}).Cookies()
	if len(cookies) != 1 || !cookies[0].HttpOnly || cookies[0].SameSite != http.SameSiteStrictMode || cookies[0].Path != "/" || cookies[0].Domain != "" {
		t.Fatalf("%+v", cookies)
	}
	cookie := cookies[0].Name + "=" + cookies[0].Value
	for _, tc := range []struct{ method, site, origin, code string }{
		{"GET", "", "", ""}, {"POST", "same-origin", "", ""}, {"POST", "none", "", ""},
		{"POST", "cross-site", "", "cross_origin"}, {"POST", "same-site", "", "cross_origin"}, {"POST", "", "http://evil.example", "cross_origin"},
	} {
		header := []string{"Cookie", cookie}
		if tc.site != "" {
			header = append(header, "Sec-Fetch-Site", tc.site)
		}
		if tc.origin != "" {
			header = append(header, "Origin", tc.origin)
		}
		_, p, _ := w.send("", tc.method, "/corrections", stopLarge, nil, header...)
		if got := ""; p != nil && p.Code != tc.code || p == nil && got != tc.code {
			t.Errorf("%+v: %v", tc, p)
		}
	}
	// A cookie holds sessions and nothing else.
	if _, p, _ := w.send("", "GET", "/whoami", "", nil, "Cookie", cookies[0].Name+"="+w.token); p == nil || p.Code != "unauthenticated" {
		t.Error(p)
	}
	_, p, h = w.send("", "DELETE", "/session", "", nil, "Cookie", cookie)
	if gone := (&http.Response{Header: h}).Cookies(); p != nil || len(gone) != 1 || gone[0].MaxAge >= 0 {
		t.Error(p, gone)
	}
}

// TestAnAttackerDoesNotLockOutTheOnCall: somebody hammers an account from many
// addresses while the person logs in from theirs.
func TestAnAttackerDoesNotLockOutTheOnCall(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	op := w.hire("bea", "responder")
	w.passwd(op.Token, passphrase)
	var s sessionView
	from := func(addr, password, device string) *Problem {
		_, p, _ := w.send("", "POST", "/session", jsonText(loginAsk{Name: "bea", Password: password, Device: device}), &s, "X-Forwarded-For", addr)
		return p
	}
	// One address: after five failures and one more it is slowed, also if the next were right.
	for i := range freeByAccount + 1 {
		if p := from("192.0.2.1", "wrong wrong wrong wrong", ""); p == nil || p.Code != "login_failed" {
			t.Fatal(i, p)
		}
	}
	if p := from("192.0.2.1", passphrase, ""); p == nil || p.Code != "too_many_attempts" {
		t.Fatal(p)
	}
	if p := from("192.0.2.2", passphrase, ""); p != nil {
		t.Fatal("another address is slowed:", p)
	}
	device := s.Device
	// A neighbour behind the address that the person comes from uses it up: the
	// device still has a way of its own, and the session and the token work on.
	for range freeByAccount + 1 {
		from("192.0.2.2", "wrong wrong wrong wrong", "")
	}
	if p := from("192.0.2.2", passphrase, ""); p == nil || p.Code != "too_many_attempts" {
		t.Fatal("the neighbour is not slowed:", p)
	}
	if p := from("192.0.2.2", passphrase, device); p != nil {
		t.Fatal("the device is slowed with its neighbour:", p)
	}
	// A hundred addresses at once, while the person logs in again and again.
	var attackers sync.WaitGroup
	stop := make(chan struct{})
	for n := range 8 {
		attackers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				req, _ := http.NewRequest("POST", "http://"+w.c.Addr()+api+"/session", strings.NewReader(login("bea", "wrong wrong wrong wrong")))
				req.Header.Set("X-Forwarded-For", fmt.Sprintf("198.51.%d.%d", n, i%100))
				if resp, err := http.DefaultTransport.RoundTrip(req); err == nil {
					resp.Body.Close()
				}
			}
		})
	}
	for range 20 {
		if p := from("192.0.2.3", passphrase, ""); p != nil {
			t.Error("locked out:", p)
		}
		w.good(s.Token, "GET", "/whoami", "", nil)
		w.good(op.Token, "GET", "/whoami", "", nil)
	}
	close(stop)
	attackers.Wait()
	if w.c.desk.source(&http.Request{RemoteAddr: "203.0.113.9:1", Header: http.Header{"X-Forwarded-For": {"192.0.2.3"}}}) != "203.0.113.9" {
		t.Error("a stranger's header is believed")
	}
}

func TestRequestsAreCountedAndTighteningApart(t *testing.T) {
	w := clocked(t)
	op := w.hire("bea", "responder")
	w.clock.advance(time.Minute) // what hiring took is forgotten
	w.c.desk.general.Burst, w.c.desk.general.PerSecond = 3, 1
	for range 3 {
		w.good(op.Token, "GET", "/corrections", "", nil)
	}
	if p := w.fails("rate_limited", op.Token, "GET", "/corrections", ""); !p.Retry {
		t.Errorf("%+v", p)
	}
	w.good(op.Token, "POST", "/corrections", stopLarge, nil)
	w.good(w.token, "GET", "/corrections", "", nil) // somebody else
	w.clock.advance(time.Second)
	w.good(op.Token, "GET", "/corrections", "", nil)
}

func TestStepUpBeforeWhatCannotBeUndone(t *testing.T) {
	w := newWorld(t, nil)
	w.c.mu.RLock()
	op := w.c.standing(w.c.state, sha256.Sum256([]byte(w.token)))
	w.c.mu.RUnlock()
	asked := func(token, what string) *Problem {
		cl := &call{w: &recorder{header: http.Header{}}}
		cl.r, _ = http.NewRequest("POST", "http://x", nil)
		cl.r.Header.Set("Authorization", "Bearer "+token)
		must(t, w.c.enter(cl.w, cl, &route{}))
		if err := cl.stepUp(what); err != nil {
			if !strings.Contains(cl.w.Header().Get("WWW-Authenticate"), "insufficient_user_authentication") {
				t.Error("no challenge")
			}
			return asProblem(err)
		}
		return nil
	}
	if op.factor() || asked(w.token, "plan.apply") != nil || asked(w.token, typeSealed) == nil {
		t.Fatal("a fresh installation's first operator applies a plan, and destroys nothing")
	}
	w.c.cfg.StepUp = StepUpAlways
	if asked(w.token, "plan.apply") == nil {
		t.Fatal("always is not always")
	}
	w.c.cfg.StepUp = ""
	w.passwd(w.token, passphrase)
	if p := asked(w.token, "plan.apply"); p == nil || p.Code != "step_up_needed" || !strings.Contains(p.Hint, "andon step-up") {
		t.Fatal(p)
	}
	w.prove(w.token)
	if p := asked(w.token, typeSealed); p != nil {
		t.Fatal(p)
	}
	if (&call{op: &operator{}}).stepUp("plan.apply") == nil {
		t.Fatal("nobody came in, and it was proved")
	}
	next, err := w.c.ReplaceToken("ann")
	must(t, err)
	if asked(next, typeSealed) == nil {
		t.Fatal("the proof of the old token counts for the new one")
	}
}
