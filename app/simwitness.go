package app

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"andon/sim/tlogwitness"
)

// RunSimWitness runs a simulated outside witness (C2SP tlog-witness) until ctx
// ends. logs are public keys of the logs that it knows, or files that hold one.
func RunSimWitness(ctx context.Context, listen string, logs []string, out io.Writer) error {
	var keys []string
	for _, l := range logs {
		if data, err := os.ReadFile(l); err == nil {
			l = strings.TrimSpace(string(data))
		}
		keys = append(keys, l)
	}
	w, err := tlogwitness.New("witness.example/sim", time.Now, keys...)
	if err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", listen)
	if err != nil {
		return fmt.Errorf("start witness: %w", err)
	}
	fmt.Fprintf(out, "witness   http://%s\na control plane asks it with\n  control:\n    witnesses: [{url: \"http://%s\", key: %q}]\n", l.Addr(), l.Addr(), w.Key())
	srv := &http.Server{Handler: w, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 30 * time.Second}
	return serveUntil(ctx, "witness", srv, l)
}
