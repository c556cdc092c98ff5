package gateway

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	named "andon/list"
	"andon/order"
)

const (
	partSuffix   = ".part"
	listPause    = time.Second     // before what did not come is asked for again
	listPatience = 5 * time.Second // for one part
	tellEvery    = time.Second     // how often the control plane hears of the progress
)

// fetchLists gets what orders name and is not whole here, one list after the
// other, until ctx ends.
func (a *agent) fetchLists(ctx context.Context, b Bus) {
	a.do(ctx, func() {
		if rl := a.g.current.Load(); rl != nil { // of an earlier life
			a.lists.wanted(a.follower.State().Lists, rl)
		}
	})
	for ctx.Err() == nil {
		missed := false
		for _, ref := range a.lists.missing() {
			err := a.fetchList(ctx, b, ref)
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				missed = true
				a.missList(ctx, ref, err)
			}
		}
		a.tidyLists(ctx)
		retry := (<-chan time.Time)(nil)
		if missed {
			retry = time.After(listPause)
		}
		select {
		case <-ctx.Done():
		case <-a.lists.wake:
		case <-retry:
		}
	}
}

// missing is what is wanted and not whole.
func (l *lists) missing() (out []order.ListRef) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, ref := range l.want {
		if l.volumes[ref.Digest] == nil {
			out = append(out, ref)
		}
	}
	return out
}

func (l *lists) isWanted(digest order.Hash) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, ref := range l.want {
		if ref.Digest == digest {
			return true
		}
	}
	return false
}

// take keeps a list's content in memory, if it is still wanted.
func (l *lists) take(digest order.Hash, v *volume) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, ref := range l.want {
		if ref.Digest == digest {
			l.volumes[digest] = v
			delete(l.progress, digest)
			return true
		}
	}
	return false
}

// note sets how far a list has come, unless nobody wants it any more.
func (l *lists) note(digest order.Hash, p progress) {
	if l.isWanted(digest) {
		l.mu.Lock()
		l.progress[digest] = p
		l.mu.Unlock()
	}
}

// What a list's content may be instead of there.
var (
	errListGone = errors.New("the control plane has another version by now")
	errListLost = errors.New("the control plane can not read the list any more; it has to be loaded anew there")
)

// missList notes why a list does not come. One that the control plane has lost
// will not come at all: it counts as lost here, too, unless there is a version
// before.
func (a *agent) missList(ctx context.Context, ref order.ListRef, err error) {
	a.lists.mu.Lock()
	p := a.lists.progress[ref.Digest]
	a.lists.mu.Unlock()
	if p.trouble != err.Error() {
		a.g.log.Warn("a list does not come", "list", ref.Name, "digest", ref.Digest.String(), "error", err)
	}
	p.trouble, p.lost = err.Error(), errors.Is(err, errListLost)
	a.lists.note(ref.Digest, p)
	if errors.Is(err, errListGone) {
		a.ask(a.resync)
	}
	a.do(ctx, a.relist)
	a.ask(a.beat)
}

// fetchList makes one list whole, and puts it in force.
func (a *agent) fetchList(ctx context.Context, b Bus, ref order.ListRef) error {
	began := time.Now()
	v, err := a.lists.read(ref, nil) // from an earlier life
	if err != nil {
		f := &fetcher{l: a.lists, b: b, ref: ref, tell: func() { a.ask(a.beat) }}
		m, err := f.fetch(ctx)
		if err != nil {
			return err
		}
		if v, err = a.lists.read(ref, m); err != nil {
			os.Remove(a.lists.path(ref.Digest))
			return fmt.Errorf("what was fetched can not be used: %w", err)
		}
		a.g.log.Info("list fetched", "list", ref.Name, "entries", ref.Entries, "bytes", ref.Bytes, "of_it_kept", f.kept, "took", time.Since(began))
	}
	if !a.lists.take(ref.Digest, v) {
		return nil // nobody wants it any more
	}
	return a.do(ctx, a.relist)
}

// relist puts in force what lists have become whole since the ruling was made:
// the same order once more, with them.
func (a *agent) relist() {
	before := a.g.current.Load()
	if before == nil || sameLists(a.lists.resolve(a.follower.State().Lists, before), before.lists) {
		return
	}
	a.enforce(time.Now())
}

// tidyLists removes files, once the orders are kept that do not name them.
func (a *agent) tidyLists(ctx context.Context) {
	var needed map[order.Hash]bool
	err := a.do(ctx, func() {
		rl := a.g.current.Load()
		if rl == nil || a.unkept >= 0 {
			return
		}
		needed = map[order.Hash]bool{}
		for _, ref := range a.follower.State().Lists {
			needed[ref.Digest] = true
		}
		for _, h := range rl.lists {
			needed[h.digest] = true
		}
	})
	if err == nil && needed != nil { // otherwise the agent may still be at it
		a.lists.tidy(needed)
	}
}

// fetcher gets one list's content.
type fetcher struct {
	l    *lists
	b    Bus
	ref  order.ListRef
	tell func()
	kept int64 // bytes that were taken from a version before
	last time.Time
}

// fetch writes the content to its file, durably. What another version has in
// common with it is not fetched.
func (f *fetcher) fetch(ctx context.Context) (named.Manifest, error) {
	encoded, err := f.part(ctx, 0)
	if err != nil {
		return nil, err
	}
	m, err := named.ParseManifest(encoded, named.Digest(f.ref.Digest))
	if err == nil && m.Size() != f.ref.Bytes {
		err = fmt.Errorf("the manifest has %d bytes, and the order says %d", m.Size(), f.ref.Bytes)
	}
	if err != nil {
		return nil, err
	}
	path := f.l.path(f.ref.Digest)
	out, err := os.OpenFile(path+partSuffix, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	w := bufio.NewWriterSize(out, littleBytes)
	err = f.copy(ctx, w, m)
	if err = errors.Join(err, w.Flush(), out.Sync(), out.Close()); err == nil {
		err = os.Rename(path+partSuffix, path)
	}
	if err != nil {
		os.Remove(path + partSuffix)
		return nil, err
	}
	d, err := os.Open(f.l.dir)
	if err != nil {
		return nil, err
	}
	return m, errors.Join(d.Sync(), d.Close())
}

func (f *fetcher) copy(ctx context.Context, w io.Writer, m named.Manifest) error {
	old := f.former()
	defer old.close()
	done := int64(0)
	for i, c := range m {
		if old.copy(w, c) {
			f.kept += int64(c.Size)
		} else {
			data, err := f.part(ctx, i+1)
			if err != nil {
				return err
			}
			if !gently(w, data, c) {
				return fmt.Errorf("part %d of %d is not what its hash says, or could not be written", i+1, len(m))
			}
		}
		done += int64(c.Size)
		f.l.note(f.ref.Digest, progress{percent: int(done * 100 / max(f.ref.Bytes, 1))})
		if now := time.Now(); now.Sub(f.last) > tellEvery {
			f.last = now
			f.tell()
		}
	}
	return nil
}

// gently writes a chunk, with rests, and reports whether it is what its hash says.
func gently(w io.Writer, data []byte, c named.Chunk) bool {
	sum := sha256.New()
	for part := range slices.Chunk(data, littleBytes) {
		sum.Write(part)
		if _, err := w.Write(part); err != nil {
			return false
		}
		rest()
	}
	return len(data) == c.Size && [sha256.Size]byte(sum.Sum(nil)) == c.Hash
}

// part asks for one part until it comes, an answer says that it will not, or
// nobody wants it any more.
func (f *fetcher) part(ctx context.Context, n int) ([]byte, error) {
	q, err := json.Marshal(order.ListRequest{Digest: f.ref.Digest, Chunk: n})
	if err != nil {
		return nil, err
	}
	for {
		if !f.l.isWanted(f.ref.Digest) {
			return nil, errListGone
		}
		data, err := f.ask(ctx, q)
		if err == nil && len(data) > 0 {
			switch order.ListAnswer(data[0]) {
			case order.ListPart:
				return data[1:], nil
			case order.ListUnknown:
				return nil, errListGone
			case order.ListLost:
				return nil, errListLost
			}
		}
		if err == nil {
			err = errors.New("the answer is none that this version knows")
		}
		f.l.mu.Lock()
		p := f.l.progress[f.ref.Digest]
		f.l.mu.Unlock()
		p.trouble = err.Error()
		f.l.note(f.ref.Digest, p)
		if pause(ctx, listPause); ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

func (f *fetcher) ask(ctx context.Context, q []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, listPatience)
	defer cancel()
	return f.b.Request(ctx, order.SubjectList, q)
}

// former is another version of a list, to take chunks from.
type former struct {
	f      *os.File
	chunks map[[sha256.Size]byte]int64 // where each begins
}

// former finds a version that is whole here under the same name.
func (f *fetcher) former() *former {
	f.l.mu.Lock()
	h := f.l.inForce[f.ref.Name]
	f.l.mu.Unlock()
	out := &former{chunks: map[[sha256.Size]byte]int64{}}
	if h.volume == nil {
		return out
	}
	file, err := os.Open(f.l.path(h.digest))
	if err != nil {
		return out
	}
	out.f = file
	at := int64(0)
	for _, c := range h.manifest {
		out.chunks[c.Hash] = at
		at += int64(c.Size)
	}
	return out
}

// copy writes a chunk that the version before has as well, and reports whether it
// has and its file is what it was.
func (o *former) copy(w io.Writer, c named.Chunk) bool {
	at, ok := o.chunks[c.Hash]
	if !ok {
		return false
	}
	data := make([]byte, c.Size)
	if _, err := o.f.ReadAt(data, at); err != nil || sha256.Sum256(data) != c.Hash {
		return false
	}
	return gently(w, data, c)
}

func (o *former) close() {
	if o.f != nil {
		o.f.Close()
	}
}
