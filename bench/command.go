package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// commandRow gives commands one after the other, with a gateway that obeys.
func commandRow(b *bench) (*result, error) {
	provider, err := b.provider("provider")
	if err != nil {
		return nil, err
	}
	p, err := b.control(1000)
	if err != nil {
		return nil, err
	}
	if _, err := b.gateway(p, andon, provider.addr); err != nil {
		return nil, err
	}
	n := pick(b, 400, 100)
	var took, syncs []time.Duration
	probe, err := os.Create(filepath.Join(b.dir, "sync"))
	if err != nil {
		return nil, err
	}
	defer probe.Close()
	page := make([]byte, 4096)
	for i := range n {
		if b.ctx.Err() != nil {
			return nil, b.ctx.Err()
		}
		_, at, err := p.correct(scopedText(10_000 + i))
		if err != nil {
			return nil, err
		}
		took = append(took, at.accepted.Sub(at.sent))
		from := time.Now()
		if _, err := probe.WriteAt(page, 0); err != nil {
			return nil, err
		}
		if err := probe.Sync(); err != nil {
			return nil, err
		}
		syncs = append(syncs, time.Since(from))
		time.Sleep(2 * time.Millisecond) // the gateway has put it in force
	}
	p50 := median(took)
	return &result{what: "a command with its ledger entry, signed and durable", target: "under 5 ms at the median",
		measured: fmt.Sprintf("p50 %s, p99 %s", ms(p50), ms(quantile(took, 0.99))), ratio: digits(p50.Seconds()*200) + " of 5 ms", verdict: judge(p50 < 5*time.Millisecond),
		detail: fmt.Sprintf(`%d commands %s over the control API, one after the other on one connection, with 1,000 corrections in force before them and a gateway that obeys. Each was checked, written into
the ledger (SQLite on disk, write-ahead log, synchronous), with its Merkle hashes and a signed checkpoint in one transaction, turned into a signed order and published before it was answered.
For scale: writing 4 KiB to a file on the same disk and syncing it takes %s (median) in between.
`, n, "`POST /api/v1/corrections`", ms(median(syncs)))}, nil
}
