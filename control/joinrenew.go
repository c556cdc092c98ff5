package control

import (
	"crypto/x509"
	"net/http"
	"slices"
	"time"

	"andon/credential"
	"andon/people"
)

// renewPause is how long a renewal that is asked for again is not written down
// again.
const renewPause = time.Hour

// renewAsk says which authorities the gateway believes, by their fingerprints: its
// certificate comes from none of the others. Earlier gateways say nothing, and stay
// with the one that they joined under.
type renewAsk struct {
	Knows []string `json:"knows,omitempty"`
}

// gatewayCalls finds out which gateway calls, by its certificate, and counts the
// call: none takes the control plane from the others.
func (c *Control) gatewayCalls(cl *call) (string, *x509.Certificate, error) {
	if cl.r.TLS == nil || len(cl.r.TLS.PeerCertificates) == 0 {
		return "", nil, problem("credential_refused", "a gateway comes with the certificate that it has, over TLS")
	}
	cert := cl.r.TLS.PeerCertificates[0]
	name, err := c.Admits(cert)
	if err != nil {
		return "", nil, err
	}
	return name, cert, c.notTooOften(cl, &c.desk.renewals, name)
}

// notTooOften counts a call that anybody, or any gateway, can make.
func (c *Control) notTooOften(cl *call, m *people.Meter, who string) error {
	wait := m.Take(who, c.cfg.Now())
	if wait == 0 {
		return nil
	}
	cl.w.Header().Set("Retry-After", seconds(wait))
	p := problem("rate_limited", "this was asked for too often from there; wait "+seconds(wait)+" s")
	p.Retry = true
	return p
}

// postRenew gives a gateway a new certificate for its key. Its certificate is its
// authority.
func (c *Control) postRenew(cl *call) error {
	j, err := c.joining()
	if err != nil {
		return err
	}
	name, cert, err := c.gatewayCalls(cl)
	if err != nil {
		return err
	}
	var b renewAsk
	if cl.r.ContentLength != 0 {
		cl.r.Body = http.MaxBytesReader(cl.w, cl.r.Body, 4<<10)
		if b, err = decode[renewAsk](cl); err != nil {
			return err
		}
	}
	id, err := credential.Of(cert)
	if err != nil {
		return problem("credential_refused", err.Error())
	}
	var grant credential.Grant
	_, err = c.execute(cl.r.Context(), system, func(s *state, now time.Time) ([]draft, error) {
		cr := s.join.credentials[name]
		if !cr.active() || cr.ID != id.ID {
			return nil, problem("credential_refused", "the credential of "+name+" was revoked")
		}
		ca := j.issuer(s, now, func(next string) bool { return slices.Contains(b.Knows, next) })
		chain, leaf, err := ca.Issue(id, cert.PublicKey, cr.hosts)
		if err != nil {
			return nil, err
		}
		grant = c.grant(j, ca, cr.control, name, id.ID, chain)
		if now.Before(cr.renewed.Add(renewPause)) {
			return nil, nil
		}
		return []draft{{typeCredRenewed, issuedBody{ID: id.ID, Gateway: name, Token: cr.Token, Key: cr.Key, ExpiresAt: leaf.NotAfter.UTC()}}}, nil
	})
	if err != nil {
		return err
	}
	return cl.reply(http.StatusOK, grant)
}
