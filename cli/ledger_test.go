package cli

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"andon/app/config"
	"andon/ledger"
)

// record makes a data folder with a ledger of three entries.
func record(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	l := config.LayoutOf(dir)
	signer, _, err := ledger.LoadOrCreateSigner(l.LedgerKey(), "andon.test")
	if err != nil {
		t.Fatal(err)
	}
	log, err := ledger.OpenSQLite(l.Ledger(), signer)
	if err != nil {
		t.Fatal(err)
	}
	es := make([]ledger.Entry, 3)
	for i := range es {
		es[i] = ledger.Entry{At: noon, Type: "test", Actor: "op-1", Body: []byte(`{"text":"entry-of-the-record"}`)}
	}
	if _, err := log.Append(context.Background(), 0, es...); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestLedgerVerifyProveExport(t *testing.T) {
	dir := record(t)
	run := func(args ...string) result { return runWith(t, Env{Args: append([]string{"ledger"}, args...)}) }
	run("verify", "--data", dir).want(t, 0, "sound: 3 entries, signed by andon.test")
	run("verify", "--data", dir, "-o", "json").want(t, 0, `"sound":true`, `"size":3`)

	proof, export := filepath.Join(dir, "1.tlog-proof"), filepath.Join(dir, "all.jsonl")
	run("prove", "1", "--data", dir, "-f", proof).want(t, 0, "entry 1")
	if data, err := os.ReadFile(proof); err != nil || !strings.HasPrefix(string(data), "c2sp.org/tlog-proof@v1\nindex 1\n") {
		t.Errorf("proof: %v\n%s", err, data)
	}
	run("prove", "9", "--data", dir).want(t, 1, "not found")
	run("prove", "x").want(t, 2, "not the number of an entry")
	run("export", "--data", dir, "-f", export).want(t, 0)
	if data, err := os.ReadFile(export); err != nil || strings.Count(string(data), "\n") != 4 {
		t.Errorf("export: %v\n%s", err, data)
	}
	run("export", "--data", dir, "-f", export).want(t, 1, "file exists")
	run("verify", "--data", t.TempDir()).want(t, 1, "no such file")

	// One changed byte, and the record says so.
	file := config.LayoutOf(dir).Ledger()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	i := strings.LastIndex(string(data), "entry-of-the-record")
	if i < 0 {
		t.Fatal("the entry is not in the file")
	}
	data[i] ^= 1
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	run("verify", "--data", dir).want(t, 1, "NOT SOUND: first bad entry")
	run("verify", "--data", dir, "-o", "json").want(t, 1, `"sound":false`, `"first_bad_entry"`)
}

func TestConfigPrint(t *testing.T) {
	t.Chdir(t.TempDir())
	env := func(n string) (string, bool) {
		if n == "ANDON_GATEWAY_LISTEN" {
			return "127.0.0.1:1", true
		}
		return "", false
	}
	run := func(args ...string) result {
		return runWith(t, Env{Args: append([]string{"config", "print"}, args...), Lookup: env})
	}
	run("--data", "d").want(t, 0, "data: d", "# flag --data", "# environment ANDON_GATEWAY_LISTEN", "# default")
	run("--set", "gateway.lease=5s", "-o", "json").want(t, 0, `"path":"gateway.lease","value":"5s","source":"flag --set gateway.lease"`)
	run("--set", "gateway.lease=1ms").want(t, 2, "gateway.lease: is 1ms")
	run("--set", "nonsense").want(t, 2, "--set gateway.lease=5s")
	run("--config", "none.yaml").want(t, 2, "none.yaml")
	runWith(t, Env{Args: []string{"serve"}, Lookup: env}).want(t, 2, "gateway.models: missing")
	runWith(t, Env{Args: []string{"version"}, Version: "1.2"}).want(t, 0, "andon 1.2")
	runWith(t, Env{Args: []string{}}).want(t, 0, "Corrections:", "stop", "emergency")
}
