package control

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

// anyone sends a request without any token.
func (w *world) anyone(method, path, body string, out any) (*http.Response, *Problem) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, "http://"+w.c.Addr()+api+path, strings.NewReader(body))
	must(w.t, err)
	resp, err := http.DefaultTransport.RoundTrip(req)
	must(w.t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	must(w.t, err)
	if resp.StatusCode >= 300 {
		var p Problem
		must(w.t, json.Unmarshal(data, &p))
		return resp, &p
	}
	if out != nil {
		must(w.t, json.Unmarshal(data, out))
	}
	return resp, nil
}

func TestAConcernWithoutAName(t *testing.T) {
	w := clocked(t)
	const secret = "the model told me how the weights are stored"
	var r receiptView
	if resp, p := w.anyone("POST", "/concerns", `{"topic":"loss_of_control","text":"`+secret+`","about":"sim-large","contact":"room 4"}`, &r); p != nil || resp.StatusCode != 201 {
		t.Fatal(resp.Status, p)
	}
	if !strings.HasPrefix(r.Receipt, "cr_") || len(r.Receipt) < 40 || !strings.Contains(r.GoodFaith, "never punished") {
		t.Fatalf("%+v", r)
	}
	// Neither what was said, nor who said it, nor the receipt stands in the record,
	// the log or the events: only a commitment and the topic.
	for i := range w.log.Size() {
		var b []byte
		resp := w.do("GET", api+fmt.Sprintf("/ledger/entries/%d", i), "", nil)
		b, _ = io.ReadAll(resp.Body)
		for _, s := range []string{secret, r.Receipt, "room 4", "127.0.0.1"} {
			if strings.Contains(string(b), s) {
				t.Errorf("entry %d holds %q", i, s)
			}
		}
	}
	for _, s := range []string{secret, r.Receipt, "room 4"} {
		if strings.Contains(w.logs.String(), s) {
			t.Errorf("the log holds %q", s)
		}
	}

	// Without an auditor the administrator is at the desk; with one, no more.
	var k concernView
	w.ok(200, "GET", "/concerns/k-1", "", &k)
	if k.Text != secret || k.About != "sim-large" || k.Contact != "room 4" || k.By != "" || len(k.Personal) != 3 {
		t.Fatalf("%s", jsonText(k))
	}
	aud := w.member("aud", "auditor")
	w.bad(403, "forbidden", "GET", "/concerns/k-1", "")
	w.bad(403, "forbidden", "GET", "/concerns", "")
	w.bad(403, "forbidden", "POST", "/concerns/k-1", `{"state":"looking"}`)
	admin := w.token
	w.token = aud

	var list concernList
	w.ok(200, "GET", "/concerns?state=open", "", &list)
	if list.Open != 1 || len(list.Concerns) != 1 || list.Concerns[0].Text != "" {
		t.Fatalf("%s", jsonText(list))
	}
	w.ok(200, "POST", "/concerns/k-1", `{"state":"looking","message":"we look at it today"}`, &k)
	if p := w.bad(422, "invalid_field", "POST", "/concerns/k-1", `{"state":"acknowledged"}`); p.Field != "state" {
		t.Errorf("%+v", p)
	}
	if p := w.bad(422, "invalid_field", "POST", "/concerns/k-1", `{"state":"no_action"}`); p.Field != "message" {
		t.Errorf("closed without a word: %+v", p)
	}
	w.ok(200, "POST", "/concerns/k-1", `{"state":"acted_on","message":"c-1 stops it"}`, &k)

	// The reporter sees where it stands, and not who is at the desk.
	var st statusView
	if _, p := w.anyone("POST", "/concerns/status", `{"receipt":"`+r.Receipt+`"}`, &st); p != nil {
		t.Fatal(p)
	}
	if st.State != "acted_on" || len(st.Messages) != 2 || st.Messages[0].Text != "we look at it today" || st.Messages[0].By != "" || st.Messages[0].From != "desk" {
		t.Fatalf("%s", jsonText(st))
	}
	if _, p := w.anyone("POST", "/concerns/reply", `{"receipt":"`+r.Receipt+`","text":"it still does"}`, &st); p != nil || st.State != "acknowledged" {
		t.Fatal(p, jsonText(st))
	}
	w.restart()
	w.token = aud
	w.ok(200, "GET", "/concerns/k-1", "", &k)
	if k.State != "acknowledged" || len(k.Messages) != 3 || k.Messages[2].Text != "it still does" || k.Text != secret {
		t.Fatalf("%s", jsonText(k))
	}

	// What is erased is gone from the disk, and the record stands.
	w.token = aud
	w.ok(200, "POST", "/personal/"+k.Personal[0]+"/erase", `{"reason":"asked for"}`, nil)
	k = concernView{}
	w.ok(200, "GET", "/concerns/k-1", "", &k)
	if k.Text != "" || !k.Erased || k.Contact != "room 4" {
		t.Errorf("%s", jsonText(k))
	}
	w.stop()
	files, err := filepath.Glob(filepath.Join(w.dir, "ledger.db*"))
	must(t, err)
	for _, f := range files {
		if data, _ := os.ReadFile(f); strings.Contains(string(data), secret) {
			t.Errorf("%s still holds what was erased", filepath.Base(f))
		}
	}
	w.start()
	w.token = admin
}

func TestConcernsRefuse(t *testing.T) {
	w := clocked(t)
	for body, want := range map[string]string{
		`{"topic":"x","text":"t"}`:      "topic",
		`{"topic":"other"}`:             "text",
		`{"topic":"other","text":"  "}`: "text",
		`{"topic":"other","text":"` + strings.Repeat("x", maxConcern+1) + `"}`:      "text",
		`{"topic":"other","text":"t","contact":"` + strings.Repeat("x", 301) + `"}`: "contact",
	} {
		if _, p := w.anyone("POST", "/concerns", body, nil); p == nil || p.Code != "invalid_field" || p.Field != want {
			t.Errorf("%.60s: %+v", body, p)
		}
	}
	if _, p := w.anyone("POST", "/concerns", `{"topic":"other","text":"t","named":true}`, nil); p == nil || p.Status != 401 {
		t.Errorf("a name without a token: %+v", p)
	}
	for _, receipt := range []string{"", "cr_", "cr_nonsense", strings.Repeat("x", 1000)} {
		if _, p := w.anyone("POST", "/concerns/status", `{"receipt":"`+receipt+`"}`, nil); p == nil || p.Code != "unknown_receipt" {
			t.Errorf("%.20s: %+v", receipt, p)
		}
	}
	// A flood ends at the door, and does not last.
	n := 0
	for range doorEach + 5 {
		if _, p := w.anyone("POST", "/concerns", `{"topic":"other","text":"t"}`, nil); p == nil {
			n++
		} else if p.Status != 429 {
			t.Fatalf("%+v", p)
		}
	}
	if n != doorEach {
		t.Errorf("%d came in", n)
	}
	w.clock.advance(doorWindow + time.Second)
	if _, p := w.anyone("POST", "/concerns", `{"topic":"other","text":"t"}`, nil); p != nil {
		t.Errorf("%+v", p)
	}
	// With a name, and then nobody closes their own.
	aud := w.member("aud", "auditor")
	w.token = aud
	var r receiptView
	w.ok(201, "POST", "/concerns", `{"topic":"process","text":"t","named":true}`, &r)
	last := fmt.Sprintf("/concerns/k-%d", n+2)
	var k concernView
	w.ok(200, "GET", last, "", &k)
	if k.By == "" {
		t.Errorf("%s", jsonText(k))
	}
	w.bad(409, "not_independent", "POST", last, `{"state":"no_action","message":"nothing to see"}`)
}
