package cli

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"

	"andon/credential"
)

// authorities are those of --ca or ANDON_CA; nil: the system's.
func (c *command) authorities() (*x509.CertPool, error) {
	file := c.ca
	if file == "" {
		file = c.env("ANDON_CA")
	}
	if file == "" {
		return nil, nil
	}
	pool, err := credential.ReadPool(file)
	if err != nil {
		return nil, usagef("--ca andon-data/ca.crt, from the control plane's machine", "%v", err)
	}
	return pool, nil
}

// secured makes a client that talks to the control plane. With --ca its certificate
// counts by what it says of its holder, or by the host's name.
func secured(h *http.Client, pool *x509.CertPool) *http.Client {
	if pool != nil {
		h.Transport.(*http.Transport).TLSClientConfig = credential.Believed{CA: pool, Others: pool}.Client(nil, nil)
	}
	return h
}

// securedGateway makes a client that talks to a gateway, whose certificate counts
// by the host's name.
func securedGateway(h *http.Client, pool *x509.CertPool) *http.Client {
	h.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return h
}

// unknownAuthority reports whether an error says that a certificate's authority is not
// known.
func unknownAuthority(err error) bool {
	var unknown x509.UnknownAuthorityError
	return errors.As(err, &unknown)
}
