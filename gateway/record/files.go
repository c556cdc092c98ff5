package record

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// files keeps segments on disk: one file each, to which frames are appended.
//
//	file:  "andonrec2" key-id frame…
//	frame: length of the payload (4 bytes), CRC-32C of it (4), payload
//	payload: profiles (4), rows (4), then each profile with its length before
//	         it, and each row
//
// A place that a row names is that of a profile in its own file. A frame that is
// not whole ends the file: what follows is dropped.
type files struct {
	dir   string
	next  uint64
	last  time.Time // when something was written
	dirty bool
	open  *os.File // of the segment that grows
	of    *segment
	bad   bool // said that it cannot be written
	buf   []byte
}

const (
	magic     = "andonrec2"
	suffix    = ".rec"
	every     = time.Second
	maxFrame  = 64 << 20
	batchRows = 1 << 14 // of one frame
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (f *files) waiting() bool { return f != nil && f.dirty }

func (f *files) due(now time.Time) bool {
	if f == nil {
		return false
	}
	f.dirty = true
	return now.Sub(f.last) >= every || now.Before(f.last)
}

// open reads what is kept, and goes on in a file of its own.
func (r *Recorder) open() {
	f := &files{dir: r.cfg.Dir, next: 1}
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		r.cfg.Log.Warn("the traffic record is not kept on disk", "error", err)
		return
	}
	r.files = f
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		r.cfg.Log.Warn("the traffic record that was kept cannot be read", "error", err)
		return
	}
	var numbers []uint64
	for _, e := range entries {
		if n, err := strconv.ParseUint(strings.TrimSuffix(e.Name(), suffix), 10, 64); err == nil && strings.HasSuffix(e.Name(), suffix) && e.Type().IsRegular() {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	for _, n := range numbers {
		f.next = max(f.next, n+1)
		if err := r.load(n); err != nil {
			r.cfg.Log.Warn("a file of the traffic record is damaged; what is behind the damage is dropped", "file", f.name(n), "error", err)
		}
		for r.total > r.cfg.Requests && len(r.segments) > 1 {
			r.dropLocked()
		}
	}
	r.expireLocked()
}

func (f *files) name(n uint64) string { return filepath.Join(f.dir, fmt.Sprintf("%016d%s", n, suffix)) }

// load reads one file into a segment.
func (r *Recorder) load(n uint64) error {
	name := r.files.name(n)
	if info, err := os.Stat(name); err != nil {
		return err
	} else if info.Size() > int64(MaxRequests*rowBytes)+maxProfiles*2 {
		os.Remove(name)
		return fmt.Errorf("it has %d bytes, more than any is given", info.Size())
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	head := magic + r.names.ID()
	if len(data) < len(head) || string(data[:len(head)]) != head {
		os.Remove(name) // under another key: nothing in it can be compared
		return fmt.Errorf("it is of another format, or was written under another pseudonym key")
	}
	s := &segment{sealed: true, file: n}
	data = data[len(head):]
	for len(data) > 0 && err == nil {
		data, err = r.frame(s, data)
	}
	s.written, s.known = len(s.rows), len(s.profiles)
	if len(s.rows) == 0 {
		r.table.release(s)
		os.Remove(name)
		return err
	}
	r.segments = append(r.segments, s)
	r.total += len(s.rows)
	return err
}

// frame takes one frame in, whole or not at all.
func (r *Recorder) frame(s *segment, data []byte) ([]byte, error) {
	le := binary.LittleEndian
	if len(data) < 16 {
		return nil, fmt.Errorf("the last frame is not whole")
	}
	size := le.Uint32(data)
	if size < 8 || size > maxFrame || int(size) > len(data)-8 {
		return nil, fmt.Errorf("the last frame is not whole")
	}
	payload, rest := data[8:8+size], data[8+size:]
	if crc32.Checksum(payload, castagnoli) != le.Uint32(data[4:]) {
		return nil, fmt.Errorf("a frame's checksum differs")
	}
	profiles, rows := le.Uint32(payload), le.Uint32(payload[4:])
	payload = payload[8:]
	var fresh []*profile
	for range profiles {
		n, k := binary.Uvarint(payload)
		if k <= 0 || n > uint64(len(payload)-k) {
			return nil, errProfile
		}
		key := payload[k : k+int(n)]
		payload = payload[k+int(n):]
		p := r.table.byKey[string(key)]
		if p == nil {
			var err error
			if p, err = readProfile(string(key)); err != nil {
				return nil, err
			}
		}
		fresh = append(fresh, p)
	}
	if uint64(len(payload)) != uint64(rows)*rowBytes {
		return nil, fmt.Errorf("a frame has %d bytes of rows, not %d", len(payload), uint64(rows)*rowBytes)
	}
	have := len(s.rows)
	for i := range int(rows) {
		var x row
		if x.read(payload[i*rowBytes:]); !x.sound(len(s.profiles) + len(fresh)) {
			s.rows = s.rows[:have]
			return nil, fmt.Errorf("a row says what none can")
		}
		s.rows = append(s.rows, x)
	}
	for _, p := range fresh { // places in the file are places in the segment
		if q := r.table.byKey[p.key]; q != nil {
			p = q
		} else {
			r.table.keep(p)
		}
		p.refs++
		s.profiles = append(s.profiles, p)
	}
	return rest, nil
}

// flushLocked appends what has come to the files of its segments.
func (r *Recorder) flushLocked() {
	f := r.files
	if f == nil {
		return
	}
	f.last, f.dirty = r.cfg.Now(), false
	for _, s := range r.segments {
		for s.written < len(s.rows) {
			if err := f.append(s, r.names.ID()); err != nil {
				if !f.bad {
					r.cfg.Log.Warn("the traffic record cannot be written to disk; it goes on in memory", "error", err)
				}
				f.bad = true
				return
			}
			f.bad = false
		}
	}
}

// append writes one frame of a segment. A write that fails leaves a damaged
// tail, behind which nothing may follow: the segment gets no more.
func (f *files) append(s *segment, id string) error {
	if f.of != s {
		f.close()
		s.file = f.next
		f.next++
		file, err := os.OpenFile(f.name(s.file), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		f.open, f.of = file, s
		s.written, s.known = 0, 0
		if _, err := file.WriteString(magic + id); err != nil {
			f.fail(s)
			return err
		}
	}
	rows := s.rows[s.written:min(len(s.rows), s.written+batchRows)]
	known := len(s.profiles)
	le := binary.LittleEndian
	b := append(f.buf[:0], make([]byte, 8)...)
	b = le.AppendUint32(b, uint32(known-s.known))
	b = le.AppendUint32(b, uint32(len(rows)))
	for _, p := range s.profiles[s.known:known] {
		b = append(binary.AppendUvarint(b, uint64(len(p.key))), p.key...)
	}
	for i := range rows {
		b = rows[i].append(b)
	}
	le.PutUint32(b, uint32(len(b)-8))
	le.PutUint32(b[4:], crc32.Checksum(b[8:], castagnoli))
	if f.buf = b; cap(b) > 4<<20 {
		f.buf = nil
	}
	if _, err := f.open.Write(b); err != nil {
		f.fail(s)
		return err
	}
	s.written += len(rows)
	s.known = known
	return nil
}

// fail gives a segment's file up: the next try writes it anew.
func (f *files) fail(s *segment) {
	f.close()
	os.Remove(f.name(s.file))
}

func (f *files) close() {
	if f.open != nil {
		f.open.Close()
	}
	f.open, f.of = nil, nil
}

func (r *Recorder) closeLocked() {
	if r.files != nil {
		r.files.close()
	}
}

// drop removes the file of a segment that is kept no longer.
func (f *files) drop(s *segment, log *slog.Logger) {
	if f == nil || s.file == 0 {
		return
	}
	if f.of == s {
		f.close()
	}
	if err := os.Remove(f.name(s.file)); err != nil {
		log.Warn("a file of the traffic record cannot be removed", "error", err)
	}
}
