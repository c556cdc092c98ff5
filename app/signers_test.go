package app

import (
	"crypto/ed25519"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"andon/app/config"
	"andon/keyring"
	"andon/ledger"
	"andon/order"
)

func signingApp(t *testing.T) *App {
	t.Helper()
	cfg := config.Default()
	cfg.Data, cfg.Control.Origin = t.TempDir(), "example.com/andon"
	return &App{cfg: cfg, log: slog.New(slog.DiscardHandler)}
}

func TestSourcesOfSigningKeys(t *testing.T) {
	a := signingApp(t)
	if _, err := a.openSigner("", false); !errors.Is(err, os.ErrNotExist) {
		t.Error("a key that is looked for was made:", err)
	}
	first, err := a.openSigner("", true)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := a.openSigner(firstKey, false); err != nil || again.Public() != first.Public() {
		t.Error(err)
	}
	next, err := a.openSigner("file:2027", true)
	if err != nil || next.Public() == first.Public() {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(a.cfg.Data, "keys", "2027")); err != nil {
		t.Error(err)
	}
	for source, part := range map[string]string{
		"file:": "names no key", "file:../order.key": "names no key", "file:/etc/passwd": "names no key", "file:a/b": "names no key", "file:.x": "names no key",
		"http://x": "begins with file:", "pkcs11:token=a;object=b?module-path=/tmp/x.so": "configuration of this machine", "agent:x": "fingerprint",
	} {
		if _, err := a.openSigner(source, true); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %v", source, err)
		}
	}
	// A path is the configuration's to name, and nobody else's.
	a.cfg.Control.OrderKey = "file:" + filepath.Join(t.TempDir(), "k")
	if _, err := a.openSigner(a.cfg.Control.OrderKey, true); err != nil {
		t.Error(err)
	}
}

// agentKey is an agent with one key, and the source that names it.
func agentKey(t *testing.T, a *App) string {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	ring := agent.NewKeyring()
	if err := ring.Add(agent.AddedKey{PrivateKey: key}); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "a") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	a.cfg.Control.KeyAgent = filepath.Join(dir, "s")
	l, err := net.Listen("unix", a.cfg.Control.KeyAgent)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(); os.RemoveAll(dir) })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); agent.ServeAgent(ring, c) }()
		}
	}()
	s, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return "agent:" + ssh.FingerprintSHA256(s.PublicKey())
}

// TestKeysInAnAgent: orders and the ledger, signed by keys that never come here.
func TestKeysInAnAgent(t *testing.T) {
	a := signingApp(t)
	source := agentKey(t, a)
	s, err := a.openSigner(source, false)
	if err != nil || !s.Remote() || s.Secret() != "" {
		t.Fatal(err)
	}
	signed, err := order.Sign(order.Lease{Gateway: "gw-1", TTL: 1}, s)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := order.OpenLease(signed, order.Trust{Control: []order.PublicKey{s.Public()}}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.openSigner("agent:SHA256:nope", false); !errors.Is(err, keyring.ErrAway) {
		t.Error(err)
	}
	// The ledger begins with a file and goes on with the agent's key.
	l := a.cfg.Layout()
	open := func(key, former string) (*ledger.SQLite, *ledger.RekeyedBody) {
		t.Helper()
		a.cfg.Control.LedgerKey, a.cfg.Control.FormerKey = key, former
		record, vkey, b, err := a.openLedger(l)
		if err != nil || !strings.HasPrefix(vkey, "example.com/andon+") {
			t.Fatal(err)
		}
		return record, b
	}
	record, b := open("", "")
	if b != nil {
		t.Error("a rekeying of nothing")
	}
	record.Close()
	a.cfg.Control.LedgerKey = source
	if _, _, _, err := a.openLedger(l); err == nil {
		t.Fatal("another key took over without the one before")
	}
	record, b = open(source, firstLedgerKey)
	if b == nil || !strings.HasPrefix(b.To, "example.com/andon+") {
		t.Fatal(b)
	}
	record.Close()
	a.cfg.Control.FormerKey = source
	if _, _, _, err := a.openLedger(l); err == nil || !strings.Contains(err.Error(), "former_ledger_key") {
		t.Error("it came before itself:", err)
	}
}
