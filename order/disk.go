package order

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// On disk a follower is a signed state, kept twice, and the signed orders since:
//
//	state.json       the state of the last resync
//	state.copy.json  the same, written after it: until then the state before
//	tail.log         orders since then
//	emergency/ID     emergency orders not yet adopted
//	successions.json, successions.copy.json
//	                 the successions of control's keys that were followed
//
// A tail record is a length and a CRC-32C, 4 bytes each, big-endian, then the
// signed order. The CRC finds torn writes; the signature inside is what counts.
// Whatever single file is lost or broken, and whatever moment a write is
// interrupted at, one state and its tail can still be read.
const (
	stateFile    = "state.json"
	copyFile     = "state.copy.json"
	brokenSuffix = ".broken" // a file that did not verify is kept under this name
	tailFile     = "tail.log"
	emergencyDir = "emergency"
)

const (
	recordHeader = 8
	maxRecord    = 64 << 20 // no message on the bus is larger
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// OpenFollower reads what is kept in dir, which it makes if needed, and verifies
// all of it again: the disk is not trusted, only signatures are. A torn or
// broken tail ends where it breaks, a broken state falls back to its copy, and
// [Follower.Damage] says so. The error is for a folder that cannot be used at
// all.
func OpenFollower(dir string, trust Trust) (*Follower, error) {
	if err := os.MkdirAll(filepath.Join(dir, emergencyDir), 0o700); err != nil {
		return nil, fmt.Errorf("open follower: %w", err)
	}
	f := &Follower{dir: dir, line: lineage{anchors: trust}, state: &State{}, raw: map[string][]byte{}}
	if err := f.loadLinks(); err != nil {
		return nil, fmt.Errorf("open follower: %w", err)
	}
	if err := f.loadState(); err != nil {
		return nil, fmt.Errorf("open follower: %w", err)
	}
	if err := f.loadTail(); err != nil {
		return nil, fmt.Errorf("open follower: %w", err)
	}
	if err := f.loadEmergencies(); err != nil {
		return nil, fmt.Errorf("open follower: %w", err)
	}
	return f, nil
}

func (f *Follower) path(name string) string { return filepath.Join(f.dir, name) }

// loadState takes the state, or failing that its copy, and mends the other.
func (f *Follower) loadState() error {
	var good []byte
	var mend []string
	broken := false
	for _, name := range []string{stateFile, copyFile} {
		data, err := os.ReadFile(f.path(name))
		if errors.Is(err, fs.ErrNotExist) {
			mend = append(mend, name)
			continue
		} else if err != nil {
			return err
		}
		s, by, err := f.line.keptState(data)
		if err != nil {
			f.note("%s is broken and was passed over: %w", name, err)
			if err := os.Rename(f.path(name), f.path(name)+brokenSuffix); err != nil {
				return err
			}
			mend = append(mend, name)
			broken = true
			continue
		}
		if good == nil || s.Revision > f.state.Revision {
			f.state, f.by, good = &s, by, data
		}
	}
	f.lost = f.lost || broken && good == nil
	for _, name := range mend {
		if good == nil {
			break
		}
		if err := replaceFile(f.path(name), good); err != nil {
			f.note("%s cannot be written again: %w", name, err) // a full disk must not stop a gateway
		}
	}
	return nil
}

// loadTail replays the kept orders, and cuts off a torn end so that what is
// appended later can be read again.
func (f *Follower) loadTail() error {
	data, err := os.ReadFile(f.path(tailFile))
	if errors.Is(err, fs.ErrNotExist) {
		f.clean = true
		return nil
	} else if err != nil {
		return err
	}
	records, good := splitTail(data)
	f.tail = len(records)
	if good < len(data) {
		f.lost = true
		f.note("%s is torn at byte %d of %d; the rest was passed over", tailFile, good, len(data))
	}
	for i, r := range records {
		if err := f.replay(r); err != nil {
			f.lost = true
			f.note("%s: order %d of %d does not follow revision %d; it and the rest were passed over: %w", tailFile, i+1, len(records), f.state.Revision, err)
			break
		}
	}
	f.clean = good == len(data) || os.Truncate(f.path(tailFile), int64(good)) == nil
	return nil
}

// replay applies one order of the tail.
func (f *Follower) replay(record []byte) error {
	o, head, by, err := f.line.keptOrder(record)
	if err != nil {
		return err
	}
	if o.Revision <= f.state.Revision {
		return nil // from before the state
	}
	next := *f.state
	if err := next.Apply(&o, head); err != nil {
		return err
	}
	f.state, f.by = &next, by
	return nil
}

// splitTail cuts a tail into records. good is the offset where sound ones end.
func splitTail(data []byte) (records [][]byte, good int) {
	for len(data)-good >= recordHeader {
		rest := data[good:]
		n := int(binary.BigEndian.Uint32(rest))
		if n > maxRecord || n > len(rest)-recordHeader {
			break
		}
		body := rest[recordHeader : recordHeader+n]
		if crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(rest[4:]) {
			break
		}
		records = append(records, body)
		good += recordHeader + n
	}
	return records, good
}

// appendTail writes the pending orders and waits until they are durable.
func (f *Follower) appendTail() error {
	path := f.path(tailFile)
	_, err := os.Stat(path)
	fresh := errors.Is(err, fs.ErrNotExist)
	if !f.clean && !fresh { // a write before failed halfway
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		_, good := splitTail(data)
		if err := os.Truncate(path, int64(good)); err != nil {
			return err
		}
	}
	w, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	var buf []byte
	for _, p := range f.pending {
		buf = binary.BigEndian.AppendUint32(buf, uint32(len(p)))
		buf = binary.BigEndian.AppendUint32(buf, crc32.Checksum(p, castagnoli))
		buf = append(buf, p...)
	}
	f.clean = false
	_, err = w.Write(buf)
	if err = errors.Join(err, w.Sync(), w.Close()); err != nil {
		return err
	}
	if fresh {
		if err := syncDir(f.dir); err != nil {
			return err
		}
	}
	f.clean = true
	f.tail += len(f.pending)
	f.pending = nil
	return nil
}

// writeState replaces the state and its copy, one after the other, and then the
// tail, which they make superfluous.
func (f *Follower) writeState() error {
	for _, name := range []string{stateFile, copyFile} {
		if err := replaceFile(f.path(name), f.resynced); err != nil {
			return err
		}
	}
	if err := remove(f.path(tailFile)); err != nil {
		return err
	}
	f.clean, f.tail, f.resynced = true, 0, nil
	if len(f.pending) > 0 { // orders that came after the resync
		return f.appendTail()
	}
	return nil
}

// replaceFile replaces a file by new contents, durably, or leaves it as it was.
func replaceFile(path string, data []byte) error {
	tmp := path + ".tmp"
	w, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	if err = errors.Join(err, w.Sync(), w.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (f *Follower) emergencyPath(id string) string { return filepath.Join(f.dir, emergencyDir, id) }

// keepEmergency writes a held emergency order durably.
func (f *Follower) keepEmergency(id string) error {
	return replaceFile(f.emergencyPath(id), f.raw[id])
}

// forgetAdopted removes the files of emergencies that control has adopted. A
// file that comes back after a crash is recognised again when it is loaded.
func (f *Follower) forgetAdopted() error {
	for id := range f.raw {
		if _, adopted := slices.BinarySearch(f.state.Adopted, id); !adopted {
			continue
		}
		if err := remove(f.emergencyPath(id)); err != nil {
			return fmt.Errorf("forget emergency %s: %w", id, err)
		}
		delete(f.raw, id)
	}
	return nil
}

// loadEmergencies reads the kept emergency orders. Their window was checked
// when they were accepted, so it no longer matters.
func (f *Follower) loadEmergencies() error {
	entries, err := os.ReadDir(filepath.Join(f.dir, emergencyDir)) // sorted by name
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name := entry.Name()
		path := f.emergencyPath(name)
		if strings.HasSuffix(name, ".tmp") {
			if err := remove(path); err != nil {
				return err
			}
			continue
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		e, err := OpenEmergency(data, f.Trust())
		if err == nil && e.ID != name {
			err = fmt.Errorf("it holds %s", e.ID)
		}
		if err != nil {
			f.lost = true
			f.note("emergency order %.40q is broken and was passed over: %w", name, err)
			continue
		}
		f.raw[e.ID] = data
		f.emergencies = append(f.emergencies, e)
	}
	f.dropAdopted()
	return nil
}
