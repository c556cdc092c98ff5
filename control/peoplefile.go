package control

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"andon/people"
)

// peopleFile is what the control plane knows of people and does not put on record.
// It is written whole, synced, and put in place by a rename: a crash leaves the old
// one or the new one. It is written before the entry that names what is in it, so
// an entry never names what is not there; what no entry names is dropped at the
// next start.
type peopleFile struct {
	name string // "": only memory

	writing sync.Mutex // one writer at a time; taken before mu, which nobody holds while the disk works
	mu      sync.Mutex
	data    peopleData
	written time.Time // when what was last used was last put down
	changed bool
}

type peopleData struct {
	Key       []byte               `json:"key"`       // 256 bits; what is sealed or hashed with it stays here
	Passwords map[string]string    `json:"passwords"` // verifier → argon2id hash
	Seen      map[string]time.Time `json:"seen"`      // credential → when it was last used, roughly
}

// seenPace is how often what was last used is put down.
const seenPace = 5 * time.Minute

// openPeopleFile reads the file, or begins one. One that cannot be read is put
// aside: passwords are gone then, and tokens go on working. That the control plane
// starts matters more.
func openPeopleFile(name string, now time.Time, log *slog.Logger) (*peopleFile, error) {
	f := &peopleFile{name: name, written: now}
	if name != "" {
		data, err := os.ReadFile(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		if err == nil {
			if err = f.read(data); err != nil {
				aside := name + ".damaged-" + now.UTC().Format("20060102T150405")
				if rerr := os.Rename(name, aside); rerr != nil {
					return nil, fmt.Errorf("put %s aside: %w", name, rerr)
				}
				log.Error("the private file about people is damaged and was put aside: no password counts until it is set anew, and who comes from an issuer gets a new account; tokens go on working", "file", aside, "error", err)
				f.data = peopleData{}
			}
		}
	}
	fresh := f.data.Key == nil
	if fresh {
		f.data.Key = make([]byte, 32)
		rand.Read(f.data.Key)
	}
	if f.data.Passwords == nil {
		f.data.Passwords = map[string]string{}
	}
	if f.data.Seen == nil {
		f.data.Seen = map[string]time.Time{}
	}
	if fresh {
		return f, f.write()
	}
	return f, nil
}

func (f *peopleFile) read(data []byte) error {
	if err := json.Unmarshal(data, &f.data, json.RejectUnknownMembers(true)); err != nil {
		return err
	}
	if len(f.data.Key) != 32 {
		return errors.New("its key has not 256 bits")
	}
	for id, h := range f.data.Passwords {
		if err := people.CheckHash(h); err != nil {
			return fmt.Errorf("password %s: %w", short(id), err)
		}
	}
	return nil
}

// write puts the file down. The caller holds writing, or is alone.
func (f *peopleFile) write() error {
	if f.name == "" {
		return nil
	}
	f.mu.Lock()
	data, err := json.Marshal(&f.data, json.Deterministic(true))
	f.mu.Unlock()
	if err != nil {
		return fmt.Errorf("write %s: %w", f.name, err)
	}
	dir := filepath.Dir(f.name)
	tmp, err := os.CreateTemp(dir, "."+filepath.Base(f.name)+"-*") // 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", f.name, err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), f.name)
	}
	if err == nil {
		var d *os.File
		if d, err = os.Open(dir); err == nil {
			err = errors.Join(d.Sync(), d.Close())
		}
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", f.name, err)
	}
	return nil
}

func (f *peopleFile) password(verifier string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.data.Passwords[verifier]
}

// set keeps a hash under a verifier, durably.
func (f *peopleFile) set(verifier, hash string) error {
	f.writing.Lock()
	defer f.writing.Unlock()
	f.mu.Lock()
	old, had := f.data.Passwords[verifier]
	f.data.Passwords[verifier] = hash
	f.mu.Unlock()
	err := f.write()
	if err != nil {
		f.mu.Lock()
		if delete(f.data.Passwords, verifier); had {
			f.data.Passwords[verifier] = old
		}
		f.mu.Unlock()
	}
	return err
}

// drop forgets hashes that no longer count, and when ended credentials were used.
func (f *peopleFile) drop(password, credential func(id string) bool) error {
	f.writing.Lock()
	defer f.writing.Unlock()
	f.mu.Lock()
	n := len(f.data.Passwords) + len(f.data.Seen)
	maps.DeleteFunc(f.data.Passwords, func(id, _ string) bool { return password(id) })
	maps.DeleteFunc(f.data.Seen, func(id string, _ time.Time) bool { return credential(id) })
	same := n == len(f.data.Passwords)+len(f.data.Seen)
	f.mu.Unlock()
	if same {
		return nil
	}
	return f.write()
}

// touch notes that a credential is used, in memory. It never goes back.
func (f *peopleFile) touch(id string, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now = now.UTC().Round(0); now.After(f.data.Seen[id]) {
		f.data.Seen[id], f.changed = now, true
	}
}

func (f *peopleFile) seen(id string) time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.data.Seen[id]
}

// due says, once, whether it is time to put down what was last used.
func (f *peopleFile) due(now time.Time, pace time.Duration) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.changed || now.Sub(f.written) < pace && !now.Before(f.written) {
		return false
	}
	f.written, f.changed = now, false
	return true
}

// keep puts down what was last used.
func (f *peopleFile) keep() error {
	f.writing.Lock()
	defer f.writing.Unlock()
	return f.write()
}
