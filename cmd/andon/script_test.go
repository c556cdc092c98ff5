package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/rogpeppe/go-internal/testscript"

	"andon/app"
	"andon/order"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"andon": func() { os.Exit(run()) }})
}

// TestScripts drives whole daemons: start, wait for, talk, kill, assert.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			for _, v := range []string{"ANDON_CONTROL_LISTEN", "ANDON_GATEWAY_LISTEN", "ANDON_GATEWAY_ADMIN", "ANDON_SIM_LISTEN"} {
				e.Setenv(v, "127.0.0.1:0")
			}
			e.Setenv("KEY", "no-key")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"ports":     cmdPorts,
			"dev":       cmdDev,
			"ready":     cmdReady,
			"call":      cmdCall,
			"call-wait": cmdCallWait,
			"stream":    cmdStream,
			"cut":       cmdCut,
			"field":     cmdField,
			"busy":      cmdBusy,
			"text":      cmdText,
			"public":    cmdPublic,
			"adopted":   cmdAdopted,
			"watchers":  cmdWatchers,
			"text-wait": cmdTextWait,
			"await":     cmdAwait,
			"shows":     cmdShows,
			"point":     cmdPoint,
			"told":      cmdTold,
			"metric":    cmdMetric,
			"copy":      cmdCopy,
		},
	})
}

// until repeats f until it succeeds; after half a minute its error ends the script.
func until(ts *testscript.TestScript, f func() error) {
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("waited in vain: %v", err)
		}
		time.Sleep(10 * time.Millisecond) // between two looks at another process
	}
}

// given are the ports that scripts were given; no two get the same.
var given sync.Map

// ports NAME…: sets each variable to an address that is free and stays so until
// the script's own programs take it: its port is below those that systems hand out
// to whoever asks for any, such as the programs and tests that run beside this one.
func cmdPorts(ts *testscript.TestScript, neg bool, args []string) {
	for _, name := range args {
		until(ts, func() error {
			port := 10_000 + rand.IntN(20_000)
			if _, taken := given.LoadOrStore(port, true); taken {
				return fmt.Errorf("port %d is given away", port)
			}
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				return err
			}
			ts.Setenv(name, l.Addr().String())
			return l.Close()
		})
	}
}

// busy NAME: occupies an address until the script ends.
func cmdBusy(ts *testscript.TestScript, neg bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	ts.Setenv(args[0], l.Addr().String())
}

// dev FOLDER: waits for dev.json and readiness of what it names, and sets GATEWAY, ADMIN,
// CONTROL, SIM, TOKEN and KEY from it.
func cmdDev(ts *testscript.TestScript, neg bool, args []string) {
	var d app.DevFile
	until(ts, func() error {
		data, err := os.ReadFile(ts.MkAbs(args[0] + "/dev.json"))
		if err != nil {
			return err
		}
		if err := json.Unmarshal(data, &d); err != nil {
			return err
		}
		if d.Admin == ts.Getenv("ADMIN") { // whoever has that port by now is not it
			return fmt.Errorf("%s is of the run before", args[0])
		}
		return status(http.MethodGet, d.Admin+"/readyz", 200)
	})
	for name, v := range map[string]string{"GATEWAY": d.Gateway, "ADMIN": d.Admin, "CONTROL": d.Control, "SIM": d.Sim, "TOKEN": d.OperatorToken, "KEY": d.CallerKey} {
		if v == "" {
			ts.Fatalf("dev.json has no %s", name)
		}
		ts.Setenv(name, v)
	}
}

// ready URL…: waits until each answers with 200.
func cmdReady(ts *testscript.TestScript, neg bool, args []string) {
	for _, u := range args {
		until(ts, func() error { return status(http.MethodGet, u, 200) })
	}
}

// anybody is a client that looks at no certificate: whose certificate counts is for
// andon itself to find out, where a script tries it.
var anybody = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}

// await PATTERN FILE: waits until a file holds a text.
func cmdAwait(ts *testscript.TestScript, neg bool, args []string) {
	text := regexp.MustCompile(args[0])
	until(ts, func() error {
		data, err := os.ReadFile(ts.MkAbs(args[1]))
		if err == nil && !text.Match(data) {
			err = fmt.Errorf("%s does not hold %s: %s", args[1], args[0], data)
		}
		return err
	})
}

// shows PATTERN PROGRAM ARG…: runs a program again and again until it shows a text,
// and succeeds; ! for one that says by its exit code that something is wrong.
func cmdShows(ts *testscript.TestScript, neg bool, args []string) {
	text := regexp.MustCompile(args[0])
	until(ts, func() error {
		err := ts.Exec(args[1], args[2:]...)
		if neg && err == nil {
			return fmt.Errorf("%s does not fail", args[1])
		} else if neg {
			err = nil
		}
		if shown := ts.ReadFile("stdout"); err == nil && !text.MatchString(shown) {
			err = fmt.Errorf("%s does not show %s: %s", args[1], args[0], shown)
		}
		return err
	})
}

// point NAME STATE CREDENTIAL: waits until an enforcement point is so.
func cmdPoint(ts *testscript.TestScript, neg bool, args []string) {
	until(ts, func() error {
		req, err := http.NewRequest(http.MethodGet, ts.Getenv("ANDON_SERVER")+"/api/v1/points", nil)
		ts.Check(err)
		req.Header.Set("Authorization", "Bearer "+ts.Getenv("ANDON_TOKEN"))
		resp, err := anybody.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		var list struct {
			Points []struct{ Name, State, Credential string }
		}
		data, err := io.ReadAll(resp.Body)
		if err == nil {
			err = json.Unmarshal(data, &list, json.MatchCaseInsensitiveNames(true))
		}
		if err != nil {
			return err
		}
		for _, p := range list.Points {
			if p.Name == args[0] && p.State == args[1] && p.Credential == args[2] {
				return nil
			}
		}
		return fmt.Errorf("%s is not %s by a credential that is %s: %s", args[0], args[1], args[2], data)
	})
}

func status(method, url string, want int) error {
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		return err
	}
	resp, err := anybody.Do(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != want {
		return fmt.Errorf("%s answers %s, not %d", url, resp.Status, want)
	}
	return nil
}

func chat(ts *testscript.TestScript, gateway, model, text string, stream bool) *http.Response {
	resp, err := tryChat(ts, gateway, model, text, stream)
	ts.Check(err)
	return resp
}

func tryChat(ts *testscript.TestScript, gateway, model, text string, stream bool) (*http.Response, error) {
	body, err := json.Marshal(map[string]any{"model": model, "stream": stream, "messages": []any{map[string]any{"role": "user", "content": text}}})
	ts.Check(err)
	req, err := http.NewRequest(http.MethodPost, gateway+"/v1/chat/completions", strings.NewReader(string(body)))
	ts.Check(err)
	req.Header.Set("Authorization", "Bearer "+ts.Getenv("KEY"))
	req.Header.Set("Content-Type", "application/json")
	return anybody.Do(req)
}

// call-wait STATUS MODEL GATEWAY: waits until a plain call is answered so.
func cmdCallWait(ts *testscript.TestScript, neg bool, args []string) {
	until(ts, func() error {
		resp, err := tryChat(ts, args[2], args[1], "hello", false)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		data, err := io.ReadAll(resp.Body)
		if err == nil && fmt.Sprint(resp.StatusCode) != args[0] {
			err = fmt.Errorf("answer %s, want %s: %s", resp.Status, args[0], data)
		}
		return err
	})
}

// call STATUS MODEL [GATEWAY]: one plain call; the answer is stdout, REQUEST is its id.
func cmdCall(ts *testscript.TestScript, neg bool, args []string) {
	gateway := ts.Getenv("GATEWAY")
	if len(args) > 2 {
		gateway = args[2]
	}
	resp := chat(ts, gateway, args[1], "hello", false)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "%s\n", data)
	for name := range resp.Header {
		if strings.HasPrefix(name, "Andon-") {
			fmt.Fprintf(ts.Stdout(), "%s: %s\n", strings.ToLower(name), resp.Header.Get(name))
		}
	}
	ts.Setenv("REQUEST", resp.Header.Get("andon-request-id"))
	if fmt.Sprint(resp.StatusCode) != args[0] {
		ts.Fatalf("answer %s, want %s: %s", resp.Status, args[0], data)
	}
}

// streams holds the stream that a script opened and has not yet looked at the end of.
var streams = map[*testscript.TestScript]chan string{}

// stream MODEL: opens a slow stream and returns once its first event is here.
func cmdStream(ts *testscript.TestScript, neg bool, args []string) {
	resp := chat(ts, ts.Getenv("GATEWAY"), args[0], "sim: tokens=100000 interval=20ms", true)
	ts.Defer(func() { resp.Body.Close() })
	in := bufio.NewReader(resp.Body)
	first, err := in.ReadString('\n')
	ts.Check(err)
	if resp.StatusCode != 200 || !strings.HasPrefix(first, "data: ") {
		ts.Fatalf("no stream: %s %s", resp.Status, first)
	}
	end := make(chan string, 1)
	streams[ts] = end
	go func() {
		rest, err := io.ReadAll(in)
		tail := string(rest)
		if i := strings.LastIndex(strings.TrimRight(tail, "\n"), "\n\n"); i >= 0 {
			tail = tail[i:]
		}
		if err != nil {
			tail += "\nbroken off: " + err.Error()
		}
		end <- tail
	}()
}

// cut: waits for the end of the stream; its last event is stdout.
func cmdCut(ts *testscript.TestScript, neg bool, args []string) {
	select {
	case tail := <-streams[ts]:
		fmt.Fprintln(ts.Stdout(), tail)
	case <-time.After(30 * time.Second):
		ts.Fatalf("the stream goes on")
	}
	until(ts, func() error { // the provider's side
		resp, err := http.Get(ts.Getenv("SIM") + "/_sim/active")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		data, err := io.ReadAll(resp.Body)
		if err == nil && !strings.Contains(string(data), `"active": 0`) {
			err = fmt.Errorf("the provider still streams: %s", data)
		}
		return err
	})
}

// field VARIABLE FILE NAME: sets a variable from a member of a JSON object.
func cmdField(ts *testscript.TestScript, neg bool, args []string) {
	var m map[string]any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[1])), &m))
	v, ok := m[args[2]]
	if !ok {
		ts.Fatalf("%s has no member %s", args[1], args[2])
	}
	ts.Setenv(args[0], fmt.Sprint(v))
}

// text VARIABLE FILE: sets a variable to what a file holds.
func cmdText(ts *testscript.TestScript, neg bool, args []string) {
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile(args[1])))
}

// text-wait VARIABLE FILE: the same, once the file is there.
func cmdTextWait(ts *testscript.TestScript, neg bool, args []string) {
	until(ts, func() error {
		data, err := os.ReadFile(ts.MkAbs(args[1]))
		ts.Setenv(args[0], strings.TrimSpace(string(data)))
		return err
	})
}

// watchers N: waits until so many event streams are open.
func cmdWatchers(ts *testscript.TestScript, neg bool, args []string) {
	until(ts, func() error {
		resp, err := http.Get(ts.Getenv("ANDON_SERVER") + "/metrics")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		data, err := io.ReadAll(resp.Body)
		if err == nil && !regexp.MustCompile(`(?m)^andon_control_\S*watchers\S* `+args[0]+`$`).Match(data) {
			err = fmt.Errorf("not %s watchers", args[0])
		}
		return err
	})
}

// metric LINE URL: waits until a program's metrics hold a line.
func cmdMetric(ts *testscript.TestScript, neg bool, args []string) {
	until(ts, func() error {
		resp, err := anybody.Get(args[1] + "/metrics")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		data, err := io.ReadAll(resp.Body)
		if err == nil && !strings.Contains("\n"+string(data), "\n"+args[0]+"\n") {
			name, _, _ := strings.Cut(args[0], " ")
			err = fmt.Errorf("%s does not show %s: %q", args[1], args[0], regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(name)+`.*$`).FindString(string(data)))
		}
		return err
	})
}

// copy FROM TO: copies a folder with the modes of its files, as a backup does.
func cmdCopy(ts *testscript.TestScript, neg bool, args []string) {
	from, to := ts.MkAbs(args[0]), ts.MkAbs(args[1])
	ts.Check(filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		on := to + strings.TrimPrefix(path, from)
		if d.IsDir() {
			return os.Mkdir(on, info.Mode().Perm())
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(on, data, info.Mode().Perm())
	}))
}

// public VARIABLE FILE: sets a variable to the public half of a private key.
func cmdPublic(ts *testscript.TestScript, neg bool, args []string) {
	s, err := order.ParseSigner(strings.TrimSpace(ts.ReadFile(args[1])))
	ts.Check(err)
	ts.Setenv(args[0], s.Public().String())
}

// adopted PATTERN: waits until a correction of that id is in the ledger, and
// sets EMERGENCY_ID.
func cmdAdopted(ts *testscript.TestScript, neg bool, args []string) {
	id := regexp.MustCompile(args[0])
	until(ts, func() error {
		req, err := http.NewRequest(http.MethodGet, ts.Getenv("ANDON_SERVER")+"/api/v1/corrections", nil)
		ts.Check(err)
		req.Header.Set("Authorization", "Bearer "+ts.Getenv("ANDON_TOKEN"))
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		data, err := io.ReadAll(resp.Body)
		if err != nil {
			return err
		}
		found := id.Find(data)
		if found == nil {
			return fmt.Errorf("not adopted: %s", data)
		}
		ts.Setenv("EMERGENCY_ID", string(found))
		return nil
	})
}
