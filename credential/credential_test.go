package credential

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func newCA(t *testing.T, now func() time.Time) *CA {
	t.Helper()
	if now == nil {
		now = time.Now
	}
	ca, err := LoadOrCreateCA(filepath.Join(t.TempDir(), "ca"), "test", now)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func TestTheAuthorityIsMadeOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ca")
	prints := make([]string, 16)
	var wg sync.WaitGroup
	for i := range prints {
		wg.Go(func() {
			ca, err := LoadOrCreateCA(file, "test", time.Now)
			if err != nil {
				t.Error(err)
				return
			}
			prints[i] = Fingerprint(ca.Certificate())
		})
	}
	wg.Wait()
	for _, p := range prints {
		if p != prints[0] {
			t.Fatal("two authorities were made")
		}
	}
	st, err := os.Stat(file)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Fatal(st.Mode(), err)
	}
	public, err := os.ReadFile(file + ".crt")
	if err != nil || strings.Contains(string(public), "PRIVATE") {
		t.Fatal(err)
	}
	if _, err := ReadPool(file + ".crt"); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadPool(file); err == nil || !strings.Contains(err.Error(), "private key") {
		t.Errorf("a private key was taken for certificates: %v", err)
	}
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadOrCreateCA(file, "test", time.Now); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a key that others can read was taken: %v", err)
	}
	for _, damage := range []string{"", "nonsense", string(public)} {
		if err := os.WriteFile(file, []byte(damage), 0o600); err != nil {
			t.Fatal(err)
		}
		os.Chmod(file, 0o600)
		if _, err := LoadOrCreateCA(file, "test", time.Now); err == nil {
			t.Errorf("a damaged authority was taken, or replaced: %q", damage)
		}
	}
}

// serve accepts handshakes, and returns the address.
func serve(t *testing.T, c *tls.Config) string {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				conn.(*tls.Conn).Handshake()
				conn.Write([]byte("."))
				conn.Close()
			}()
		}
	}()
	return l.Addr().String()
}

func dial(addr string, c *tls.Config) (*tls.ConnectionState, error) {
	conn, err := tls.Dial("tcp", addr, c)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if _, err := conn.Read(make([]byte, 1)); err != nil { // TLS 1.3 tells a client of a refusal no sooner
		return nil, err
	}
	s := conn.ConnectionState()
	return &s, nil
}

func TestWhoPassesForTheControlPlane(t *testing.T) {
	ca, other := newCA(t, nil), newCA(t, nil)
	source := func(ca *CA, id Identity, hosts ...string) Source {
		s, err := NewIssued(ca, id, hosts)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	control := Identity{Role: RoleControl}
	for _, tc := range []struct {
		name string
		from Source
		b    Believed
		want string // in the error; "": it passes
	}{
		{"its role", source(ca, control), Believed{CA: ca.Pool()}, ""},
		{"pinned", source(ca, control), Believed{Pin: Fingerprint(ca.Certificate())}, ""},
		{"another authority", source(other, control, "127.0.0.1"), Believed{CA: ca.Pool()}, "unknown authority"},
		{"another authority, pinned", source(other, control, "127.0.0.1"), Believed{Pin: Fingerprint(ca.Certificate())}, "none of its certificates has the fingerprint"},
		{"a gateway", source(ca, Identity{RoleGateway, "gw-1", "cr-1"}, "127.0.0.1"), Believed{CA: ca.Pool(), Others: ca.Pool()}, "that of gateway gw-1"},
		{"a gateway's listener", source(ca, Identity{RoleGateway, "gw-1", ""}, "127.0.0.1"), Believed{CA: ca.Pool(), Others: ca.Pool()}, "that of gateway gw-1"},
		{"a gateway, pinned", source(ca, Identity{RoleGateway, "gw-1", "cr-1"}, "127.0.0.1"), Believed{Pin: Fingerprint(ca.Certificate())}, "that of gateway gw-1"},
		{"nobody is believed but the system's", source(ca, control, "127.0.0.1"), Believed{}, "unknown authority"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var chain []*x509.Certificate
			_, err := dial(serve(t, Server(tc.from, tls.NoClientCert, nil)), tc.b.Client(nil, func(c []*x509.Certificate) { chain = c }))
			if tc.want == "" && (err != nil || len(chain) != 2) || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("%v, want %q; chain of %d", err, tc.want, len(chain))
			}
		})
	}
}

func TestHolder(t *testing.T) {
	now := time.Now()
	clock := func() time.Time { return now }
	ca, other := newCA(t, clock), newCA(t, clock)
	issue := func(ca *CA, id Identity) *x509.Certificate {
		key, err := NewKey()
		if err != nil {
			t.Fatal(err)
		}
		_, leaf, err := ca.Issue(id, key.Public(), nil)
		if err != nil {
			t.Fatal(err)
		}
		return leaf
	}
	gw := Identity{RoleGateway, "gw-1", "cr-1"}
	good := issue(ca, gw)
	all := &Authorities{now: clock}
	all.set.Store((&authorities{current: ca}).ready())
	if id, by, err := all.Holder(good); err != nil || id != gw || by != Fingerprint(ca.Certificate()) {
		t.Fatal(id, by, err)
	}
	for name, c := range map[string]*x509.Certificate{
		"another authority":  issue(other, gw),
		"the control plane":  issue(ca, Identity{Role: RoleControl}),
		"a listener":         issue(ca, Identity{RoleGateway, "gw-1", ""}),
		"a name that is two": issue(ca, Identity{RoleGateway, "gw-1/cr-9", "cr-1"}),
		"the authority":      ca.Certificate(),
	} {
		if id, _, err := all.Holder(c); err == nil {
			t.Errorf("%s passes as %v", name, id)
		}
	}
	// A clock that is wrong by less than a day keeps nobody out; the end does.
	start := now
	for _, tc := range []struct {
		d  time.Duration
		ok bool
	}{{-23 * time.Hour, true}, {-25 * time.Hour, false}, {LeafLife - time.Hour, true}, {LeafLife + time.Hour, false}} {
		now = start.Add(tc.d)
		if _, _, err := all.Holder(good); (err == nil) != tc.ok {
			t.Errorf("%s: %v", tc.d, err)
		} else if !tc.ok && !strings.Contains(err.Error(), "clock") {
			t.Errorf("%s: %v says nothing of clocks", tc.d, err)
		}
	}
}

func TestOfNeverMistakes(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var uris []*url.URL
		for range rapid.IntRange(0, 3).Draw(r, "uris") {
			u, err := url.Parse(rapid.StringMatching(`(andon|x)://(control|gateway|other)(/[a-z%2F.]{0,5}){0,3}(\?q)?`).Draw(r, "uri"))
			if err != nil {
				continue
			}
			uris = append(uris, u)
		}
		id, err := Of(&x509.Certificate{URIs: uris})
		if err != nil {
			return
		}
		n := 0
		for _, u := range uris {
			if u.Scheme == "andon" {
				n++
				if u.String() != id.uri().String() {
					t.Fatalf("%s became %v", u, id)
				}
			}
		}
		if n != 1 || id.Role == RoleGateway && !NameValid(id.Name) || id.Role == RoleControl && id.Name != "" && id.uri().String() == "andon://control" {
			t.Fatalf("%v of %v", id, uris)
		}
	})
}

func TestFilesAreReadAgain(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	ca := newCA(t, nil)
	put := func(host string) {
		t.Helper()
		k, err := NewKey()
		if err != nil {
			t.Fatal(err)
		}
		chain, _, err := ca.Issue(Identity{Role: RoleControl}, k.Public(), []string{host})
		if err != nil {
			t.Fatal(err)
		}
		text, err := encodeKey(k)
		if err != nil {
			t.Fatal(err)
		}
		for name, data := range map[string][]byte{cert: chain, key: text} {
			if err := WriteFile(name, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	put("one")
	var mu sync.Mutex
	var alarms []string
	f, err := LoadFiles(cert, key, func(err error) { mu.Lock(); alarms = append(alarms, err.Error()); mu.Unlock() })
	if err != nil {
		t.Fatal(err)
	}
	host := func() string {
		c, err := f.Certificate()
		if err != nil {
			t.Fatal(err)
		}
		return c.Leaf.DNSNames[0]
	}
	later := func() { f.w.next.Store(0) } // a second has passed
	if host() != "one" || f.Pin() != Fingerprint(ca.Certificate()) {
		t.Fatal(host(), f.Pin())
	}
	put("two")
	later()
	if host() != "two" {
		t.Fatal("a new certificate was not taken up")
	}
	// A bad one leaves what was there, is told once, and is taken up when it is good.
	if err := os.WriteFile(cert, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		later()
		if host() != "two" {
			t.Fatal("a bad file took the certificate away")
		}
	}
	if err := os.Remove(cert); err != nil {
		t.Fatal(err)
	}
	later()
	if host() != "two" {
		t.Fatal("a missing file took the certificate away")
	}
	put("three")
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	later()
	if host() != "two" {
		t.Fatal("a key that others can read was taken up")
	}
	put("four")
	later()
	if host() != "four" {
		t.Fatal("a good file was not taken up after a bad one")
	}
	mu.Lock()
	defer mu.Unlock()
	if len(alarms) != 3 {
		t.Errorf("%d alarms: %q", len(alarms), alarms)
	}
	for _, a := range alarms {
		if !strings.HasPrefix(a, "what is in force goes on: ") {
			t.Error(a)
		}
	}
	if _, err := LoadFiles(filepath.Join(dir, "none"), key, nil); err == nil {
		t.Error("a missing certificate was loaded")
	}
}

func TestCertificatesAreIssuedAnewInTime(t *testing.T) {
	now := time.Now()
	ca := newCA(t, func() time.Time { return now })
	s, err := NewIssued(ca, Identity{Role: RoleControl}, nil)
	if err != nil {
		t.Fatal(err)
	}
	first, _ := s.Certificate()
	now = now.Add(LeafLife/3 - time.Hour)
	if c, _ := s.Certificate(); c != first {
		t.Error("issued anew too early")
	}
	now = now.Add(2 * time.Hour)
	second, _ := s.Certificate()
	if second == first || second.Leaf.NotAfter.Sub(now) < LeafLife-time.Hour {
		t.Error("not issued anew")
	}
	now = now.Add(-LeafLife / 3) // the clock was set back: the certificate would be of the future
	if c, _ := s.Certificate(); c == second || now.Before(c.Leaf.NotBefore) {
		t.Error("a certificate of the future is presented")
	}
}

func TestTokens(t *testing.T) {
	tok := NewToken("https://control:7070", strings.Repeat("ab", 32), "gw-2")
	text, err := tok.Text()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ParseToken(" " + text + "\n"); err != nil || got != tok {
		t.Fatal(got, err)
	}
	if s := fmt.Sprintf("%v %+v %#v %s", tok, tok, tok, tok); strings.Contains(s, tok.Secret) {
		t.Error("the secret is shown:", s)
	}
	for name, bad := range map[string]string{"nothing": "", "another kind": "op_x", "cut short": text[:len(text)-7], "longer": text + "x", "huge": tokenPrefix + strings.Repeat("a", 1<<16)} {
		if _, err := ParseToken(bad); err == nil || strings.Contains(err.Error(), "secret") && strings.Contains(err.Error(), tok.Secret) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, change := range map[string]func(*Token){
		"plaintext": func(t *Token) { t.Control = "http://control:7070" }, "path": func(t *Token) { t.Control += "/x" }, "user": func(t *Token) { t.Control = "https://u:p@h" },
		"pin": func(t *Token) { t.Pin = "ab" }, "name": func(t *Token) { t.Gateway = "a.b" }, "secret": func(t *Token) { t.Secret = "short" },
	} {
		bad := tok
		change(&bad)
		text, err := bad.Text()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseToken(text); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	text, err := NewToken("https://control:7070", strings.Repeat("ab", 32), "gw-2").Text()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add("aj1_e30")
	f.Fuzz(func(t *testing.T, text string) {
		tok, err := ParseToken(text)
		if err != nil {
			return
		}
		again, err := tok.Text()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := ParseToken(again); err != nil || back != tok || !NameValid(tok.Gateway) || !strings.HasPrefix(tok.Control, "https://") {
			t.Fatal(tok.Control, err)
		}
	})
}

func FuzzReadRequest(f *testing.F) {
	key, err := NewKey()
	if err != nil {
		f.Fatal(err)
	}
	text, err := NewRequest(key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(text + text)
	f.Add("-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----\n")
	f.Fuzz(func(t *testing.T, text string) {
		if r, err := ReadRequest(text); err == nil && r.PublicKey == nil {
			t.Fatal("a request without a key")
		}
	})
}

func TestJoinedIsKeptAndChecked(t *testing.T) {
	ca := newCA(t, nil)
	dir := filepath.Join(t.TempDir(), "gw-2")
	key, err := OpenKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := OpenKey(dir); err != nil || !again.Equal(key) {
		t.Fatal("another key", err)
	}
	tok := NewToken("https://control:7070", Fingerprint(ca.Certificate()), "gw-2")
	grant := func(id Identity, public any) Grant {
		chain, _, err := ca.Issue(id, public, nil)
		if err != nil {
			t.Fatal(err)
		}
		return Grant{Gateway: "gw-2", Credential: "cr-1", Certificate: string(chain), CA: string(ca.PEM()), Control: tok.Control, Bus: "tls://control:4222", Lease: "15s"}
	}
	foreign, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	mine := Identity{RoleGateway, "gw-2", "cr-1"}
	for name, g := range map[string]Grant{
		"another key":        grant(mine, foreign.Public()),
		"another name":       grant(Identity{RoleGateway, "gw-3", "cr-1"}, key.Public()),
		"another credential": grant(Identity{RoleGateway, "gw-2", "cr-2"}, key.Public()),
		"no gateway":         grant(Identity{Role: RoleControl}, key.Public()),
		"nothing":            {},
	} {
		if _, err := Keep(dir, g, key, tok, nil); err == nil {
			t.Errorf("%s was taken", name)
		}
		if HasJoined(dir) {
			t.Fatalf("%s was kept", name)
		}
	}
	if _, err := Keep(dir, grant(mine, key.Public()), key, tok, []*x509.Certificate{ca.Certificate()}); err != nil {
		t.Fatal(err)
	}
	j, err := OpenJoined(dir)
	if err != nil || !j.By(tok) || j.Grant().Bus != "tls://control:4222" {
		t.Fatal(err)
	}
	before, _ := j.Certificate()
	if err := j.Renewed(grant(mine, foreign.Public())); err == nil {
		t.Error("a certificate for another key was taken")
	}
	if now, _ := j.Certificate(); now != before {
		t.Error("the certificate was lost")
	}
	if err := j.Renewed(grant(mine, key.Public())); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{joinedFile, keyFile} {
		name := filepath.Join(dir, f)
		if st, err := os.Stat(name); err != nil || st.Mode().Perm() != 0o600 {
			t.Error(f, st.Mode(), err)
		}
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(data), tok.Secret) {
			t.Error("the token's secret was kept")
		}
		if err := os.WriteFile(name, data[:len(data)/2], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenJoined(dir); err == nil {
			t.Errorf("%s was taken half", f)
		}
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := OpenJoined(dir); err != nil {
		t.Fatal(err)
	}
}

func TestClientAuthoritiesAreReadAgain(t *testing.T) {
	one, two := newCA(t, nil), newCA(t, nil)
	file := filepath.Join(t.TempDir(), "clients.pem")
	if err := os.WriteFile(file, one.PEM(), 0o644); err != nil {
		t.Fatal(err)
	}
	pool, err := WatchPool(file, func(error) {})
	if err != nil {
		t.Fatal(err)
	}
	from, err := NewIssued(one, Identity{Role: RoleControl}, []string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	addr := serve(t, Server(from, tls.RequireAndVerifyClientCert, pool))
	try := func(ca *CA) error {
		key, err := NewKey()
		if err != nil {
			t.Fatal(err)
		}
		_, leaf, err := ca.Issue(Identity{RoleGateway, "gw-1", "cr-1"}, key.Public(), nil)
		if err != nil {
			t.Fatal(err)
		}
		own := func() (*tls.Certificate, error) {
			return &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key}, nil
		}
		_, err = dial(addr, Believed{CA: one.Pool()}.Client(own, nil))
		return err
	}
	if err := try(one); err != nil {
		t.Fatal(err)
	}
	if try(two) == nil {
		t.Fatal("a client of another authority was let in")
	}
	if _, err := dial(addr, Believed{CA: one.Pool()}.Client(nil, nil)); err == nil {
		t.Fatal("a client without a certificate was let in")
	}
	if err := os.WriteFile(file, two.PEM(), 0o644); err != nil {
		t.Fatal(err)
	}
	var in error
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if in = try(two); in == nil {
			break
		}
	}
	if in != nil || try(one) == nil {
		t.Errorf("the new authorities were not taken up: %v", in)
	}
}
