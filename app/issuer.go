package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"andon/sim/issuer"
)

// RunIssuer runs a simulated OpenID Connect issuer until ctx ends.
func RunIssuer(ctx context.Context, listen string, out io.Writer) error {
	i, err := issuer.New(issuer.Config{Listen: listen, Logger: logger(slog.LevelWarn)})
	if err != nil {
		return err
	}
	if err := i.Start(ctx); err != nil {
		return err
	}
	client, secret := i.Client()
	fmt.Fprintf(out, `issuer    %s
a control plane takes its people with
  control:
    oidc:
      issuer: %q
      client_id: %s
      client_secret: %s
      roles: {andon-administrators: [administrator], andon-commanders: [commander], andon-approvers: [approver], andon-responders: [responder], andon-viewers: [viewer]}
bad tokens and a wrong clock: %s/_sim/mode
`, i.URL(), i.URL(), client, secret, i.URL())
	<-ctx.Done()
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopBound)
	defer cancel()
	return i.Stop(stopping)
}
