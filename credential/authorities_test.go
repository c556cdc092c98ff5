package credential

import (
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func openAuthorities(t testing.TB, file string) *Authorities {
	t.Helper()
	a, err := OpenAuthorities(file, "test", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// With a crash before any step of a rotation, and of another after it, those count
// that the record names; what clients read is what is believed; what was derived
// stays.
func TestAuthoritiesFollowTheRecord(t *testing.T) {
	steps := strings.Fields("prepare announce follow END follow prepare announce follow withdraw follow")
	for _, end := range []string{"withdraw", "give-up"} {
		steps[3] = end
		for crash := range len(steps) + 1 {
			file := filepath.Join(t.TempDir(), "ca")
			a := openAuthorities(t, file)
			secret, err := a.Derive("pseudonyms")
			if err != nil {
				t.Fatal(err)
			}
			current, next := "", "" // what the record says
			fail := func(step string, what ...any) {
				t.Helper()
				t.Fatal(append([]any{end, "crash before step", crash, "at", step}, what...)...)
			}
			follow := func(step string) {
				t.Helper()
				if err := a.Believe(current, next); err != nil {
					fail(step, err)
				}
				if current != "" && Fingerprint(a.Certificate()) != current {
					fail(step, "another authority counts")
				}
				if n := a.Next(); (n != nil) != (next != "") || n != nil && Fingerprint(n.Certificate()) != next {
					fail(step, "another authority comes next")
				}
				public, err := os.ReadFile(file + ".crt")
				if err != nil || string(public) != string(a.PEM()) || strings.Contains(string(public), "PRIVATE") {
					fail(step, "clients read something else", err)
				}
				if certs, err := ReadCertificates(public); err != nil || len(certs) != 1+len(next)/64 {
					fail(step, len(certs), "certificates for clients", err)
				}
				if again, err := a.Derive("pseudonyms"); err != nil || again != secret {
					fail(step, "what is derived has changed", err)
				}
				for _, f := range []string{file, file + ".next", file + ".seed"} {
					if st, err := os.Stat(f); err == nil && st.Mode().Perm() != 0o600 {
						fail(step, f, st.Mode())
					}
				}
			}
			for i, step := range append(steps, "follow") {
				if i == crash {
					a = openAuthorities(t, file)
				}
				switch step {
				case "prepare":
					before := a.Prepared()
					ca, err := a.Prepare()
					if err != nil || Fingerprint(ca.Certificate()) == Fingerprint(a.Certificate()) || before != nil && before != ca {
						fail(step, "prepared", err)
					}
				case "announce":
					next = Fingerprint(a.Prepared().Certificate())
				case "withdraw":
					current, next = next, ""
				case "give-up":
					next = ""
				case "follow":
					follow(step)
				}
			}
			a = openAuthorities(t, file)
			follow("the end")
		}
	}
}

// The key of an authority that was withdrawn is gone.
func TestAWithdrawnKeyIsGone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ca")
	a := openAuthorities(t, file)
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	next, err := a.Prepare()
	if err != nil {
		t.Fatal(err)
	}
	name := Fingerprint(next.Certificate())
	if err := a.Believe("", name); err != nil {
		t.Fatal(err)
	}
	if err := a.Believe(name, ""); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(file + "*")
	if err != nil || len(files) != 3 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		if data, err := os.ReadFile(f); err != nil || strings.Contains(string(data), string(before[:100])) {
			t.Error(f, err)
		}
	}
	if err := a.Believe(strings.Repeat("0", 64), ""); err == nil || a.Certificate() == nil {
		t.Error("an authority that is not there counts")
	}
	if err := a.Believe("", strings.Repeat("0", 64)); err == nil || a.Next() != nil {
		t.Error("an authority that is not there comes next")
	}
}

// A gateway that joined under one authority goes over to the next, and believes the
// first no longer once it is told so; one that was away is told what has happened.
func TestAGatewayGoesOver(t *testing.T) {
	a := openAuthorities(t, filepath.Join(t.TempDir(), "ca"))
	dir := filepath.Join(t.TempDir(), "gw-2")
	key, err := OpenKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	grant := func(ca *CA) Grant {
		chain, _, err := ca.Issue(Identity{RoleGateway, "gw-2", "cr-1"}, key.Public(), nil)
		if err != nil {
			t.Fatal(err)
		}
		return Grant{Gateway: "gw-2", Credential: "cr-1", Certificate: string(chain), CA: string(ca.PEM()), Control: "https://control:7070"}
	}
	first := a.Current()
	j, err := Keep(dir, grant(first), key, NewToken("https://control:7070", Fingerprint(first.Certificate()), "gw-2"), []*x509.Certificate{first.Certificate()})
	if err != nil {
		t.Fatal(err)
	}
	away, err := OpenJoined(dir)
	if err != nil {
		t.Fatal(err)
	}
	next, err := a.Prepare()
	if err != nil {
		t.Fatal(err)
	}
	listener := func(ca *CA) string {
		s, err := NewIssued(ca, Identity{Role: RoleControl}, []string{"127.0.0.1"})
		if err != nil {
			t.Fatal(err)
		}
		return serve(t, Server(s, 0, nil))
	}
	old, fresh := listener(first), listener(next)
	sees := func(j *Joined, addr string, want bool) {
		t.Helper()
		if _, err := dial(addr, j.Client()); (err == nil) != want {
			t.Fatal(addr, err)
		}
	}
	if err := j.Renewed(grant(next)); err == nil {
		t.Error("a certificate of an authority that was not announced is taken")
	}
	client := j.Client() // it is made once, and heeds what is learnt later
	for _, bad := range []string{"nonsense", grant(first).Certificate} {
		if err := j.Learn(bad); err == nil {
			t.Error("learnt:", bad[:8])
		}
	}
	if err := a.Believe("", Fingerprint(next.Certificate())); err != nil {
		t.Fatal(err)
	}
	if err := j.Learn(string(a.PEM())); err != nil {
		t.Fatal(err)
	}
	sees(j, old, true)
	sees(j, fresh, true)
	if err := j.Renewed(grant(next)); err != nil {
		t.Fatal(err)
	}
	if j.Issuer() != Fingerprint(next.Certificate()) || len(j.Knows()) != 2 {
		t.Error(j.Issuer(), j.Knows())
	}
	if err := j.Learn(string(next.PEM())); err != nil {
		t.Fatal(err)
	}
	sees(j, old, false)
	sees(j, fresh, true)
	if _, err := dial(fresh, client); err != nil {
		t.Error(err)
	}
	if j, err = OpenJoined(dir); err != nil {
		t.Fatal(err)
	}
	sees(j, old, false)
	sees(j, fresh, true)

	sees(away, old, true)
	if _, err := dial(fresh, away.Client()); !errors.Is(err, ErrAuthority) {
		t.Error(err)
	}
}

// An authority that counts already, and whose file a disk kept from its place, is
// not lost by what comes next: its only key is where the next one's goes.
func TestWhatCouldNotBePutInPlaceIsNotOverwritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ca.pem")
	a, err := OpenAuthorities(file, "acme", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	next, err := a.Prepare()
	if err != nil {
		t.Fatal(err)
	}
	counts := Fingerprint(next.Certificate())
	if err := a.Believe("", counts); err != nil {
		t.Fatal(err)
	}
	aside := file + ".aside" // what a file cannot take the place of
	if err := errors.Join(os.Rename(file, aside), os.MkdirAll(filepath.Join(file, "x"), 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := a.Believe(counts, ""); err == nil {
		t.Fatal("it was put in the place of a folder")
	}
	if Fingerprint(a.Certificate()) != counts {
		t.Fatal("it does not count")
	}
	if _, err := a.Prepare(); err == nil {
		t.Error("another one is prepared in the place of the key that counts")
	}
	if err := errors.Join(os.RemoveAll(file), os.Rename(aside, file)); err != nil {
		t.Fatal(err)
	}
	third, err := a.Prepare()
	if err != nil {
		t.Fatal(err)
	}
	b, err := OpenAuthorities(file, "acme", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Believe(counts, ""); err != nil || Fingerprint(b.Certificate()) != counts || Fingerprint(b.Prepared().Certificate()) != Fingerprint(third.Certificate()) {
		t.Errorf("after a start %s counts: %v", Fingerprint(b.Certificate()), err)
	}
}
