package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"andon/app/config"
	"andon/bench/years"
	"andon/ledger"
	"andon/order"
)

// record is the data folder of a control plane after years of incidents, and the
// program that is measured on it. It is made once in a run.
type record struct {
	andon     string // the program
	data      string
	incidents int
	entries   uint64        // as generated
	bytes     int64         // of the ledger's file
	took      time.Duration // to generate it
}

func (b *bench) record() (*record, error) {
	if b.years != nil {
		return b.years, nil
	}
	r := &record{andon: filepath.Join(b.dir, "andon"), data: filepath.Join(b.dir, "years"), incidents: pick(b, 10_000, 1000)}
	if out, err := exec.CommandContext(b.ctx, "go", "build", "-o", r.andon, "./cmd/andon").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build andon: %w: %s", err, bytes.TrimSpace(out))
	}
	began := time.Now()
	if err := os.MkdirAll(r.data, 0o700); err != nil {
		return nil, err
	}
	l := config.LayoutOf(r.data)
	if _, err := order.LoadOrCreate(l.OrderKey()); err != nil {
		return nil, err
	}
	signer, _, err := ledger.LoadOrCreateSigner(l.LedgerKey(), config.Default().Control.Origin)
	if err != nil {
		return nil, err
	}
	log, err := ledger.OpenSQLite(l.Ledger(), signer)
	if err != nil {
		return nil, err
	}
	err = years.Write(b.ctx, log, r.incidents, 100, time.Now())
	r.entries = log.Size()
	if err := errors.Join(err, log.Close()); err != nil {
		return nil, err
	}
	fi, err := os.Stat(l.Ledger())
	if err != nil {
		return nil, err
	}
	r.bytes, r.took = fi.Size(), time.Since(began)
	b.years = r
	return r, nil
}

// running is a control plane on it.
type running struct {
	child *child
	url   string
	token string
	ready time.Duration // from its start until it said that it is well
	spent time.Duration // of the processors, until then
}

// serve starts the program as operators do, and waits until it is well.
func (b *bench) serve(r *record) (*running, error) {
	began := time.Now()
	c, err := b.start("andon control", r.andon, "control", "--data", r.data, "--control-listen", "127.0.0.1:0", "--set", "control.bus_listen=localhost:0")
	if err != nil {
		return nil, err
	}
	p := &running{child: c}
	for p.url == "" {
		line, err := c.out.ReadString('\n')
		if err != nil {
			return nil, fmt.Errorf("start andon control: %w: %s", err, c.errs)
		}
		if f := strings.Fields(line); len(f) == 2 && f[0] == "control" {
			p.url = f[1]
		}
	}
	resp, err := http.Get(p.url + "/healthz")
	if err != nil {
		return nil, fmt.Errorf("start andon control: %w", err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("start andon control: /healthz answered %d", resp.StatusCode)
	}
	p.ready, p.spent = time.Since(began), groupTime(c.pid())
	token, err := os.ReadFile(config.LayoutOf(r.data).OperatorToken())
	p.token = strings.TrimSpace(string(token))
	return p, err
}

// size is how much there is in the record, in words.
func (r *record) size() string {
	return fmt.Sprintf("%s incidents with %s entries", thousands(int64(r.incidents)), thousands(int64(r.entries)))
}

// startupRow starts the control plane on years of incidents.
func startupRow(b *bench) (*result, error) {
	r, err := b.record()
	if err != nil {
		return nil, err
	}
	var took, spent []time.Duration
	resident := uint64(0)
	for range pick(b, 4, 2) {
		p, err := b.serve(r)
		if err != nil {
			return nil, err
		}
		resident = max(resident, groupResident(p.child.pid()))
		took, spent = append(took, p.ready), append(spent, p.spent)
		b.end(p.child)
	}
	took, spent = took[1:], spent[1:] // the first one writes: it makes the first operator
	slowest := worst(took)
	return &result{what: "start of the control plane with " + r.size(), target: "under 10 s",
		measured: fmt.Sprintf("%s s at the worst of %d", digits(slowest.Seconds()), len(took)), ratio: digits(slowest.Seconds()/10) + " of 10 s", verdict: judge(slowest < 10*time.Second),
		detail: fmt.Sprintf(`From the start of %s until it answers at %s: the whole ledger is read and folded, %s MB of SQLite.
The processors worked %s s for it; its resident memory is then %s MB. The entries were written by a generator, which took %s s: signals,
incidents, stops with their measured effect, decisions, approvals, reviews, runs of a playbook, notes.
`, "`andon control`", "`/healthz`", digits(float64(r.bytes)/1e6), digits(median(spent).Seconds()), digits(float64(resident)/1e6), digits(r.took.Seconds()))}, nil
}

// verifyRow checks the whole record from outside, while nobody has it open.
func verifyRow(b *bench) (*result, error) {
	r, err := b.record()
	if err != nil {
		return nil, err
	}
	var took, spent []time.Duration
	var lines []string
	for range 2 {
		began := time.Now()
		var out, said bytes.Buffer
		cmd := exec.CommandContext(b.ctx, r.andon, "ledger", "verify", "--data", r.data)
		cmd.Stdout, cmd.Stderr = &out, &said
		if err := cmd.Run(); err != nil {
			return nil, fmt.Errorf("andon ledger verify: %w: %s%s", err, &out, &said)
		}
		took, spent = append(took, time.Since(began)), append(spent, cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())
		var size uint64
		if _, err := fmt.Sscanf(out.String(), "sound: %d entries", &size); err != nil || size < r.entries {
			return nil, fmt.Errorf("andon ledger verify: %d entries were written, and it says %s", r.entries, &out)
		}
		lines = nil
		for line := range strings.Lines(said.String()) {
			if line = strings.TrimSpace(line); strings.HasSuffix(line, "%") {
				lines = append(lines, line)
			}
		}
	}
	slowest, shown := worst(slices.Clone(took)), "nothing, as it took less than three seconds"
	if len(lines) > 0 {
		shown = fmt.Sprintf("%d lines, the last %q", len(lines), lines[len(lines)-1])
	}
	return &result{what: "`andon ledger verify` over " + r.size(), target: "under 30 s, with progress",
		measured: fmt.Sprintf("%s s at the worst of %d", digits(slowest.Seconds()), len(took)), ratio: digits(slowest.Seconds()/30) + " of 30 s",
		verdict: judge(slowest < 30*time.Second && (len(lines) > 0 || took[len(took)-1] < 5*time.Second)),
		detail: fmt.Sprintf(`Every leaf, every stored hash and the root are computed from the entries' own bytes and compared with the signed checkpoint, in a process of its own.
The processors worked %s s for it. Of its progress it wrote, to a pipe, %s; on a terminal one line is written over five times a second.
`, digits(median(spent).Seconds()), shown)}, nil
}
