package app_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"andon/cli"
)

// understood tells whether the command line knows the command and its flags.
// With --help added nothing is run, but flags are read.
func understood(t *testing.T, args []string) (string, bool) {
	t.Helper()
	var out bytes.Buffer
	code := cli.Main(context.Background(), cli.Env{
		Args: append(args, "--help"), Stdin: strings.NewReader(""), Stdout: &out, Stderr: &out,
		Lookup: func(string) (string, bool) { return "", false }, Now: time.Now,
	})
	return out.String(), code == 0 && strings.Contains(out.String(), "andon "+args[0])
}
