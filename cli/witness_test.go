package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"andon/app/config"
	"andon/ledger"
	"andon/witness"
)

func TestLedgerVerifyWithWitnesses(t *testing.T) {
	dir, other := record(t), t.TempDir()
	run := func(args ...string) result { return runWith(t, Env{Args: append([]string{"ledger"}, args...)}) }
	l := config.LayoutOf(dir)
	signer, vkey, err := ledger.LoadOrCreateSigner(l.LedgerKey(), "andon.test")
	if err != nil {
		t.Fatal(err)
	}
	keep := func(name, text string) string {
		name = filepath.Join(other, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	log, err := ledger.OpenSQLite(l.Ledger(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cp, err := log.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	text, _, err := witness.Split(cp)
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	both := string(cp)
	for _, name := range []string{"gw-1", "gw-2"} {
		c, err := witness.NewCosigner(witness.GatewayName(name))
		if err != nil {
			t.Fatal(err)
		}
		keys, both = append(keys, c.Verifier()), both+c.Cosign(text, noon)
	}
	name, sealed := ledger.Commit([]byte("Ada"))
	if err := log.Cosigned(t.Context(), []byte(both)); err != nil {
		t.Fatal(err)
	}
	_, err = log.Append(t.Context(), 3, ledger.Entry{At: noon, Type: "test", Body: []byte(`"` + name + `"`), Personal: map[string][]byte{name: sealed}})
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	file, checkpoint := keep("keys", strings.Join(keys, "\n")+"\n"), keep("checkpoint", both)
	run("verify", "--data", dir, "--witness", file, "--quorum", "2").want(t, 0, "sound: 4 entries", "personal values: 1 are as committed to", "cosigned up to entry 3 by andon/gateway/gw-1, andon/gateway/gw-2", "the last 1 stand on the ledger's signature alone")
	run("verify", "--data", dir, "--witness", keys[1], "-o", "json").want(t, 0, `"cosigned_entries":3`)
	run("verify", "--data", dir, "--checkpoint", checkpoint).want(t, 0, "sound: 4 entries")
	run("verify", "--data", dir, "--trusted", checkpoint).want(t, 0, "sound: 4 entries")
	stranger, err := witness.NewCosigner("x")
	if err != nil {
		t.Fatal(err)
	}
	run("verify", "--data", dir, "--witness", stranger.Verifier()).want(t, 1, "NOT SOUND", "witness: no checkpoint carries the cosignatures of 1 of the 1 witnesses given")
	run("verify", "--data", dir, "--quorum", "2").want(t, 2, "a quorum needs the keys of witnesses")
	run("verify", "--data", dir, "--witness", file, "--quorum", "-1").want(t, 2, "at least 1")
	run("verify", "--data", dir, "--witness", file, "--quorum", "3").want(t, 1, "a quorum of 3 of 2 witnesses")
	run("verify", "--data", dir, "--witness", vkey).want(t, 1, "it is a log's key")
	run("verify", "--data", dir, "--witness", filepath.Join(other, "absent")).want(t, 1, "no such file")
	run("verify", "--data", dir, "--witness", keep("empty", "\n")).want(t, 1, "holds none")

	with, without := filepath.Join(other, "with.jsonl"), filepath.Join(other, "without.jsonl")
	run("export", "--data", dir, "-f", with, "--with-personal").want(t, 0)
	run("export", "--data", dir, "-f", without).want(t, 0)
	for file, want := range map[string]int{with: 1, without: 0} {
		data, err := os.ReadFile(file)
		if err != nil || bytes.Count(data, []byte(`"sealed":`)) != want {
			t.Errorf("%s: %v\n%s", file, err, data)
		}
	}
	public := l.LedgerKey() + ".pub"
	run("verify", "--export", with, "--public-key", public, "--witness", file, "--quorum", "2").want(t, 0, "sound: 4 entries", "1 are as committed to")
	run("verify", "--export", without, "--public-key", public).want(t, 0, "1 personal values are not in this export")
	run("verify", "--export", with, "--data", dir).want(t, 2, "--export is a file by itself")

	// The whole folder is put back to an older copy: only what was kept elsewhere tells.
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if log, err = ledger.OpenSQLite(l.Ledger(), signer); err != nil {
		t.Fatal(err)
	}
	if _, err := log.Append(t.Context(), 0, ledger.Entry{At: noon, Type: "test"}); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	pub := keep("ledger.pub", vkey)
	run("verify", "--data", dir, "--public-key", pub).want(t, 0, "sound: 1 entry")
	run("verify", "--data", dir, "--public-key", pub, "--checkpoint", checkpoint).want(t, 1, "rolled back: the trusted checkpoint attests 3 entries")
}

func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for interactive, want := range map[bool]string{false: "5 of 10 entries, 50 %\n", true: "\r5 of 10 entries, 50 %"} {
			var out bytes.Buffer
			c := &command{}
			c.Stderr, c.Interactive = &out, interactive
			step, end := c.progress()
			step(1, 10) // under two seconds: nobody needs to know
			if out.Len() > 0 {
				t.Errorf("said %q at once", out.String())
			}
			time.Sleep(2100 * time.Millisecond)
			step(5, 10)
			step(6, 10) // not every one of them
			end()
			if got := out.String(); !strings.HasPrefix(got, want) || strings.Contains(got, "6 of 10") || strings.HasSuffix(got, "\r") != interactive {
				t.Errorf("interactive %v: %q", interactive, got)
			}
		}
	})
}

func TestLedgerWitnesses(t *testing.T) {
	f := newFake(t)
	f.on("GET /ledger/witnesses", 200, `{"size":12,"witnesses":[{"name":"gw-1","kind":"gateway","key":"andon/gateway/gw-1+0+A","size":12,"behind":0,"cosigned_at":"2026-11-19T12:00:00Z"},{"name":"w.example","kind":"outside","size":3,"behind":9}],"cosigned":[{"size":12,"by":["andon/gateway/gw-1"]},{"size":3,"by":["andon/gateway/gw-1","w.example"]}]}`)
	f.run(t, "ledger", "witnesses").want(t, 0, "the record has 12 entries", "VOUCHES FOR", "w.example", "the most in common: 3 entries, cosigned by 2")
	if r := f.run(t, "ledger", "witnesses", "--keys"); r.out != "andon/gateway/gw-1+0+A\n" {
		t.Errorf("%q", r.out)
	}
	f = newFake(t)
	f.on("GET /ledger/witnesses", 200, `{"size":3,"witnesses":[{"name":"gw-1","kind":"gateway","size":12,"behind":0,"alarm":"it has seen 12 entries, and this ledger has 3: it was rolled back"}],"cosigned":[]}`)
	f.run(t, "ledger", "witnesses").want(t, 1, "ALARM gw-1: it has seen 12 entries", "--checkpoint FILE")
	f.on("GET /ledger/checkpoint", 200, "andon.test\n3\nAAAA\n")
	f.run(t, "ledger", "checkpoint").want(t, 0, "andon.test")
	name := strings.Repeat("0a", 32)
	f.on("POST /personal/"+name+"/erase", 200, `{"commitment":"`+name+`","entry":7,"gone":false}`)
	f.run(t, "ledger", "erase", name, "--reason", "asked for").want(t, 0, "erased by entry 7; there is no undo", "the disk still holds it")
	f.run(t, "ledger", "erase", name).want(t, 2, "a reason is required")
}
