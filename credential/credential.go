// Package credential is how the parts of an installation know each other: a
// certificate authority of the installation's own, what it issues, where TLS
// listeners take their certificates from, and the one-time tokens by which a
// gateway gets in.
//
// What it promises:
//
//   - A certificate of the installation says what its holder is (the control
//     plane, or one gateway), and whoever dials checks that. A gateway's
//     certificate never passes for the control plane's, whatever hosts it names.
//   - Private keys are made where they are used, lie in files of mode 0600, and
//     never travel nor appear in an error or a log.
//   - A certificate is renewed after a third of its life, and what changes on disk
//     is taken up without a restart. What cannot be used leaves what was there in
//     force, and is told as an alarm.
//   - Certificates count from a day before they were issued, so that a clock that is
//     behind by less does not keep anybody out.
//
// All of it is safe for concurrent use.
package credential

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// The roles that a certificate gives its holder.
const (
	RoleControl = "control" // the control plane
	RoleGateway = "gateway" // one gateway: client of bus and control, and server to its callers
)

// Identity is what a certificate of the installation says of its holder. It
// stands in it as the URI andon://ROLE/NAME/ID.
type Identity struct {
	Role string
	Name string // of a gateway
	ID   string // of a gateway's credential, by which it is revoked; "": it serves callers alone
}

func (i Identity) uri() *url.URL {
	u := &url.URL{Scheme: "andon", Host: i.Role}
	if i.Name != "" {
		u.Path = "/" + i.Name + "/" + i.ID
	}
	return u
}

// ErrIdentity means that a certificate does not say who its holder is.
var ErrIdentity = errors.New("the certificate names no part of an installation")

// Of reads what a certificate says of its holder. That it was verified is the
// caller's to know.
func Of(cert *x509.Certificate) (Identity, error) {
	var found []Identity
	for _, u := range cert.URIs {
		if u.Scheme != "andon" {
			continue
		}
		id := Identity{Role: u.Host}
		if rest, ok := strings.CutPrefix(u.Path, "/"); ok {
			id.Name, id.ID, _ = strings.Cut(rest, "/")
		}
		if id.uri().String() != u.String() {
			return Identity{}, ErrIdentity
		}
		found = append(found, id)
	}
	if len(found) != 1 {
		return Identity{}, ErrIdentity
	}
	id := found[0]
	control := id == Identity{Role: RoleControl}
	gateway := id.Role == RoleGateway && NameValid(id.Name) && (id.ID == "" || NameValid(id.ID))
	if !control && !gateway {
		return Identity{}, ErrIdentity
	}
	return id, nil
}

// MaxName is the longest name of a gateway that has a credential, in bytes.
const MaxName = 64

// NameValid reports whether a gateway can have a credential under this name: it
// becomes part of a certificate and of subjects on the bus.
func NameValid(name string) bool {
	if name == "" || len(name) > MaxName {
		return false
	}
	for _, r := range name {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_') {
			return false
		}
	}
	return true
}

// Fingerprint is the SHA-256 of a certificate, in hex.
func Fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return hex.EncodeToString(sum[:])
}

// KeyPrint is the SHA-256 of a certificate's or a request's public key, in hex.
func KeyPrint(rawSubjectPublicKeyInfo []byte) string {
	sum := sha256.Sum256(rawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}

// Believed says whom a client believes to be the control plane.
type Believed struct {
	CA     *x509.CertPool // of the installation: its certificates count by their role
	Others *x509.CertPool // of own certificates: they count by the host's name; nil: those of the system
	Pin    string         // fingerprint of one certificate of the chain, which then is the CA; instead of the former
}

// Client is a TLS configuration for dialling the control plane or its bus. own, if
// there is one, is presented to it. seen, if there is one, is given the chain that
// was believed.
func (b Believed) Client(own func() (*tls.Certificate, error), seen func(chain []*x509.Certificate)) *tls.Config {
	return ClientOf(func() Believed { return b }, own, seen)
}

// ClientOf is Believed.Client for what may change: it is asked at each handshake.
func ClientOf(believed func() Believed, own func() (*tls.Certificate, error), seen func(chain []*x509.Certificate)) *tls.Config {
	c := &tls.Config{
		MinVersion: tls.VersionTLS13,
		// What follows takes the place of the usual check, which looks at the host's name alone.
		InsecureSkipVerify: true,
	}
	c.VerifyConnection = func(s tls.ConnectionState) error {
		chain, err := believed().verify(s.PeerCertificates, s.ServerName)
		if err == nil && seen != nil {
			seen(chain)
		}
		return err
	}
	if own != nil {
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return own() }
	}
	return c
}

// verify returns the chain, the leaf first.
func (b Believed) verify(presented []*x509.Certificate, host string) ([]*x509.Certificate, error) {
	if len(presented) == 0 {
		return nil, errors.New("verify control plane: it presents no certificate")
	}
	ours, others := b.CA, b.Others
	if b.Pin != "" {
		ours, others = x509.NewCertPool(), nil
		found := false
		for _, c := range presented {
			if Fingerprint(c) == b.Pin {
				ours.AddCert(c)
				found = true
			}
		}
		if !found {
			return nil, errors.New("verify control plane: none of its certificates has the fingerprint that the join token names; another control plane answers there, or the connection is intercepted")
		}
		others = ours
	}
	between := x509.NewCertPool()
	for _, c := range presented[1:] {
		between.AddCert(c)
	}
	leaf := presented[0]
	opts := x509.VerifyOptions{Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	var first error
	if ours != nil {
		opts.Roots = ours
		chains, err := leaf.Verify(opts)
		if err == nil {
			id, wrong := Of(leaf)
			switch {
			case wrong == nil && id.Role == RoleControl:
				return chains[0], nil
			case wrong == nil: // whatever hosts it names
				return nil, fmt.Errorf("verify control plane: the certificate is that of gateway %s", id.Name)
			}
			err = errors.New("the certificate does not say that it is the control plane's")
		}
		first = err
	}
	if others == nil && b.CA != nil && b.Pin == "" {
		return nil, fmt.Errorf("verify control plane: %w", replaced(first, leaf))
	}
	opts.Roots, opts.DNSName = others, host
	chains, err := leaf.Verify(opts)
	if err != nil {
		return nil, fmt.Errorf("verify control plane: %w", replaced(errors.Join(first, err), leaf))
	}
	return chains[0], nil
}

// ErrAuthority means that a control plane shows a certificate of an installation's
// authority that is not believed: another installation's, or the one that has
// taken the place of the one that is.
var ErrAuthority = errors.New("its certificate is of an authority of Andon's that is not believed here; the installation's own may have been replaced (andon ca show)")

// replaced adds what a certificate out of its time, or of another authority, often
// means.
func replaced(err error, leaf *x509.Certificate) error {
	var unknown x509.UnknownAuthorityError
	if _, wrong := Of(leaf); wrong == nil && errors.As(err, &unknown) {
		return fmt.Errorf("%w: %w", ErrAuthority, err)
	}
	return clocked(err)
}

// clocked adds what a certificate out of its time often means.
func clocked(err error) error {
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		return fmt.Errorf("%w (or this machine's clock is wrong)", err)
	}
	return err
}
