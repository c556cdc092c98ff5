package credential

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Source is where a listener's certificate comes from. It is asked at each
// handshake.
type Source interface {
	Certificate() (*tls.Certificate, error)
}

// Server is a TLS configuration of a listener. clients, if there is one, says
// whose certificates it believes; auth is whether it asks for them.
func Server(from Source, auth tls.ClientAuthType, clients func() *x509.CertPool) *tls.Config {
	c := &tls.Config{
		MinVersion:     tls.VersionTLS13,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return from.Certificate() },
		ClientAuth:     auth,
	}
	if clients == nil {
		return c
	}
	c.ClientCAs = clients()
	c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		now := clients()
		if now == c.ClientCAs {
			return nil, nil
		}
		other := c.Clone()
		other.ClientCAs, other.GetConfigForClient = now, nil
		return other, nil
	}
	return c
}

// Older makes a configuration take TLS 1.2 as well, with forward secrecy and
// authenticated ciphers alone: for callers, whose libraries may be old.
func Older(c *tls.Config) *tls.Config {
	c.MinVersion = tls.VersionTLS12
	c.CipherSuites = []uint16{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	}
	return c
}

// look is how often files are looked at, at most.
const look = time.Second

// stamp tells one state of files from another.
type stamp [2]struct {
	modified time.Time
	size     int64
}

func stampOf(files ...string) (s stamp, err error) {
	for i, f := range files {
		if f == "" {
			continue
		}
		st, err := os.Stat(f)
		if err != nil {
			return s, err
		}
		s[i].modified, s[i].size = st.ModTime(), st.Size()
	}
	return s, nil
}

// watched is something read from files, again when they change. What cannot be
// used leaves what was there in force.
type watched[T any] struct {
	read  func() (T, error)
	files []string
	alarm func(error)

	value atomic.Pointer[T]
	next  atomic.Int64 // when to look again, Unix ns

	mu    sync.Mutex
	stamp stamp
	said  string // the last alarm
}

func watch[T any](read func() (T, error), alarm func(error), files ...string) (*watched[T], error) {
	w := &watched[T]{read: read, files: files, alarm: alarm}
	w.stamp, _ = stampOf(files...) // before reading: what changes meanwhile is seen later
	v, err := read()
	if err != nil {
		return nil, err
	}
	w.value.Store(&v)
	w.next.Store(time.Now().Add(look).UnixNano())
	return w, nil
}

func (w *watched[T]) get() T {
	now := time.Now().UnixNano()
	if next := w.next.Load(); now >= next && w.next.CompareAndSwap(next, now+int64(look)) {
		w.refresh()
	}
	return *w.value.Load()
}

func (w *watched[T]) refresh() {
	w.mu.Lock()
	defer w.mu.Unlock()
	s, err := stampOf(w.files...)
	if err == nil && s == w.stamp {
		return
	}
	var v T
	if err == nil {
		v, err = w.read()
	}
	if err != nil {
		if w.said != err.Error() { // once, not with every handshake
			w.said = err.Error()
			w.alarm(fmt.Errorf("what is in force goes on: %w", err))
		}
		return
	}
	w.stamp, w.said = s, ""
	w.value.Store(&v)
}

// Files is a certificate chain and its key in two files of PEM, of whatever
// authority. alarm is told of what cannot be used, and of a certificate that is
// about to end.
type Files struct {
	w *watched[*tls.Certificate]
}

// LoadFiles reads the files for the first time, and fails if they cannot be used.
func LoadFiles(cert, key string, alarm func(error)) (*Files, error) {
	read := func() (*tls.Certificate, error) {
		if _, err := readPrivate(key); err != nil {
			return nil, fmt.Errorf("read key of certificate: %w", err)
		}
		c, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("read certificate %s with its key %s: %w", cert, key, err)
		}
		if now := time.Now(); now.After(c.Leaf.NotAfter) {
			return nil, fmt.Errorf("read certificate %s: it ended on %s", cert, c.Leaf.NotAfter.Format(time.DateTime))
		} else if c.Leaf.NotAfter.Sub(now) < 7*24*time.Hour {
			alarm(fmt.Errorf("certificate %s ends on %s", cert, c.Leaf.NotAfter.Format(time.DateTime)))
		}
		return &c, nil
	}
	w, err := watch(read, alarm, cert, key)
	if err != nil {
		return nil, err
	}
	return &Files{w}, nil
}

// Certificate returns what the files hold now, or held last.
func (f *Files) Certificate() (*tls.Certificate, error) { return f.w.get(), nil }

// Pin is the fingerprint of the last certificate of the chain: the one that a
// join token names.
func (f *Files) Pin() string {
	chain := f.w.get().Certificate
	c, err := x509.ParseCertificate(chain[len(chain)-1])
	if err != nil {
		return "" // LoadX509KeyPair has read the leaf; a broken rest pins nothing
	}
	return Fingerprint(c)
}

// Ends is when the certificate in force ends.
func (f *Files) Ends() time.Time { return f.w.get().Leaf.NotAfter }

// WatchPool reads a file of certificates that are believed, again when it changes.
func WatchPool(file string, alarm func(error)) (func() *x509.CertPool, error) {
	w, err := watch(func() (*x509.CertPool, error) { return ReadPool(file) }, alarm, file)
	if err != nil {
		return nil, err
	}
	return w.get, nil
}

// Issued is a certificate that the authority in the same process issues, and
// issues anew once a third of its life is over.
type Issued struct {
	ca    func() *CA // that issues now
	id    Identity
	hosts []string

	mu    sync.Mutex
	cert  *tls.Certificate
	by    *CA // that issued it
	renew time.Time
}

// NewIssued makes the first one.
func NewIssued(ca *CA, id Identity, hosts []string) (*Issued, error) {
	s := &Issued{ca: func() *CA { return ca }, id: id, hosts: hosts}
	_, err := s.Certificate()
	return s, err
}

// Certificate returns one that is good for two thirds of its life still.
func (s *Issued) Certificate() (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ca := s.ca()
	now := ca.now()
	if s.cert != nil && s.by == ca && now.Before(s.renew) && now.After(s.cert.Leaf.NotBefore) {
		return s.cert, nil
	}
	key, err := NewKey()
	if err != nil {
		return nil, fmt.Errorf("issue certificate: %w", err)
	}
	_, leaf, err := ca.Issue(s.id, key.Public(), s.hosts)
	if err != nil {
		return nil, err
	}
	s.cert = &tls.Certificate{Certificate: [][]byte{leaf.Raw, ca.cert.Raw}, PrivateKey: key, Leaf: leaf}
	s.renew, s.by = RenewAt(leaf), ca
	return s.cert, nil
}

// RenewAt is when a certificate of the installation should be renewed.
func RenewAt(leaf *x509.Certificate) time.Time {
	return leaf.NotBefore.Add(skew + leaf.NotAfter.Sub(leaf.NotBefore.Add(skew))/3)
}
