//go:build (linux || darwin) && (amd64 || arm64) && !static

package keyring

import (
	"crypto/ed25519"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// The tokens are SoftHSM's, in a folder of their own. It reads its configuration
// and its tokens once a process, so all are made before the first is used.
var tokens = sync.OnceValues(func() (hsm, error) {
	h := hsm{}
	util, err := exec.LookPath("softhsm2-util")
	if err != nil {
		return h, errors.New("softhsm2 is not installed (Debian: apt-get install softhsm2)")
	}
	for _, p := range []string{"/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so", "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
		"/usr/lib64/softhsm/libsofthsm.so", "/usr/local/lib/softhsm/libsofthsm2.so", "/opt/homebrew/lib/softhsm/libsofthsm2.so"} {
		if _, err := os.Stat(p); err == nil {
			h.module = p
			break
		}
	}
	if h.module == "" {
		return h, errors.New("libsofthsm2.so is in none of its usual places")
	}
	if h.dir, err = os.MkdirTemp("", "tokens"); err != nil {
		return h, err
	}
	if err := os.Mkdir(filepath.Join(h.dir, "tokens"), 0o700); err != nil {
		return h, err
	}
	conf := filepath.Join(h.dir, "softhsm2.conf")
	if err := os.WriteFile(conf, []byte("directories.tokendir = "+filepath.Join(h.dir, "tokens")+"\nlog.level = ERROR\n"), 0o600); err != nil {
		return h, err
	}
	os.Setenv("SOFTHSM2_CONF", conf)
	for _, label := range []string{"good", "many", "wrong", "same", "same", "gone"} {
		if out, err := exec.Command(util, "--init-token", "--free", "--label", label, "--pin", "1234", "--so-pin", "5678").CombinedOutput(); err != nil {
			return h, errors.New(string(out))
		}
	}
	h.pin = filepath.Join(h.dir, "pin")
	return h, os.WriteFile(h.pin, []byte("1234\n"), 0o600)
})

var tokensMade bool

func endTokens() {
	if tokensMade {
		h, _ := tokens()
		os.RemoveAll(h.dir)
	}
}

type hsm struct{ dir, module, pin string }

func (h hsm) config() Config { return Config{Module: h.module, PIN: h.pin} }

func softHSM(t *testing.T) hsm {
	t.Helper()
	tokensMade = true
	h, err := tokens()
	if err != nil {
		t.Skip("NOT RUN: " + err.Error())
	}
	return h
}

// make generates a key pair in the token of that label.
func (h hsm) make(t *testing.T, token string, mechanism uint64, public []attribute, label, id string) {
	t.Helper()
	m, err := openModule(h.module)
	must(t, err)
	slot, _, err := slotOf(m, token)
	must(t, err)
	s, err := m.openSession(slot, true)
	must(t, err)
	defer m.closeSession(s)
	must(t, m.login(s, "1234"))
	yes, no := []byte{1}, []byte{0}
	both := []attribute{{1, yes}, {ckaLabel, []byte(label)}, {ckaID, []byte(id)}}                   // CKA_TOKEN
	must(t, m.generate(s, mechanism, append(append([]attribute{{0x10A, yes}}, public...), both...), // CKA_VERIFY
		append([]attribute{{2, yes}, {0x103, yes}, {0x162, no}, {0x108, yes}}, both...))) // private, sensitive, not extractable, signs
}

func slotOf(m *module, label string) (uint64, tokenInfo, error) {
	return (&token{uri: tokenURI{token: label}, m: m}).slot()
}

const (
	genEdwards = 0x1055
	genRSA     = 0x0
)

var (
	edwards25519 = []attribute{{0x180, []byte("\x13\x0cedwards25519")}} // CKA_EC_PARAMS, a printable string
	rsa2048      = []attribute{{0x121, number(2048)}, {0x122, []byte{1, 0, 1}}}
)

func TestToken(t *testing.T) {
	h := softHSM(t)
	h.make(t, "good", genEdwards, edwards25519, "orders", "\x01")
	k, err := h.config().Open("pkcs11:token=good;object=orders")
	must(t, err)
	defer k.Close()
	message := []byte("a message")
	sig, err := k.Sign(message)
	if err != nil || !ed25519.Verify(k.Public, message, sig) {
		t.Fatal(err)
	}
	for _, m := range [][]byte{nil, make([]byte, 1<<20)} {
		if _, err := k.Sign(m); err != nil {
			t.Errorf("%d bytes: %v", len(m), err)
		}
	}
	if other, err := h.config().Open("pkcs11:token=good;id=%01?module-path=" + h.module + "&pin-source=file:" + h.pin); err != nil || !other.Public.Equal(k.Public) {
		t.Fatal("by its id:", err)
	} else {
		must(t, other.Close())
	}
	// The session goes, as when a token is pulled and put back.
	m, _ := openModule(h.module)
	slot, _, err := slotOf(m, "good")
	must(t, err)
	m.closeAllSessions(slot)
	if sig, err := k.Sign(message); err != nil || !ed25519.Verify(k.Public, message, sig) {
		t.Fatal("after its session was lost:", err)
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				if _, err := k.Sign(message); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

func TestTokenRefuses(t *testing.T) {
	h := softHSM(t)
	h.make(t, "many", genEdwards, edwards25519, "two", "\x01")
	h.make(t, "many", genEdwards, edwards25519, "two", "\x02")
	h.make(t, "many", genRSA, rsa2048, "rsa", "\x03")
	for source, want := range map[string]struct {
		err  error
		text string
	}{
		"pkcs11:token=many;object=two":  {ErrTwice, "add id="},
		"pkcs11:token=many;object=rsa":  {ErrKind, "CKM_EC_EDWARDS_KEY_PAIR_GEN"},
		"pkcs11:token=many;object=none": {ErrAway, `no private key "none"`},
		"pkcs11:token=nowhere;object=a": {ErrAway, `"many"`},
		"pkcs11:token=same;object=a":    {ErrTwice, "serial="},
	} {
		if _, err := h.config().Open(source); !errors.Is(err, want.err) || !strings.Contains(err.Error(), want.text) {
			t.Errorf("%s: %v", source, err)
		}
	}
	if k, err := h.config().Open("pkcs11:token=many;object=two;id=%02"); err != nil {
		t.Error(err)
	} else {
		k.Close()
	}
	no := h.config()
	no.Module = filepath.Join(h.dir, "pin")
	if _, err := no.Open("pkcs11:token=many;object=two"); !errors.Is(err, ErrAway) {
		t.Error("not a library:", err)
	}
}

func TestPIN(t *testing.T) {
	h := softHSM(t)
	h.make(t, "wrong", genEdwards, edwards25519, "orders", "\x01")
	// One who is logged in lets everybody of this process in.
	m, _ := openModule(h.module)
	slot, _, err := slotOf(m, "wrong")
	must(t, err)
	m.closeAllSessions(slot)
	pin := filepath.Join(t.TempDir(), "pin")
	c := Config{Module: h.module, PIN: pin}
	const source = "pkcs11:token=wrong;object=orders"
	for name, tc := range map[string]struct {
		content string
		mode    os.FileMode
		text    string
	}{"open to others": {"1234", 0o644, "chmod 600"}, "empty": {"\n", 0o600, "1 to 255 bytes"}, "missing": {"", 0, "no such file"}} {
		os.Remove(pin)
		if tc.mode != 0 {
			must(t, os.WriteFile(pin, []byte(tc.content), tc.mode))
		}
		if _, err := c.Open(source); !errors.Is(err, ErrPIN) || !strings.Contains(err.Error(), tc.text) {
			t.Errorf("%s: %v", name, err)
		}
	}
	os.Remove(pin)
	must(t, os.WriteFile(pin, []byte("9999"), 0o600))
	if _, err := c.Open(source); !errors.Is(err, ErrPIN) || !strings.Contains(err.Error(), "CKR_PIN_INCORRECT") || strings.Contains(err.Error(), "9999") {
		t.Fatal(err)
	}
	for range 20 { // it is not tried until the token locks itself
		if _, err := c.Open(source); !errors.Is(err, ErrPIN) || !strings.Contains(err.Error(), "not tried again") {
			t.Fatal(err)
		}
	}
	must(t, os.WriteFile(pin, []byte("1234\n"), 0o600))
	k, err := c.Open(source)
	must(t, err)
	k.Close()
	if _, err := (Config{Module: h.module}).Open(source); !errors.Is(err, ErrPIN) || !strings.Contains(err.Error(), "name the file") {
		t.Fatal("without a PIN:", err)
	}
}

// TestTokenTakenOut: the folder of the token is moved away under it.
func TestTokenTakenOut(t *testing.T) {
	h := softHSM(t)
	h.make(t, "gone", genEdwards, edwards25519, "orders", "\x01")
	k, err := h.config().Open("pkcs11:token=gone;object=orders")
	must(t, err)
	defer k.Close()
	must(t, os.Rename(filepath.Join(h.dir, "tokens"), filepath.Join(h.dir, "away")))
	m, _ := openModule(h.module)
	slot, _, err := slotOf(m, "gone")
	if err == nil {
		m.closeAllSessions(slot)
	}
	_, err = k.Sign([]byte("x"))
	must(t, os.Rename(filepath.Join(h.dir, "away"), filepath.Join(h.dir, "tokens")))
	if err == nil {
		t.Fatal("it signed without its token")
	}
	if !errors.Is(err, ErrAway) {
		t.Error(err)
	}
	if _, err := k.Sign([]byte("x")); err != nil {
		t.Fatal("back again:", err)
	}
}

// TestATokenThatHangs: a call into C is left behind, and nobody queues up for it.
func TestATokenThatHangs(t *testing.T) {
	tk := &token{turn: make(chan struct{}, 1)}
	tk.turn <- struct{}{}
	release := make(chan struct{})
	hang := func() ([]byte, error) { <-release; return nil, nil }
	for _, part := range []string{"has not answered", "has been busy since", "has been busy since"} {
		start := time.Now()
		if _, err := tk.ask(50*time.Millisecond, hang); !errors.Is(err, ErrTimeout) || !errors.Is(err, ErrAway) || !strings.Contains(err.Error(), part) || time.Since(start) > 30*time.Second {
			t.Fatal(err)
		}
	}
	close(release)
	if _, err := tk.ask(30*time.Second, hang); err != nil {
		t.Fatal("once it answers:", err)
	}
}
