package credential

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

// How long certificates live, and how much earlier than now they begin.
const (
	caLife   = 10 * 365 * 24 * time.Hour
	LeafLife = 90 * 24 * time.Hour
	skew     = 24 * time.Hour
)

// CA is an installation's own certificate authority.
type CA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	now  func() time.Time
}

// LoadOrCreateCA reads the authority in a file, or makes one for the installation
// of that name: durably, readable by its owner alone. Of two that make one at
// once, one wins and both get it. A file that others can read is refused. The
// certificate alone is kept beside it, in a file that ends in .crt, for clients.
func LoadOrCreateCA(file, name string, now func() time.Time) (*CA, error) {
	ca, err := loadOrCreate(file, name, now)
	if err == nil {
		err = ca.ended(file)
	}
	if err != nil {
		return nil, err
	}
	return ca, publish(file, ca.PEM())
}

func loadOrCreate(file, name string, now func() time.Time) (*CA, error) {
	ca, err := loadCA(file, now)
	if errors.Is(err, fs.ErrNotExist) {
		if err = createCA(file, name, now); err == nil {
			ca, err = loadCA(file, now)
		}
	}
	return ca, err
}

// publish keeps the certificates that clients believe beside the file of keys.
func publish(file string, certs []byte) error {
	if old, err := os.ReadFile(file + ".crt"); err == nil && bytes.Equal(old, certs) {
		return nil
	}
	return WriteFile(file+".crt", certs, 0o644)
}

// ended says that the authority of a file is over, and what to do then.
func (ca *CA) ended(file string) error {
	if ca.now().After(ca.cert.NotAfter) {
		return fmt.Errorf("read certificate authority %s: it ended on %s; move the file away, and let every gateway join again", file, ca.cert.NotAfter.Format(time.DateOnly))
	}
	return nil
}

func createCA(file, name string, now func() time.Time) error {
	key, err := NewKey()
	if err != nil {
		return fmt.Errorf("create certificate authority: %w", err)
	}
	at := now()
	t := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{Organization: []string{"Andon"}, CommonName: name},
		NotBefore: at.Add(-skew), NotAfter: at.Add(caLife), IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return fmt.Errorf("create certificate authority: %w", err)
	}
	text, err := encodeKey(key)
	if err != nil {
		return fmt.Errorf("create certificate authority: %w", err)
	}
	dir := filepath.Dir(file)
	tmp, err := os.CreateTemp(dir, ".ca-*") // 0600
	if err != nil {
		return fmt.Errorf("create certificate authority: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(append(text, certPEM(der)...))
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return fmt.Errorf("write certificate authority: %w", err)
	}
	// Link, unlike rename, never replaces what somebody else just made.
	if err := os.Link(tmp.Name(), file); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("keep certificate authority: %w", err)
	}
	return syncDir(dir)
}

func loadCA(file string, now func() time.Time) (*CA, error) {
	data, err := readPrivate(file)
	if err != nil {
		return nil, fmt.Errorf("read certificate authority: %w", err)
	}
	key, certs, err := decode(data)
	if err == nil && (key == nil || len(certs) != 1 || !certs[0].IsCA || !key.PublicKey.Equal(certs[0].PublicKey)) {
		err = errors.New("it has to hold one private key and its certificate")
	}
	if err != nil {
		return nil, fmt.Errorf("read certificate authority %s: %w", file, err)
	}
	return &CA{cert: certs[0], key: key, now: now}, nil
}

// Certificate is the authority's own.
func (ca *CA) Certificate() *x509.Certificate { return ca.cert }

// PEM is the certificate as clients keep it.
func (ca *CA) PEM() []byte { return certPEM(ca.cert.Raw) }

// Pool holds the authority alone.
func (ca *CA) Pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(ca.cert)
	return p
}

// Derive makes a secret of the installation for a purpose, 32 bytes in hex. It
// tells nothing of the authority's key.
func (ca *CA) Derive(purpose string) (string, error) {
	seed, err := ca.seed()
	if err != nil {
		return "", err
	}
	return derive(seed, purpose)
}

// seed is what Derive derives from, one way from the key.
func (ca *CA) seed() ([]byte, error) {
	raw, err := ca.key.Bytes()
	if err != nil {
		return nil, fmt.Errorf("derive secret: %w", err)
	}
	seed, err := hkdf.Extract(sha256.New, raw, nil)
	if err != nil {
		return nil, fmt.Errorf("derive secret: %w", err)
	}
	return seed, nil
}

func derive(seed []byte, purpose string) (string, error) {
	out, err := hkdf.Expand(sha256.New, seed, "andon "+purpose, 32)
	if err != nil {
		return "", fmt.Errorf("derive secret: %w", err)
	}
	return hex.EncodeToString(out), nil
}

// Issue makes a certificate for a public key. It returns the chain in PEM, the leaf
// first and the authority last, so that who knows a fingerprint finds it.
func (ca *CA) Issue(id Identity, public crypto.PublicKey, hosts []string) (chain []byte, leaf *x509.Certificate, err error) {
	at := ca.now()
	t := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{Organization: []string{"Andon"}, CommonName: id.Role + " " + id.Name},
		NotBefore: at.Add(-skew), NotAfter: at.Add(LeafLife), BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, URIs: []*url.URL{id.uri()},
	}
	if id.Role == RoleGateway && id.ID != "" {
		t.ExtKeyUsage = append(t.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
	}
	if t.NotAfter.After(ca.cert.NotAfter) {
		t.NotAfter = ca.cert.NotAfter
	}
	if t.NotBefore.Before(ca.cert.NotBefore) {
		t.NotBefore = ca.cert.NotBefore
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, ca.cert, public, ca.key)
	if err != nil {
		return nil, nil, fmt.Errorf("issue certificate for %s %s: %w", id.Role, id.Name, err)
	}
	if leaf, err = x509.ParseCertificate(der); err != nil {
		return nil, nil, fmt.Errorf("issue certificate for %s %s: %w", id.Role, id.Name, err)
	}
	return append(certPEM(der), ca.PEM()...), leaf, nil
}

// ReadRequest reads a certificate request in PEM and checks that who made it
// holds the key. Nothing else in it is believed.
func ReadRequest(text string) (*x509.CertificateRequest, error) {
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE REQUEST" || len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("it is not one certificate request in PEM")
	}
	r, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, errors.New("the certificate request cannot be read")
	}
	key, ok := r.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, errors.New("the key is not one of ECDSA on P-256")
	}
	if err := r.CheckSignature(); err != nil {
		return nil, errors.New("the certificate request is not signed by its own key")
	}
	return r, nil
}

// NewRequest makes a certificate request in PEM.
func NewRequest(key *ecdsa.PrivateKey) (string, error) {
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return "", fmt.Errorf("make certificate request: %w", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})), nil
}

// NewKey makes a private key.
func NewKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

func serial() *big.Int {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		panic("credential: " + err.Error()) // crypto/rand does not fail
	}
	return n.Add(n, big.NewInt(1))
}
