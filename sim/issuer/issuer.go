// Package issuer is a simulated OpenID Connect provider: a program that lets
// whoever asks log in as one of its people, for development, demonstrations and
// tests. It has no passwords and protects nobody.
//
// It promises to be strict where a client can be wrong (redirect address, PKCE
// with S256, one use of a code within a minute, the client's secret) and to be
// wrong on request: GET or POST /_sim/mode sets how the tokens that it issues from
// then on are bad (see Modes) and how far its clock is off. It speaks discovery,
// JWKS, the authorization code flow and the device authorization grant (RFC 8628).
//
// An Issuer is safe for concurrent use. What it keeps is bounded; the oldest is
// forgotten first.
package issuer

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Config says where an Issuer listens and whom it knows. The zero value is usable.
type Config struct {
	Listen string // host:port; default a free port on 127.0.0.1
	Client string // id of the one client that it knows; default "andon"
	Secret string // of the client; default "issuer-secret"
	People []Person
	Logger *slog.Logger     // nil discards
	Now    func() time.Time // default time.Now
}

// Person is somebody who can log in.
type Person struct {
	Name    string   // chosen at the log-in: ?user=NAME, or in the form
	Subject string   // default "sub-" and the name
	Groups  []string // the claim groups, and realm_access.roles
}

// DefaultPeople are those of `andon sim issuer`.
var DefaultPeople = []Person{
	{Name: "ann", Groups: []string{"andon-administrators"}},
	{Name: "bea", Groups: []string{"andon-commanders", "andon-approvers"}},
	{Name: "cem", Groups: []string{"andon-responders"}},
	{Name: "dan", Groups: []string{"andon-viewers"}},
	{Name: "eve", Groups: []string{"visitors"}},
}

// Issuer is a simulated OpenID Connect provider.
type Issuer struct {
	cfg      Config
	key      *ecdsa.PrivateKey
	other    *ecdsa.PrivateKey // that it does not publish
	server   *http.Server
	listener net.Listener
	done     chan struct{}

	mu      sync.Mutex
	people  map[string]Person
	mode    string
	skew    time.Duration
	codes   map[string]*code
	devices map[string]*device // by device code
}

// room is how many codes, and device log-ins, are kept.
const room = 10000

// New makes an Issuer with keys of its own.
func New(cfg Config) (*Issuer, error) {
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	if cfg.Client == "" {
		cfg.Client = "andon"
	}
	if cfg.Secret == "" {
		cfg.Secret = "issuer-secret"
	}
	if cfg.People == nil {
		cfg.People = DefaultPeople
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	i := &Issuer{cfg: cfg, people: map[string]Person{}, codes: map[string]*code{}, devices: map[string]*device{}, done: make(chan struct{})}
	for _, p := range cfg.People {
		i.Put(p)
	}
	var err error
	if i.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err == nil {
		i.other, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		return nil, fmt.Errorf("new issuer: %w", err)
	}
	return i, nil
}

// Put makes somebody known, or changes who they are.
func (i *Issuer) Put(p Person) {
	if p.Subject == "" {
		p.Subject = "sub-" + p.Name
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.people[p.Name] = p
}

// Start listens. It returns once the issuer can be reached.
func (i *Issuer) Start(ctx context.Context) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", i.cfg.Listen)
	if err != nil {
		return fmt.Errorf("start issuer: %w", err)
	}
	i.listener = l
	i.server = &http.Server{Handler: i.handler(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, WriteTimeout: time.Minute, MaxHeaderBytes: 64 << 10}
	go func() { // without it nobody reaches the issuer
		defer close(i.done)
		if err := i.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			i.cfg.Logger.Error("the issuer ended", "error", err)
		}
	}()
	return nil
}

// Stop ends what Start began; ctx bounds the wait.
func (i *Issuer) Stop(ctx context.Context) error {
	if i.server == nil {
		return nil
	}
	err := i.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, i.server.Close())
	}
	<-i.done
	return err
}

// URL is the issuer, as it stands in its tokens. It is known once started.
func (i *Issuer) URL() string { return "http://" + i.listener.Addr().String() }

// Client is the id and the secret of the one client that it knows.
func (i *Issuer) Client() (id, secret string) { return i.cfg.Client, i.cfg.Secret }

// now is the issuer's clock, wrong as it was set.
func (i *Issuer) now() time.Time { return i.cfg.Now().Add(i.skew) }

// SetMode makes the tokens bad in one way from now on, "" good, and the clock
// wrong by skew.
func (i *Issuer) SetMode(mode string, skew time.Duration) error {
	if _, ok := Modes[mode]; !ok {
		return fmt.Errorf("set mode: %q is none; there are %v", mode, modeNames())
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.mode, i.skew = mode, skew
	return nil
}
