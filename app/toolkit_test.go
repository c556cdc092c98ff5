package app

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

// installation is everything in one process, as `make run` starts it.
type installation struct {
	t *testing.T
	a *App
	d DevFile
}

func install(t *testing.T) *installation {
	t.Helper()
	a, err := New(local(t), Control|Gateway|Sim, nil)
	if err != nil {
		t.Fatal(err)
	}
	in := &installation{t: t, a: a}
	a.beforeGateway = func() error { in.d, err = a.devTokens(); return err }
	if err := a.Start(bounded(t)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		if err := a.Stop(bounded(t)); err != nil {
			t.Error(err)
		}
	})
	if err := a.awaitReady(bounded(t)); err != nil {
		t.Fatal(err)
	}
	return in
}

func (in *installation) do(method, url, token, body string, headers ...string) (int, http.Header, string) {
	in.t.Helper()
	req, err := http.NewRequestWithContext(bounded(in.t), method, url, strings.NewReader(body))
	if err != nil {
		in.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		in.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		in.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(data)
}

// command gives a command to the control plane, and waits until the gateway
// enforces everything.
func (in *installation) command(token, method, path, body string, out any) {
	in.t.Helper()
	status, _, answer := in.do(method, in.a.ControlURL()+"/api/v1"+path, token, body)
	if status/100 != 2 {
		in.t.Fatalf("%s %s: %d %s", method, path, status, answer)
	}
	if out != nil {
		if err := json.Unmarshal([]byte(answer), out); err != nil {
			in.t.Fatal(err)
		}
	}
	deadline := time.Now().Add(30 * time.Second)
	for {
		var points struct {
			Points []struct {
				State string `json:"state"`
			} `json:"points"`
		}
		_, _, answer = in.do(http.MethodGet, in.a.ControlURL()+"/api/v1/points", in.a.OperatorToken, "")
		if err := json.Unmarshal([]byte(answer), &points); err != nil {
			in.t.Fatal(err)
		}
		if len(points.Points) == 1 && points.Points[0].State == "synced" {
			return
		}
		if time.Now().After(deadline) {
			in.t.Fatal("the gateway does not follow: ", answer)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (in *installation) key(body string) string {
	var k struct {
		Secret string `json:"secret"`
	}
	in.command(in.a.OperatorToken, http.MethodPost, "/keys", body, &k)
	return k.Secret
}

func (in *installation) chat(key, model string, headers ...string) (int, http.Header, string) {
	in.t.Helper()
	return in.do(http.MethodPost, in.a.GatewayURL()+"/v1/chat/completions", key, fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":"hello"}]}`, model), headers...)
}

func (in *installation) expect(what string, want int, key, model string, headers ...string) (http.Header, string) {
	in.t.Helper()
	status, h, body := in.chat(key, model, headers...)
	if status != want {
		in.t.Fatalf("%s: %d, want %d: %s", what, status, want, body)
	}
	return h, body
}

// TestEvasionEndToEnd replays a blocked subject that comes back, through a real
// gateway, and the operator's undo.
func TestEvasionEndToEnd(t *testing.T) {
	in := install(t)
	op := in.a.OperatorToken
	mallory := in.key(`{"org":"acme","user":"mallory","attributes":["device=d-1"]}`)
	in.expect("before", 200, mallory, "sim-large")
	in.command(op, http.MethodPost, "/corrections", `{"kind":"access","params":{"mode":"block","linked":["device","payment"]},"scope":{"users":["mallory"]},"reason":"scraping"}`, nil)
	in.expect("the subject", 403, mallory, "sim-large")
	again := in.key(`{"org":"shell company","user":"m2","attributes":["device=d-1","payment=p-1"]}`)
	_, body := in.expect("a new key on the same device", 403, again, "sim-large")
	if strings.Contains(body, "d-1") || strings.Contains(body, "mallory") {
		t.Error("the refusal tells by what it was recognised:", body)
	}
	third := in.key(`{"org":"globex","user":"m3","attributes":["device=d-9","payment=p-1"]}`)
	in.expect("a new user with the same payment", 403, third, "sim-small")
	other := in.key(`{"org":"globex","user":"carol","attributes":["device=d-9"]}`)
	in.expect("two steps away", 200, other, "sim-large")
	in.command(op, http.MethodPost, "/corrections/c-1/unlink", `{"link":"payment=p-1","reason":"a company card"}`, nil)
	in.expect("after the undo", 200, third, "sim-small")
	in.expect("the rest stands", 403, again, "sim-large")
	in.expect("the rest stands", 403, mallory, "sim-large")
}

func TestAcknowledgementEndToEnd(t *testing.T) {
	in := install(t)
	op, path := in.a.OperatorToken, in.a.GatewayURL()+"/andon/acknowledgements"
	key := in.key(`{"org":"globex","use_cases":["medical/advice"]}`)
	terms := func(model string, within time.Duration) {
		t.Helper()
		in.command(op, http.MethodPost, "/corrections", `{"kind":"use","params":{"use_case":"medical","action":"acknowledge","acknowledge_by":"`+time.Now().Add(within).UTC().Format(time.RFC3339Nano)+
			`"},"scope":{"models":["`+model+`"]},"reason":"new terms","public_reason":"see the terms"}`, nil)
	}
	terms("sim-large", time.Hour)
	h, _ := in.expect("while it is pending", 200, key, "sim-large")
	if !strings.HasPrefix(h.Get("Andon-Acknowledge"), "c-1; by=") {
		t.Error(h)
	}
	_, _, list := in.do(http.MethodGet, path, key, "")
	if !strings.Contains(list, `"correction":"c-1"`) || !strings.Contains(list, `"declared":true`) {
		t.Error(list)
	}
	terms("sim-small", 2*time.Second)
	deadline := time.Now().Add(30 * time.Second)
	status := 0
	for status != 403 {
		var answer string
		if status, _, answer = in.chat(key, "sim-small"); time.Now().After(deadline) {
			t.Fatal("unacknowledged by the deadline: ", status, answer)
		}
		time.Sleep(5 * time.Millisecond)
	}
	status, _, receipt := in.do(http.MethodPost, path, key, `{"correction":"c-2","statement":"we abide by the terms"}`)
	if status != 201 || !strings.Contains(receipt, `"id":"a-1"`) || !strings.Contains(receipt, `"org":"globex"`) {
		t.Fatal(status, receipt)
	}
	in.command(op, http.MethodGet, "/corrections/c-2/acknowledgements", "", nil) // waits for the gateway
	if h, _ := in.expect("acknowledged", 200, key, "sim-small"); h.Get("Andon-Acknowledge") != "" {
		t.Error(h)
	}
	in.expect("somebody else has not", 403, in.d.CallerKey, "sim-small", "Andon-Use-Case", "medical")
	if _, _, again := in.do(http.MethodPost, path, key, `{"correction":"c-2","statement":"twice"}`); !strings.Contains(again, `"id":"a-1"`) {
		t.Error(again)
	}
}

func TestCustodyEndToEnd(t *testing.T) {
	in := install(t)
	op := in.a.OperatorToken
	tokens := []string{op}
	for _, name := range []string{"bea", "cem"} {
		var made struct {
			Token string `json:"token"`
		}
		in.command(op, http.MethodPost, "/operators", `{"name":"`+name+`","role":"administrator"}`, &made)
		in.command(made.Token, http.MethodPost, "/enrol", "", &made)
		tokens = append(tokens, made.Token)
	}
	step := func(who int, path, body string) {
		t.Helper()
		in.command(tokens[who], http.MethodPost, "/custody"+path, body, nil)
	}
	step(0, "", `{"level":"L5","models":["sim-large"],"reason":"r","legal_basis":"l","fallback":"none"}`)
	in.expect("one person stops it", 503, in.d.CallerKey, "sim-large")
	in.expect("another model goes on", 200, in.d.CallerKey, "sim-small")
	digest := "sha256:" + strings.Repeat("0", 64)
	step(0, "/case-1/copies", `{"kind":"weights","location":"bucket","holder":"acme","digest":"`+digest+`"}`)
	step(0, "/case-1/inventory", `{"statement":"all","none":["checkpoint","replica","backup","partner"]}`)
	step(0, "/case-1/transfers", `{"copy":"m-1","to":"op-2","holder":"vault","location":"safe","seal":"17"}`)
	step(1, "/case-1/transfers/t-1/accept", `{"digest":"`+digest+`"}`)
	step(0, "/case-1/credentials", `{"name":"upstream sim","withdrawn":true,"evidence":"ticket"}`)
	step(1, "/case-1/approve", `{"action":"seal","reason":"r"}`)
	step(2, "/case-1/approve", `{"action":"seal","reason":"r"}`)
	if status, _, answer := in.do(http.MethodPost, in.a.ControlURL()+"/api/v1/custody/case-1/seal", tokens[2], `{"reason":"r"}`); status != 403 || !strings.Contains(answer, "step_up_needed") {
		t.Error("sealed by a token alone:", status, answer)
	}
	for _, token := range tokens {
		in.command(token, http.MethodPut, "/password", `{"password":"correct horse battery staple"}`, nil)
		in.command(token, http.MethodPost, "/step-up", `{"password":"correct horse battery staple"}`, nil)
	}
	step(2, "/case-1/seal", `{"reason":"r"}`)
	_, body := in.expect("sealed", 410, in.d.CallerKey, "sim-large")
	if !strings.Contains(body, "for good") {
		t.Error(body)
	}
	if status, _, answer := in.do(http.MethodPost, in.a.ControlURL()+"/api/v1/corrections/c-1/lift", op, `{"reason":"r"}`); status != 409 || !bytes.Contains([]byte(answer), []byte("in_custody")) {
		t.Error(status, answer)
	}
	step(2, "/case-1/propose", `{"action":"unseal","reason":"r"}`)
	step(0, "/case-1/approve", `{"action":"unseal","reason":"r"}`)
	step(1, "/case-1/approve", `{"action":"unseal","reason":"r"}`)
	step(1, "/case-1/unseal", `{"reason":"r"}`)
	in.expect("given back", 200, in.d.CallerKey, "sim-large")
}
