package gateway

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"time"

	"andon/correction"
	named "andon/list"
	"andon/order"
)

// lists holds the content of what orders call lists, in memory, and on disk by
// its digest. An order takes force at once in all else; what it says of a list
// takes force when the list is whole here:
//
//   - A list that is new is fetched. Until it is whole, corrections that name it
//     are not in force, and the beats say so.
//   - A list that is replaced goes on as it was until the new one is whole.
//   - A gateway that starts and can not read what it held takes everybody for
//     listed where that reaches, and nobody where that spares, until it has
//     fetched it: see correction.Lost.
//
// The agent decides which content is in force, and swaps it by a new ruling. One
// other goroutine fetches, and waits for the bus and the disk.
type lists struct {
	dir  string
	log  *slog.Logger
	wake chan struct{}

	mu       sync.Mutex
	want     []order.ListRef // of the order in force
	inForce  map[string]heldList
	volumes  map[order.Hash]*volume
	progress map[order.Hash]progress // of what is wanted and not whole
}

// volume is a list's content in memory.
type volume struct {
	set      *named.Set
	manifest named.Manifest
}

// progress is how far the fetching of a list has come.
type progress struct {
	percent int
	trouble string // why it does not come
	lost    bool   // the control plane has it no more
}

// heldList is the content that a ruling decides by under one name; volume is nil
// for one that is lost.
type heldList struct {
	digest order.Hash
	*volume
}

func newLists(dir string, log *slog.Logger) *lists {
	return &lists{dir: filepath.Join(dir, "lists"), log: log, wake: make(chan struct{}, 1),
		volumes: map[order.Hash]*volume{}, progress: map[order.Hash]progress{}}
}

// open reads what is kept of lists, before anything is decided.
func (l *lists) open(refs []order.ListRef) error {
	if err := os.MkdirAll(l.dir, 0o700); err != nil {
		return fmt.Errorf("open lists: %w", err)
	}
	for _, ref := range refs {
		v, err := l.read(ref, nil)
		if err != nil {
			l.log.Error("a kept list can not be read: until it is fetched again it reaches everybody and spares nobody", "list", ref.Name, "error", err)
			continue
		}
		l.volumes[ref.Digest] = v
	}
	return nil
}

func (l *lists) path(digest order.Hash) string { return filepath.Join(l.dir, digest.String()) }

// read takes a list from the disk, and believes it only if it is what the order
// says. Given the manifest of its digest, it takes its time.
func (l *lists) read(ref order.ListRef, m named.Manifest) (*volume, error) {
	f, err := os.Open(l.path(ref.Digest))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var in io.Reader = f
	check := &checked{r: f, m: m, sum: sha256.New()}
	if m != nil {
		in = check
	}
	set, err := named.Decode(in)
	if err != nil {
		return nil, err
	}
	v := &volume{set, m}
	if m == nil {
		v.manifest = set.Manifest()
	}
	switch {
	case order.Hash(v.manifest.Digest()) != ref.Digest, m != nil && check.n != len(m):
		return nil, errors.New("its content is not what its digest says")
	case set.Dimension() != ref.Dimension || int64(set.Len()) != ref.Entries:
		return nil, fmt.Errorf("it holds %d %s, and the order says %d %s", set.Len(), set.Dimension(), ref.Entries, ref.Dimension)
	}
	return v, nil
}

// checked reads chunks and compares them with their hashes. It rests after every
// little: requests want the processor, and a list has time. To yield would not
// do, since the kernel lets a thread that never sleeps go on for milliseconds.
type checked struct {
	r    io.Reader
	m    named.Manifest
	sum  hash.Hash
	n    int // chunks that were read and are what they should be
	have int // bytes of the next one
}

func (c *checked) Read(p []byte) (int, error) {
	if c.n == len(c.m) {
		return c.r.Read(p) // the end, or too much
	}
	rest()
	p = p[:min(len(p), littleBytes, c.m[c.n].Size-c.have)]
	n, err := c.r.Read(p)
	c.sum.Write(p[:n])
	if c.have += n; c.have < c.m[c.n].Size {
		return n, err
	}
	if [sha256.Size]byte(c.sum.Sum(nil)) != c.m[c.n].Hash {
		return n, fmt.Errorf("chunk %d is not what its hash says", c.n)
	}
	c.sum.Reset()
	c.have = 0
	c.n++
	return n, err
}

// littleBytes is what is done with a list between two rests.
const littleBytes = 32 << 10

func rest() { time.Sleep(1600 * time.Microsecond) }

// resolve says which content a ruling decides by, under each name of refs.
// before is the ruling so far; nil at the start.
func (l *lists) resolve(refs []order.ListRef, before *ruling) map[string]heldList {
	l.mu.Lock()
	defer l.mu.Unlock()
	held := make(map[string]heldList, len(refs))
	for _, ref := range refs {
		if v := l.volumes[ref.Digest]; v != nil {
			held[ref.Name] = heldList{ref.Digest, v}
			continue
		}
		var old heldList
		had := false
		if before != nil {
			old, had = before.lists[ref.Name]
		}
		switch {
		case had && (old.volume == nil || old.set.Dimension() == ref.Dimension):
			held[ref.Name] = old
		case before == nil, l.progress[ref.Digest].lost:
			held[ref.Name] = heldList{}
		}
	}
	return held
}

// policyLists is what a policy is compiled with.
func policyLists(held map[string]heldList) correction.Lists {
	if len(held) == 0 {
		return nil
	}
	out := make(correction.Lists, len(held))
	for name, h := range held {
		if out[name] = correction.Lost; h.volume != nil {
			out[name] = h.set
		}
	}
	return out
}

// listsNow are the named lists by which this gateway decides.
func (g *Gateway) listsNow() correction.Lists {
	if rl := g.current.Load(); rl != nil {
		return policyLists(rl.lists)
	}
	return nil
}

// wanted says what the order in force names. What is not whole is fetched, and
// what nobody needs any more is forgotten.
func (l *lists) wanted(refs []order.ListRef, rl *ruling) {
	l.mu.Lock()
	l.want, l.inForce = refs, rl.lists
	needed := map[order.Hash]bool{}
	for _, ref := range refs {
		needed[ref.Digest] = true
	}
	maps.DeleteFunc(l.progress, func(d order.Hash, _ progress) bool { return !needed[d] })
	for _, h := range rl.lists {
		needed[h.digest] = true
	}
	maps.DeleteFunc(l.volumes, func(d order.Hash, _ *volume) bool { return !needed[d] })
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// report is what the next beat says of lists.
func (l *lists) report(rl *ruling) map[string]order.ListHeld {
	l.mu.Lock()
	defer l.mu.Unlock()
	if rl == nil || len(l.want) == 0 {
		return nil
	}
	out := make(map[string]order.ListHeld, len(l.want))
	for _, ref := range l.want {
		var r order.ListHeld
		if h, ok := rl.lists[ref.Name]; ok {
			r.Digest, r.Lost = h.digest, h.volume == nil
		}
		if r.Digest != ref.Digest {
			p := l.progress[ref.Digest]
			r.Loading, r.Percent, r.Error = ref.Digest, p.percent, p.trouble
		}
		out[ref.Name] = r
	}
	return out
}

// sameLists reports whether two rulings decide by the same content.
func sameLists(a, b map[string]heldList) bool { return maps.Equal(a, b) }

// tidy removes the files of versions that are not needed.
func (l *lists) tidy(needed map[order.Hash]bool) {
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		l.log.Warn("old lists were not removed", "error", err)
		return
	}
	keep := map[string]bool{}
	for d := range needed {
		keep[d.String()] = true
	}
	for _, e := range entries {
		if keep[e.Name()] {
			continue
		}
		if err := os.RemoveAll(filepath.Join(l.dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			l.log.Warn("an old list was not removed", "error", err)
		}
	}
}
