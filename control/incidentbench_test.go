//go:build unix

package control

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"andon/authority"
	"andon/correction"
	"andon/incident"
	"andon/ledger"
	"andon/order"
)

// years writes a ledger of many incidents with so many entries each, as years of
// use would leave it: opened, worked on, corrected, most of them closed.
func years(tb testing.TB, log ledger.Log, incidents, each int) {
	tb.Helper()
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var batch []ledger.Entry
	size := uint64(0)
	flush := func() {
		next, err := log.Append(context.Background(), size, batch...)
		must(tb, err)
		size, batch = next, batch[:0]
	}
	put := func(kind string, v any) {
		at = at.Add(17 * time.Second)
		batch = append(batch, ledger.Entry{At: at, Type: kind, Actor: "op-1", Body: body(v)})
		if len(batch) == 5000 {
			flush()
		}
	}
	event := func(e incident.Event) { put(e.Type(), e) }
	_, hash := secret(tokenPrefix)
	put(typeOperator, operatorBody{ID: "op-1", Name: "ann", Role: string(authority.Commander), Token: hash})
	for n := range incidents {
		id, cor := fmt.Sprintf("i-%d", n+1), fmt.Sprintf("c-%d", n+1)
		spec := incident.OpenSpec{Title: fmt.Sprintf("answers of model %d went wrong", n%97), Subject: incident.Subject{Models: []string{fmt.Sprintf("model-%d", n%97)}}, Severity: incident.Severities[n%4], Text: strings.Repeat("what was seen. ", 20)}
		if n%10 == 0 {
			spec.Marking = &incident.Marking{TLP: "RED", Need: &incident.Need{Operators: []string{"op-1"}}}
		}
		event(&incident.Opened{Incident: id, OpenSpec: spec})
		put(typeCreated, createdBody{Correction: correction.Correction{ID: cor, Kind: correction.Stop, Params: correction.Params{Level: "L3"}, Scope: correction.Scope{Models: []string{"sim-large"}}, Reason: "r", Incident: id, AppliedAt: at}})
		event(&incident.On[incident.StatusChange]{Incident: id, Step: incident.StatusChange{To: incident.StatusContained}})
		for k := 5; k < each-2; k++ {
			switch k % 20 {
			case 0:
				event(&incident.On[incident.TimeChange]{Incident: id, Step: incident.TimeChange{Name: incident.TimeNames[k/20%len(incident.TimeNames)], Value: "2026-01-02T03Z", Reason: "from the logs"}})
			case 1:
				event(&incident.On[incident.HypothesisChange]{Incident: id, Step: incident.HypothesisChange{Text: "a prompt injection through a tool"}})
			default:
				event(&incident.On[incident.Note]{Incident: id, Step: incident.Note{Text: fmt.Sprintf("step %d: %s", k, strings.Repeat("looked at requests of the caller. ", 6)), Refs: []string{cor}}})
			}
		}
		put(typeLifted, changedBody{ID: cor, Reason: "fixed"})
		event(&incident.On[incident.StatusChange]{Incident: id, Step: incident.StatusChange{To: incident.StatusResolved}})
		if n%20 != 0 {
			event(&incident.On[incident.Closed]{Incident: id, Step: incident.Closed{Reason: incident.CloseResolved, Text: "done"}})
		} else {
			event(&incident.On[incident.Note]{Incident: id, Step: incident.Note{Text: "still open"}})
		}
	}
	flush()
}

// BenchmarkYearsOfIncidents is ten thousand incidents with a million entries: how
// long the control plane takes to start, and each page's data. One run is enough:
//
//	go test ./control -run '^$' -bench YearsOfIncidents -benchtime 1x
func BenchmarkYearsOfIncidents(b *testing.B) {
	skey, _, err := ledger.NewSigner("example.com/andon")
	must(b, err)
	key, err := note.NewSigner(skey)
	must(b, err)
	signer, err := order.GenerateSigner()
	must(b, err)
	log, err := ledger.OpenSQLite(filepath.Join(b.TempDir(), "ledger.db"), key)
	must(b, err)
	defer log.Close()
	years(b, log, 10_000, 100)
	for b.Loop() {
		began, cpu := time.Now(), cpuTime(b)
		c, err := New(Config{Log: log, Signer: signer, Logger: slog.New(slog.DiscardHandler)})
		must(b, err)
		b.ReportMetric(time.Since(began).Seconds(), "s/start")
		b.ReportMetric((cpuTime(b) - cpu).Seconds(), "cpu-s/start")
		b.ReportMetric(float64(log.Size()), "entries")
		runtime.GC()
		var mem runtime.MemStats
		runtime.ReadMemStats(&mem)
		b.ReportMetric(float64(mem.HeapAlloc)/(1<<20), "MB")
		op := &operator{id: "op-1", roles: authority.SetOf(authority.Commander)}
		for name, path := range map[string]string{"list": "/incidents", "last-page": "/incidents?kind=all&after=i-60", "search": "/incidents?q=model+13+resolved&status=resolved", "show": "/incidents/i-4711",
			"timeline": "/incidents/i-4711/timeline", "timeline-500": "/incidents/i-4711/timeline?limit=500", "cases": "/cases", "outcomes": "/signals/outcomes"} {
			var took []time.Duration
			for range 20 {
				began := time.Now()
				asked(b, c, op, path)
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms/"+name)
			b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, "ms-max/"+name)
		}
		must(b, c.Stop(context.Background()))
	}
}

// cpuTime is what this process has used of the processors, which says more than
// the clock where others run as well.
func cpuTime(tb testing.TB) time.Duration {
	var u syscall.Rusage
	must(tb, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// asked asks for one page as an operator, without a socket.
func asked(tb testing.TB, c *Control, op *operator, path string) *httptest.ResponseRecorder {
	tb.Helper()
	rec := httptest.NewRecorder()
	for i := range table {
		rt := &table[i]
		mux := http.NewServeMux()
		if rt.method != http.MethodGet {
			continue
		}
		served := false
		mux.HandleFunc(rt.path, func(w http.ResponseWriter, r *http.Request) {
			served = true
			must(tb, rt.serve(c, &call{w: w, r: r, op: op}))
		})
		plain, _, _ := strings.Cut(path, "?")
		if strings.Count(rt.path, "/") != strings.Count(api+plain, "/") {
			continue
		}
		req := httptest.NewRequest(http.MethodGet, api+path, nil)
		if mux.ServeHTTP(rec, req); served {
			return rec
		}
		rec = httptest.NewRecorder()
	}
	tb.Fatalf("nothing at %s", path)
	return nil
}
