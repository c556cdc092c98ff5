package app

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"andon/app/config"
	"andon/credential"
)

// site is a control plane with TLS on every listener, as `andon control` runs it.
type site struct {
	t   *testing.T
	cfg *config.Config
	a   *App
}

func newSite(t *testing.T) *site {
	t.Helper()
	c := config.Default()
	c.Data = t.TempDir()
	c.Control.Listen, c.Control.BusListen = "127.0.0.1:0", "127.0.0.1:0"
	c.Control.TLS.Mode, c.Control.BusTLS.Mode = "auto", "auto"
	s := &site{t: t, cfg: c}
	a, err := New(c, Control, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(bounded(t)); err != nil {
		t.Fatal(err)
	}
	s.a = a
	t.Cleanup(func() {
		if err := a.Stop(bounded(t)); err != nil {
			t.Error(err)
		}
	})
	return s
}

// call sends a request to the API, as a client with the file of authorities.
func (s *site) call(authorities, method, path, body string, out any) error {
	s.t.Helper()
	pool, err := credential.ReadPool(authorities)
	if err != nil {
		s.t.Fatal(err)
	}
	tr := &http.Transport{TLSClientConfig: credential.Believed{CA: pool, Others: pool}.Client(nil, nil), DisableKeepAlives: true}
	req, err := http.NewRequestWithContext(bounded(s.t), method, s.a.ControlURL()+"/api/v1"+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.a.OperatorToken)
	resp, err := (&http.Client{Transport: tr}).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s: %s", method, path, data)
	}
	if err == nil && out != nil {
		err = json.Unmarshal(data, out)
	}
	return err
}

func (s *site) ok(method, path, body string, out any) {
	s.t.Helper()
	if err := s.call(s.cfg.Layout().CA()+".crt", method, path, body, out); err != nil {
		s.t.Fatal(err)
	}
}

// gateway starts one, with a token or on what it has kept in its folder.
func (s *site) gateway(name, data string, join bool, log io.Writer) *App {
	s.t.Helper()
	c := config.Default()
	c.Data = data
	c.Gateway.Name, c.Gateway.Listen, c.Gateway.Admin = name, "127.0.0.1:0", "127.0.0.1:0"
	if join {
		var tok struct {
			Token string `json:"token"`
		}
		s.ok("POST", "/join-tokens", `{"gateway":"`+name+`"}`, &tok)
		c.Gateway.Join = tok.Token
	}
	a, err := New(c, Gateway, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		s.t.Fatal(err)
	}
	if err := a.Start(bounded(s.t)); err != nil {
		s.t.Fatal(err)
	}
	return a
}

func (s *site) stopGateway(a *App) {
	s.t.Helper()
	if err := a.Stop(bounded(s.t)); err != nil {
		s.t.Error(err)
	}
}

type loud struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *loud) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *loud) says(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.b.String(), text)
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not come about: " + what)
		}
	}
}

// Another authority takes the place of the installation's own, among programs as
// they run: listeners, gateways, clients with files.
func TestAnotherAuthorityTakesThePlace(t *testing.T) {
	s := newSite(t)
	crt := s.cfg.Layout().CA() + ".crt"
	old := filepath.Join(t.TempDir(), "old.crt")
	pool := s.a.ca.PEM()
	if err := credential.WriteFile(old, pool, 0o644); err != nil {
		t.Fatal(err)
	}
	here, away := t.TempDir(), t.TempDir()
	one := s.gateway("gw-1", here, true, io.Discard)
	s.stopGateway(s.gateway("gw-2", away, true, io.Discard))
	s.ok("PUT", "/password", `{"password":"correct horse battery staple"}`, nil)
	s.ok("POST", "/step-up", `{"password":"correct horse battery staple"}`, nil)
	type list struct {
		Authorities []struct {
			Fingerprint string   `json:"fingerprint"`
			State       string   `json:"state"`
			Gateways    []string `json:"gateways"`
		} `json:"authorities"`
	}
	var is list
	s.ok("POST", "/ca/rotate", `{"reason":"yearly","issues_in":"0s"}`, &is)
	first := is.Authorities[0].Fingerprint
	if err := s.call(old, "GET", "/points", "", nil); err != nil {
		t.Fatal("a client with the first one alone is out already:", err)
	}
	s.stopGateway(one) // it asks as it starts, and each minute
	one = s.gateway("gw-1", here, false, io.Discard)
	defer func() { s.stopGateway(one) }()
	eventually(t, "gw-1 goes over", func() bool {
		s.ok("GET", "/ca", "", &is)
		return len(is.Authorities) == 2 && fmt.Sprint(is.Authorities[0].Gateways, is.Authorities[1].Gateways) == "[gw-2] [gw-1]"
	})
	s.ok("POST", "/ca/"+first+"/withdraw", `{"reason":"over","cut_off":true}`, nil)
	if err := s.call(old, "GET", "/points", "", nil); err == nil || !strings.Contains(err.Error(), credential.ErrAuthority.Error()) {
		t.Error("a client with the first one alone:", err)
	}
	if err := s.call(crt, "GET", "/points", "", nil); err != nil {
		t.Error(err)
	}
	var log loud
	two := s.gateway("gw-2", away, false, &log)
	eventually(t, "gw-2 says what to do", func() bool { return log.says("andon join-token add --gateway gw-2") })
	s.stopGateway(two)
	two = s.gateway("gw-2", away, true, &log)
	s.stopGateway(two)
	s.stopGateway(one)
	one = s.gateway("gw-1", here, false, io.Discard)
}

// A few hundred connections that never finish their handshake, on every listener:
// commands, the status, and the handshakes of others go on.
func TestHalfOpenHandshakes(t *testing.T) {
	s := newSite(t)
	gw := s.gateway("gw-1", t.TempDir(), true, io.Discard)
	defer s.stopGateway(gw)
	const each = 150
	var held []net.Conn
	defer func() {
		for _, c := range held {
			c.Close()
		}
	}()
	hello := clientHello(t)
	for _, addr := range []string{s.a.control.Addr(), s.a.server.Addr()} {
		for i := range each {
			c, err := net.DialTimeout("tcp", addr, 10*time.Second)
			if err != nil {
				t.Fatal(addr, i, err)
			}
			held = append(held, c)
			switch i % 3 { // nothing; half a hello; a whole one, and no answer to what comes
			case 1:
				c.Write(hello[:len(hello)/2])
			case 2:
				c.Write(hello)
			}
		}
	}
	var points struct {
		Points []struct{ Name, State string } `json:"points"`
	}
	s.ok("GET", "/points", "", &points)
	s.ok("POST", "/corrections", `{"kind":"stop","params":{"level":"L3"},"scope":{"all":true},"reason":"drill","fallback":"none"}`, nil)
	another := s.gateway("gw-2", t.TempDir(), true, io.Discard) // which dials both
	defer s.stopGateway(another)
	s.ok("GET", "/ca", "", nil)
}

// clientHello is what a client says first.
func clientHello(t *testing.T) []byte {
	t.Helper()
	ours, theirs := net.Pipe()
	go tls.Client(theirs, &tls.Config{InsecureSkipVerify: true}).Handshake() // it fails as the pipe is closed
	defer ours.Close()
	b := make([]byte, 4096)
	n, err := ours.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return b[:n]
}
