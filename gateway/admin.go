package gateway

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"andon/order"
)

const (
	maxEmergency       = 1 << 20 // bytes of a signed emergency order
	emergencyDropEvery = time.Second
	dropDir            = "drop" // folder, in the data folder, for emergency orders as files
)

// adminHandler serves health, metrics, and the one way to stop a model with
// nothing but a key: a signed emergency order.
func (g *Gateway) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if ok, why := g.Ready(); !ok {
			w.WriteHeader(http.StatusServiceUnavailable)
			io.WriteString(w, why+"\n")
			return
		}
		io.WriteString(w, "ok\n")
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(g.metrics.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("POST /emergency", g.handleEmergency)
	return mux
}

type emergencyAnswer struct {
	ID          string   `json:"id"`
	Gateway     string   `json:"gateway"`
	Corrections []string `json:"corrections"`
	Cut         int      `json:"cut"`
	Kept        bool     `json:"kept"`                     // on disk: it survives a restart of this gateway
	Unknown     []string `json:"unknown_models,omitempty"` // named in it, and no model of this gateway: nothing is reached by that name
}

type adminProblem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

func (g *Gateway) handleEmergency(w http.ResponseWriter, r *http.Request) {
	received := time.Now()
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxEmergency))
	if err != nil {
		writeProblem(w, http.StatusRequestEntityTooLarge, "body_too_large", "an emergency order has at most 1 MiB")
		return
	}
	answer, err := g.obeyEmergency(r.Context(), data, received)
	if err != nil {
		status, code := http.StatusInternalServerError, "internal"
		switch {
		case errors.Is(err, order.ErrSignature):
			status, code = http.StatusForbidden, "bad_signature"
		case errors.Is(err, order.ErrMalformed):
			status, code = http.StatusUnprocessableEntity, "malformed"
		case errors.Is(err, order.ErrExpired):
			status, code = http.StatusGone, "expired"
		case errors.Is(err, order.ErrAdopted):
			status, code = http.StatusConflict, "adopted"
		case errors.Is(err, order.ErrForged):
			status, code = http.StatusConflict, "id_in_use"
		}
		writeProblem(w, status, code, err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.MarshalWrite(w, answer)
}

func (g *Gateway) obeyEmergency(ctx context.Context, signed []byte, received time.Time) (emergencyAnswer, error) {
	var e order.Emergency
	var cut int
	var err error
	if ended := g.agent.do(ctx, func() { e, cut, err = g.agent.emergency(signed, received) }); ended != nil {
		return emergencyAnswer{}, ended
	}
	answer := emergencyAnswer{ID: e.ID, Gateway: g.cfg.Name, Cut: cut, Kept: true, Corrections: []string{}}
	for _, c := range e.Corrections {
		answer.Corrections = append(answer.Corrections, c.ID)
		for _, name := range c.Scope.Models {
			if g.models[name] == nil && !slices.Contains(answer.Unknown, name) {
				answer.Unknown = append(answer.Unknown, name)
			}
		}
	}
	if errors.Is(err, order.ErrNotKept) {
		answer.Kept, err = false, nil
	}
	return answer, err
}

func writeProblem(w http.ResponseWriter, status int, code, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	json.MarshalWrite(w, adminProblem{Type: "about:blank", Title: http.StatusText(status), Status: status, Code: code, Detail: detail})
}

// watchDrop obeys emergency orders that are laid into the drop folder, for the
// day on which nothing but the machine itself can be reached. A file that was
// obeyed is renamed to .obeyed, one that was refused to .refused.
func (g *Gateway) watchDrop(ctx context.Context, every time.Duration) {
	dir := filepath.Join(g.cfg.Data, dropDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		g.log.Error("make drop folder", "error", err)
		return
	}
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		g.obeyDropped(ctx, dir)
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

func (g *Gateway) obeyDropped(ctx context.Context, dir string) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return
	}
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil || info.Size() > maxEmergency || !info.Mode().IsRegular() {
			continue
		}
		data, err := os.ReadFile(f)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		suffix := ".obeyed"
		if err == nil {
			var answer emergencyAnswer
			if answer, err = g.obeyEmergency(ctx, data, time.Now()); err == nil && !answer.Kept {
				continue // in force; a restart would need the file, so it stays until the order is kept
			}
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			suffix = ".refused"
			g.log.Error("refused an emergency order from a file", "file", filepath.Base(f), "error", err)
		}
		os.Rename(f, f+suffix)
	}
}
