// Command andon restricts, degrades or stops deployed models. See package cli
// for the commands, and README.md for the first five minutes.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/mattn/go-isatty"

	"andon/app"
	"andon/cli"
)

// version is set at release with -ldflags "-X main.version=…".
var version = "dev"

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The first signal asks for an orderly end, the second ends at once.
	context.AfterFunc(ctx, stop)
	return cli.Main(ctx, cli.Env{
		Args:  os.Args[1:],
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Lookup:      os.LookupEnv,
		Now:         time.Now,
		Terminal:    isatty.IsTerminal(os.Stdout.Fd()) && os.Getenv("TERM") != "dumb",
		Interactive: isatty.IsTerminal(os.Stdin.Fd()) && isatty.IsTerminal(os.Stderr.Fd()),
		Version:     version,
		Daemons: cli.Daemons{
			Serve: app.Serve, Control: app.RunControl, Gateway: app.RunGateway, Dev: app.Dev, Sim: app.RunSim, Issuer: app.RunIssuer, Witness: app.RunSimWitness, Sink: app.RunSimSink,
		},
	})
}
