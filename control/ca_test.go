package control

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"andon/credential"
)

// caWorld is a control plane whose API is behind TLS, with a clock.
type caWorld struct {
	*joiners
	addr string
}

func newCAWorld(t *testing.T) *caWorld {
	t.Helper()
	j := newJoiners(t)
	w := &caWorld{joiners: j}
	j.stop()
	j.clock = &clock{now: time.Now()}
	j.start()
	from, err := j.ca.Issued(credential.Identity{Role: credential.RoleControl}, []string{"127.0.0.1"})
	must(t, err)
	l, err := tls.Listen("tcp", "127.0.0.1:0", credential.Server(from, tls.VerifyClientCertIfGiven, j.ca.Pool))
	must(t, err)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { j.c.Handler().ServeHTTP(w, r) }), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	ended := make(chan struct{})
	go func() { defer close(ended); srv.Serve(l) }()
	t.Cleanup(func() { srv.Close(); <-ended })
	w.addr = l.Addr().String()
	return w
}

// machine is a gateway that joined, with what it keeps on disk.
type machine struct {
	*credential.Joined
	w *caWorld
}

func (w *caWorld) gateway(name string) *machine {
	w.t.Helper()
	tok := w.make(name, "")
	dir := filepath.Join(w.t.TempDir(), name)
	key, err := credential.OpenKey(dir)
	must(w.t, err)
	return &machine{w.joinWith(tok, dir, key), w}
}

func (w *caWorld) joinWith(tok credential.Token, dir string, key *ecdsa.PrivateKey) *credential.Joined {
	w.t.Helper()
	req, err := credential.NewRequest(key)
	must(w.t, err)
	var g credential.Grant
	w.ok(201, "POST", "/join", joinText(tok.Gateway, tok.Secret, req), &g)
	j, err := credential.Keep(dir, g, key, tok, []*x509.Certificate{w.ca.Certificate()})
	must(w.t, err)
	return j
}

// call sends a request as the gateway; 0 is a handshake that failed.
func (m *machine) call(path, body string, out any) (int, error) {
	m.w.t.Helper()
	tr := &http.Transport{TLSClientConfig: m.Client(), DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: tr}).Post("https://"+m.w.addr+api+path, "application/json", strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	must(m.w.t, err)
	if resp.StatusCode == 200 {
		must(m.w.t, json.Unmarshal(data, out))
	}
	return resp.StatusCode, nil
}

// round is what a gateway does each minute.
func (m *machine) round() {
	m.w.t.Helper()
	var v authoritiesView
	if status, err := m.call("/join/authorities", "{}", &v); status != 200 {
		m.w.t.Fatal(status, err)
	}
	must(m.w.t, m.Learn(v.Authorities))
	if v.Issuer == m.Issuer() {
		return
	}
	body, err := json.Marshal(renewAsk{Knows: m.Knows()})
	must(m.w.t, err)
	var g credential.Grant
	if status, err := m.call("/join/renew", string(body), &g); status != 200 {
		m.w.t.Fatal(status, err)
	}
	must(m.w.t, m.Renewed(g))
	if status, err := m.call("/join/authorities", "{}", &v); status != 200 {
		m.w.t.Fatal(status, err)
	}
}

func (w *caWorld) show() (list caList) {
	w.t.Helper()
	w.ok(200, "GET", "/ca", "", &list)
	return list
}

// A rotation from its beginning to its end: nobody who was there at any time in
// between is kept out, and who was not is told what to do.
func TestAnotherAuthority(t *testing.T) {
	w := newCAWorld(t)
	first := credential.Fingerprint(w.ca.Certificate())
	there, away, late := w.gateway("gw-1"), w.gateway("gw-2"), w.gateway("gw-3")
	w.bad(422, "invalid_field", "POST", "/ca/rotate", `{}`)
	w.bad(422, "invalid_field", "POST", "/ca/rotate", `{"reason":"r","issues_in":"31d"}`)
	w.bad(422, "invalid_field", "POST", "/ca/rotate", `{"reason":"r","issues_in":"2d","withdraw_in":"1d"}`)
	w.ok(200, "PUT", "/password", jsonText(newPassword{Password: passphrase}), nil)
	w.bad(403, "step_up_needed", "POST", "/ca/rotate", `{"reason":"yearly"}`)
	w.prove(w.token)
	w.bad(409, "ca_last", "POST", "/ca/"+first+"/withdraw", `{"reason":"r"}`)
	var list caList
	w.ok(200, "POST", "/ca/rotate", `{"reason":"yearly","issues_in":"1d","withdraw_in":"30d"}`, &list)
	if len(list.Authorities) != 2 || list.Authorities[0].Fingerprint != first || list.Authorities[0].State != caCurrent || list.Authorities[1].State != caAnnouncing ||
		!slices.Equal(list.Authorities[0].Gateways, []string{"gw-1", "gw-2", "gw-3"}) || strings.Count(list.Believed, "BEGIN CERTIFICATE") != 2 {
		t.Fatalf("%+v", list)
	}
	next := list.Authorities[1].Fingerprint
	w.bad(409, "ca_rotating", "POST", "/ca/rotate", `{"reason":"again"}`)

	// Announced: a gateway learns of it, and stays what it is.
	there.round()
	if there.Issuer() != first || !slices.Contains(there.Knows(), next) {
		t.Error(there.Issuer(), there.Knows())
	}
	w.restart() // the same again after a restart
	if list := w.show(); len(list.Authorities) != 2 || w.ca.Next() == nil {
		t.Fatalf("%+v", list)
	}
	there.round()

	// A day later it issues: gateways go over; one of an earlier release stays.
	w.clock.advance(25 * time.Hour)
	w.prove(w.token)
	there.round()
	if there.Issuer() != next {
		t.Error("it did not go over")
	}
	var g credential.Grant
	if status, err := late.call("/join/renew", "{}", &g); status != 200 || late.Renewed(g) != nil {
		t.Error("a gateway of an earlier release cannot renew:", status, err)
	}
	if fresh := w.gateway("gw-4"); fresh.Issuer() != next {
		t.Error("who joins gets a certificate of the first one")
	}
	list = w.show()
	if !slices.Equal(list.Authorities[0].Gateways, []string{"gw-2", "gw-3"}) || !slices.Equal(list.Authorities[1].Gateways, []string{"gw-1", "gw-4"}) || list.Authorities[1].State != caIssuing {
		t.Fatalf("%+v", list)
	}

	// Its time has come, and two still depend on it: nothing is withdrawn, and it is said.
	w.clock.advance(30 * 24 * time.Hour)
	w.prove(w.token)
	w.c.tidy(t.Context())
	if list := w.show(); len(list.Authorities) != 2 || list.Authorities[0].Fingerprint != first {
		t.Fatal("it was withdrawn from those who depend on it")
	}
	if !strings.Contains(w.logs.String(), "was to be withdrawn, and gw-2, gw-3 still depend on it") {
		t.Error("nobody was told")
	}
	if p := w.bad(409, "ca_in_use", "POST", "/ca/"+first+"/withdraw", `{"reason":"r"}`); !strings.Contains(p.Detail, "gw-2, gw-3") {
		t.Error(p.Detail)
	}
	late.round()
	open := w.make("gw-5", `,"for":"10m"`) // it names the first one
	if p := w.bad(409, "ca_in_use", "POST", "/ca/"+first+"/withdraw", `{"reason":"r"}`); !strings.Contains(p.Detail, "jt-5") {
		t.Error(p.Detail, open)
	}
	w.bad(404, "not_found", "POST", "/ca/"+strings.Repeat("0", 64)+"/withdraw", `{"reason":"r"}`)
	w.ok(200, "POST", "/ca/"+first[:16]+"/withdraw", `{"reason":"enough","cut_off":true}`, &list)
	if n := len(list.Authorities); n != 2 || list.Authorities[0].State != caGone || list.Authorities[1].Fingerprint != next || list.Authorities[1].State != caCurrent {
		t.Fatalf("%+v", list)
	}
	w.eventually(func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return slices.Contains(w.cut, "gw-2")
	})
	_, req := request(t)
	w.bad(403, "join_token_revoked", "POST", "/join", joinText("gw-5", open.Secret, req))
	there.round()
	late.round()
	if len(there.Knows()) != 1 {
		t.Error("the first one is believed still")
	}
	if _, err := away.call("/join/authorities", "{}", nil); err == nil || !strings.Contains(err.Error(), credential.ErrAuthority.Error()) {
		t.Error(err)
	}
	cert, _ := away.Certificate()
	if _, err := w.c.Admits(cert.Leaf); err == nil {
		t.Error("a certificate of the withdrawn authority lets in")
	}
	w.restart()
	there.round()
	if _, err := w.c.Admits(cert.Leaf); err == nil {
		t.Error("a certificate of the withdrawn authority lets in after a restart")
	}
	again := w.gateway("gw-2") // the way back
	again.round()
}

// Once nobody depends on it, an authority in whose place another is goes by itself.
func TestAnAuthorityIsWithdrawnByItself(t *testing.T) {
	w := newCAWorld(t)
	first := credential.Fingerprint(w.ca.Certificate())
	gw := w.gateway("gw-1")
	w.gateway("gw-2") // it does not come back
	w.prove(w.token)
	w.ok(200, "POST", "/ca/rotate", `{"reason":"yearly","issues_in":"0s","withdraw_in":"2h"}`, nil)
	gw.round()
	w.clock.advance(3 * time.Hour)
	w.c.tidy(t.Context())
	if w.ca.Next() == nil {
		t.Fatal("it was withdrawn from gw-2")
	}
	w.ok(200, "POST", "/points/gw-2/revoke", `{"reason":"gone"}`, nil)
	w.c.tidy(t.Context())
	if w.ca.Next() != nil || credential.Fingerprint(w.ca.Certificate()) == first {
		t.Fatal("it was not withdrawn")
	}
	gw.round()
}

// A clock that leaps makes certificates look as if they had ended. That withdraws
// no authority: their gateways would have to join anew once it is set right.
func TestAClockThatLeapsWithdrawsNoAuthority(t *testing.T) {
	w := newCAWorld(t)
	gw := w.gateway("gw-1")
	w.prove(w.token)
	w.ok(200, "POST", "/ca/rotate", `{"reason":"yearly","issues_in":"1d","withdraw_in":"2d"}`, nil)
	w.stop()
	w.clock.advance(2 * 365 * 24 * time.Hour)
	w.start()
	w.c.tidy(t.Context())
	w.c.tidy(t.Context())
	if w.ca.Next() == nil {
		t.Fatal("it was withdrawn from gw-1")
	}
	w.stop()
	w.clock.advance(-2 * 365 * 24 * time.Hour)
	w.start()
	gw.round()
}

// A rotation is given up by withdrawing the next one.
func TestARotationIsGivenUp(t *testing.T) {
	w := newCAWorld(t)
	first := credential.Fingerprint(w.ca.Certificate())
	gw := w.gateway("gw-1")
	w.prove(w.token)
	var list caList
	w.ok(200, "POST", "/ca/rotate", `{"reason":"yearly","issues_in":"0s","withdraw_in":"0s"}`, &list)
	next := list.Authorities[1].Fingerprint
	gw.round()
	if p := w.bad(409, "ca_in_use", "POST", "/ca/"+next+"/withdraw", `{"reason":"r"}`); !strings.Contains(p.Detail, "gw-1") {
		t.Error(p.Detail)
	}
	w.ok(200, "POST", "/ca/"+next+"/withdraw", `{"reason":"r","cut_off":true}`, &list)
	if credential.Fingerprint(w.ca.Certificate()) != first || w.ca.Next() != nil {
		t.Fatalf("%+v", list)
	}
	w.ok(200, "POST", "/ca/rotate", `{"reason":"once more"}`, &list)
	if list.Authorities[len(list.Authorities)-1].Fingerprint == next {
		t.Error("a withdrawn authority was announced again")
	}
}

// A crash after the entry and before the file, and the other way round.
func TestARotationThatACrashInterrupts(t *testing.T) {
	w := newCAWorld(t)
	gw := w.gateway("gw-1")
	w.prove(w.token)
	_, err := w.ca.Prepare() // made, and never announced
	must(t, err)
	w.restart()
	if w.ca.Next() != nil {
		t.Fatal("what was never announced is believed")
	}
	w.prove(w.token)
	var list caList
	w.ok(200, "POST", "/ca/rotate", `{"reason":"yearly","issues_in":"0s"}`, &list)
	gw.round()
	// The entry of the withdrawal is durable; the files were not touched yet.
	w.stop()
	must(t, w.ca.Believe("", list.Authorities[1].Fingerprint))
	w.start()
	w.prove(w.token)
	w.ok(200, "POST", "/ca/"+list.Authorities[0].Fingerprint+"/withdraw", `{"reason":"r"}`, &list)
	gw.round()
}

func TestWhatEndsIsToldAhead(t *testing.T) {
	w := newCAWorld(t)
	w.gateway("gw-1")
	ends := w.clock.Now().Add(40 * 24 * time.Hour)
	w.c.cfg.Joining.Files = func() map[string]time.Time { return map[string]time.Time{"control.tls": ends} }
	told := func() (n int) {
		return strings.Count(w.logs.String(), "ends on")
	}
	w.c.tidy(t.Context())
	if told() != 0 {
		t.Fatal("told too early", w.logs)
	}
	for _, step := range []struct {
		after time.Duration
		want  string
	}{
		{15 * 24 * time.Hour, "the certificate of control.tls ends on"},
		{62 * 24 * time.Hour, "the certificate of gateway gw-1 ends on"},
		{3400 * 24 * time.Hour, "the installation's certificate authority ends on"},
	} {
		n := told()
		w.clock.advance(step.after)
		if step.want != "the certificate of control.tls ends on" {
			w.c.cfg.Joining.Files = nil
		}
		w.c.tidy(t.Context())
		w.c.tidy(t.Context())
		if told() != n+1 || !strings.Contains(w.logs.String(), step.want) {
			t.Errorf("%s: told %d times", step.want, told()-n)
		}
	}
}

func TestCAAnswersFitTheDocument(t *testing.T) {
	w := newCAWorld(t)
	w.gateway("gw-1")
	w.prove(w.token)
	doc := document(t)
	first := credential.Fingerprint(w.ca.Certificate())
	for _, tc := range []struct{ method, path, template, body string }{
		{"GET", "/ca", "/ca", ""},
		{"POST", "/ca/rotate", "/ca/rotate", `{"reason":"r"}`},
		{"POST", "/ca/" + first + "/withdraw", "/ca/{fingerprint}/withdraw", `{"reason":"r"}`},
		{"POST", "/ca/" + first + "/withdraw", "/ca/{fingerprint}/withdraw", `{"reason":"r","cut_off":true}`},
		{"POST", "/join/authorities", "/join/authorities", "{}"},
	} {
		w.answerFits(doc, tc.method, tc.path, tc.template, tc.body)
	}
}

// Renewal, and what each minute brings, is counted for each gateway: one that runs
// wild leaves room for the others.
func TestRenewalsAreCounted(t *testing.T) {
	w := newCAWorld(t)
	wild, calm := w.gateway("gw-1"), w.gateway("gw-2")
	size := w.c.state.size
	refused := 0
	for range 60 {
		var g credential.Grant
		status, err := wild.call("/join/renew", "{}", &g)
		switch status {
		case 200:
		case 429:
			refused++
		default:
			t.Fatal(status, err)
		}
	}
	if refused == 0 {
		t.Error("nothing was refused")
	}
	calm.round()
	if w.c.state.size != size {
		t.Error("the ledger can be filled by renewing")
	}
	// Tokens that nobody made, by the hundred: counted by address, and no entry.
	_, req := request(t)
	refused = 0
	for range 150 {
		resp := w.do("POST", api+"/join", joinText("gw-9", "x", req), nil)
		io.Copy(io.Discard, resp.Body)
		if resp.StatusCode == 429 {
			refused++
		}
	}
	if refused == 0 || w.c.state.size != size {
		t.Error("joining is not counted:", refused)
	}
	w.create(stopLarge) // and the stop goes through
}
