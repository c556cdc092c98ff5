package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"
)

// child is a process that this one started: itself in another role, or a proxy
// to compare with. It stands in a process group of its own, so that Ctrl-C
// reaches it through stop alone, and stop reaches what it started.
type child struct {
	name   string
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	errs   *tail
	exited chan struct{}

	mu sync.Mutex // one question at a time
}

// tail keeps the last bytes that a child wrote to stderr.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const tailBytes = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if n := len(t.buf) - tailBytes; n > 0 {
		t.buf = t.buf[n:]
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.buf))
}

// start runs a program. It is ended by stop, or by the kernel when this process
// dies, where the kernel can.
func (b *bench) start(name, path string, args ...string) (*child, error) {
	c := &child{name: name, cmd: exec.Command(path, args...), errs: &tail{}, exited: make(chan struct{})}
	c.cmd.SysProcAttr = ownGroup()
	c.cmd.Stderr = c.errs
	c.cmd.Dir = b.dir
	var err error
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	c.out = bufio.NewReader(out)
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() { // without it an ended child stays a zombie
		c.cmd.Process.Wait()
		close(c.exited)
	}()
	b.mu.Lock()
	b.children = append(b.children, c)
	b.mu.Unlock()
	return c, nil
}

// self runs this program in a role, hands it cfg, and reads what it says once
// it is ready into hello.
func (b *bench) self(role string, cfg, hello any) (*child, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", role, err)
	}
	c, err := b.start(role, exe, childArg, role)
	if err != nil {
		return nil, err
	}
	if err := c.ask(cfg, hello); err != nil {
		c.stop()
		return nil, err
	}
	return c, nil
}

// ask sends one line and reads one line in answer.
func (c *child) ask(question, answer any) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	line, err := json.Marshal(question)
	if err != nil {
		return fmt.Errorf("ask %s: %w", c.name, err)
	}
	_, err = c.in.Write(append(line, '\n'))
	if err == nil {
		line, err = c.out.ReadBytes('\n')
	}
	if err == nil {
		err = json.Unmarshal(line, answer)
	}
	if err != nil {
		if said := c.errs.String(); said != "" {
			err = errors.Join(err, errors.New(said))
		}
		return fmt.Errorf("ask %s: %w", c.name, err)
	}
	return nil
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// stop ends the child and what it started, and waits until it is gone.
func (c *child) stop() {
	c.in.Close() // a role of this program ends with its input
	c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.exited:
	case <-time.After(3 * time.Second):
		killGroup(c.pid())
		<-c.exited
	}
}

// stopAll ends every child, the last started first.
func (b *bench) stopAll() {
	b.mu.Lock()
	cs := b.children
	b.children = nil
	b.mu.Unlock()
	for i := len(cs) - 1; i >= 0; i-- {
		cs[i].stop()
	}
}

// end stops some children before their time.
func (b *bench) end(cs ...*child) {
	for _, c := range cs {
		if c != nil {
			c.stop()
		}
	}
}
