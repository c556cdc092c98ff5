package app

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"andon/sim/sink"
)

// RunSimSink runs a simulated receiver of webhooks until ctx ends. Without a
// secret it makes one, and says it.
func RunSimSink(ctx context.Context, listen, secret string, out io.Writer) error {
	if secret == "" {
		secret = sink.NewSecret()
	}
	s, err := sink.New(secret, time.Now)
	if err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", listen)
	if err != nil {
		return fmt.Errorf("start sink: %w", err)
	}
	fmt.Fprintf(out, "sink      http://%s  what it got: http://%s/_sink/requests\na control plane alerts it with\n  control:\n    alerts: [{url: \"http://%s/\", secret: %q}]\n", l.Addr(), l.Addr(), l.Addr(), secret)
	srv := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10}
	return serveUntil(ctx, "sink", srv, l)
}
