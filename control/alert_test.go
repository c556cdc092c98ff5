package control

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"golang.org/x/mod/sumdb/note"

	"andon/correction"
	"andon/ledger"
	"andon/order"
	"andon/sim/sink"
)

// received is a sink, and the endpoint that leads to it.
type received struct {
	*sink.Sink
	AlertEndpoint
	server *httptest.Server
	clock  atomic.Pointer[clock] // nil: the real one
	hold   chan struct{}         // nil: it answers at once; else only once this is closed
}

func newReceived(t testing.TB, name string, events ...string) *received {
	t.Helper()
	r := &received{AlertEndpoint: AlertEndpoint{Name: name, Secret: sink.NewSecret(), Events: events}}
	var err error
	r.Sink, err = sink.New(r.Secret, func() time.Time {
		if c := r.clock.Load(); c != nil {
			return c.Now()
		}
		return time.Now()
	})
	must(t, err)
	r.server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, q *http.Request) {
		if r.hold != nil {
			<-r.hold
		}
		r.Sink.ServeHTTP(rw, q)
	}))
	t.Cleanup(r.server.Close)
	r.URL = r.server.URL + "/hook?team=safety"
	return r
}

// alerted is a world that tells these endpoints.
func alerted(t testing.TB, ends ...*received) *world {
	t.Helper()
	dir := t.TempDir()
	return newWorld(t, func(c *Config) {
		c.Alerts, c.AlertFile, c.alertRetry = nil, filepath.Join(dir, "alerts.json"), 5*time.Millisecond
		for _, e := range ends {
			c.Alerts = append(c.Alerts, e.AlertEndpoint)
		}
	})
}

// soon waits until something holds.
func soon(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for begun := time.Now(); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Since(begun) > 30*time.Second {
			t.Fatal("waited in vain until " + what)
		}
	}
}

// payload is what an alert says.
func payload(t testing.TB, r sink.Request) (m alertMessage) {
	t.Helper()
	must(t, json.Unmarshal(r.Payload, &m, json.RejectUnknownMembers(true)))
	return m
}

// told are the alerts that a sink took, as "type says".
func (r *received) told(t testing.TB) (out []string) {
	t.Helper()
	for _, q := range r.Taken() {
		out = append(out, q.Type+" "+payload(t, q).Data.Says)
	}
	return out
}

func (r *received) wait(t testing.TB, n int) []string {
	t.Helper()
	soon(t, fmt.Sprintf("%s has %d alerts; it has %v", r.Name, n, r.told(t)), func() bool { return len(r.Taken()) >= n })
	return r.told(t)
}

func (w *world) endpoint(name string) alertView {
	w.t.Helper()
	var l alertList
	w.ok(200, "GET", "/alerts", "", &l)
	for _, e := range l.Alerts {
		if e.Name == name {
			return e
		}
	}
	w.t.Fatalf("no endpoint %s in %+v", name, l)
	return alertView{}
}

const stopL2 = `{"kind":"stop","params":{"level":"L2","drain":"1m"},"scope":{"models":["sim-large"]},"reason":"drill"}`

func TestEveryPullIsTold(t *testing.T) {
	all, pulls := newReceived(t, "all"), newReceived(t, "pulls", "pull")
	w := alerted(t, all, pulls)
	w.create(stopL2) // no pull
	w.create(stopLarge)
	w.create(strings.Replace(stopLarge, `"reason"`, `"mode":"shadow","reason"`, 1)) // reaches nobody
	key := struct{ ID string }{}
	w.ok(201, "POST", "/keys", `{"org":"acme"}`, &key)
	w.ok(200, "DELETE", "/keys/k-1", "", nil)
	w.create(strings.Replace(stopLarge, "L3", "L4", 1))
	got := all.wait(t, 3)
	want := []string{"alert.pull ann pulled the cord: stop L3 of sim-large, c-2", "alert.revoked ann revoked the key k-1", "alert.pull ann pulled the cord: stop L4 of sim-large, c-4"}
	if !slices.Equal(got, want) {
		t.Fatalf("%q", got)
	}
	if got := pulls.wait(t, 2); !slices.Equal(got, []string{want[0], want[2]}) {
		t.Fatalf("%q", got)
	}
	m := payload(t, all.Taken()[0])
	v := w.get("c-2")
	if m.Data.By != "op-1" || m.Data.Correction != "c-2" || m.Data.Link != "/api/v1/corrections/c-2" || *m.Data.Entry != v.History[0].Entry || !m.Timestamp.Equal(v.History[0].At) {
		t.Errorf("%s", jsonText(m))
	}
	if id := all.Taken()[0].ID; id != pulls.Taken()[0].ID || !strings.HasPrefix(id, "msg_") {
		t.Errorf("the same alert has two ids: %s", id)
	}
	soon(t, "nothing waits", func() bool { return w.endpoint("all").Waiting == 0 })
	e := w.endpoint("all")
	if e.State != alertReady || e.Last == nil || e.Last.Type != "alert.pull" || e.Waiting != 0 || e.Host != all.server.URL || strings.Contains(jsonText(e), "team=") {
		t.Errorf("%s", jsonText(e))
	}
	if logs := w.logs.String(); strings.Contains(logs, "team=") || strings.Contains(logs, all.Secret) {
		t.Error("an address or a secret is in the log")
	}
}

// TestTheSpecificationsOwnLibraryVerifies: what is sent verifies by the code of
// Standard Webhooks itself, and not once a byte is another.
func TestTheSpecificationsOwnLibraryVerifies(t *testing.T) {
	secret := sink.NewSecret()
	their, err := standardwebhooks.NewWebhook(secret)
	must(t, err)
	seen := make(chan error, 2)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		err := their.Verify(data, r.Header)
		if their.Verify(append(data, ' '), r.Header) == nil {
			err = errors.New("another payload verifies as well")
		}
		seen <- err
	}))
	defer server.Close()
	w := newWorld(t, func(c *Config) { c.Alerts = []AlertEndpoint{{URL: server.URL, Secret: secret}} })
	w.create(stopLarge)
	if err := <-seen; err != nil {
		t.Error(err)
	}
	var v alertTestView
	w.ok(200, "POST", "/alerts/"+strings.TrimPrefix(server.URL, "http://")+"/test", "", &v)
	if err := <-seen; err != nil || !v.Delivered || v.Status != 200 {
		t.Errorf("%v %+v", err, v)
	}
}

// TestNothingIsLostByARestart: what was commanded while the endpoint was down, and
// before the control plane ended, arrives; what had arrived does not come again.
func TestNothingIsLostByARestart(t *testing.T) {
	r := newReceived(t, "pager")
	w := alerted(t, r)
	w.create(stopLarge)
	r.wait(t, 1)
	must(t, r.Answer(sink.Answer{Status: 503}))
	for range 3 {
		w.create(stopLarge)
	}
	soon(t, "it fails", func() bool { return w.endpoint("pager").State == alertFailing })
	w.restart()
	soon(t, "it fails again", func() bool { e := w.endpoint("pager"); return e.State == alertFailing && e.Waiting == 3 })
	e := w.endpoint("pager")
	if e.Failing.IsZero() || !strings.Contains(e.Error, "503") || e.Last != nil {
		t.Errorf("%s", jsonText(e))
	}
	must(t, r.Answer(sink.Answer{}))
	got := r.wait(t, 4)
	for i, text := range got {
		if !strings.HasSuffix(text, fmt.Sprintf("c-%d", i+1)) {
			t.Errorf("out of order: %q", got)
		}
	}
	soon(t, "it recovers, and knows that all were taken", func() bool { e := w.endpoint("pager"); return e.State == alertReady && e.Waiting == 0 })
	before := len(r.Requests())
	w.restart()
	w.create(stopLarge)
	r.wait(t, 5)
	for _, q := range r.Requests()[before:] { // an answer that came too late may have had one repeated before
		if q.Again {
			t.Error("what was taken came again", q.ID)
		}
	}
}

// TestACrashRepeatsAtMost: with the cursor as it was before, alerts come again
// under the same ids, so that a receiver can tell.
func TestACrashRepeatsAtMost(t *testing.T) {
	r := newReceived(t, "pager")
	w := alerted(t, r)
	name := w.c.cfg.AlertFile
	old, err := os.ReadFile(name)
	must(t, err)
	w.create(stopLarge)
	w.create(stopLarge)
	r.wait(t, 2)
	w.stop()
	must(t, os.WriteFile(name, old, 0o600))
	w.start()
	soon(t, "both came again", func() bool { return len(r.Requests()) == 4 })
	if len(r.Taken()) != 2 {
		t.Errorf("%+v", r.Requests())
	}
}

func TestANewEndpointBeginsAtNow(t *testing.T) {
	r := newReceived(t, "pager")
	w := alerted(t)
	w.create(stopLarge)
	file := ""
	w.config = func(c *Config) {
		file = filepath.Join(w.dir, "alerts.json")
		c.Alerts, c.AlertFile, c.alertRetry = []AlertEndpoint{r.AlertEndpoint}, file, time.Millisecond
	}
	w.restart()
	w.create(stopLarge)
	if got := r.wait(t, 1); !strings.HasSuffix(got[0], "c-2") {
		t.Errorf("%q", got)
	}
	// Damaged: said, and as new.
	w.stop()
	must(t, os.WriteFile(file, []byte(`{"next":{"pager":`), 0o600))
	w.start()
	if !strings.Contains(w.logs.String(), "alerts.json") {
		t.Error("a damaged file was not said")
	}
	w.create(stopLarge)
	if got := r.wait(t, 2); !strings.HasSuffix(got[1], "c-3") {
		t.Errorf("%q", got)
	}
	// Ahead of the ledger: as new, and said.
	w.stop()
	must(t, os.WriteFile(file, []byte(`{"next":{"pager":99999,"gone":4}}`), 0o600))
	w.start()
	w.create(stopLarge)
	if got := r.wait(t, 3); !strings.HasSuffix(got[2], "c-4") {
		t.Errorf("%q", got)
	}
	soon(t, "the file forgets who is gone", func() bool {
		data, err := os.ReadFile(file)
		must(t, err)
		return !strings.Contains(string(data), "gone")
	})
	if !strings.Contains(w.logs.String(), "the ledger is shorter") {
		t.Error("a ledger that is shorter was not said")
	}
}

// TestEndpointsThatMisbehave: whatever one does, the command does not wait and the
// other endpoint is told.
func TestEndpointsThatMisbehave(t *testing.T) {
	for name, tc := range map[string]struct {
		answer sink.Answer
		again  bool // it takes the alert in the end
		error  string
	}{
		"slow":       {sink.Answer{}, true, ""},
		"500":        {sink.Answer{Status: 500, Times: 2}, true, "500"},
		"404":        {sink.Answer{Status: 404, Times: 2}, true, "404"},
		"redirect":   {sink.Answer{Status: 302, Location: "http://127.0.0.1:1/"}, false, "redirects are not followed"},
		"not 2xx":    {sink.Answer{Status: 304}, false, "304"},
		"429":        {sink.Answer{Status: 429, RetryAfter: "1", Times: 1}, true, "429"},
		"429 absurd": {sink.Answer{Status: 429, RetryAfter: "99999999"}, false, "429"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad, good := newReceived(t, "bad"), newReceived(t, "good")
			if name == "slow" {
				bad.hold = make(chan struct{})
			}
			w := alerted(t, bad, good)
			must(t, bad.Answer(tc.answer))
			began := time.Now()
			w.create(stopLarge)
			good.wait(t, 1)
			if bad.hold != nil {
				if took := time.Since(began); took >= alertTimeout { // after which nobody waits for it
					t.Errorf("command and alert took %s", took)
				}
				close(bad.hold)
			}
			if tc.error != "" {
				soon(t, "it is said", func() bool {
					e := w.endpoint("bad")
					return strings.Contains(e.Error, tc.error) || len(bad.Taken()) > 0
				})
			}
			if tc.again {
				bad.wait(t, 1)
				if tc.answer.RetryAfter == "1" && time.Since(began) < time.Second {
					t.Error("it did not wait as it was asked to")
				}
				return
			}
			e := w.endpoint("bad")
			if e.State != alertFailing || len(bad.Taken()) != 0 || e.Waiting != 1 || e.Next.IsZero() {
				t.Errorf("%s", jsonText(e))
			}
			if d := e.Next.Sub(time.Now()); d > maxRetryAfter {
				t.Errorf("it waits %s", d)
			}
			// Somebody mends it and tries: then nothing waits any longer. What waited may be
			// told before the test is.
			must(t, bad.Answer(sink.Answer{}))
			var v alertTestView
			w.ok(200, "POST", "/alerts/bad/test", "", &v)
			if got := bad.wait(t, 2); !v.Delivered || !slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, "alert.test") }) {
				t.Errorf("%q %+v", got, v)
			}
		})
	}
}

// TestAnEndpointThatIsGone answers 410: it is told nothing more, and the others
// are told that.
func TestAnEndpointThatIsGone(t *testing.T) {
	gone, other := newReceived(t, "gone"), newReceived(t, "other", "endpoint")
	w := alerted(t, gone, other)
	must(t, gone.Answer(sink.Answer{Status: 410}))
	w.create(stopLarge)
	if got := other.wait(t, 1); !strings.Contains(got[0], "alert.endpoint the alert endpoint gone takes no more alerts") {
		t.Errorf("%q", got)
	}
	if !strings.Contains(w.logs.String(), "ALARM: the alert endpoint gone") {
		t.Error("no alarm")
	}
	w.restart()
	if e := w.endpoint("gone"); e.State != alertGone {
		t.Errorf("%s", jsonText(e))
	}
	n := len(gone.Requests())
	w.create(stopLarge)
	var v alertTestView
	w.ok(200, "POST", "/alerts/gone/test", "", &v)
	if v.Delivered || v.Status != 410 || v.Enabled {
		t.Errorf("%+v", v)
	}
	if m := len(gone.Requests()); m != n+1 { // the test alone
		t.Errorf("%d requests to who is gone", m-n)
	}
	must(t, gone.Answer(sink.Answer{}))
	w.ok(200, "POST", "/alerts/gone/test", "", &v)
	if !v.Delivered || !v.Enabled || w.endpoint("gone").State != alertReady {
		t.Errorf("%+v", v)
	}
	w.create(stopLarge)
	soon(t, "the next pull is told", func() bool { got := gone.told(t); return strings.HasSuffix(got[len(got)-1], "c-3") })
}

// TestOneMessageHoldsUpNoOther: an endpoint that will never take one alert, and
// takes the next, is not silenced by it.
func TestOneMessageHoldsUpNoOther(t *testing.T) {
	var poison atomic.Value
	poison.Store("")
	r := newReceived(t, "pager")
	r.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if id := q.Header.Get("Webhook-Id"); poison.CompareAndSwap("", id) || poison.Load() == id {
			w.WriteHeader(http.StatusUnprocessableEntity)
			return
		}
		r.Sink.ServeHTTP(w, q)
	})
	w := alerted(t, r)
	w.create(stopLarge)
	soon(t, "it is refused", func() bool { return w.endpoint("pager").Tries > alertGiveUp })
	w.create(stopLarge)
	if got := r.wait(t, 1); !strings.HasSuffix(got[0], "c-2") {
		t.Errorf("%q", got)
	}
	soon(t, "it is said", func() bool { e := w.endpoint("pager"); return e.GivenUp == 1 && e.State == alertReady })
	if !strings.Contains(w.logs.String(), "an alert was given up") {
		t.Error("nothing in the log")
	}
}

// TestTheQueueIsBounded: the ledger is the queue, and memory holds a part of it.
func TestTheQueueIsBounded(t *testing.T) {
	r := newReceived(t, "pager")
	w := alerted(t, r)
	must(t, r.Answer(sink.Answer{Status: 500}))
	const n = alertQueue + 20
	for range n {
		w.create(stopLarge)
	}
	soon(t, "the queue is full", func() bool { e := w.endpoint("pager"); return e.Waiting == alertQueue && e.More })
	must(t, r.Answer(sink.Answer{}))
	got := r.wait(t, n)
	for i := range n {
		if !strings.HasSuffix(got[i], fmt.Sprintf(" c-%d", i+1)) {
			t.Fatalf("%d: %s", i, got[i])
		}
	}
	soon(t, "the queue is empty", func() bool { e := w.endpoint("pager"); return e.Waiting == 0 && !e.More && e.State == alertReady })
}

// TestPlaintextStaysHere: a name that leads elsewhere than it says is not followed.
func TestPlaintextStaysHere(t *testing.T) {
	for _, address := range []string{"10.0.0.1:80", "169.254.169.254:80", "[fe80::1]:80", "0.0.0.0:80"} {
		h, err := newHook(&AlertEndpoint{URL: "http://localhost:1/", Secret: sink.NewSecret()})
		must(t, err)
		h.url = "http://" + address + "/"
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		_, err = h.send(ctx, "msg_1", time.Now(), &alertMessage{})
		cancel()
		if err == nil || !strings.Contains(err.Error(), "no address that anything is sent to") || strings.Contains(err.Error(), "http://") {
			t.Errorf("%s: %v", address, err)
		}
	}
	h, err := newHook(&AlertEndpoint{URL: "https://hooks.example.com/", Secret: sink.NewSecret()})
	must(t, err)
	h.url, h.http.Transport.(*http.Transport).Proxy = "https://169.254.169.254/", nil
	if _, err = h.send(t.Context(), "msg_1", time.Now(), &alertMessage{}); err == nil || !strings.Contains(err.Error(), "no address that anything is sent to") {
		t.Error(err)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	in := func(d time.Duration) string { return now.Add(d).Format(http.TimeFormat) }
	for _, tc := range []struct {
		after, date string
		want        time.Duration
	}{
		{"", "", 0}, {"7", "", 7 * time.Second}, {"-7", "", 0}, {"1.5", "", 0}, {"4294967296", "", 0}, {"86400", "", maxRetryAfter}, {"soon", "", 0},
		{in(time.Minute), "", time.Minute}, {in(-time.Minute), "", 0}, {in(48 * time.Hour), "", maxRetryAfter},
		{in(time.Hour + time.Minute), in(time.Hour), time.Minute}, // by its own clock, which is wrong
	} {
		h := http.Header{"Retry-After": {tc.after}, "Date": {tc.date}}
		if got := retryAfter(h, now); got != tc.want {
			t.Errorf("%q %q: %s, want %s", tc.after, tc.date, got, tc.want)
		}
	}
}

func TestCheckAlerts(t *testing.T) {
	good := sink.NewSecret()
	short := "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 23))
	long := "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 65))
	for name, tc := range map[string]struct {
		e           AlertEndpoint
		field, says string
	}{
		"https":          {AlertEndpoint{URL: "https://hooks.example.com/x", Secret: good}, "", ""},
		"loopback":       {AlertEndpoint{URL: "http://127.0.0.1:9/x", Secret: good, Events: []string{"pull", "glass"}}, "", ""},
		"localhost":      {AlertEndpoint{URL: "http://localhost:9", Secret: good}, "", ""},
		"v6":             {AlertEndpoint{URL: "http://[::1]:9", Secret: good, Name: "v6"}, "", ""},
		"plain":          {AlertEndpoint{URL: "http://hooks.example.com/x", Secret: good}, "url", "loopback"},
		"like loopback":  {AlertEndpoint{URL: "http://127.0.0.1.example.com/x", Secret: good}, "url", "loopback"},
		"metadata":       {AlertEndpoint{URL: "https://169.254.169.254/x", Secret: good}, "url", "link-local"},
		"mapped":         {AlertEndpoint{URL: "https://[::ffff:169.254.169.254]/x", Secret: good, Name: "n"}, "url", "link-local"},
		"file":           {AlertEndpoint{URL: "file:///etc/passwd", Secret: good, Name: "n"}, "url", "must be https://"},
		"nothing":        {AlertEndpoint{Secret: good, Name: "n"}, "url", "must be https://"},
		"user":           {AlertEndpoint{URL: "https://u:p@hooks.example.com/", Secret: good}, "url", "credentials"},
		"fragment":       {AlertEndpoint{URL: "https://hooks.example.com/#x", Secret: good}, "url", "fragment"},
		"no secret":      {AlertEndpoint{URL: "https://hooks.example.com/"}, "secret", "missing"},
		"no prefix":      {AlertEndpoint{URL: "https://hooks.example.com/", Secret: good[6:]}, "secret", "whsec_"},
		"no base64":      {AlertEndpoint{URL: "https://hooks.example.com/", Secret: "whsec_???"}, "secret", "base64"},
		"short":          {AlertEndpoint{URL: "https://hooks.example.com/", Secret: short}, "secret", "23 bytes"},
		"long":           {AlertEndpoint{URL: "https://hooks.example.com/", Secret: long}, "secret", "65 bytes"},
		"event":          {AlertEndpoint{URL: "https://hooks.example.com/", Secret: good, Events: []string{"pul"}}, "events", "no event"},
		"name":           {AlertEndpoint{URL: "https://hooks.example.com/", Secret: good, Name: "a/b"}, "name", "without"},
		"name of a path": {AlertEndpoint{URL: "https://hooks.example.com/", Secret: good, Name: ".."}, "name", "without"},
	} {
		faults := CheckAlerts([]AlertEndpoint{tc.e})
		if tc.field == "" {
			if len(faults) != 0 {
				t.Errorf("%s: %+v", name, faults)
			}
			continue
		}
		if len(faults) != 1 || faults[0].Field != tc.field || !strings.Contains(faults[0].Detail, tc.says) {
			t.Errorf("%s: %+v", name, faults)
		}
		if len(tc.e.Secret) > 10 && strings.Contains(fmt.Sprint(faults), tc.e.Secret[6:]) {
			t.Errorf("%s: the secret is said", name)
		}
	}
	twice := AlertEndpoint{URL: "https://hooks.example.com/", Secret: good}
	if f := CheckAlerts([]AlertEndpoint{twice, twice}); len(f) != 1 || f[0].Index != 1 || f[0].Field != "name" {
		t.Errorf("%+v", f)
	}
	if f := CheckAlerts(slices.Repeat([]AlertEndpoint{twice}, MaxAlerts+1)); len(f) == 0 || f[0].Index != MaxAlerts {
		t.Errorf("%+v", f)
	}
	if _, err := New(Config{Log: nothingWritten(t), Alerts: []AlertEndpoint{{URL: "http://example.com", Secret: good}}, Signer: mustSigner(t)}); err == nil || !strings.Contains(err.Error(), "url") {
		t.Error(err)
	}
}

func nothingWritten(t testing.TB) ledger.Log {
	skey, _, err := ledger.NewSigner("example.com/andon")
	must(t, err)
	signer, err := note.NewSigner(skey)
	must(t, err)
	l, err := ledger.OpenSQLite(filepath.Join(t.TempDir(), "ledger.db"), signer)
	must(t, err)
	t.Cleanup(func() { l.Close() })
	return l
}

func mustSigner(t testing.TB) order.Signer {
	s, err := order.GenerateSigner()
	must(t, err)
	return s
}

// TestWhatAlertsAreAbout goes through entries that other rooms write.
func TestWhatAlertsAreAbout(t *testing.T) {
	s := newState()
	s.operators["op-1"] = &operator{id: "op-1", name: "ann"}
	stop := func(id, level, mode string) correction.Correction {
		return correction.Correction{ID: id, Kind: correction.Stop, Params: correction.Params{Level: level}, Mode: correction.Mode(mode), Scope: correction.Scope{All: true}}
	}
	for name, tc := range map[string]struct {
		kind, actor string
		body        any
		want        string
	}{
		"emergency":      {typeAdopted, system, adoptedBody{ID: "e", By: "bea", Corrections: []correction.Correction{stop("c-1", "L2", ""), stop("c-2", "L4", ""), stop("c-3", "L3", "")}}, "pull an emergency order by bea was adopted, which pulled the cord: stop L4 of everything, c-2 and 1 more c-2"},
		"a mild one":     {typeAdopted, system, adoptedBody{ID: "e", By: "bea", Corrections: []correction.Correction{stop("c-1", "L2", "")}}, ""},
		"restored":       {typeRestored, "op-1", restoredBody{Reinstate: []correction.Correction{stop("c-1", "L3", "")}}, "pull ann pulled the cord by restoring what was in force: stop L3 of everything, c-1 c-1"},
		"raised":         {typeRaised, "op-1", changedBody{ID: "c-1", Level: "L6"}, "pull ann raised c-1 to L6 c-1"},
		"lapsed":         {typeLifted, system, changedBody{ID: "c-1", Reason: "not ratified in time: 0 of 1, by rule r"}, "overdue c-1 lapsed: not ratified in time: 0 of 1, by rule r c-1"},
		"lifted":         {typeLifted, "op-1", changedBody{ID: "c-1", Reason: "not ratified in time, says ann"}, ""},
		"overdue":        {typeOverdue, system, overdueBody{"c-1"}, "overdue c-1 was not ratified in time; it stays in force c-1"},
		"glass":          {typeGlass, "op-1", glassBody{Says: "lift c-1"}, "glass the glass was broken by ann: lift c-1 "},
		"split view":     {typeWitnessAlarmed, system, alarmedBody{"gw-1", "another root", ""}, "split_view gw-1 has seen a ledger that does not go with this one: another root "},
		"token":          {typeAPIRevoked, "op-1", apiRevokedBody{"t-1", "lost"}, "revoked ann revoked the token t-1: lost "},
		"credential":     {typeCredRevoked, "op-1", credRevokedBody{"cr-1", "gw-1", "stolen"}, "revoked ann revoked the credential cr-1 of gw-1: stolen "},
		"signing key":    {typeKeyRevoked, "op-1", distrustedBody{"ok-1", "stolen"}, "revoked ann revoked the signing key ok-1: stolen "},
		"gateways":       {typeGatewayAlarmed, system, gatewayBody{About: troubleRefused, Gateways: []string{"a", "b", "c", "d", "e"}, Detail: "no"}, "gateway a, b, c and 2 more: an order was refused: no "},
		"damaged":        {typeCreated, "op-1", map[string]string{"x": "y"}, ""},
		"nothing of all": {typeJoined, system, pointBody{Name: "gw-1"}, ""},
	} {
		event, says, about := s.alertOf(ledger.Entry{Type: tc.kind, Actor: tc.actor, Body: body(tc.body)})
		if got := event + " " + says + " " + about; got != tc.want && !(tc.want == "" && says == "") {
			t.Errorf("%s: %q", name, got)
		}
	}
}
