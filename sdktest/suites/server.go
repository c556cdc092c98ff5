package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"andon/app"
	"andon/app/config"
)

// here is this folder, from the repository's root.
const here = "sdktest/suites"

// install puts the mock of package-lock.json into node_modules, once for each
// state of the lock file.
func install(ctx context.Context) error {
	if _, err := exec.LookPath("npm"); err != nil {
		return fmt.Errorf("npm was not found: the mock is an npm package. Install Node.js 20 or newer with npm (Debian: apt-get install nodejs npm)")
	}
	lock, err1 := os.Stat(filepath.Join(here, "package-lock.json"))
	done, err2 := os.Stat(filepath.Join(here, "node_modules", ".package-lock.json"))
	if err1 == nil && err2 == nil && !done.ModTime().Before(lock.ModTime()) {
		return nil
	}
	cmd := exec.CommandContext(ctx, "npm", "ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts")
	cmd.Dir = here
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci in %s (it needs a package registry): %w\n%s", here, err, out)
	}
	return nil
}

// mock is the program that the npm package brings for this machine.
func mock() (string, error) {
	arch := runtime.GOARCH
	if arch == "amd64" {
		arch = "x64"
	}
	return filepath.Abs(filepath.Join(here, "node_modules", "@stdy", "cli-"+runtime.GOOS+"-"+arch, "bin", "steady"))
}

// server is something that listens until it is stopped.
type server struct {
	url, admin string
	stop       func()
}

func startMock(ctx context.Context, s sdk, dir string) (*server, error) {
	spec := filepath.Join(dir, "openapi.json")
	if err := unpack(filepath.Join(data, s.spec), spec, s.root); err != nil {
		return nil, fmt.Errorf("unpack %s: %w", s.spec, err)
	}
	program, err := mock()
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	cmd := exec.CommandContext(ctx, program, "--host", "127.0.0.1", "-p", strconv.Itoa(port), "--quiet",
		"--validator-query-array-format=brackets", "--validator-form-array-format=brackets",
		"--validator-query-object-format=brackets", "--validator-form-object-format=brackets", spec)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	m := &server{url: fmt.Sprintf("http://127.0.0.1:%d", port), stop: func() { cmd.Process.Kill(); <-ended; ended <- nil }}
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if res, err := http.Get(m.url + "/_x-steady/health"); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return m, nil
			}
		}
		select {
		case err := <-ended:
			return nil, fmt.Errorf("the mock ended: %v\n%s", err, said.String())
		default:
		}
		if time.Now().After(deadline) {
			m.stop()
			return nil, fmt.Errorf("the mock does not answer:\n%s", said.String())
		}
	}
}

// unpack writes the document of a mock, which takes paths as the document has
// them: those that are below a root get it.
func unpack(from, to, root string) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(z)
	if err != nil {
		return err
	}
	if root != "" {
		var doc, paths map[string]jsontext.Value
		if err := json.Unmarshal(text, &doc); err != nil {
			return err
		}
		if err := json.Unmarshal(doc["paths"], &paths); err != nil {
			return err
		}
		below := map[string]jsontext.Value{}
		for path, item := range paths {
			below[root+path] = item
		}
		if doc["paths"], err = json.Marshal(below); err != nil {
			return err
		}
		if text, err = json.Marshal(doc); err != nil {
			return err
		}
	}
	return os.WriteFile(to, text, 0o644)
}

// startGateway starts Andon in this process, in front of the mock: anybody may
// call, and every model's name stands for itself.
func startGateway(ctx context.Context, s sdk, upstream, dir string) (*server, error) {
	cfg := config.Default()
	cfg.Data = dir
	cfg.Control.Listen, cfg.Gateway.Listen, cfg.Gateway.Admin = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	cfg.Gateway.Identity.Mode = "open"
	cfg.Gateway.UnknownModels = "any"
	cfg.Gateway.Upstreams = []config.Upstream{{Name: "mock", Wire: s.wire, BaseURL: upstream, Account: "pass"}}
	cfg.Gateway.Models = []config.Model{{Name: "any", Upstream: "mock"}}
	a, err := app.New(cfg, app.Control|app.Gateway, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	if err := a.Start(ctx); err != nil {
		return nil, err
	}
	return &server{url: a.GatewayURL(), admin: a.AdminURL(), stop: func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		a.Stop(ctx)
	}}, nil
}

var outcome = regexp.MustCompile(`(?m)^andon_requests_total\{outcome="([^"]*)",wire="[^"]*"\} (\d+)`)

// outcomes says how many requests a gateway has answered, by how they ended.
func (g *server) outcomes() (map[string]int, error) {
	res, err := http.Get(g.admin + "/metrics")
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	all := map[string]int{}
	for _, m := range outcome.FindAllStringSubmatch(string(text), -1) {
		n, _ := strconv.Atoi(m[2])
		all[m[1]] += n
	}
	return all, nil
}
