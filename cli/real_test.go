package cli

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/mod/sumdb/note"

	"andon/control"
	"andon/ledger"
	"andon/order"
)

// real is a control plane that is really there, with a ledger on disk.
type real struct {
	t      *testing.T
	dir    string
	signer order.Signer
	key    note.Signer
	log    ledger.Log
	c      *control.Control
	tokens map[string]string
	ahead  atomic.Int64 // of the real time, what the control plane's clock is
}

func newReal(t *testing.T) *real {
	t.Helper()
	r := &real{t: t, dir: t.TempDir(), tokens: map[string]string{}}
	skey, _, err := ledger.NewSigner("example.com/andon")
	if err == nil {
		r.key, err = note.NewSigner(skey)
	}
	if err == nil {
		r.signer, err = order.GenerateSigner()
	}
	if err != nil {
		t.Fatal(err)
	}
	r.start()
	t.Cleanup(r.stop)
	return r
}

func (r *real) start() {
	r.t.Helper()
	l, err := ledger.OpenSQLite(filepath.Join(r.dir, "ledger.db"), r.key)
	if err != nil {
		r.t.Fatal(err)
	}
	r.log = l
	r.c, err = control.New(control.Config{Listen: "127.0.0.1:0", Now: r.now, Log: l, Signer: r.signer, Models: []control.ModelInfo{{Name: "sim-large", Upstream: "sim"}, {Name: "sim-small"}}})
	if err == nil {
		err = r.c.Start(context.Background())
	}
	if err != nil {
		r.t.Fatal(err)
	}
	token, created, err := r.c.EnsureOperator("ann")
	if err != nil {
		r.t.Fatal(err)
	}
	if created {
		r.tokens["ann"] = token
	}
}

func (r *real) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := r.c.Stop(ctx); err != nil {
		r.t.Error(err)
	}
	if err := r.log.Close(); err != nil {
		r.t.Error(err)
	}
}

func (r *real) now() time.Time { return time.Now().Add(time.Duration(r.ahead.Load())) }

// as runs a command as somebody.
func (r *real) as(who string, args ...string) result {
	r.t.Helper()
	return runWith(r.t, Env{Args: append(args, "--server", "http://"+r.c.Addr(), "--token", r.tokens[who])})
}

// prove gives somebody a password, and proves anew who they are.
func (r *real) prove(who string) {
	r.t.Helper()
	const password = "correct horse battery staple"
	flags := []string{"--server", "http://" + r.c.Addr(), "--token", r.tokens[who]}
	runWith(r.t, Env{Args: append([]string{"operators", "passwd"}, flags...), Stdin: strings.NewReader(password + "\n")}).want(r.t, 0)
	runWith(r.t, Env{Args: append([]string{"step-up"}, flags...), Stdin: strings.NewReader(password + "\n")}).want(r.t, 0)
}

func TestCustodyByCommands(t *testing.T) {
	r := newReal(t)
	for _, name := range []string{"bea", "cem"} {
		out := r.as("ann", "operators", "add", name, "--role", "administrator", "-o", "json")
		var op operator
		if err := json.Unmarshal([]byte(out.out), &op); err != nil || op.Token == "" {
			t.Fatal(out)
		}
		r.tokens[name] = op.Token
		r.as("ann", "operators", "ls").want(t, 0, name, "not enrolled")
		out = r.as(name, "operators", "enrol", "-o", "json")
		first := op.Token
		if err := json.Unmarshal([]byte(out.out), &op); err != nil || op.Token == first {
			t.Fatal(out)
		}
		r.as(name, "operators", "enrol").want(t, 1, "not known") // the maker's copy is dead
		r.tokens[name] = op.Token
	}
	r.as("ann", "operators", "ls").want(t, 0, "op-2", "bea", "active")
	r.as("ann", "operators", "add").want(t, 2, "1 argument")
	r.as("ann", "operators", "add", "dan").want(t, 2, "no role is given", "--role responder")
	r.as("ann", "operators", "rm", "op-2").want(t, 2, "--reason")
	r.as("ann", "custody", "open", "--reason", "r", "--legal-basis", "l").want(t, 2, "which model")
	r.as("ann", "custody", "open", "sim-large", "--reason", "r").want(t, 2, "--legal-basis")
	r.as("ann", "custody", "open", "sim-large", "--reason", "r", "--legal-basis", "l", "--cooling-off", "soon").want(t, 2, "--cooling-off")
	r.as("ann", "custody", "open", "sim-large", "--reason", "r", "--legal-basis", "l", "--cooling-off", "5m").want(t, 2, "cooling_off")
	r.as("ann", "custody", "open", "sim-large", "--level", "l6", "--reason", "theft", "--legal-basis", "order 7", "--exercise", "--cooling-off", "2m", "--wait", "0").
		want(t, 0, "case-1  open  L6", "exercise", "c-1", "credential upstream sim: not withdrawn", "no copy is listed", "undo: andon custody withdraw case-1")
	r.as("ann", "lift", "c-1", "--reason", "r").want(t, 1, "custody case case-1", "andon custody withdraw case-1")
	digest := "sha256:" + strings.Repeat("ab", 32)
	r.as("ann", "custody", "copy", "case-1", "--kind", "weights", "--location", "bucket", "--holder", "acme").want(t, 2, "--digest")
	r.as("ann", "custody", "copy", "--kind", "weights").want(t, 2, "1 argument needed, 0 given")
	r.as("ann", "custody", "copy", "case-1", "--kind", "weights", "--location", "bucket", "--holder", "acme", "--digest", digest).want(t, 0, "m-1", "listed")
	r.as("ann", "custody", "inventory", "case-1", "--statement", "all of them").want(t, 1, "no copy of kind checkpoint")
	r.as("ann", "custody", "inventory", "case-1", "--statement", "all of them", "--none", "checkpoint,replica,backup,partner").want(t, 0, "is not under seal")
	r.as("ann", "custody", "transfer", "case-1", "m-1", "--to", "op-2", "--holder", "vault", "--location", "safe", "--seal", "17").want(t, 0, "offered: t-1 of m-1 from op-1 to op-2")
	r.as("bea", "custody", "accept", "case-1", "t-1", "--digest", digest).want(t, 0, "sealed")
	r.as("ann", "custody", "credential", "case-1", "upstream sim", "--withdrawn", "--evidence", "ticket 1").want(t, 0, "upstream sim: withdrawn")
	r.as("ann", "custody", "approve", "case-1", "seal", "--reason", "r").want(t, 3, "the quorum is of others")
	r.as("bea", "custody", "approve", "case-1", "seal", "--reason", "r").want(t, 0, "1 of 2 approvals: bea")
	r.as("bea", "custody", "approve", "case-1", "seal", "--reason", "r").want(t, 3, "nobody counts twice")
	r.as("ann", "custody", "seal", "case-1", "--reason", "r").want(t, 3, "a token alone is none", "andon operators passwd")
	r.prove("ann")
	r.prove("bea")
	r.as("ann", "custody", "seal", "case-1", "--reason", "r").want(t, 1, "1 of 2 approvals")
	r.stop()
	r.start()
	r.as("cem", "custody", "approve", "case-1", "seal", "--reason", "r").want(t, 0, "2 of 2 approvals: bea (made by ann ", "), cem (made by ann ")
	r.as("ann", "custody", "seal", "case-1", "--reason", "r").want(t, 0, "case-1  sealed")
	r.as("ann", "custody", "propose", "case-1", "destroy", "--reason", "order 7").want(t, 0, "no legal-hold check")
	r.as("ann", "custody", "legal-hold", "case-1", "--checked-by", "counsel", "--reference", "memo").want(t, 2, "--clear, or --held")
	r.as("ann", "custody", "legal-hold", "case-1", "--held", "--checked-by", "counsel", "--reference", "memo").want(t, 0, "legal hold is in place")
	r.as("ann", "custody", "legal-hold", "case-1", "--clear", "--checked-by", "counsel", "--reference", "memo 2").want(t, 0, "0 of 2")
	for _, who := range []string{"bea", "cem"} {
		r.as(who, "custody", "approve", "case-1", "destroy", "--reason", "r").want(t, 0)
	}
	r.as("bea", "custody", "destroy", "case-1", "m-1", "--method", "shredded").want(t, 1, "cooling-off")
	r.ahead.Add(int64(2 * time.Minute))
	r.as("bea", "custody", "destroy", "case-1", "m-1", "--method", "shredded").want(t, 0, "unwitnessed")
	r.as("bea", "custody", "witness", "case-1", "m-1", "--statement", "I saw it").want(t, 3, "somebody else")
	r.as("cem", "custody", "witness", "case-1", "m-1", "--statement", "I saw it").want(t, 0, "destroyed")
	r.as("ann", "custody", "close", "case-1", "--reason", "done").want(t, 0, "case-1  destroyed  L6")
	r.as("ann", "custody", "ls").want(t, 0, "case-1", "destroyed", "c-1")
	r.as("ann", "corrections", "c-1").want(t, 0, "stop L6")

	file := filepath.Join(r.dir, "certificate.json")
	r.as("ann", "custody", "certificate", "case-1", "-f", file).want(t, 0, file)
	r.as("ann", "custody", "certificate", "case-1", "-f", file).want(t, 1, "exists")
	key := r.signer.Public().String()
	offline := func(args ...string) result {
		return runWith(t, Env{Args: append([]string{"custody", "verify"}, args...)})
	}
	offline(file, "--key", key).want(t, 0, "valid: signed by key", "destroyed (L6), in an exercise", "op-3 (cem)", "hash ")
	offline(file, "--key", "nonsense").want(t, 2, "--key")
	offline(file, "--data", r.dir).want(t, 2, "whose signature counts")
	other, err := order.GenerateSigner()
	if err != nil {
		t.Fatal(err)
	}
	offline(file, "--key", other.Public().String()).want(t, 1, "NOT VALID")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(data), "shredded", "shelved!", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	offline(file, "--key", key).want(t, 1, "NOT VALID")
	offline(file, "--key", key, "-o", "json").want(t, 1, `"valid":false`)
}

func TestToolkitByCommands(t *testing.T) {
	r := newReal(t)
	on := []string{"--wait", "0", "--reason", "r"}
	run := func(args ...string) result { return r.as("ann", append(args, on...)...) }
	r.as("ann", "keys", "create", "--org", "acme", "--user", "mallory", "--attribute", "device=d-1").want(t, 0, "k-1")
	run("block", "user=mallory", "--linked", "device,payment").want(t, 0, "accounts with the same device or payment", "c-1")
	r.as("ann", "keys", "create", "--org", "globex", "--attribute", "device=d-1", "--attribute", "payment=p-1", "--use-case", "medical").want(t, 0, "k-2")
	r.as("ann", "links", "c-1").want(t, 0, "device=d-1", "of a subject, key k-1", "payment=p-1", "of who has device=d-1, key k-2", "andon unlink c-1")
	run("unlink", "c-1", "device=d-1").want(t, 0, "c-1")
	r.as("ann", "unlink", "c-1", "device=d-1").want(t, 2, "--reason")
	run("unlink", "c-1").want(t, 2, "a correction and a link")
	run("unlink", "c-1", "device=d-9").want(t, 2, "no link of c-1")
	r.as("ann", "links", "c-1").want(t, 0, "no links", "taken away: device=d-1")

	run("prohibit", "medical", "--acknowledge-by", time.Now().Add(72*time.Hour).UTC().Format(time.RFC3339), "--all").want(t, 0, "to be acknowledged by")
	r.as("ann", "acknowledgements", "c-2").want(t, 0, "globex", "missing", "k-2")
	r.as("ann", "acknowledge", "c-2", "--reason", "letter").want(t, 2, "who has acknowledged")
	r.as("ann", "acknowledge", "c-2", "--org", "globex").want(t, 2, "--reason")
	r.as("ann", "acknowledge", "c-2", "--org", "globex", "--reason", "letter").want(t, 0, "a-1")
	r.as("ann", "acknowledgements", "c-2").want(t, 0, "acknowledged", "on behalf, by ann: letter")
	r.as("ann", "acknowledgements", "c-1").want(t, 2, "asks for no acknowledgement")

	words := filepath.Join(r.dir, "words.txt")
	if err := os.WriteFile(words, []byte("forbidden phrase\r\n\nanother one\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run("filter", "--pattern-file", words, "--regexp", "[0-9]{3}-[0-9]{4}", "--action", "redact", "--all").want(t, 0, "3 patterns, redact")
	run("filter", "--regexp", "a+b", "--all").want(t, 2, "params.filter.regexps[0]")
	run("prohibit", "of/our/own", "--all").want(t, 0, `warning: "of/our/own" is not in the taxonomy`)
	run("prohibit", "of/our/own", "--all", "-o", "json").want(t, 0, `"warnings":[{"code":"unknown_use_case"`)
	run("prohibit", "of/our/own", "--all", "--preview").want(t, 0, "warning:")
	run("disable", "web_search", "tool:shell", "--all").want(t, 0, "without web_search, tool:shell")
	run("clamp", "sim-large", "session_steps=5", "temperature=0.5").want(t, 0, "session_steps<=5 temperature<=0.5")
	run("pin", "sim-large", "v1").want(t, 0, "pinned to version v1")
	run("limit", "--metric", "tool_calls", "--limit", "5", "--window", "1h", "--per", "user", "--all").want(t, 0, "tool_calls <=5/1h per user")
	r.as("ann", "kinds", "--measured").want(t, 0, "stop", "never", "p50 and p99 of the last 100")
	r.as("ann", "use-cases", "medical").want(t, 0, "medical/")
	r.as("ann", "use-cases", "nothing").want(t, 2, "not in the taxonomy")
}
