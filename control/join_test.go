package control

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"andon/bus"
	"andon/credential"
	"andon/ledger"
	"andon/order"
)

// joiners is a world whose gateways can join.
type joiners struct {
	*world
	ca  *credential.Authorities
	cut []string // gateways that were disconnected
	mu  sync.Mutex
}

func newJoiners(t *testing.T) *joiners {
	t.Helper()
	j := &joiners{}
	var err error
	j.ca, err = credential.OpenAuthorities(filepath.Join(t.TempDir(), "ca"), "test", time.Now)
	must(t, err)
	j.world = newWorld(t, func(c *Config) {
		c.Local = "gw-local"
		c.Joining = &Joining{CA: j.ca, Pin: func() string { return credential.Fingerprint(j.ca.Certificate()) }, Control: "https://control:7070", Bus: "0.0.0.0:4222",
			PseudonymKey: "a secret of the gateways", Disconnect: func(name string) { j.mu.Lock(); j.cut = append(j.cut, name); j.mu.Unlock() }}
	})
	return j
}

func (j *joiners) make(gateway, more string) credential.Token {
	j.t.Helper()
	var v joinTokenView
	j.ok(201, "POST", "/join-tokens", `{"gateway":"`+gateway+`"`+more+`}`, &v)
	tok, err := credential.ParseToken(v.Token)
	must(j.t, err)
	return tok
}

func request(t testing.TB) (*ecdsa.PrivateKey, string) {
	t.Helper()
	key, err := credential.NewKey()
	must(t, err)
	text, err := credential.NewRequest(key)
	must(t, err)
	return key, text
}

func joinText(gateway, secret, request string) string {
	b, _ := json.Marshal(joinAsk{gateway, secret, request})
	return string(b)
}

func (j *joiners) join(tok credential.Token) (credential.Grant, *ecdsa.PrivateKey) {
	j.t.Helper()
	key, req := request(j.t)
	var g credential.Grant
	j.ok(201, "POST", "/join", joinText(tok.Gateway, tok.Secret, req), &g)
	return g, key
}

func leaf(t testing.TB, g credential.Grant) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode([]byte(g.Certificate))
	c, err := x509.ParseCertificate(block.Bytes)
	must(t, err)
	return c
}

func TestAGatewayJoins(t *testing.T) {
	j := newJoiners(t)
	tok := j.make("gw-2", `,"for":"2h","hosts":["gw2.example.com","10.0.0.5"]`)
	if tok.Control != "https://control:7070" || tok.Pin != credential.Fingerprint(j.ca.Certificate()) {
		t.Error(tok)
	}
	_, req := request(t)
	var g, again credential.Grant
	operator := j.token
	j.token = "" // the token is the gateway's authority
	j.ok(201, "POST", "/join", joinText("gw-2", tok.Secret, req), &g)
	if g.Bus != "tls://control:4222" || g.Gateway != "gw-2" || g.Credential != "cr-1" || len(g.Trust) != 1 || g.Trust[0] != j.signer.Public().String() || g.PseudonymKey == "" || g.Lease != "15s" {
		t.Errorf("%+v", g)
	}
	c := leaf(t, g)
	if name, err := j.c.Admits(c); err != nil || name != "gw-2" {
		t.Fatal(name, err)
	}
	if len(c.DNSNames) != 1 || c.DNSNames[0] != "gw2.example.com" || len(c.IPAddresses) != 1 {
		t.Error(c.DNSNames, c.IPAddresses)
	}
	// An answer that was lost is given again, to the same key alone.
	j.ok(201, "POST", "/join", joinText("gw-2", tok.Secret, req), &again)
	if again.Credential != "cr-1" {
		t.Error(again.Credential)
	}
	_, other := request(t)
	j.bad(403, "join_token_used", "POST", "/join", joinText("gw-2", tok.Secret, other))
	j.token = operator
	before, entries := j.c.state.size, 0
	j.restart()
	if _, err := j.c.Admits(c); err != nil {
		t.Error("forgotten after a restart:", err)
	}
	must(t, j.log.Read(t.Context(), 0, before, func(e ledger.Entry) error {
		if strings.HasPrefix(e.Type, "join_token") || strings.HasPrefix(e.Type, "credential") {
			entries++
		}
		if bytes.Contains(e.Body, []byte(tok.Secret)) {
			t.Error("the secret is in the ledger")
		}
		return nil
	}))
	if entries != 2 {
		t.Errorf("%d entries", entries)
	}
	if strings.Contains(j.logs.String(), tok.Secret) {
		t.Error("the secret is in the log")
	}
}

func TestWhoDoesNotGetIn(t *testing.T) {
	j := newJoiners(t)
	tok := j.make("gw-2", "")
	_, req := request(t)
	j.bad(403, "join_token_other", "POST", "/join", joinText("gw-3", tok.Secret, req))
	j.bad(403, "join_token_unknown", "POST", "/join", joinText("gw-2", tok.Secret+"x", req))
	j.bad(403, "join_token_unknown", "POST", "/join", joinText("gw-2", "", req))
	j.bad(422, "invalid_field", "POST", "/join", joinText("gw-2", tok.Secret, "nonsense"))
	j.bad(422, "invalid_field", "POST", "/join", joinText("gw.2", tok.Secret, req))
	j.bad(400, "unknown_field", "POST", "/join", `{"gateway":"gw-2","secret":"x","request":"x","hosts":["control"]}`)
	j.bad(413, "body_too_large", "POST", "/join", joinText("gw-2", tok.Secret, strings.Repeat("x", 70<<10)))
	j.bad(403, "credential_refused", "POST", "/join/renew", "{}") // not over TLS

	var v joinTokenView
	j.ok(200, "DELETE", "/join-tokens/jt-1?reason=lost", "", &v)
	if v.State != "revoked" {
		t.Error(v.State)
	}
	j.bad(403, "join_token_revoked", "POST", "/join", joinText("gw-2", tok.Secret, req))
	j.bad(404, "not_found", "DELETE", "/join-tokens/jt-9?reason=lost", "")
	used := j.make("gw-3", "")
	j.join(used)
	j.bad(403, "join_token_used", "DELETE", "/join-tokens/jt-2?reason=lost", "")

	for body, field := range map[string]string{
		`{}`: "gateway", `{"gateway":"a.b"}`: "gateway", `{"gateway":"Control"}`: "gateway", `{"gateway":"gw-local"}`: "gateway", `{"gateway":"g","for":"8d"}`: "for", `{"gateway":"g","for":"1s"}`: "for",
		`{"gateway":"g","control":"http://x"}`: "control", `{"gateway":"g","control":"https://x/y"}`: "control", `{"gateway":"g","hosts":["*.x"]}`: "hosts[0]", `{"gateway":"g","hosts":["a","b c"]}`: "hosts[1]",
	} {
		if p := j.bad(422, "invalid_field", "POST", "/join-tokens", body); p.Field != field {
			t.Errorf("%s: %s", body, p.Field)
		}
	}
	j.c.cfg.Joining.Refused = "the bus speaks plaintext"
	j.bad(409, "join_unavailable", "POST", "/join-tokens", `{"gateway":"g"}`)
}

func TestATokenExpires(t *testing.T) {
	j := newJoiners(t)
	j.stop()
	j.clock = &clock{now: time.Now()}
	j.start()
	tok := j.make("gw-2", `,"for":"10m"`)
	_, req := request(t)
	j.clock.advance(10 * time.Minute)
	j.bad(403, "join_token_expired", "POST", "/join", joinText("gw-2", tok.Secret, req))
	j.create(stopLarge)
	j.clock.advance(-20 * time.Minute) // the clock goes back; the record does not
	j.bad(403, "join_token_expired", "POST", "/join", joinText("gw-2", tok.Secret, req))
}

// Two gateways race for one token: one wins, every time.
func TestOneTokenLetsInOne(t *testing.T) {
	j := newJoiners(t)
	for range 20 {
		tok := j.make("gw-2", "")
		var won atomic.Int32
		var wg sync.WaitGroup
		for range 4 {
			_, req := request(t)
			wg.Go(func() {
				r, err := http.Post("http://"+j.c.Addr()+api+"/join", "application/json", strings.NewReader(joinText("gw-2", tok.Secret, req)))
				if err != nil {
					t.Error(err)
					return
				}
				defer r.Body.Close()
				io.Copy(io.Discard, r.Body)
				switch r.StatusCode {
				case 201:
					won.Add(1)
				case 403:
				default:
					t.Error(r.Status)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Fatalf("%d got in by one token", won.Load())
		}
	}
	var list credentialList
	j.ok(200, "GET", "/credentials", "", &list)
	active := 0
	for _, c := range list.Credentials {
		if c.State == "active" {
			active++
		}
	}
	if len(list.Credentials) != 20 || active != 1 {
		t.Errorf("%d credentials, %d active", len(list.Credentials), active)
	}
	j.ok(200, "GET", "/credentials?after=cr-18&limit=1", "", &list)
	if len(list.Credentials) != 1 || list.Credentials[0].ID != "cr-19" || list.Next != "cr-19" {
		t.Errorf("%+v", list)
	}
	j.bad(400, "invalid_query", "GET", "/credentials?limit=0", "")
	j.bad(400, "invalid_query", "GET", "/credentials?after=x", "")
}

func TestRevoke(t *testing.T) {
	j := newJoiners(t)
	g, _ := j.join(j.make("gw-2", ""))
	spare := j.make("gw-2", "")
	var v credentialView
	j.bad(422, "invalid_field", "POST", "/points/gw-2/revoke", `{"reason":""}`)
	j.bad(404, "not_found", "POST", "/points/gw-9/revoke", `{"reason":"r"}`)
	j.ok(200, "POST", "/points/gw-2/revoke", `{"reason":"the machine was lost"}`, &v)
	if v.State != "revoked" || v.RevokedBy != "op-1" || v.Reason != "the machine was lost" {
		t.Errorf("%+v", v)
	}
	j.mu.Lock()
	if len(j.cut) == 0 || j.cut[len(j.cut)-1] != "gw-2" {
		t.Error("its connections were not broken off:", j.cut)
	}
	j.mu.Unlock()
	if _, err := j.c.Admits(leaf(t, g)); err == nil || !strings.Contains(err.Error(), "revoked") {
		t.Error(err)
	}
	_, req := request(t)
	j.bad(403, "join_token_revoked", "POST", "/join", joinText("gw-2", spare.Secret, req)) // its open token ended, too
	j.restart()
	if _, err := j.c.Admits(leaf(t, g)); err == nil {
		t.Error("in force again after a restart")
	}
	// A new token brings a new credential, and not the old one back.
	again, _ := j.join(j.make("gw-2", ""))
	if again.Credential != "cr-2" {
		t.Error(again.Credential)
	}
	if _, err := j.c.Admits(leaf(t, again)); err != nil {
		t.Error(err)
	}
	if _, err := j.c.Admits(leaf(t, g)); err == nil {
		t.Error("the revoked credential counts again")
	}
	// Joining once more ends the credential before.
	third, _ := j.join(j.make("gw-2", ""))
	if _, err := j.c.Admits(leaf(t, again)); err == nil {
		t.Error("two credentials of one gateway count")
	}
	if _, err := j.c.Admits(leaf(t, third)); err != nil {
		t.Error(err)
	}
}

// What arrives in a gateway's name counts only if it may speak in it.
func TestNobodySpeaksForAnother(t *testing.T) {
	j := newJoiners(t)
	j.join(j.make("gw-2", ""))
	as := func(name string) *bus.Bus {
		b, err := j.server.ConnectAs(name, name)
		must(t, err)
		t.Cleanup(b.Close)
		return b
	}
	plain, err := j.server.Connect("shared")
	must(t, err)
	t.Cleanup(plain.Close)
	beat := func(b *bus.Bus, name string) bool {
		data, err := json.Marshal(order.Beat{Gateway: name, Boot: "b", Nonce: "n"})
		must(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		_, err = b.Request(ctx, order.SubjectBeat, data)
		return err == nil
	}
	own, local, third := as("gw-2"), as("gw-local"), as("gw-3")
	for _, tc := range []struct {
		who  string
		bus  *bus.Bus
		name string
		want bool
	}{
		{"its holder", own, "gw-2", true},
		{"the one in this process", local, "gw-local", true},
		{"the shared token, for a name without a credential", plain, "gw-old", true},
		{"the shared token, for a name with one", plain, "gw-2", false},
		{"the shared token, as the one in this process", plain, "gw-local", false},
		{"another one", third, "gw-2", false},
		{"its holder, as another", own, "gw-old", false},
		{"a name without a credential, as its own", third, "gw-3", false},
	} {
		if got := beat(tc.bus, tc.name); got != tc.want {
			t.Errorf("%s: %v", tc.who, got)
		}
	}
	var v credentialView
	j.ok(200, "POST", "/points/gw-2/revoke", `{"reason":"r"}`, &v)
	if beat(own, "gw-2") || beat(plain, "gw-2") {
		t.Error("a revoked gateway has a lease")
	}
	var points pointList
	j.ok(200, "GET", "/points", "", &points)
	got := map[string]string{}
	for _, p := range points.Points {
		got[p.Name] = p.Credential
	}
	if want := map[string]string{"gw-2": "revoked", "gw-local": "local", "gw-old": "shared"}; len(got) != 3 || got["gw-2"] != want["gw-2"] || got["gw-local"] != want["gw-local"] || got["gw-old"] != want["gw-old"] {
		t.Error(got)
	}
	if !strings.Contains(j.logs.String(), "ALARM: somebody speaks in another gateway's name") {
		t.Error("no alarm")
	}
}

func TestRenewal(t *testing.T) {
	j := newJoiners(t)
	g, key := j.join(j.make("gw-2", ""))
	from, err := j.ca.Issued(credential.Identity{Role: credential.RoleControl}, nil)
	must(t, err)
	pool := j.ca.Pool()
	l, err := tls.Listen("tcp", "127.0.0.1:0", credential.Server(from, tls.VerifyClientCertIfGiven, func() *x509.CertPool { return pool }))
	must(t, err)
	srv := &http.Server{Handler: j.c.Handler(), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	go srv.Serve(l)
	defer srv.Close()
	renew := func(c *x509.Certificate, key *ecdsa.PrivateKey) (int, credential.Grant) {
		own := func() (*tls.Certificate, error) {
			if c == nil {
				return &tls.Certificate{}, nil
			}
			return &tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: key}, nil
		}
		tr := &http.Transport{TLSClientConfig: credential.Believed{CA: j.ca.Pool()}.Client(own, nil)}
		defer tr.CloseIdleConnections()
		resp, err := (&http.Client{Transport: tr}).Post("https://"+l.Addr().String()+api+"/join/renew", "application/json", strings.NewReader("{}"))
		if err != nil {
			return 0, credential.Grant{}
		}
		defer resp.Body.Close()
		var g credential.Grant
		data, _ := io.ReadAll(resp.Body)
		if resp.StatusCode == 200 {
			must(t, json.Unmarshal(data, &g))
		}
		return resp.StatusCode, g
	}
	status, next := renew(leaf(t, g), key)
	if status != 200 || next.Credential != "cr-1" || !leaf(t, next).PublicKey.(*ecdsa.PublicKey).Equal(&key.PublicKey) {
		t.Fatal(status, next.Credential)
	}
	if _, err := j.c.Admits(leaf(t, next)); err != nil {
		t.Error(err)
	}
	size := j.c.state.size // so soon after joining it is not written down
	for range 3 {
		renew(leaf(t, g), key)
	}
	if j.c.state.size != size {
		t.Error("the ledger can be filled by renewing")
	}
	if status, _ := renew(nil, nil); status != 403 {
		t.Errorf("without a certificate: %d", status)
	}
	other, err := credential.LoadOrCreateCA(filepath.Join(t.TempDir(), "other"), "other", time.Now)
	must(t, err)
	_, forged, err := other.Issue(credential.Identity{Role: credential.RoleGateway, Name: "gw-2", ID: "cr-1"}, key.Public(), nil)
	must(t, err)
	if status, _ := renew(forged, key); status != 0 {
		t.Errorf("a certificate of another authority: %d", status)
	}
	stolen, err := credential.NewKey()
	must(t, err)
	_, minted, err := j.ca.Current().Issue(credential.Identity{Role: credential.RoleGateway, Name: "gw-2", ID: "cr-1"}, stolen.Public(), nil)
	must(t, err)
	if status, _ := renew(minted, stolen); status != 403 {
		t.Errorf("another key: %d", status)
	}
	var v credentialView
	j.ok(200, "POST", "/points/gw-2/revoke", `{"reason":"r"}`, &v)
	if status, _ := renew(leaf(t, next), key); status != 403 {
		t.Errorf("a revoked one: %d", status)
	}
}

func TestJoinAnswersFitTheDocument(t *testing.T) {
	j := newJoiners(t)
	tok := j.make("gw-2", "")
	_, req := request(t)
	doc := document(t)
	for _, tc := range []struct{ method, path, template, body string }{
		{"POST", "/join", "/join", joinText("gw-2", tok.Secret, req)},
		{"POST", "/join-tokens", "/join-tokens", `{"gateway":"gw-2","hosts":["a.example.com"]}`},
		{"GET", "/join-tokens", "/join-tokens", ""},
		{"DELETE", "/join-tokens/jt-2?reason=r", "/join-tokens/{id}", ""},
		{"GET", "/credentials", "/credentials", ""},
		{"POST", "/points/gw-2/revoke", "/points/{name}/revoke", `{"reason":"r"}`},
		{"POST", "/join/renew", "/join/renew", "{}"},
	} {
		j.answerFits(doc, tc.method, tc.path, tc.template, tc.body)
	}
}

// Where operators come with certificates, a token alone lets nobody in, and a
// gateway's certificate is none of theirs. A gateway joins without one.
func TestOperatorsWithCertificates(t *testing.T) {
	j := newJoiners(t)
	tok := j.make("gw-2", "")
	j.c.cfg.ClientCerts = true
	j.bad(401, "unauthenticated", "GET", "/points", "")
	_, req := request(t)
	j.ok(201, "POST", "/join", joinText("gw-2", tok.Secret, req), nil)
	key, err := credential.NewKey()
	must(t, err)
	_, gateway, err := j.ca.Current().Issue(credential.Identity{Role: credential.RoleGateway, Name: "gw-2", ID: "cr-1"}, key.Public(), nil)
	must(t, err)
	for cert, want := range map[*x509.Certificate]bool{gateway: false, {Raw: []byte("an operator's")}: true} {
		r := &http.Request{TLS: &tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}, VerifiedChains: [][]*x509.Certificate{{cert}}}}
		if err := j.c.certified(r); (err == nil) != want {
			t.Errorf("%s: %v", cert.Subject, err)
		}
		r.TLS.VerifiedChains = nil
		if j.c.certified(r) == nil {
			t.Error("a certificate that was not verified counts")
		}
	}
}
