package sink

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

var noon = time.Now().Truncate(time.Second)

type world struct {
	t     *testing.T
	sink  *Sink
	srv   *httptest.Server
	their *standardwebhooks.Webhook
}

func newWorld(t *testing.T) *world {
	secret := NewSecret()
	s, err := New(secret, func() time.Time { return noon })
	if err != nil {
		t.Fatal(err)
	}
	their, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t, s, httptest.NewServer(s), their}
	t.Cleanup(w.srv.Close)
	return w
}

// send signs with the specification's own library, then changes what is sent.
func (w *world) send(id string, at time.Time, payload string, change func(http.Header)) *http.Response {
	w.t.Helper()
	sig, err := w.their.Sign(id, at, []byte(payload))
	if err != nil {
		w.t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodPost, w.srv.URL+"/hook", strings.NewReader(payload))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header = http.Header{"Webhook-Id": {id}, "Webhook-Timestamp": {strconv.FormatInt(at.Unix(), 10)}, "Webhook-Signature": {sig}}
	if change != nil {
		change(req.Header)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		w.t.Fatal(err)
	}
	resp.Body.Close()
	return resp
}

const hello = `{"type":"alert.pull","data":{}}`

func TestWhatIsTaken(t *testing.T) {
	w := newWorld(t)
	for name, tc := range map[string]struct {
		at      time.Time
		payload string
		change  func(http.Header)
		fault   string
	}{
		"good":           {noon, hello, nil, ""},
		"two signatures": {noon, hello, func(h http.Header) { h["Webhook-Signature"] = []string{"v1,AAAA v1a,x " + h.Get("Webhook-Signature")} }, ""},
		"another":        {noon, hello, func(h http.Header) { h.Set("Webhook-Id", "msg_2") }, "no signature"},
		"v2":             {noon, hello, func(h http.Header) { h.Set("Webhook-Signature", "v2"+h.Get("Webhook-Signature")[2:]) }, "no signature"},
		"none":           {noon, hello, func(h http.Header) { h.Del("Webhook-Signature") }, "webhook-signature must be there once"},
		"twice":          {noon, hello, func(h http.Header) { h.Add("Webhook-Id", "msg_2") }, "webhook-id must be there once"},
		"old":            {noon.Add(-6 * time.Minute), hello, nil, "6m0s away"},
		"young":          {noon.Add(6 * time.Minute), hello, nil, "-6m0s away"},
		"no time":        {noon, hello, func(h http.Header) { h.Set("Webhook-Timestamp", "now") }, "seconds since 1970"},
		"no JSON":        {noon, "hello", nil, "invalid"},
		"no type":        {noon, "{}", nil, "no type"},
	} {
		before := len(w.sink.Requests())
		resp := w.send("msg_1", tc.at, tc.payload, tc.change)
		all := w.sink.Requests()
		q := all[len(all)-1]
		if len(all) != before+1 || q.Verified != (tc.fault == "") || !strings.Contains(q.Fault, tc.fault) || (resp.StatusCode == 204) != q.Verified || q.Status != resp.StatusCode {
			t.Errorf("%s: %d %+v", name, resp.StatusCode, q)
		}
	}
	if n := len(w.sink.Taken()); n != 1 { // two came, under one id
		t.Errorf("%d taken", n)
	}
}

func TestAnswers(t *testing.T) {
	w := newWorld(t)
	set := func(body string) int {
		resp, err := http.Post(w.srv.URL+"/_sink/answer", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if set(`{"status":429,"retry_after":"7","times":2}`) != 204 {
		t.Fatal("refused")
	}
	for i, want := range []int{429, 429, 204} {
		resp := w.send("msg_"+strconv.Itoa(i), noon, hello, nil)
		if resp.StatusCode != want || (resp.Header.Get("Retry-After") == "7") != (want == 429) {
			t.Errorf("%d: %d", i, resp.StatusCode)
		}
	}
	for _, bad := range []string{``, `{"status":99}`, `{"status":600}`, `{"delay_ms":-1}`, `{"delay_ms":99999999}`, `{"times":-1}`, `{"location":"x\r\ny: z"}`, `{"sattus":500}`} {
		if set(bad) != 400 {
			t.Errorf("%s was taken", bad)
		}
	}
	for _, tc := range []struct {
		method, path string
		want         int
	}{{"GET", "/", 405}, {"GET", "/_sink/nope", 404}, {"POST", "/_sink/requests", 404}, {"GET", "/_sink/requests", 200}} {
		req, _ := http.NewRequest(tc.method, w.srv.URL+tc.path, nil)
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		data, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != tc.want {
			t.Errorf("%s %s: %d", tc.method, tc.path, resp.StatusCode)
		}
		if tc.want == 200 {
			var got struct{ Requests []Request }
			if err := json.Unmarshal(data, &got, json.MatchCaseInsensitiveNames(true)); err != nil || len(got.Requests) != 3 {
				t.Errorf("%v %s", err, data)
			}
		}
	}
}

func TestBounds(t *testing.T) {
	w := newWorld(t)
	if resp := w.send("msg_1", noon, `{"type":"`+strings.Repeat("x", maxBody)+`"}`, nil); resp.StatusCode != 401 {
		t.Errorf("a large one: %d", resp.StatusCode)
	}
	for i := range maxKept + 5 {
		w.sink.keep(Request{ID: strconv.Itoa(i), Verified: true, Status: 204})
	}
	if all := w.sink.Requests(); len(all) != maxKept || all[maxKept-1].ID != strconv.Itoa(maxKept+4) {
		t.Errorf("%d kept", len(all))
	}
	for _, secret := range []string{"", "whsec_", "whsec_c2hvcnQ=", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz", "whsec_" + strings.Repeat("A", 100)} {
		if _, err := New(secret, time.Now); err == nil {
			t.Errorf("%q was taken", secret)
		}
	}
}

func FuzzTake(f *testing.F) {
	f.Add("msg_1", "1", "v1,AAAA", []byte(hello))
	f.Add("", "x", "v1", []byte("\xff"))
	f.Fuzz(func(t *testing.T, id, at, sig string, payload []byte) {
		s, err := New(NewSecret(), time.Now)
		if err != nil {
			t.Fatal(err)
		}
		req := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(payload))
		req.Header = http.Header{"Webhook-Id": {id}, "Webhook-Timestamp": {at}, "Webhook-Signature": {sig}}
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, req)
		if rec.Code != http.StatusUnauthorized || len(s.Taken()) != 0 {
			t.Fatalf("taken without the secret: %d", rec.Code)
		}
		list := httptest.NewRecorder()
		s.ServeHTTP(list, httptest.NewRequest(http.MethodGet, "/_sink/requests", nil))
		if list.Code != http.StatusOK {
			t.Fatalf("what came can not be listed: %d %s", list.Code, list.Body)
		}
	})
}
