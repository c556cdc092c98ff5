package control

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/go-json-experiment/json"
)

// cursors say up to where each endpoint has had its alerts, durable beside the
// ledger. Without a file they last as long as the process.
type cursors struct {
	name string
	mu   sync.Mutex
	next map[string]uint64 // by endpoint: the first entry that it may lack
}

// cursorFile is the file.
type cursorFile struct {
	Next map[string]uint64 `json:"next"`
}

// openCursors reads the file. One that cannot be read is an error that says so; a
// control plane starts all the same, with the endpoints as new ones.
func openCursors(name string) (*cursors, error) {
	c := &cursors{name: name, next: map[string]uint64{}}
	if name == "" {
		return c, nil
	}
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	var f cursorFile
	if err == nil {
		err = json.Unmarshal(data, &f, json.RejectUnknownMembers(true))
	}
	if err != nil {
		return c, fmt.Errorf("read %s: %w", name, err)
	}
	if f.Next != nil {
		c.next = f.Next
	}
	return c, nil
}

func (c *cursors) of(endpoint string) (uint64, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, ok := c.next[endpoint]
	return n, ok
}

// set moves a cursor, durably: it is on the disk when set returns without error.
func (c *cursors) set(endpoint string, next uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if was, ok := c.next[endpoint]; ok && was == next {
		return nil
	}
	c.next[endpoint] = next
	return c.write()
}

// keep forgets all but these endpoints: one that comes back later begins anew.
func (c *cursors) keep(is func(endpoint string) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name := range c.next {
		if !is(name) {
			delete(c.next, name)
		}
	}
}

func (c *cursors) write() error {
	if c.name == "" {
		return nil
	}
	data, err := json.Marshal(cursorFile{c.next}, json.Deterministic(true))
	if err != nil {
		return fmt.Errorf("write %s: %w", c.name, err)
	}
	dir := filepath.Dir(c.name)
	tmp, err := os.CreateTemp(dir, "."+filepath.Base(c.name)+"-*") // 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", c.name, err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), c.name)
	}
	if err == nil {
		var d *os.File
		if d, err = os.Open(dir); err == nil {
			err = errors.Join(d.Sync(), d.Close())
		}
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", c.name, err)
	}
	return nil
}
