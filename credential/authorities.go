package credential

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// freshFor is how long an authority that was prepared and not announced is good
// for announcing.
const freshFor = 30 * 24 * time.Hour

// Authorities are an installation's own certificate authorities: the one that
// counts and, while another takes its place, both. Which of them count is for the
// record to say, by Believe; the files hold what the record must not:
//
//	FILE        key and certificate of the one that counts
//	FILE.next   those of the one that comes next, made before it is announced
//	FILE.seed   what secrets are derived from, kept before the first key goes
//	FILE.crt    the certificates that are believed, for clients
//
// Each changes by one durable rename, after the record says so. Whatever a crash
// leaves, Believe makes of it what the record says.
type Authorities struct {
	file, name string
	now        func() time.Time

	mu   sync.Mutex // held by who changes files
	owed bool       // the one that counts is still in FILE.next: a disk kept it from its place
	set  atomic.Pointer[authorities]
}

// authorities are never changed once they are in place.
type authorities struct {
	current *CA
	next    *CA // nil: none was prepared
	both    bool
	pool    *x509.CertPool // of those that are believed
}

func (s *authorities) ready() *authorities {
	s.pool = s.current.Pool()
	if s.both {
		s.pool.AddCert(s.next.cert)
	}
	return s
}

func (s *authorities) pem() []byte {
	if s.both {
		return append(s.next.PEM(), s.current.PEM()...)
	}
	return s.current.PEM()
}

// OpenAuthorities reads the authorities in a file and beside it, or makes the first.
// Until Believe is called, those count that counted last.
func OpenAuthorities(file, name string, now func() time.Time) (*Authorities, error) {
	a := &Authorities{file: file, name: name, now: now}
	current, err := loadOrCreate(file, name, now)
	if err != nil {
		return nil, err
	}
	s := &authorities{current: current}
	s.next, err = loadCA(file+".next", now)
	if errors.Is(err, fs.ErrNotExist) {
		s.next, err = nil, current.ended(file)
	}
	if err != nil {
		return nil, err
	}
	public, err := os.ReadFile(file + ".crt")
	s.both = err == nil && s.next != nil && bytes.Contains(public, s.next.PEM())
	a.set.Store(s.ready())
	return a, publish(file, s.pem())
}

// Current is the authority that counts: listeners show its certificates until it is
// withdrawn.
func (a *Authorities) Current() *CA { return a.set.Load().current }

// Next is the one that is believed beside it, and takes its place; nil: there is none.
func (a *Authorities) Next() *CA {
	if s := a.set.Load(); s.both {
		return s.next
	}
	return nil
}

// Prepared is the one that can be announced, or is; nil: there is none.
func (a *Authorities) Prepared() *CA { return a.set.Load().next }

// Certificate is that of the authority that counts.
func (a *Authorities) Certificate() *x509.Certificate { return a.Current().cert }

// Pool holds those that are believed. It is another one only if they are others.
func (a *Authorities) Pool() *x509.CertPool { return a.set.Load().pool }

// PEM are the certificates that are believed, as clients keep them.
func (a *Authorities) PEM() []byte { return a.set.Load().pem() }

// Derive makes a secret of the installation for a purpose, 32 bytes in hex. It
// stays the same whatever authority counts.
func (a *Authorities) Derive(purpose string) (string, error) {
	seed, err := a.seed()
	if err != nil {
		return "", err
	}
	return derive(seed, purpose)
}

func (a *Authorities) seed() ([]byte, error) {
	seed, err := readPrivate(a.file + ".seed")
	if errors.Is(err, fs.ErrNotExist) {
		return a.Current().seed()
	}
	if err == nil && len(seed) != 32 {
		err = fmt.Errorf("%s.seed has %d bytes, not 32", a.file, len(seed))
	}
	if err != nil {
		return nil, fmt.Errorf("derive secret: %w", err)
	}
	return seed, nil
}

// Prepare makes the authority that can come next, or returns the one that was made
// lately. Nobody believes it before the record announces it.
func (a *Authorities) Prepare() (*CA, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.set.Load()
	switch {
	case s.both:
		return nil, errors.New("prepare certificate authority: one is announced already")
	case s.next != nil && a.now().Before(s.next.cert.NotBefore.Add(skew+freshFor)):
		return s.next, nil
	}
	if a.owed { // its key would go
		if err := a.promote(); err != nil {
			return nil, err
		}
	}
	// What is derived stays what it is when the key that it was derived from is gone.
	seed, err := a.seed()
	if err == nil {
		err = WriteFile(a.file+".seed", seed, 0o600)
	}
	if err != nil {
		return nil, err
	}
	file := a.file + ".next"
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("prepare certificate authority: %w", err)
	}
	next, err := loadOrCreate(file, a.name, a.now)
	if err != nil {
		return nil, err
	}
	a.set.Store((&authorities{current: s.current, next: next}).ready())
	return next, nil
}

// Believe has those count that the record names by their fingerprints, "" being the
// one that is there, and none. One whose key is not to be had is an error; what is
// to be had counts then.
func (a *Authorities) Believe(current, next string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	was := a.set.Load()
	s := &authorities{current: was.current, next: was.next}
	var errs []error
	if current != "" && Fingerprint(s.current.cert) != current {
		if s.next == nil || Fingerprint(s.next.cert) != current {
			errs = append(errs, fmt.Errorf("the record says that certificate authority %s counts, and %s holds %s", current, a.file, Fingerprint(s.current.cert)))
		} else {
			if err := a.promote(); err != nil { // in memory it counts; the next start tries again
				errs = append(errs, err)
			}
			s.current, s.next = s.next, nil
		}
	}
	switch {
	case next == "" && was.both && s.next != nil: // it was given up
		if err := os.Remove(a.file + ".next"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("remove certificate authority: %w", err))
		}
		s.next = nil
	case next != "" && (s.next == nil || Fingerprint(s.next.cert) != next):
		errs = append(errs, fmt.Errorf("the record says that certificate authority %s comes next, and its key is not in %s.next", next, a.file))
	default:
		s.both = next != ""
	}
	if err := publish(a.file, s.pem()); err != nil {
		errs = append(errs, err)
	}
	if s.current != was.current || s.next != was.next || s.both != was.both {
		a.set.Store(s.ready())
	}
	return errors.Join(errs...)
}

// promote puts the next one's file in the place of the one that was withdrawn, whose
// key is gone then.
func (a *Authorities) promote() error {
	err := os.Rename(a.file+".next", a.file)
	if again := a.owed && errors.Is(err, fs.ErrNotExist); err == nil || again { // renamed, and not synced yet
		err = syncDir(filepath.Dir(a.file))
	}
	if a.owed = err != nil; a.owed {
		return fmt.Errorf("put certificate authority in place: %w", err)
	}
	return nil
}

// Holder says whose client certificate it is, and the fingerprint of the authority
// that issued it, if that is believed and the certificate counts now.
func (a *Authorities) Holder(cert *x509.Certificate) (id Identity, authority string, err error) {
	chains, err := cert.Verify(x509.VerifyOptions{Roots: a.Pool(), CurrentTime: a.now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if err != nil {
		return Identity{}, "", fmt.Errorf("verify certificate: %w", clocked(err))
	}
	id, err = Of(cert)
	if err == nil && (id.Role != RoleGateway || id.ID == "") {
		err = errors.New("the certificate is not that of a gateway")
	}
	return id, Fingerprint(chains[0][len(chains[0])-1]), err
}

// Issued is a listener's certificate, of the authority that counts.
func (a *Authorities) Issued(id Identity, hosts []string) (*Issued, error) {
	s := &Issued{ca: a.Current, id: id, hosts: hosts}
	_, err := s.Certificate()
	return s, err
}

// With adds those that are believed to another pool, which may change as well.
func (a *Authorities) With(more func() *x509.CertPool) func() *x509.CertPool {
	type both struct{ ours, more, all *x509.CertPool }
	var last atomic.Pointer[both]
	return func() *x509.CertPool {
		s, m := a.set.Load(), more()
		if l := last.Load(); l != nil && l.ours == s.pool && l.more == m {
			return l.all
		}
		all := m.Clone()
		all.AddCert(s.current.cert)
		if s.both {
			all.AddCert(s.next.cert)
		}
		last.Store(&both{s.pool, m, all})
		return all
	}
}
