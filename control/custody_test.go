package control

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"andon/ledger"
	"andon/order"
)

const digestA = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

// staff makes operators and returns their tokens by name: ann is there already.
func (w *world) staff(names ...string) map[string]string {
	w.t.Helper()
	tokens := map[string]string{"ann": w.token}
	for _, n := range names {
		var op operatorView
		w.ok(201, "POST", "/operators", fmt.Sprintf(`{"name":%q,"role":"administrator"}`, n), &op)
		if op.Token == "" || op.CreatedBy != "op-1" {
			w.t.Fatalf("%+v", op)
		}
		tokens[n] = w.enrol(op.Token)
	}
	return tokens
}

// as gives a command with somebody's token, and proves who it is where that is
// asked for, as a person would.
func (w *world) as(token, method, path, body string) (*Problem, caseView) {
	w.t.Helper()
	p, v := w.asIs(token, method, path, body)
	if p != nil && p.Code == "step_up_needed" {
		w.prove(token)
		p, v = w.asIs(token, method, path, body)
	}
	return p, v
}

const passphrase = "correct horse battery staple"

// prove steps up with a password, which the account gets if it has none.
func (w *world) prove(token string) {
	w.t.Helper()
	bearer := "Bearer " + token
	var me whoamiView
	w.ok(200, "GET", "/whoami", "", &me, "Authorization", bearer)
	if len(me.Factors) == 0 {
		w.ok(200, "PUT", "/password", fmt.Sprintf(`{"password":%q}`, passphrase), nil, "Authorization", bearer)
	}
	w.ok(200, "POST", "/step-up", fmt.Sprintf(`{"password":%q}`, passphrase), nil, "Authorization", bearer)
}

func (w *world) asIs(token, method, path, body string) (*Problem, caseView) {
	w.t.Helper()
	var v struct {
		caseView
		Problem
	}
	resp := w.do(method, api+path, body, nil, "Authorization", "Bearer "+token)
	data, _ := io.ReadAll(resp.Body)
	if resp.StatusCode >= 300 {
		var p Problem
		must(w.t, json.Unmarshal(data, &p))
		return &p, caseView{}
	}
	must(w.t, json.Unmarshal(data, &v.caseView))
	return nil, v.caseView
}

// clocked is a world whose time the test moves.
func clocked(t *testing.T) *world {
	w := newWorld(t, nil)
	w.stop()
	w.clock = &clock{now: time.Now()}
	w.start()
	return w
}

func TestCustodyFromStopToCertificate(t *testing.T) {
	w := clocked(t)
	tok := w.staff("bea", "cem", "dan")
	step := func(who, path, body, lacks string) caseView {
		t.Helper()
		p, v := w.as(tok[who], "POST", "/custody"+path, body)
		switch {
		case lacks == "" && p != nil:
			t.Fatalf("%s %s: %v", who, path, p)
		case lacks != "" && (p == nil || !strings.Contains(p.Error()+p.Hint, lacks)):
			t.Fatalf("%s %s: %v, want %q", who, path, p, lacks)
		}
		return v
	}
	state := func(want, level string) {
		t.Helper()
		w.restart() // what is left of a step after a crash is what the ledger has
		v, err := w.c.showCase("case-1")
		must(t, err)
		if v.State != want || w.get("c-1").Params.Level != level {
			t.Fatalf("%s at %s, want %s at %s", v.State, w.get("c-1").Params.Level, want, level)
		}
	}
	step("ann", "", `{"level":"L4","models":["sim-large"],"reason":"r","legal_basis":"l"}`, "no level")
	step("ann", "", `{"level":"L6","models":["nobody"],"reason":"r","legal_basis":"l"}`, "not a model")
	step("ann", "", `{"level":"L6","models":[],"reason":"r","legal_basis":"l"}`, "models")
	step("ann", "", `{"level":"L6","models":["sim-large"],"reason":"r","legal_basis":" "}`, "legal_basis")
	step("ann", "", `{"level":"L6","models":["sim-large"],"reason":"r","legal_basis":"l","quorum":1}`, "quorum")
	step("ann", "", `{"level":"L6","models":["sim-large"],"reason":"r","legal_basis":"l","cooling_off":"30m"}`, "cooling_off")
	v := step("ann", "", `{"level":"L6","models":["sim-large"],"reason":"theft","legal_basis":"court order 7","cooling_off":"1h"}`, "")
	if v.ID != "case-1" || v.Quorum != 2 || w.get("c-1").State != "active" || w.get("c-1").Params.Level != "L4" {
		t.Fatalf("%+v", v)
	}
	step("bea", "", `{"level":"L5","models":["sim-large"],"reason":"r","legal_basis":"l"}`, "case-1")
	for _, verb := range []string{"lift", "extend", "ratify"} {
		body := `{"reason":"r"}`
		if verb == "extend" {
			body = `{"reason":"r","review_by":"2100-01-01T00:00:00Z"}`
		}
		w.bad(409, "in_custody", "POST", "/corrections/c-1/"+verb, body)
	}
	step("ann", "/case-1/seal", `{"reason":"r"}`, "no copy is listed")
	step("ann", "/case-9/seal", `{"reason":"r"}`, "no custody case")
	step("ann", "/case-1/inventory", `{"statement":"all"}`, "no copy is listed")
	step("ann", "/case-1/copies", `{"kind":"weights","location":"bucket-1","holder":"acme","digest":"sha256:1"}`, "digest")
	step("ann", "/case-1/copies", `{"kind":"photo","location":"bucket-1","holder":"acme","digest":"`+digestA+`"}`, "kind")
	step("ann", "/case-1/copies", `{"kind":"weights","location":"bucket-1","holder":"acme","digest":"`+digestA+`"}`, "")
	step("ann", "/case-1/copies", `{"kind":"backup","location":"tape-1","holder":"acme","digest":"`+digestA+`"}`, "")
	step("ann", "/case-1/inventory", `{"statement":"all"}`, "kind checkpoint")
	step("ann", "/case-1/inventory", `{"statement":"all","none":["weights","checkpoint","replica","partner"]}`, "is listed")
	step("ann", "/case-1/inventory", `{"statement":"all","none":["checkpoint","replica","partner"]}`, "")
	step("ann", "/case-1/credentials", `{"name":"upstream sim","withdrawn":true}`, "evidence")
	step("ann", "/case-1/credentials", `{"name":"upstream sim"}`, "")
	step("ann", "/case-1/seal", `{"reason":"r"}`, "upstream sim is not withdrawn")
	step("ann", "/case-1/credentials", `{"name":"upstream sim","withdrawn":true,"evidence":"ticket 5"}`, "")
	hand := func(m, to string) string {
		return fmt.Sprintf(`{"copy":%q,"to":%q,"holder":"vault","location":"safe 3","seal":"seal 17"}`, m, to)
	}
	step("ann", "/case-1/transfers", hand("m-1", "op-1"), "signed by two")
	step("ann", "/case-1/transfers", hand("m-1", "op-9"), "no operator")
	step("ann", "/case-1/transfers", hand("m-1", "op-2"), "")
	step("cem", "/case-1/transfers/t-1/accept", `{"digest":"`+digestA+`"}`, "to op-2")
	step("bea", "/case-1/transfers/t-1/accept", `{"digest":"`+strings.ReplaceAll(digestA, "aaaa", "bbbb")+`"}`, "another thing")
	step("bea", "/case-1/transfers/t-1/accept", `{"digest":"`+digestA+`"}`, "")
	step("bea", "/case-1/transfers/t-1/accept", `{"digest":"`+digestA+`"}`, "already")
	step("ann", "/case-1/transfers", hand("m-1", "op-3"), "custody of op-2")
	step("ann", "/case-1/seal", `{"reason":"r"}`, "m-2")
	step("ann", "/case-1/transfers", hand("m-2", "op-3"), "")
	step("cem", "/case-1/transfers/t-2/accept", `{"digest":"`+digestA+`"}`, "")
	step("ann", "/case-1/approve", `{"action":"seal","reason":"r"}`, "quorum is of others")
	step("bea", "/case-1/approve", `{"action":"destroy","reason":"r"}`, "not proposed")
	step("bea", "/case-1/approve", `{"action":"seal","reason":"r"}`, "")
	step("bea", "/case-1/approve", `{"action":"seal","reason":"r"}`, "nobody counts twice")
	step("ann", "/case-1/seal", `{"reason":"r"}`, "1 of 2 approvals")
	step("dan", "/case-1/approve", `{"action":"seal","reason":"r"}`, "")
	// An approver who is removed does not count.
	w.ok(200, "DELETE", "/operators/op-4?reason=left", "", nil)
	if p, _ := w.as(tok["dan"], "GET", "/custody", ""); p == nil || p.Code != "unauthenticated" {
		t.Fatal(p)
	}
	step("ann", "/case-1/seal", `{"reason":"r"}`, "1 of 2 approvals")
	w.bad(409, "out_of_order", "GET", "/custody/case-1/certificate", "")
	state(caseOpen, "L4")
	step("cem", "/case-1/approve", `{"action":"seal","reason":"r"}`, "")
	step("bea", "/case-1/seal", `{"reason":"done"}`, "")
	state(caseSealed, "L5")
	w.bad(409, "in_custody", "POST", "/corrections/c-1/lift", `{"reason":"r"}`)
	certificate(t, w, "sealed", "L5")

	step("ann", "/case-1/withdraw", `{"reason":"r"}`, "nothing is proposed")
	step("bea", "/case-1/copies/m-1/destroy", `{"method":"shredded"}`, "nobody has proposed")
	step("bea", "/case-1/propose", `{"action":"melt","reason":"r"}`, "action")
	step("bea", "/case-1/propose", `{"action":"destroy","reason":"court order 7"}`, "")
	step("ann", "/case-1/approve", `{"action":"destroy","reason":"r"}`, "legal-hold")
	step("ann", "/case-1/legal-hold", `{"checked_by":"counsel","reference":"memo 1"}`, "clear")
	step("ann", "/case-1/legal-hold", `{"clear":false,"checked_by":"counsel","reference":"memo 1"}`, "")
	step("ann", "/case-1/approve", `{"action":"destroy","reason":"r"}`, "memo 1")
	step("ann", "/case-1/legal-hold", `{"clear":true,"checked_by":"counsel","reference":"memo 2"}`, "")
	// A copy that is found now has to be sealed first, and approvals begin anew.
	step("ann", "/case-1/approve", `{"action":"destroy","reason":"r"}`, "")
	step("cem", "/case-1/copies", `{"kind":"replica","location":"laptop","holder":"acme","digest":"`+digestA+`"}`, "")
	step("cem", "/case-1/approve", `{"action":"destroy","reason":"r"}`, "m-3")
	step("cem", "/case-1/transfers", hand("m-3", "op-2"), "")
	step("bea", "/case-1/transfers/t-3/accept", `{"digest":"`+digestA+`"}`, "")
	step("cem", "/case-1/inventory", `{"statement":"all","none":["checkpoint","partner"]}`, "")
	// Two race for the last approval, each several times: nobody counts twice.
	var racing sync.WaitGroup
	var mu sync.Mutex
	passed := 0
	for range 4 {
		for _, who := range []string{"ann", "cem"} {
			racing.Go(func() {
				if p, _ := w.as(tok[who], "POST", "/custody/case-1/approve", `{"action":"destroy","reason":"race"}`); p == nil {
					mu.Lock()
					passed++
					mu.Unlock()
				}
			})
		}
	}
	racing.Wait()
	if v, _ := w.c.showCase("case-1"); passed != 2 || len(v.Motion.Approvals) != 2 || v.Agreed.IsZero() {
		t.Fatalf("%d passed; %+v", passed, v.Motion)
	}
	step("bea", "/case-1/copies/m-1/destroy", `{"method":"shredded"}`, "cooling-off")
	w.clock.advance(59 * time.Minute)
	state(caseSealed, "L5")
	step("bea", "/case-1/copies/m-1/destroy", `{"method":"shredded"}`, "cooling-off")
	w.clock.advance(2 * time.Minute)
	step("ann", "/case-1/legal-hold", `{"clear":false,"checked_by":"counsel","reference":"memo 3"}`, "")
	step("bea", "/case-1/copies/m-1/destroy", `{"method":"shredded"}`, "memo 3")
	step("ann", "/case-1/legal-hold", `{"clear":true,"checked_by":"counsel","reference":"memo 4"}`, "")
	step("ann", "/case-1/copies/m-1/witness", `{"statement":"I saw it"}`, "m-1 is sealed")
	step("ann", "/case-1/destroyed", `{"reason":"r"}`, "m-1 is not destroyed")
	for _, m := range []string{"m-1", "m-2", "m-3"} {
		step("bea", "/case-1/copies/"+m+"/destroy", `{"method":"shredded","evidence":"video 1"}`, "")
		step("bea", "/case-1/copies/"+m+"/destroy", `{"method":"shredded"}`, "unwitnessed")
		step("bea", "/case-1/copies/"+m+"/witness", `{"statement":"I saw it"}`, "somebody else")
		state(caseSealed, "L5")
		step("ann", "/case-1/destroyed", `{"reason":"r"}`, "has no witness")
		step("cem", "/case-1/copies/"+m+"/witness", `{"statement":"I saw it"}`, "")
	}
	w.bad(409, "out_of_order", "GET", "/custody/case-1/certificate", "")
	step("ann", "/case-1/destroyed", `{"reason":"all gone"}`, "")
	state(caseDestroyed, "L6")
	w.bad(409, "in_custody", "POST", "/corrections/c-1/lift", `{"reason":"r"}`)
	step("ann", "/case-1/propose", `{"action":"unseal","reason":"r"}`, "destroyed")
	step("ann", "/case-1/withdraw", `{"reason":"r"}`, "destroyed")
	c := certificate(t, w, "destroyed", "L6")
	if len(c.Copies) != 3 || c.Copies[0].Destroyed.Witness.Name != "cem" || len(c.Resolutions) != 2 {
		t.Errorf("%+v", c)
	}
}

// certificate fetches it, verifies it offline, and finds every change of it.
func certificate(t *testing.T, w *world, state, level string) order.Certificate {
	t.Helper()
	resp := w.do("GET", api+"/custody/case-1/certificate", "", nil)
	data, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", resp.StatusCode, data)
	}
	keys := []order.PublicKey{w.signer.Public()}
	c, hash, err := order.OpenCertificate(data, keys)
	must(t, err)
	if c.State != state || c.Level != level || hash.IsZero() || len(c.Entries) < 10 {
		t.Errorf("%+v", c)
	}
	// The entries that it names are those of the ledger.
	for _, e := range c.Entries {
		r := w.do("GET", fmt.Sprintf("%s/ledger/entries/%d", api, e.Seq), "", nil)
		body, _ := io.ReadAll(r.Body)
		if leaf := leafHash(body); leaf != e.Hash {
			t.Errorf("entry %d: %s, not %s", e.Seq, leaf, e.Hash)
		}
	}
	other, err := order.GenerateSigner()
	must(t, err)
	if _, _, err := order.OpenCertificate(data, []order.PublicKey{other.Public()}); err == nil {
		t.Error("anybody's signature will do")
	}
	for _, change := range [][2]string{{`"case-1"`, `"case-2"`}, {"safe 3", "safe 4"}, {"op-2", "op-3"}} {
		if _, _, err := order.OpenCertificate(bytes.Replace(data, []byte(change[0]), []byte(change[1]), 1), keys); err == nil {
			t.Error("a change was not found:", change)
		}
	}
	return c
}

func TestUnsealTakesTheSameQuorum(t *testing.T) {
	w := newWorld(t, nil)
	tok := w.staff("bea", "cem")
	post := func(who, path, body, code string) {
		t.Helper()
		p, _ := w.as(tok[who], "POST", "/custody"+path, body)
		if code == "" && p != nil || code != "" && (p == nil || p.Code != code) {
			t.Fatalf("%s %s: %v", who, path, p)
		}
	}
	post("ann", "", `{"level":"L5","models":["sim-small"],"reason":"r","legal_basis":"l"}`, "")
	post("bea", "/case-1/withdraw", `{"reason":"a false alarm"}`, "")
	if got := w.get("c-1"); got.State != "lifted" {
		t.Fatal(got.State)
	}
	post("bea", "/case-1/copies", `{"kind":"weights","location":"b","holder":"h","digest":"`+digestA+`"}`, "out_of_order")
	post("ann", "", `{"level":"L5","models":["sim-small"],"reason":"r","legal_basis":"l","exercise":true,"cooling_off":"1s"}`, "")
	if got := w.get("c-2"); got.Mode != "shadow" {
		t.Fatal("an exercise refuses:", got.Mode)
	}
	post("ann", "/case-2/copies", `{"kind":"weights","location":"b","holder":"h","digest":"`+digestA+`"}`, "")
	post("ann", "/case-2/inventory", `{"statement":"all","none":["checkpoint","replica","backup","partner"]}`, "")
	post("ann", "/case-2/transfers", `{"copy":"m-1","to":"op-2","holder":"v","location":"v","seal":"s"}`, "")
	post("bea", "/case-2/transfers/t-1/accept", `{"digest":"`+digestA+`"}`, "")
	post("bea", "/case-2/approve", `{"action":"seal","reason":"r"}`, "")
	post("cem", "/case-2/approve", `{"action":"seal","reason":"r"}`, "")
	post("cem", "/case-2/seal", `{"reason":"r"}`, "")
	post("cem", "/case-2/unseal", `{"reason":"r"}`, "out_of_order")
	post("cem", "/case-2/propose", `{"action":"unseal","reason":"r"}`, "")
	post("cem", "/case-2/approve", `{"action":"unseal","reason":"r"}`, "not_independent")
	post("ann", "/case-2/approve", `{"action":"unseal","reason":"r"}`, "")
	post("ann", "/case-2/unseal", `{"reason":"r"}`, "out_of_order")
	post("bea", "/case-2/approve", `{"action":"unseal","reason":"r"}`, "")
	w.restart()
	post("ann", "/case-2/unseal", `{"reason":"it was not the model"}`, "")
	if got := w.get("c-2"); got.State != "lifted" {
		t.Fatal(got.State)
	}
	w.restart()
}

func TestOperatorsComeAndGo(t *testing.T) {
	w := newWorld(t, nil)
	w.bad(422, "invalid_field", "POST", "/operators", `{"name":""}`)
	w.bad(422, "invalid_field", "POST", "/operators", `{"name":"x","role":"king"}`)
	w.bad(409, "operator_exists", "POST", "/operators", `{"name":"ann","role":"viewer"}`)
	w.bad(409, "last_operator", "DELETE", "/operators/op-1", "")
	w.bad(404, "not_found", "DELETE", "/operators/op-7", "")
	tok := w.staff("bea")
	w.restart()
	if p, _ := w.as(tok["bea"], "GET", "/custody", ""); p != nil {
		t.Fatal(p)
	}
	w.ok(200, "DELETE", "/operators/op-2?reason=left", "", nil)
	w.ok(200, "DELETE", "/operators/op-2", "", nil)
	if p, _ := w.as(tok["bea"], "GET", "/custody", ""); p == nil || p.Status != 401 {
		t.Fatal("a removed operator's token still serves")
	}
	w.staff("bea") // the name is free again
	w.restart()
	var list operatorList
	w.ok(200, "GET", "/operators", "", &list)
	if len(list.Operators) != 3 || list.Operators[1].RemovedAt.IsZero() || list.Operators[2].ID != "op-3" || list.Operators[2].Token != "" {
		t.Fatalf("%+v", list)
	}
}

func leafHash(entry []byte) string {
	e, err := ledger.Decode(entry)
	if err != nil {
		return err.Error()
	}
	leaf, _, err := e.Leaf()
	if err != nil {
		return err.Error()
	}
	h := ledger.LeafHash(leaf)
	return fmt.Sprintf("%x", h[:])
}
