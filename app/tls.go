package app

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"time"

	"andon/app/config"
	"andon/bus"
	"andon/control"
	"andon/credential"
	"andon/order"
)

// authority is the installation's own: made at the first start, in the data
// folder of the control plane.
func (a *App) authority() (*credential.Authorities, error) {
	if a.ca != nil {
		return a.ca, nil
	}
	var err error
	a.ca, err = credential.OpenAuthorities(a.cfg.Layout().CA(), a.cfg.Control.Origin, time.Now)
	return a.ca, err
}

// alarm logs what is wrong with a file that has changed. What it held before goes on.
func (a *App) alarm(path string) func(error) {
	return func(err error) { a.log.Error("ALARM: "+path+" needs somebody", "error", err) }
}

// source is where the listener at a path of the configuration has its certificate
// from; nil: it speaks plaintext.
func (a *App) source(path string, t *config.TLS, addr string, id credential.Identity) (credential.Source, error) {
	switch {
	case t.Cert != "":
		s, err := credential.LoadFiles(t.Cert, t.Key, a.alarm(path))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if a.files == nil {
			a.files = map[string]*credential.Files{}
		}
		a.files[path] = s
		return s, nil
	case t.Mode != "auto":
		return nil, nil
	case a.parts&Control == 0 && a.joined != nil:
		return a.joined, nil
	case a.parts&Control == 0 && a.parts != Sim:
		return nil, fmt.Errorf("%s.mode: auto is for a gateway that has joined: give gateway.join a token, or cert and key", path)
	}
	ca, err := a.authority()
	if err != nil {
		return nil, err
	}
	issued := ca.Issued
	if path == "sim.tls" { // the gateway of the same process believes those of the start
		issued = func(id credential.Identity, hosts []string) (*credential.Issued, error) {
			return credential.NewIssued(ca.Current(), id, hosts)
		}
	}
	s, err := issued(id, hosts(addr, t.Hosts))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// hosts are the names under which a listener is reached, as far as it can be known.
func hosts(addr string, more []string) []string {
	out := []string{"localhost", "127.0.0.1", "::1"}
	host, _, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); err == nil && host != "" && (ip == nil || !ip.IsUnspecified()) {
		out = append(out, host)
	} else if name, err := os.Hostname(); err == nil && credential.NameValid(name) {
		out = append(out, name)
	}
	for _, h := range more {
		if !slices.Contains(out, h) {
			out = append(out, h)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// serverTLS is the configuration of a listener for everybody, or for those alone
// who have a certificate of its client_ca; nil: plaintext.
func (a *App) serverTLS(path string, t *config.TLS, addr string, id credential.Identity) (*tls.Config, error) {
	from, err := a.source(path, t, addr, id)
	if err != nil || from == nil {
		return nil, err
	}
	if t.ClientCA == "" {
		return credential.Server(from, tls.NoClientCert, nil), nil
	}
	pool, err := credential.WatchPool(t.ClientCA, a.alarm(path+".client_ca"))
	if err != nil {
		return nil, fmt.Errorf("%s.client_ca: %w", path, err)
	}
	return credential.Server(from, tls.RequireAndVerifyClientCert, pool), nil
}

// own is the identity of a listener of the gateway in this process.
func (a *App) own() credential.Identity {
	id := credential.Identity{Role: credential.RoleGateway, Name: a.cfg.Gateway.Name}
	if !credential.NameValid(id.Name) {
		id.Name = "local"
	}
	return id
}

// controlTLS protects the API, and says by what a gateway knows it.
func (a *App) controlTLS(cc *control.Config) error {
	c := &a.cfg.Control
	ca, err := a.authority()
	if err != nil {
		return err
	}
	from, err := a.source("control.tls", &c.TLS, c.Listen, credential.Identity{Role: credential.RoleControl})
	if err != nil {
		return err
	}
	shared, err := ca.Derive("pseudonyms")
	if err != nil {
		return err
	}
	j := &control.Joining{CA: ca, Control: c.URL, EmergencyTrust: a.cfg.Gateway.EmergencyTrust, PseudonymKey: cmp.Or(a.cfg.Gateway.PseudonymKey, shared),
		Pin: func() string { return "" }}
	files := maps.Clone(a.files)
	j.Files = func() map[string]time.Time {
		ends := map[string]time.Time{}
		for path, f := range files {
			ends[path] = f.Ends()
		}
		return ends
	}
	cc.Joining = j
	switch files, own := from.(*credential.Files); {
	case own:
		j.Pin = files.Pin
	case from != nil:
		j.Pin = func() string { return credential.Fingerprint(ca.Certificate()) }
	}
	switch {
	case from == nil:
		j.Refused = "the control API speaks plaintext, which a join token must not travel over: set control.tls.mode to auto, or give control.tls cert and key"
	case c.Bus != "embedded":
		j.Refused = "the bus is an outside one, which has accounts of its own; gateways get theirs there"
	case c.BusListen == "":
		j.Refused = "no gateway can reach the bus: set control.bus_listen"
	case c.BusTLS.Mode == "off":
		j.Refused = "the bus speaks plaintext: set control.bus_tls.mode to auto"
	default:
		j.Bus = a.server.Addr()
		if host, _, err := net.SplitHostPort(c.BusListen); err == nil && host != "" && net.ParseIP(host) == nil { // a name stays one
			if _, port, err := net.SplitHostPort(j.Bus); err == nil {
				j.Bus = net.JoinHostPort(host, port)
			}
		}
	}
	if a.server != nil {
		j.Disconnect = a.server.Disconnect
	}
	if from == nil {
		return nil
	}
	// Gateways come with certificates of the authority, to renew them.
	believed := ca.Pool
	if c.TLS.ClientCA != "" {
		operators, err := credential.WatchPool(c.TLS.ClientCA, a.alarm("control.tls.client_ca"))
		if err != nil {
			return fmt.Errorf("control.tls.client_ca: %w", err)
		}
		believed, cc.ClientCerts = ca.With(operators), true
	}
	cc.TLS = credential.Server(from, tls.VerifyClientCertIfGiven, believed)
	return nil
}

// busOptions protects the embedded bus, and says who may come in.
func (a *App) busOptions() (bus.Options, error) {
	c := &a.cfg.Control
	o := bus.Options{Listen: c.BusListen, Token: c.Token, Logger: a.log}
	if c.BusListen == "" || c.BusTLS.Mode == "off" {
		if c.Token != "" {
			o.Shared = sharedPermissions()
		}
		return o, nil
	}
	ca, err := a.authority()
	if err != nil {
		return o, err
	}
	t := c.BusTLS
	if !t.On() { // a loopback address: both
		t.Mode, o.Optional = "auto", true
	}
	from, err := a.source("control.bus_tls", &t, c.BusListen, credential.Identity{Role: credential.RoleControl})
	if err != nil {
		return o, err
	}
	o.TLS = credential.Server(from, tls.VerifyClientCertIfGiven, ca.Pool)
	o.Shared = sharedPermissions()
	o.Own = func(cert *x509.Certificate) (string, bus.Permissions, error) {
		c := a.admits.Load()
		if c == nil {
			return "", bus.Permissions{}, errors.New("the control plane is starting")
		}
		name, err := c.Admits(cert)
		if err != nil {
			return "", bus.Permissions{}, err
		}
		var p bus.Permissions
		p.Publish, p.Subscribe = order.OwnSubjects(name)
		return name, p, nil
	}
	return o, nil
}

func sharedPermissions() *bus.Permissions {
	var p bus.Permissions
	p.Publish, p.Subscribe, p.Deaf = order.SharedSubjects()
	return &p
}
