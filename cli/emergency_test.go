package cli

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"andon/order"
)

func TestEmergencySignNeedsNothingButTheKey(t *testing.T) {
	dir := t.TempDir()
	key, file := filepath.Join(dir, "e.key"), filepath.Join(dir, "order.json")
	run := func(args ...string) result { return runWith(t, Env{Args: append([]string{"emergency"}, args...)}) }

	run("keygen", "-f", key).want(t, 0, "public key:  andon-ed25519:", "emergency_trust")
	run("keygen", "-f", key).want(t, 1, "never overwritten")
	if fi, err := os.Stat(key); err != nil || fi.Mode().Perm() != 0o600 {
		t.Fatalf("key file: %v %v", fi, err)
	}
	signer, err := order.LoadOrCreate(key)
	if err != nil {
		t.Fatal(err)
	}
	trust := order.Trust{Emergency: []order.PublicKey{signer.Public()}}
	open := func() order.Emergency {
		t.Helper()
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		e, err := order.OpenEmergency(data, trust)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}

	run("sign", "--key", key, "--stop", "L3", "--model", "sim-large", "--reason", "out of control", "--valid", "2h", "--for", "1d", "-f", file).
		want(t, 0, "stop L3: model sim-large", "andon emergency send "+file)
	e := open()
	if c := e.Corrections[0]; len(e.Corrections) != 1 || c.Params.Level != "L3" || c.Scope.Models[0] != "sim-large" || c.Reason != "out of control" || c.ExpiresAt.Sub(noon).Hours() != 24 {
		t.Errorf("signed %+v", c)
	}
	if got := e.NotAfter.Sub(e.IssuedAt).Hours(); got != 2 {
		t.Errorf("accepted for %v hours, want 2", got)
	}
	run("sign", "--key", key, "--kind", "access", "--params", `{"mode":"block"}`, "--org", "acme", "--key-id", "k-1", "--reason", "r", "-f", file).want(t, 0)
	if c := open().Corrections[0]; c.Params.Mode != "block" || c.Scope.Keys[0] != "k-1" {
		t.Errorf("signed %+v", c)
	}
	run("sign", "--key", key, "--disable", "tools", "--all", "--reason", "r").want(t, 0, "payloadType")
	runWith(t, Env{Args: []string{"emergency", "sign", "--key", key, "--correction", "-", "-f", file},
		Stdin: strings.NewReader(`{"kind":"stop","params":{"level":"L4"},"scope":{"all":true},"reason":"r"}`)}).want(t, 0, "everything")

	for _, tc := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--stop", "L3", "--model", "x", "--reason", "r"}, 2, "which key signs"},
		{[]string{"--key", key, "--model", "x", "--reason", "r"}, 2, "exactly one of these"},
		{[]string{"--key", key, "--stop", "L3", "--block", "--model", "x", "--reason", "r"}, 2, "2 are given"},
		{[]string{"--key", key, "--stop", "L3", "--reason", "r"}, 2, "does not say what it reaches"},
		{[]string{"--key", key, "--stop", "L3", "--model", "x"}, 2, "a reason is required"},
		{[]string{"--key", key, "--stop", "L9", "--model", "x", "--reason", "r"}, 2, "L9"},
		{[]string{"--key", key, "--stop", "L3", "--model", "x", "--reason", "r", "--valid", "40d"}, 2, "not_after"},
		{[]string{"--key", filepath.Join(dir, "none"), "--stop", "L3", "--model", "x", "--reason", "r"}, 1, "no such file"},
		{[]string{"--key", key, "--kind", "access", "--params", "{", "--model", "x", "--reason", "r"}, 2, "not a JSON object"},
		{[]string{"--key", key, "--kind", "access", "--params", `{"mood":"block"}`, "--model", "x", "--reason", "r"}, 2, "mood"},
	} {
		run(append([]string{"sign"}, tc.args...)...).want(t, tc.code, tc.want)
	}
	if _, err := os.Stat(filepath.Join(dir, "none")); err == nil {
		t.Error("sign made a key that nobody trusts")
	}
}

func TestEmergencySendReachesEveryGatewayThatAnswers(t *testing.T) {
	const signed = `{"payloadType":"application/vnd.andon.emergency+json","payload":"","signatures":[]}` + "\n"
	var got atomic.Int64
	serve := func(status int, body string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			data, _ := io.ReadAll(r.Body)
			if r.URL.Path == "/emergency" && string(data) == signed {
				got.Add(1)
			}
			w.WriteHeader(status)
			io.WriteString(w, body)
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	good := serve(200, `{"id":"e-1","corrections":["e-1-1"],"cut":4,"kept":true}`)
	full := serve(200, `{"id":"e-1","corrections":["e-1-1"],"cut":0,"kept":false}`)
	bad := serve(403, `{"status":403,"detail":"signed by a key that is not trusted here"}`)
	dead := "http://127.0.0.1:1"
	file := filepath.Join(t.TempDir(), "order.json")
	if err := os.WriteFile(file, []byte(signed), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(to ...string) result {
		return runWith(t, Env{Args: []string{"emergency", "send", file, "--to", strings.Join(to, ",")}})
	}
	run(good).want(t, 0, good+"  enforcing  e-1  cut 4", `andon lift e-1-1 --reason "…"`)
	run(serve(409, `{"status":409,"code":"adopted","detail":"already taken over"}`)).want(t, 1, "already taken over", "it is in the ledger, and stands until it is lifted", "sign a new one")
	run(full).want(t, 0, "NOT kept on its disk")
	run(bad).want(t, 3, "not trusted here", "1 of 1 gateways did NOT take the order; sign it with a key")
	run(dead, bad, good).want(t, 1, good+"  enforcing", bad+"  refused", dead+"  NOT REACHED", "2 of 3 gateways did NOT take the order")
	if got.Load() != 6 {
		t.Errorf("%d orders arrived, want 6", got.Load())
	}
	runWith(t, Env{Args: []string{"emergency", "send", file, "--to", good, "-o", "json"}}).want(t, 0, `"cut":4`)

	// What is no order is not sent at all, and is not called untrusted.
	if err := os.WriteFile(file, []byte("data: ./x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run(good).want(t, 2, "is not a signed emergency order", "andon emergency sign")
	if got.Load() != 7 {
		t.Errorf("%d orders arrived, want 7", got.Load())
	}
}
