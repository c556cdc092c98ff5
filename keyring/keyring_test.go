package keyring

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

func TestMain(m *testing.M) {
	code := m.Run()
	endTokens()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			os.Stderr.WriteString(err.Error())
			code = 1
		}
	}
	os.Exit(code)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// serve is an agent behind a socket.
func serve(t *testing.T, path string, a agent.Agent) (stop func()) {
	t.Helper()
	l, err := net.Listen("unix", path)
	must(t, err)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				if a != nil {
					agent.ServeAgent(a, c)
					return
				}
				c.Read(make([]byte, 1024)) // it takes the question and says nothing
				c.SetReadDeadline(time.Now().Add(time.Minute))
				c.Read(make([]byte, 1024))
			})
		}
	})
	stop = sync.OnceFunc(func() { l.Close(); all.Wait() })
	t.Cleanup(stop)
	return stop
}

// socket is a path that is short enough for a socket.
func socket(t *testing.T) string {
	dir, err := os.MkdirTemp("", "a")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

func agentWith(t *testing.T, keys ...any) (agent.Agent, []string) {
	t.Helper()
	a := agent.NewKeyring()
	var prints []string
	for _, k := range keys {
		must(t, a.Add(agent.AddedKey{PrivateKey: k}))
		s, err := ssh.NewSignerFromKey(k)
		must(t, err)
		prints = append(prints, ssh.FingerprintSHA256(s.PublicKey()))
	}
	return a, prints
}

func newKey(t *testing.T) ed25519.PrivateKey {
	_, k, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	return k
}

func TestAgent(t *testing.T) {
	one, two := newKey(t), newKey(t)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	path := socket(t)
	a, prints := agentWith(t, one, two, rsaKey)
	stop := serve(t, path, a)
	c := Config{Agent: path}
	k, err := c.Open("agent:" + prints[1])
	must(t, err)
	defer k.Close()
	if !k.Public.Equal(two.Public()) {
		t.Fatal("another key")
	}
	message := []byte("DSSEv1 whatever")
	sig, err := k.Sign(message)
	must(t, err)
	if !bytes.Equal(sig, ed25519.Sign(two, message)) {
		t.Fatal("not the plain signature")
	}
	for source, want := range map[string]struct {
		err  error
		text string
	}{
		"agent:":                          {ErrSource, prints[0]},
		"agent:andon":                     {ErrSource, "ssh-add -l"},
		"agent:" + prints[2]:              {ErrKind, "ssh-rsa"},
		"agent:SHA256:nope":               {ErrAway, prints[1]},
		"agent:SHA256:a b":                {ErrSource, "fingerprint"},
		"gpg:x":                           {ErrSource, "agent:, pkcs11:"},
		"pkcs11:token=a;object=b":         {ErrSource, "no PKCS#11 module is configured"},
		"pkcs11:token=a;object=b?x=/tmp":  {ErrSource, "pin-source"},
		"file:" + filepath.Join("x", "y"): {ErrSource, "begins with none"},
	} {
		if _, err := c.Open(source); !errors.Is(err, want.err) || !strings.Contains(err.Error(), want.text) {
			t.Errorf("%s: %v", source, err)
		}
	}
	// Locked, unlocked, gone, and back with another socket behind the same path.
	must(t, a.Lock([]byte("x")))
	if _, err := k.Sign(message); !errors.Is(err, ErrAway) {
		t.Fatal("locked:", err)
	}
	must(t, a.Unlock([]byte("x")))
	stop()
	if _, err := k.Sign(message); !errors.Is(err, ErrAway) {
		t.Fatal("gone:", err)
	}
	os.Remove(path)
	again, _ := agentWith(t, two)
	serve(t, path, again)
	if _, err := k.Sign(message); err != nil {
		t.Fatal("back:", err)
	}
}

// liar signs everything with a key of its own.
type liar struct {
	agent.Agent
	key ed25519.PrivateKey
}

func (l liar) Sign(_ ssh.PublicKey, data []byte) (*ssh.Signature, error) {
	return &ssh.Signature{Format: ssh.KeyAlgoED25519, Blob: ed25519.Sign(l.key, data)}, nil
}

func TestAnAgentThatLies(t *testing.T) {
	path := socket(t)
	a, prints := agentWith(t, newKey(t))
	serve(t, path, liar{a, newKey(t)})
	if _, err := (Config{Agent: path}).Open("agent:" + prints[0]); !errors.Is(err, ErrOther) {
		t.Fatal(err)
	}
}

func TestAnAgentThatHangs(t *testing.T) {
	path := socket(t)
	serve(t, path, nil)
	start := time.Now()
	_, err := (Config{Agent: path, Timeout: 200 * time.Millisecond}).Open("agent:SHA256:x")
	if took := time.Since(start); !errors.Is(err, ErrTimeout) || !errors.Is(err, ErrAway) || took > 30*time.Second {
		t.Fatal(err, took)
	}
	t.Setenv("SSH_AUTH_SOCK", "")
	if _, err := (Config{}).Open("agent:SHA256:x"); !errors.Is(err, ErrAway) || !strings.Contains(err.Error(), "SSH_AUTH_SOCK") {
		t.Fatal(err)
	}
}

// TestSSHAgent asks the real one.
func TestSSHAgent(t *testing.T) {
	bin, err := exec.LookPath("ssh-agent")
	if err != nil {
		t.Skip("NOT RUN: ssh-agent is not installed (Debian: apt-get install openssh-client)")
	}
	path := socket(t)
	cmd := exec.Command(bin, "-D", "-a", path)
	must(t, cmd.Start())
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	key := newKey(t)
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("unix", path)
		if err == nil {
			must(t, agent.NewClient(conn).Add(agent.AddedKey{PrivateKey: &key}))
			conn.Close()
			break
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	s, err := ssh.NewSignerFromKey(key)
	must(t, err)
	k, err := Config{Agent: path}.Open("agent:" + ssh.FingerprintSHA256(s.PublicKey()))
	must(t, err)
	sig, err := k.Sign([]byte("x"))
	if err != nil || !bytes.Equal(sig, ed25519.Sign(key, []byte("x"))) {
		t.Fatal(err)
	}
}

func TestTokenURIs(t *testing.T) {
	u, err := parseTokenURI("pkcs11:token=My%20token;object=or%3bders;id=%00%ff;serial=1;type=private?module-path=/m.so&pin-source=file:///run/pin")
	want := tokenURI{token: "My token", object: "or;ders", id: "\x00\xff", serial: "1", module: "/m.so", pin: "/run/pin"}
	if err != nil || u != want {
		t.Fatalf("%+v, %v", u, err)
	}
	for text, part := range map[string]string{
		"pkcs11:":                                              "names no key",
		"pkcs11:object=a":                                      "names no token",
		"pkcs11:token=a":                                       "names no key",
		"pkcs11:token=a;object=b;object=c":                     "twice",
		"pkcs11:token=a;object=b;slot-id=1":                    `"slot-id" is not one of`,
		"pkcs11:token=a;object=b;type=cert":                    "private",
		"pkcs11:token=a;object=%zz":                            "percent-encoded",
		"pkcs11:token=a;object=":                               "percent-encoded",
		"pkcs11:token=a;object=%00":                            "control character",
		"pkcs11:token=a;object=b?pin-value=1234":               "pin-source",
		"pkcs11:token=a;object=b;pin-value=1234":               "pin-source",
		"pkcs11:token=a;object=b?pin-source=1234":              "file:/PATH",
		"pkcs11:token=a;object=b?pin-source=|x":                "file:/PATH",
		"pkcs11:token=a;object=b?module-path=a?b=c":            "",
		"pkcs11:token=a;;object=b":                             "not one of",
		"pkcs11:token=a;object=" + strings.Repeat("x", maxURI): "longer",
	} {
		_, err := parseTokenURI(text)
		if part == "" {
			continue
		}
		if !errors.Is(err, ErrSource) || !strings.Contains(err.Error(), part) || strings.Contains(err.Error(), "1234") {
			t.Errorf("%.80s: %v", text, err)
		}
	}
	c := Config{Module: "/usr/lib/good.so", PIN: "/run/pin"}
	for query, ok := range map[string]bool{"": true, "?module-path=/usr/lib/good.so": true, "?pin-source=file:/run/pin": true,
		"?module-path=/tmp/evil.so": false, "?pin-source=file:/etc/shadow": false} {
		u, err := parseTokenURI("pkcs11:token=a;object=b" + query)
		must(t, err)
		if err := u.within(&c); (err == nil) != ok || err == nil && (u.module != c.Module || u.pin != c.PIN) {
			t.Errorf("%s: %v", query, err)
		}
	}
}

func FuzzTokenURI(f *testing.F) {
	f.Add("pkcs11:token=a;object=b?module-path=/m.so")
	f.Fuzz(func(t *testing.T, text string) {
		u, err := parseTokenURI(text)
		if err == nil && (u.object == "" && u.id == "" || u.token == "" && u.serial == "") || err != nil && !errors.Is(err, ErrSource) {
			t.Fatal(u, err)
		}
	})
}
