//go:build unix

package control

import (
	"context"
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
	"andon/bench/years"
	"andon/ledger"
	"andon/order"
)

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
	must(b, years.Write(b.Context(), log, 10_000, 100, time.Now()))
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
		op := &operator{id: years.Commander, roles: authority.SetOf(authority.Commander)}
		for name, path := range map[string]string{"list": "/incidents", "last-page": "/incidents?kind=all&after=i-60", "search": "/incidents?q=model+13+resolved&status=resolved",
			"texts-none": "/incidents?in=texts&q=no+such+words", "texts-next": "/incidents?in=texts&q=no+such+words&after=i-5000", "texts-hit": "/incidents?in=texts&q=model+13", "show": "/incidents/i-4711",
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
