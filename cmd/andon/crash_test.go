package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"andon/app"
	"andon/app/config"
	"andon/ledger"
)

// crashes is one installation that is killed again and again.
type crashes struct {
	former time.Time // of the dev.json of the process before
	*testing.T
	dir  string
	rand *rand.Rand
	dev  app.DevFile
	cmd  *exec.Cmd
	log  bytes.Buffer

	blocked map[string]string // user → id of a block that was acknowledged and not asked to be lifted
	lifted  map[string]bool   // ids whose lift was acknowledged
	next    int
}

// TestNothingAcknowledgedIsLost kills the whole program at random moments, while
// it starts, while it takes commands and while it makes them durable. Whatever
// was acknowledged has to be in force when it is back.
func TestNothingAcknowledgedIsLost(t *testing.T) {
	rounds := 200
	if testing.Short() {
		rounds = 20
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed) // shown when it fails
	c := &crashes{T: t, dir: t.TempDir(), rand: rand.New(rand.NewPCG(seed, 0)), blocked: map[string]string{}, lifted: map[string]bool{}}
	for round := range rounds {
		c.start()
		if c.rand.IntN(4) == 0 { // somewhere in the start
			time.Sleep(time.Duration(c.rand.IntN(60)) * time.Millisecond)
			c.kill()
			continue
		}
		c.ready()
		c.check(round)
		killed := make(chan struct{})
		go func() {
			time.Sleep(time.Duration(c.rand.IntN(40_000)) * time.Microsecond)
			_ = c.cmd.Process.Kill()
			close(killed)
		}()
		c.command()
		<-killed
		c.kill()
	}
	c.start()
	c.ready()
	c.check(rounds)
	c.kill()
	l := config.LayoutOf(c.dir)
	v, err := ledger.ReadVerifier(l.LedgerKey() + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	r, err := ledger.Verify(context.Background(), l.Ledger(), v, ledger.VerifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d crashes, %d blocks in force, %d lifted, %d ledger entries", rounds, len(c.blocked), len(c.lifted), r.Size)
	if len(c.blocked) < rounds/20 {
		t.Errorf("only %d blocks were acknowledged: the test does not try what it should", len(c.blocked))
	}
}

func (c *crashes) start() {
	c.Helper()
	c.cmd = exec.Command("andon", "dev")
	c.log.Reset()
	c.cmd.Stdout, c.cmd.Stderr = &c.log, &c.log
	c.cmd.Env = append(os.Environ(), "ANDON_DATA="+c.dir, "ANDON_CONTROL_LISTEN=127.0.0.1:0", "ANDON_GATEWAY_LISTEN=127.0.0.1:0", "ANDON_GATEWAY_ADMIN=127.0.0.1:0", "ANDON_SIM_LISTEN=127.0.0.1:0")
	if st, err := os.Stat(filepath.Join(c.dir, "dev.json")); err == nil {
		c.former = st.ModTime()
	}
	if err := c.cmd.Start(); err != nil {
		c.Fatal(err)
	}
}

func (c *crashes) kill() {
	c.Helper()
	_ = c.cmd.Process.Kill()
	err := c.cmd.Wait()
	var exit *exec.ExitError
	if err == nil || !errors.As(err, &exit) || exit.ExitCode() != -1 { // -1: by a signal
		c.Fatalf("it ended by itself: %v\n%s", err, c.log.String())
	}
}

// ready waits until this very process has written dev.json and its gateway enforces.
func (c *crashes) ready() {
	c.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		name := filepath.Join(c.dir, "dev.json")
		st, err := os.Stat(name)
		if err == nil && st.ModTime().Equal(c.former) {
			err = errors.New("dev.json is that of the process before; by now its ports may be somebody else's")
		}
		var data []byte
		if err == nil {
			data, err = os.ReadFile(name)
		}
		if err == nil {
			err = json.Unmarshal(data, &c.dev)
		}
		if err == nil {
			err = status(http.MethodGet, c.dev.Admin+"/readyz", 200)
		}
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			_ = c.cmd.Process.Kill()
			_ = c.cmd.Wait()
			c.Fatalf("not ready: %v\n%s", err, c.log.String())
		}
		time.Sleep(3 * time.Millisecond) // between two looks at another process
	}
}

func (c *crashes) api(method, path string, body, out any) error {
	var in io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return err
		}
		in = bytes.NewReader(data)
	}
	req, err := http.NewRequest(method, c.dev.Control+"/api/v1"+path, in)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+c.dev.OperatorToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		c.Errorf("%s %s: %s: %s", method, path, resp.Status, data)
		return errors.New(resp.Status)
	}
	return json.Unmarshal(data, out)
}

// command gives commands until the program is gone. What was asked for and not
// acknowledged may be in force or not.
func (c *crashes) command() {
	for {
		user := fmt.Sprintf("u-%d", c.next)
		c.next++
		var made struct {
			ID string `json:"id"`
		}
		body := map[string]any{"kind": "access", "params": map[string]any{"mode": "block"}, "scope": map[string]any{"users": []string{user}}, "reason": "crash test"}
		if err := c.api(http.MethodPost, "/corrections", body, &made); err != nil {
			return
		}
		c.blocked[user] = made.ID
		for u, id := range c.blocked { // lift one now and then
			if c.rand.IntN(3) > 0 {
				break
			}
			delete(c.blocked, u) // from here on it may be lifted
			if err := c.api(http.MethodPost, "/corrections/"+id+"/lift", map[string]any{"reason": "crash test"}, &made); err != nil {
				return
			}
			c.lifted[id] = true
			break
		}
	}
}

// check looks at what is in force: in the record, and at the gateway.
func (c *crashes) check(round int) {
	c.Helper()
	var list struct {
		Corrections []struct {
			ID    string `json:"id"`
			State string `json:"state"`
			Scope struct {
				Users []string `json:"users"`
			} `json:"scope"`
		} `json:"corrections"`
	}
	if err := c.api(http.MethodGet, "/corrections", nil, &list); err != nil {
		c.Fatal(err)
	}
	states := map[string]string{}
	for _, x := range list.Corrections {
		states[x.ID] = x.State
	}
	for user, id := range c.blocked {
		if states[id] != "active" {
			c.Fatalf("round %d: the block %s of %s was acknowledged and is %q", round, id, user, states[id])
		}
	}
	for id := range c.lifted {
		if states[id] != "lifted" {
			c.Fatalf("round %d: the lift of %s was acknowledged and it is %q", round, id, states[id])
		}
	}
	n := 0
	for user := range c.blocked {
		if n++; n > 3 {
			break
		}
		// A gateway is ready with the order that it kept; what was acknowledged in
		// the last moment reaches it once it is connected.
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(3 * time.Millisecond) {
			got := c.call(user)
			if got == http.StatusForbidden {
				break
			}
			if time.Now().After(deadline) {
				c.Fatalf("round %d: %s is blocked and gets %d", round, user, got)
			}
		}
	}
	if got := c.call("nobody"); got != http.StatusOK {
		c.Fatalf("round %d: somebody who is not blocked gets %d", round, got)
	}
}

func (c *crashes) call(user string) int {
	c.Helper()
	body := `{"model":"sim-small","safety_identifier":"` + user + `","messages":[{"role":"user","content":"hello"}]}`
	req, err := http.NewRequest(http.MethodPost, c.dev.Gateway+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		c.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.dev.CallerKey)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.Fatal(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}
