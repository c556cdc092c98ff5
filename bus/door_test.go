package bus

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// authority issues certificates for tests of who is let in.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c, err = x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{c, key}
}

func (a *authority) issue(t *testing.T, name string, ends time.Time) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: ends, DNSNames: []string{"bus"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// guarded is a bus that lets parties in by certificate, and others by a token.
type guarded struct {
	*testing.T
	ca      *authority
	server  *Server
	control *Bus
	shut    atomic.Pointer[string] // a name that is not let in
}

func newGuarded(t *testing.T, optional bool) *guarded {
	g := &guarded{T: t, ca: newAuthority(t)}
	cert := g.ca.issue(t, "bus", time.Now().Add(time.Hour))
	var err error
	g.server, err = Embedded(Options{
		Listen: "127.0.0.1:0", Token: "shared", Optional: optional,
		TLS:    &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: g.ca.pool(), ClientAuth: tls.VerifyClientCertIfGiven, MinVersion: tls.VersionTLS13},
		Shared: &Permissions{Publish: []string{"x.beat", "_INBOX.>"}, Subscribe: []string{"x.order", "x.ask", "_INBOX.*.*"}, Deaf: []string{"_INBOX.control.>", "_INBOX.*.*.>"}},
		Own: func(c *x509.Certificate) (string, Permissions, error) {
			name := c.Subject.CommonName
			if s := g.shut.Load(); s != nil && *s == name {
				return "", Permissions{}, errors.New("revoked")
			}
			return name, Permissions{Publish: []string{"x.beat." + name, "_INBOX.control.*." + name}, Subscribe: []string{"x.order", "x.ask", "_INBOX." + name + ".>"}}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.server.Close)
	if g.control, err = g.server.Connect("control"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.control.Close)
	return g
}

func (g *guarded) config(cert ...tls.Certificate) *tls.Config {
	return &tls.Config{RootCAs: g.ca.pool(), ServerName: "bus", Certificates: cert}
}

func (g *guarded) own(name string) *Bus {
	g.Helper()
	b, err := DialAs(g.server.URL(), "gateway "+name, name, g.config(g.ca.issue(g.T, name, time.Now().Add(time.Hour))))
	if err != nil {
		g.Fatal(err)
	}
	g.Cleanup(b.Close)
	return b
}

// patience is for what has to come, however slow the machine is.
const patience = 30 * time.Second

// connected waits for the connection; false: it did not come to be.
func connected(b *Bus, within time.Duration) bool {
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if b.Connected() {
			return true
		}
	}
	return false
}

// cutOff waits until the connection stands no more: a gap may be told of before.
func cutOff(t *testing.T, b *Bus) {
	t.Helper()
	for end := time.Now().Add(2 * patience); b.Connected(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the connection stands")
		}
	}
}

func TestOwnNames(t *testing.T) {
	g := newGuarded(t, false)
	heard := make(chan string, 64)
	for _, s := range []string{"x.beat", "x.beat.*", "x.order", "x.order.*"} {
		subscribe(t, g.control, s, func(m Msg) { heard <- m.Subject + " " + string(m.Data) })
	}
	a, b := g.own("a"), g.own("b")
	if !connected(a, patience) || !connected(b, patience) {
		t.Fatal("a good certificate is not let in")
	}
	if err := a.Publish("x.beat", []byte("mine")); err != nil {
		t.Fatal(err)
	}
	if s := wait(t, heard); s != "x.beat.a mine" {
		t.Fatal(s)
	}
	// What a party may not say arrives nowhere: in another's name, on the plain
	// subject, as the control plane, as an answer to another's question.
	sneak := func(subject string) {
		t.Helper()
		if err := a.nc.Publish(subject, []byte("forged")); err != nil {
			t.Fatal(err)
		}
		if err := a.nc.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	answered := make(chan string, 8)
	subscribe(t, b, "x.order", func(m Msg) { answered <- string(m.Data) })
	for _, s := range []string{"x.beat.b", "x.beat", "x.order", "x.order.a", "x.order.b", "_INBOX.b.1", "_INBOX.control.1", "_INBOX.control.1.b"} {
		sneak(s)
	}
	if err := a.Publish("x.beat", []byte("after")); err != nil {
		t.Fatal(err)
	}
	if s := wait(t, heard); s != "x.beat.a after" {
		t.Fatalf("it was heard: %s", s)
	}
	if len(answered) != 0 {
		t.Fatal("a gateway gave an order")
	}
	// Nor may it listen to what is for others.
	for _, s := range []string{"x.beat.b", ">", "_INBOX.b.>", "_INBOX.>"} {
		sub, err := a.nc.SubscribeSync(s)
		if err != nil {
			t.Fatal(err)
		}
		a.nc.Flush()
		g.control.nc.Publish("_INBOX.b.1", []byte("secret"))
		b.Publish("x.beat", []byte("private"))
		wait(t, heard)
		if m, err := sub.NextMsg(50 * time.Millisecond); err == nil {
			t.Errorf("%s was overheard: %s on %s", s, m.Data, m.Subject)
		}
	}
}

func TestAnswersCarryTheNameOfWhoAnswers(t *testing.T) {
	g := newGuarded(t, false)
	for _, name := range []string{"a", "b"} {
		b := g.own(name)
		if !connected(b, patience) {
			t.Fatal("not let in")
		}
		subscribe(t, b, "x.ask", func(m Msg) { m.Respond([]byte("from " + name)) })
	}
	got, err := g.control.Gather(ctx(t), "x.ask", nil, 2)
	if err != nil || len(got) != 2 {
		t.Fatalf("%v %v", got, err)
	}
	for _, a := range got {
		if string(a.Data) != "from "+a.From {
			t.Errorf("%q said %q", a.From, a.Data)
		}
	}
	// And their own questions are answered.
	subscribe(t, g.control, "x.beat.*", func(m Msg) { m.Respond([]byte("lease")) })
	b := g.own("c")
	if !connected(b, patience) {
		t.Fatal("not let in")
	}
	if answer, err := b.Request(ctx(t), "x.beat", nil); err != nil || string(answer) != "lease" {
		t.Fatalf("%q %v", answer, err)
	}
}

func TestWhoIsKeptOut(t *testing.T) {
	g := newGuarded(t, false)
	stranger := newAuthority(t)
	for name, cert := range map[string]tls.Certificate{
		"another authority": stranger.issue(t, "a", time.Now().Add(time.Hour)),
		"expired":           g.ca.issue(t, "a", time.Now().Add(-time.Minute)),
	} {
		b, err := DialAs(g.server.URL(), name, "a", g.config(cert))
		if err != nil {
			t.Fatal(err)
		}
		if connected(b, 700*time.Millisecond) {
			t.Errorf("%s: let in", name)
		}
		b.Close()
	}
	for name, dial := range map[string]func() (*Bus, error){
		"neither":     func() (*Bus, error) { return DialTLS(g.server.URL(), "x", "", g.config()) },
		"wrong token": func() (*Bus, error) { return DialTLS(g.server.URL(), "x", "other", g.config()) },
		"plaintext":   func() (*Bus, error) { return Dial("nats://"+g.server.Addr(), "x", "shared") },
		"a server of another name": func() (*Bus, error) {
			return DialTLS(g.server.URL(), "x", "shared", &tls.Config{RootCAs: g.ca.pool(), ServerName: "else"})
		},
	} {
		b, err := dial()
		if err != nil {
			continue // refused at once
		}
		if connected(b, 700*time.Millisecond) {
			t.Errorf("%s: let in", name)
		}
		b.Close()
	}
	b, err := DialTLS(g.server.URL(), "x", "shared", g.config())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if !connected(b, patience) {
		t.Fatal("the shared token is not let in")
	}
}

// On a listener that takes both, a client that wants TLS gets it or nothing, and one
// with the token may come in plaintext.
func TestOptionalTLS(t *testing.T) {
	g := newGuarded(t, true)
	b := dial(t, g.server.URL(), "x", "shared")
	if !b.Connected() {
		t.Fatal("plaintext is not let in")
	}
	if a := g.own("a"); !connected(a, patience) {
		t.Fatal("TLS is not let in")
	}
	plain, err := Embedded(Options{Listen: "127.0.0.1:0", Token: "shared"})
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	if c, err := DialTLS(plain.URL(), "x", "shared", g.config()); err == nil {
		if connected(c, 700*time.Millisecond) {
			t.Error("a server without TLS was taken for one with it")
		}
		c.Close()
	}
}

func TestDisconnect(t *testing.T) {
	g := newGuarded(t, false)
	a, b := g.own("a"), g.own("b")
	if !connected(a, patience) || !connected(b, patience) {
		t.Fatal("not let in")
	}
	got := make(chan string, 8)
	subscribe(t, a, "x.order", func(m Msg) { got <- string(m.Data) })
	gone, stays := make(chan struct{}, 1), make(chan error, 8)
	a.OnGap(func(error) {
		select {
		case gone <- struct{}{}:
		default:
		}
	})
	b.OnGap(func(err error) { stays <- err })
	name := "a"
	g.shut.Store(&name)
	g.server.Disconnect("a")
	wait(t, gone)
	cutOff(t, a)
	if err := g.control.Publish("x.order", []byte("secret")); err != nil {
		t.Fatal(err)
	}
	if err := g.control.Flush(ctx(t)); err != nil {
		t.Fatal(err)
	}
	if connected(a, time.Second) {
		t.Error("it came back")
	}
	if len(got) > 0 || len(stays) > 0 || !b.Connected() {
		t.Errorf("heard %d after it was shut out; the other one: %d gaps", len(got), len(stays))
	}
}

// A connection ends with the certificate that it came in by.
func TestAConnectionEndsWithItsCertificate(t *testing.T) {
	g := newGuarded(t, false)
	var b *Bus
	for life := 3 * time.Second; ; life *= 2 { // a slow machine takes longer than that to come in
		var err error
		if b, err = DialAs(g.server.URL(), "a", "a", g.config(g.ca.issue(t, "a", time.Now().Add(life)))); err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		if connected(b, life) {
			break
		}
		if life > patience {
			t.Fatal("not let in")
		}
	}
	cutOff(t, b)
	if connected(b, time.Second) {
		t.Error("let in by a certificate that has ended")
	}
}

// A name that is shut out while many of it come in is out at the end, every time.
func TestNobodySlipsInWhileANameIsShutOut(t *testing.T) {
	g := newGuarded(t, false)
	cert := g.ca.issue(t, "a", time.Now().Add(time.Hour))
	all := make([]*Bus, 24)
	for i := range all {
		b, err := DialAs(g.server.URL(), "a", "a", g.config(cert))
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		all[i] = b
		if i == len(all)/2 {
			name := "a"
			g.shut.Store(&name)
			g.server.Disconnect("a")
		}
	}
	end, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		n := 0
		for _, b := range all {
			if b.Connected() {
				n++
			}
		}
		if z := g.server.door.of(g.server.ns, "a"); n == 0 && len(z) == 0 {
			return
		}
		if end.Err() != nil {
			t.Fatalf("%d are in", n)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestAnswersGoToInboxesAlone: who asks says where the answer goes, and may not
// have it delivered as an order, or to somebody else.
func TestAnswersGoToInboxesAlone(t *testing.T) {
	g := newGuarded(t, false)
	failed := make(chan error, 8)
	for _, s := range []string{"x.beat", "x.beat.*"} {
		subscribe(t, g.control, s, func(m Msg) { failed <- m.Respond([]byte("lease")) })
	}
	heard := make(chan string, 8)
	a, b := g.own("a"), g.own("b")
	shared, err := DialTLS(g.server.URL(), "old", "shared", g.config())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(shared.Close)
	for _, c := range []*Bus{a, b, shared} {
		if !connected(c, patience) {
			t.Fatal("not let in")
		}
		subscribe(t, c, "x.order", func(m Msg) { heard <- string(m.Data) })
		if err := c.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	subscribe(t, b, "_INBOX.b.x", func(m Msg) { heard <- string(m.Data) })
	if err := b.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		from    *Bus
		subject string
		reply   string
		good    bool
	}{
		{a, "x.beat.a", "x.order", false}, {a, "x.beat.a", "_INBOX.b.x", false}, {a, "x.beat.a", "_INBOX.ab.x", false}, {a, "x.beat.a", "_INBOX.a.x", true},
		{shared, "x.beat", "x.order", false}, {shared, "x.beat", "_INBOX.q.r", true},
	} {
		if err := c.from.nc.PublishRequest(c.subject, c.reply, []byte("b")); err != nil {
			t.Fatal(err)
		}
		if err := <-failed; (err == nil) != c.good {
			t.Errorf("asked on %s for an answer at %s: %v", c.subject, c.reply, err)
		}
	}
	if err := g.control.Publish("x.order", []byte("end")); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if s := wait(t, heard); s != "end" {
			t.Errorf("an answer was delivered as %q", s)
		}
	}
}

// TestNobodyCrowdsOutOthers: one party's answers count once, however many it sends.
func TestNobodyCrowdsOutOthers(t *testing.T) {
	g := newGuarded(t, false)
	for name, n := range map[string]int{"a": 50, "b": 1} {
		b := g.own(name)
		if !connected(b, patience) {
			t.Fatal("not let in")
		}
		subscribe(t, b, "x.ask", func(m Msg) {
			if name == "b" {
				time.Sleep(100 * time.Millisecond)
			}
			for range n {
				m.Respond([]byte("from " + name))
			}
		})
		if err := b.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	answers, err := g.control.Gather(ctx, "x.ask", nil, 2)
	if err != nil || len(answers) != 2 || answers[0].From == answers[1].From {
		t.Errorf("%v, %v", answers, err)
	}
}

// TestTheSharedTokenHearsNoAnswers that are not for those who come with it.
func TestTheSharedTokenHearsNoAnswers(t *testing.T) {
	g := newGuarded(t, false)
	shared, err := DialTLS(g.server.URL(), "old", "shared", g.config())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(shared.Close)
	b := g.own("b")
	if !connected(b, patience) || !connected(shared, patience) {
		t.Fatal("not let in")
	}
	var stolen atomic.Int32
	for _, s := range []string{"_INBOX.>", "_INBOX.*.*", "_INBOX.*.*.*", "_INBOX.control.*", "_INBOX.b.>"} {
		if _, err := shared.nc.Subscribe(s, func(m *nats.Msg) {
			if string(m.Data) != "yours" {
				t.Errorf("%s brought %s", s, m.Subject)
				stolen.Add(1)
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	subscribe(t, b, "x.ask", func(m Msg) { m.Respond([]byte("secret")) })
	subscribe(t, g.control, "x.beat", func(m Msg) { m.Respond([]byte("yours")) })
	subscribe(t, g.control, "x.beat.*", func(m Msg) { m.Respond([]byte("secret")) })
	for _, c := range []*Bus{b, shared, g.control} {
		if err := c.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if answers, err := g.control.Gather(ctx, "x.ask", nil, 1); err != nil || len(answers) != 1 {
		t.Fatal(answers, err)
	}
	if _, err := b.Request(ctx, "x.beat", nil); err != nil {
		t.Fatal(err)
	}
	if err := shared.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	if n := stolen.Load(); n != 0 {
		t.Errorf("it has heard %d answers of others", n)
	}
	if data, err := shared.Request(ctx, "x.beat", nil); err != nil || string(data) != "yours" {
		t.Errorf("its own answer: %q, %v", data, err)
	}
}
