package credential

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The files of a gateway that joined, in its own folder. Both have mode 0600.
const (
	joinedFile = "credential.json"
	keyFile    = "credential.key"
)

// Grant is what the control plane gives a gateway that joins.
type Grant struct {
	Gateway     string `json:"gateway"`
	Credential  string `json:"credential"`            // id
	Certificate string `json:"certificate"`           // PEM, with the authority's
	CA          string `json:"ca"`                    // PEM: the authority that issued it
	Authorities string `json:"authorities,omitempty"` // PEM: all that the control plane may be known by; missing: CA alone
	Control     string `json:"control"`               // https://host:port
	Bus         string `json:"bus"`                   // tls://host:port

	Trust          []string `json:"trust"`                     // public keys whose orders are obeyed
	EmergencyTrust []string `json:"emergency_trust,omitempty"` // public keys whose emergency orders are obeyed
	Lease          string   `json:"lease"`
	PseudonymKey   string   `json:"pseudonym_key,omitempty"` // a secret that all gateways share
}

// Joined is what a gateway keeps of its joining. It takes the place of the token
// from then on.
type Joined struct {
	dir    string
	kept   kept
	key    *ecdsa.PrivateKey
	latest atomic.Pointer[taken]
}

// taken is what a handshake needs of what is kept; it is never changed.
type taken struct {
	own      *tls.Certificate
	believed Believed
	known    map[string]bool // fingerprints of the authorities that are believed
	issuer   string          // fingerprint of the one that issued own
}

type kept struct {
	Grant
	Token string `json:"token_sha256"`      // of the token that it joined with
	Vouch string `json:"vouched,omitempty"` // PEM: what vouched for the control plane then, if not the authority
}

// OpenKey reads the key with which a gateway joins, or makes it: before anything
// is asked, so that an answer that was lost can be had again.
func OpenKey(dir string) (*ecdsa.PrivateKey, error) {
	name := filepath.Join(dir, keyFile)
	data, err := readPrivate(name)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make folder of the gateway: %w", err)
		}
		key, err := NewKey()
		if err != nil {
			return nil, fmt.Errorf("make key: %w", err)
		}
		text, err := encodeKey(key)
		if err != nil {
			return nil, fmt.Errorf("make key: %w", err)
		}
		return key, WriteFile(name, text, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	key, _, err := decode(data)
	if err == nil && key == nil {
		err = errors.New("it holds no private key")
	}
	if err != nil {
		return nil, fmt.Errorf("read key %s: %w", name, err)
	}
	return key, nil
}

// OpenJoined reads what a gateway keeps in its folder; fs.ErrNotExist if it has
// not joined.
func OpenJoined(dir string) (*Joined, error) {
	name := filepath.Join(dir, joinedFile)
	data, err := readPrivate(name)
	if err != nil {
		return nil, fmt.Errorf("read credential: %w", err)
	}
	var k kept
	if err := json.Unmarshal(data, &k); err != nil {
		return nil, fmt.Errorf("read credential %s: it is damaged; move it away and join again with a new token", name)
	}
	j := &Joined{dir: dir, kept: k}
	if j.key, err = OpenKey(dir); err == nil {
		err = j.take()
	}
	if err != nil {
		return nil, fmt.Errorf("read credential %s: %w; move it away and join again with a new token", name, err)
	}
	return j, nil
}

// HasJoined reports whether there is a credential in the folder.
func HasJoined(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, joinedFile))
	return err == nil
}

// Keep makes a grant durable. vouched is the chain that the control plane showed.
func Keep(dir string, g Grant, key *ecdsa.PrivateKey, token Token, vouched []*x509.Certificate) (*Joined, error) {
	j := &Joined{dir: dir, kept: kept{Grant: g, Token: token.Hash()}, key: key}
	if n := len(vouched); n > 0 {
		j.kept.Vouch = string(certPEM(vouched[n-1].Raw))
	}
	if err := j.take(); err != nil {
		return nil, fmt.Errorf("take in credential: %w", err)
	}
	return j, j.write()
}

// take checks what is kept, and makes it ready for use.
func (j *Joined) take() error {
	certs, err := ReadCertificates([]byte(j.kept.Certificate))
	if err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	cas, err := ReadCertificates([]byte(j.kept.CA))
	if err != nil {
		return fmt.Errorf("ca: %w", err)
	}
	all := cas[:1]
	if j.kept.Authorities != "" {
		if all, err = ReadCertificates([]byte(j.kept.Authorities)); err != nil {
			return fmt.Errorf("authorities: %w", err)
		}
	}
	t := &taken{believed: Believed{CA: x509.NewCertPool()}, known: map[string]bool{}, issuer: Fingerprint(cas[0])}
	for _, c := range all {
		if !c.IsCA {
			return errors.New("authorities: a certificate among them is not an authority's")
		}
		t.believed.CA.AddCert(c)
		t.known[Fingerprint(c)] = true
	}
	if t.believed.Others, err = x509.SystemCertPool(); err != nil {
		t.believed.Others = x509.NewCertPool()
	}
	if j.kept.Vouch != "" {
		vouch, err := ReadCertificates([]byte(j.kept.Vouch))
		if err != nil {
			return fmt.Errorf("vouched: %w", err)
		}
		if t.known[Fingerprint(vouch[0])] || t.issuer == Fingerprint(vouch[0]) {
			j.kept.Vouch = "" // an authority is believed as long as it is one, and no longer
		} else {
			t.believed.Others.AddCert(vouch[0])
		}
	}
	id, err := Of(certs[0])
	switch {
	case err != nil:
		return err
	case id != Identity{RoleGateway, j.kept.Gateway, j.kept.Credential}:
		return fmt.Errorf("the certificate is of %s %s (%s), not of gateway %s (%s)", id.Role, id.Name, id.ID, j.kept.Gateway, j.kept.Credential)
	case !j.key.PublicKey.Equal(certs[0].PublicKey):
		return errors.New("the certificate is for another key")
	}
	if err := certs[0].CheckSignatureFrom(cas[0]); err != nil {
		return errors.New("the certificate is not of the authority beside it")
	}
	t.own = &tls.Certificate{Certificate: [][]byte{certs[0].Raw, cas[0].Raw}, PrivateKey: j.key, Leaf: certs[0]}
	j.latest.Store(t)
	return nil
}

func (j *Joined) write() error {
	data, err := json.Marshal(j.kept, jsontext.WithIndent("  "))
	if err != nil {
		return fmt.Errorf("write credential: %w", err)
	}
	return WriteFile(filepath.Join(j.dir, joinedFile), append(data, '\n'), 0o600)
}

// Grant is what was granted at joining, or at the last renewal.
func (j *Joined) Grant() Grant { return j.kept.Grant }

// By reports whether it was this token that let the gateway in.
func (j *Joined) By(t Token) bool { return j.kept.Token == t.Hash() }

// Certificate is the gateway's own, as client and towards callers.
func (j *Joined) Certificate() (*tls.Certificate, error) { return j.latest.Load().own, nil }

// Believed says whom the gateway believes to be its control plane.
func (j *Joined) Believed() Believed { return j.latest.Load().believed }

// Client is a TLS configuration for dialling the control plane or its bus, by what
// is believed at each handshake.
func (j *Joined) Client() *tls.Config { return ClientOf(j.Believed, j.Certificate, nil) }

// Issuer is the fingerprint of the authority that issued the certificate.
func (j *Joined) Issuer() string { return j.latest.Load().issuer }

// Knows are the fingerprints of the authorities that are believed.
func (j *Joined) Knows() []string { return slices.Sorted(maps.Keys(j.latest.Load().known)) }

// Learn has the control plane be known by other authorities, in PEM, from now on;
// who says so was believed. It is durable when Learn returns. One goroutine at a
// time, as for Renewed.
func (j *Joined) Learn(authorities string) error {
	g := j.kept.Grant
	if g.Authorities == authorities || g.Authorities == "" && g.CA == authorities {
		return nil
	}
	g.Authorities = authorities
	return j.change(g)
}

// Renewed takes in a new certificate for the same key, and keeps it. It may be of
// another authority, if that was believed before.
func (j *Joined) Renewed(g Grant) error {
	before := j.kept
	if g.Gateway != before.Gateway || g.Credential != before.Credential {
		return errors.New("take in credential: it is another one's")
	}
	if g.CA != before.CA {
		cas, err := ReadCertificates([]byte(g.CA))
		if err != nil {
			return fmt.Errorf("take in credential: ca: %w", err)
		}
		if !j.latest.Load().known[Fingerprint(cas[0])] {
			return errors.New("take in credential: it is of an authority that is not believed here")
		}
	}
	if g.Authorities == "" && before.Authorities != "" {
		g.Authorities = before.Authorities
	}
	return j.change(g)
}

// change puts a grant in the place of the one that is kept.
func (j *Joined) change(g Grant) error {
	before := j.kept
	j.kept.Grant = g
	if err := j.take(); err != nil {
		j.kept = before
		return fmt.Errorf("take in credential: %w", err)
	}
	return j.write()
}
