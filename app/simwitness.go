package app

import (
	"context"
	"errors"
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
	stop := context.AfterFunc(ctx, func() { // without it the program would not end
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopBound)
		defer cancel()
		if srv.Shutdown(bounded) != nil {
			srv.Close()
		}
	})
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("witness: %w", err)
	}
	return nil
}
