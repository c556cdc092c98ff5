package control

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"andon/correction"
	"andon/ledger"
)

// BenchmarkCommand posts corrections over loopback, each durable in SQLite with
// its signed checkpoint, signed as an order and published. It reports the
// median and the 99th percentile besides the mean.
func BenchmarkCommand(b *testing.B) {
	w := newWorld(b, func(c *Config) { c.Logger = slog.New(slog.DiscardHandler) })
	w.gate("gw-1", true)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	var took []time.Duration
	for b.Loop() {
		began := time.Now()
		req, err := http.NewRequestWithContext(b.Context(), "POST", "http://"+w.c.Addr()+api+"/corrections", bytes.NewReader([]byte(stopLarge)))
		must(b, err)
		req.Header.Set("Authorization", "Bearer "+w.token)
		resp, err := client.Do(req)
		must(b, err)
		if resp.StatusCode != 201 {
			b.Fatal(resp.Status)
		}
		_, err = io.Copy(io.Discard, resp.Body)
		must(b, err)
		resp.Body.Close()
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms-median")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "ms-p99")
}

// BenchmarkFold reads a ledger of 1,000 corrections, each lifted again but the
// last hundred.
func BenchmarkFold(b *testing.B) {
	c := newWorld(b, nil).c
	var entries []ledger.Entry
	add := func(kind string, v any) {
		entries = append(entries, ledger.Entry{Seq: uint64(len(entries)), At: time.Now(), Type: kind, Actor: "op-1", Body: body(v)})
	}
	cor, err := correction.Parse([]byte(stopLarge))
	must(b, err)
	cor, err = c.check(cor, time.Now())
	must(b, err)
	for i := range 1000 {
		cor.ID = "c-" + strconv.Itoa(i+1)
		add(typeCreated, createdBody{Correction: cor})
		if i < 900 {
			add(typeLifted, changedBody{ID: cor.ID, Reason: "done"})
		}
	}
	for b.Loop() {
		s := newState()
		for _, e := range entries {
			if _, err := s.fold(e); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*len(entries)), "µs/entry")
}
