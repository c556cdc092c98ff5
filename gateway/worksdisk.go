package gateway

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
)

// worksDisk keeps works in a file of lines, one for each state that a work came
// to; the last one of a work counts. The file is written anew once most of its
// lines are out of date.
//
// A line of something that runs is handed to the system at once, so that the end
// of the process loses none; the others, and the disk itself, follow within a second.
type worksDisk struct {
	log  *slog.Logger
	path string

	mu     sync.Mutex
	file   *os.File // nil: not opened yet
	closed bool
	buf    []byte
	lines  int
	dirty  bool // written since the last sync
	failed bool
	synced time.Time
}

const worksFile = "works.jsonl"

// gone is the line of a work that is forgotten.
type goneWork struct {
	Upstream string `json:"upstream"`
	ID       string `json:"id"`
	Gone     bool   `json:"gone"`
}

// openWorks takes over what an earlier life of this gateway has kept. What can
// not be read is said, and left out.
func (g *Gateway) openWorks() error {
	s := newWorks()
	g.works = s
	d := &s.disk
	d.log, d.path = g.log, filepath.Join(g.cfg.Data, worksFile)
	data, err := os.ReadFile(d.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read works: %w", err)
	}
	bad := 0
	for line := range bytes.Lines(data) {
		d.lines++
		var gone goneWork
		w := &job{}
		if err := json.Unmarshal(line, &gone); err == nil && gone.Gone {
			s.dropLocked(workKey{gone.Upstream, gone.ID})
		} else if err := json.Unmarshal(line, w); err != nil || w.ID == "" || w.Kind == "" {
			bad++
		} else {
			s.putLocked(w)
		}
	}
	if bad > 0 {
		g.log.Error("some of what is kept of works can not be read: what they are of is not known any more", "lines", bad)
	}
	if len(data) > 0 && data[len(data)-1] != '\n' {
		d.buf = append(d.buf, '\n') // half a line: the process ended in it
	}
	for _, w := range s.open() {
		s.changed[w] = true
	}
	s.fresh.Store(true)
	return nil
}

// save writes where a work stands.
func (d *worksDisk) save(s *works, w *job) {
	s.mu.Lock()
	line, err := json.Marshal(w)
	urgent := !w.over()
	s.mu.Unlock()
	if err != nil {
		d.log.Error("a work can not be kept", "error", err)
		return
	}
	d.append(line, urgent)
}

func (d *worksDisk) append(line []byte, urgent bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.buf = append(append(d.buf, line...), '\n')
	d.lines++
	if urgent || len(d.buf) > 1<<20 {
		d.writeLocked()
	}
}

// forget removes a work.
func (s *works) forget(w *job) {
	s.mu.Lock()
	s.dropLocked(workKey{w.Upstream, w.ID})
	s.mu.Unlock()
	if line, err := json.Marshal(goneWork{w.Upstream, w.ID, true}); err == nil {
		s.disk.append(line, false)
	}
}

func (d *worksDisk) writeLocked() {
	if d.closed || len(d.buf) == 0 {
		return
	}
	if d.file == nil {
		var err error
		if d.file, err = os.OpenFile(d.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600); err != nil {
			d.toldLocked(err)
			return
		}
	}
	n, err := d.file.Write(d.buf)
	d.buf = d.buf[:copy(d.buf, d.buf[n:])]
	d.dirty = true
	d.toldLocked(err)
}

// toldLocked says once that what has begun can not be kept.
func (d *worksDisk) toldLocked(err error) {
	if err != nil && !d.failed {
		d.log.Error("works can not be kept: after a restart they would not be known", "error", err)
	}
	if d.failed = err != nil; d.failed && len(d.buf) > 8<<20 {
		d.buf = d.buf[:0]
	}
}

// tend writes what waits, and the whole file anew where that is due.
func (d *worksDisk) tend(s *works, now time.Time) {
	s.mu.Lock()
	known := len(s.byID)
	s.mu.Unlock()
	d.mu.Lock()
	compact := d.lines > 2*known+1000
	sync := now.Sub(d.synced) >= time.Second
	if sync && !compact {
		d.writeLocked()
		if d.dirty {
			d.synced, d.dirty = now, false
			d.toldLocked(d.file.Sync())
		}
	}
	d.mu.Unlock()
	if compact {
		d.compact(s)
	}
}

// compact writes each work once. What is saved meanwhile waits.
func (d *worksDisk) compact(s *works) {
	d.mu.Lock()
	defer d.mu.Unlock()
	tmp := d.path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	lines := 0
	if err == nil {
		out := bufio.NewWriterSize(f, 1<<16)
		for _, line := range s.lines() {
			out.Write(line)
			out.WriteByte('\n')
			lines++
		}
		err = errors.Join(out.Flush(), f.Sync())
	}
	if err == nil {
		err = os.Rename(tmp, d.path)
	}
	if err != nil {
		if f != nil {
			f.Close()
		}
		d.toldLocked(err)
		d.lines = 0 // it is tried again once as many more have come
		return
	}
	if d.file != nil {
		d.file.Close()
	}
	// What waits is in it already, or follows: a line that comes twice says the same.
	d.file, d.lines, d.dirty = f, lines, false
	d.writeLocked()
}

// lines is every work as it is kept, the oldest of each kind first.
func (s *works) lines() (all [][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.kinds {
		for _, over := range [...]bool{true, false} {
			for e := k.list(over).Front(); e != nil; e = e.Next() {
				if line, err := json.Marshal(e.Value.(*job)); err == nil {
					all = append(all, line)
				}
			}
		}
	}
	return all
}

func (d *worksDisk) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.writeLocked(); d.file != nil {
		d.file.Sync()
		d.file.Close()
	}
	d.file, d.closed = nil, true
}
