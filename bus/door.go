package bus

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"log/slog"
	"sync"

	"github.com/nats-io/nats-server/v2/server"
)

// door decides who comes in: this process by a secret that never leaves it, a
// party with a certificate under its own name, and the others by the shared
// token, if there is one. A certificate that is refused is not made up for by a
// token.
type door struct {
	Options
	inner string

	// mu is held from the question whether somebody may come in until it stands
	// under its name: so nobody slips in while a name is being shut out.
	mu   sync.Mutex
	said map[string]bool // refusals that were logged
}

func newDoor(o Options) *door {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &door{Options: o, inner: rand.Text() + rand.Text()}
}

// ownPrefix stands before the name of who came in by a certificate.
const ownPrefix = "own:"

// Check is asked by the server about each connection.
func (d *door) Check(c server.ClientAuthentication) bool {
	token := c.GetOpts().Token
	if same(token, d.inner) {
		c.RegisterUser(&server.User{Username: "inner"})
		return true
	}
	if s := c.GetTLSConnectionState(); s != nil && len(s.PeerCertificates) > 0 {
		return d.own(c)
	}
	switch {
	case d.Token != "" && same(token, d.Token):
		c.RegisterUser(&server.User{Username: "shared", Permissions: d.Shared.nats()})
		return true
	case d.Token == "" && d.Own == nil:
		return true
	}
	d.refused(c, errors.New("neither a certificate nor the shared token was presented"))
	return false
}

func (d *door) own(c server.ClientAuthentication) bool {
	s := c.GetTLSConnectionState()
	if d.Own == nil || len(s.VerifiedChains) == 0 {
		d.refused(c, errors.New("certificates are not taken here"))
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	name, p, err := d.Own(s.PeerCertificates[0])
	if err != nil {
		d.refusedLocked(c, err)
		return false
	}
	// When the certificate ends the connection does; with a renewed one it is back at once.
	c.RegisterUser(&server.User{Username: ownPrefix + name, Permissions: p.nats(), ConnectionDeadline: s.PeerCertificates[0].NotAfter})
	return true
}

func (d *door) refused(c server.ClientAuthentication, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refusedLocked(c, err)
}

// refusedLocked logs a refusal, once: who is refused tries again four times a second.
func (d *door) refusedLocked(c server.ClientAuthentication, err error) {
	if d.said[err.Error()] {
		return
	}
	if d.said == nil || len(d.said) >= 256 {
		d.said = map[string]bool{}
	}
	d.said[err.Error()] = true
	at := ""
	if a := c.RemoteAddress(); a != nil {
		at = a.String()
	}
	d.Logger.Warn("the bus keeps somebody out", "error", err, "from", at)
}

// of lists the connections under a name.
func (d *door) of(ns *server.Server, name string) (ids []uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	const page = 1024
	for at := 0; ; at += page {
		z, err := ns.Connz(&server.ConnzOptions{Username: true, User: ownPrefix + name, Offset: at, Limit: page})
		if err != nil {
			return ids // the server has ended, and its connections with it
		}
		for _, c := range z.Conns {
			ids = append(ids, c.Cid)
		}
		if len(z.Conns) < page {
			return ids
		}
	}
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

func (p *Permissions) nats() *server.Permissions {
	if p == nil {
		return nil
	}
	return &server.Permissions{Publish: &server.SubjectPermission{Allow: p.Publish}, Subscribe: &server.SubjectPermission{Allow: p.Subscribe, Deny: p.Deaf}}
}
