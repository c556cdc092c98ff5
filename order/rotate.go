package order

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
)

// TypeSuccession is the payload type of a Succession.
const TypeSuccession = "application/vnd.andon.succession+json"

// The subject on which control announces a succession and answers with all that
// it has: a JSON list of envelopes. Gateways ask when they meet a key that they
// do not know.
const (
	SubjectSuccession  = "andon.succession"  // control → all: Successions
	SubjectSuccessions = "andon.successions" // gateway → control, request "" → Successions
)

// MaxSuccessions bounds how many successions are told, kept and followed at once.
const MaxSuccessions = 1000

// Errors of a succession.
var (
	ErrForked = errors.New("a key has two successors, or returns: it is in the wrong hands") // the first that was followed stays
)

// Succession is the word of one key that another takes its place: what From
// signed counts up to Revision, and nothing of it after that. Both keys sign it,
// so no key is named that nobody holds.
type Succession struct {
	N        uint64    `json:"n"` // from 1: the place in the ledger's chain
	From     PublicKey `json:"from"`
	To       PublicKey `json:"to"`
	Revision uint64    `json:"revision"` // the last that From signed
	Head     Hash      `json:"head"`     // and its head
	At       time.Time `json:"at"`
}

// Successions is a list of signed successions, oldest first.
type Successions struct {
	Successions [][]byte `json:"successions"`
}

// SignSuccession returns the signed envelope of a succession.
func SignSuccession(s Succession, from, to Signer) ([]byte, error) {
	if s.From != from.public || s.To != to.public || from.warrant != nil || to.warrant != nil {
		return nil, errors.New("sign succession: the signers are not the keys that it names")
	}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("sign succession: %w", err)
	}
	payload, err := canonical(s)
	if err != nil {
		return nil, fmt.Errorf("sign succession: %w", err)
	}
	return seal(TypeSuccession, payload, nil, from, to)
}

// OpenSuccession verifies a succession by the keys that it names itself. Whether
// From was trusted is not its to say: see [Follower.Follow].
func OpenSuccession(data []byte) (s Succession, err error) {
	e, err := readEnvelope(data, TypeSuccession)
	if err == nil && e.Warrant != nil {
		err = errors.New("a warranted key names no successor")
	}
	if err != nil {
		return s, fmt.Errorf("open succession: %w: %w", ErrSignature, err)
	}
	// Here the payload has to be read first: it says who must have signed. Nothing
	// is done with it before both have.
	if err := json.Unmarshal(e.Payload, &s, json.RejectUnknownMembers(true)); err != nil {
		return Succession{}, fmt.Errorf("open succession: %w: %w", ErrMalformed, err)
	}
	if err := s.check(); err != nil {
		return Succession{}, fmt.Errorf("open succession: %w: %w", ErrMalformed, err)
	}
	for _, k := range []PublicKey{s.From, s.To} {
		if _, err := e.verify([]PublicKey{k}); err != nil {
			return Succession{}, fmt.Errorf("open succession: %w: by key %s: %w", ErrSignature, k.id, err)
		}
	}
	return s, nil
}

func (s *Succession) check() error {
	switch {
	case s.N == 0 || s.From.id == "" || s.To.id == "":
		return errors.New("a succession has a number, a key and its successor")
	case s.From == s.To:
		return errors.New("a key does not succeed itself")
	case (s.Revision == 0) != s.Head.IsZero():
		return fmt.Errorf("revision %d with head %.12s", s.Revision, s.Head)
	}
	return nil
}

// lineage is whom a follower trusts: the keys that it was given, and who came
// after them.
type lineage struct {
	anchors Trust
	links   []Succession // those that were followed; each From counts no more
	raw     [][]byte     // the same, signed
}

// now are the keys that count now.
func (l *lineage) now() Trust {
	t := l.anchors
	t.Control = slices.DeleteFunc(l.all(), func(k PublicKey) bool { return l.after(k) != nil })
	return t
}

// all are the keys that count or have counted.
func (l *lineage) all() []PublicKey {
	keys := slices.Clone(l.anchors.Control)
	for i := range l.links {
		if !slices.Contains(keys, l.links[i].To) {
			keys = append(keys, l.links[i].To)
		}
	}
	return keys
}

// after is the succession of a key that counts no more, else nil.
func (l *lineage) after(k PublicKey) *Succession {
	for i := range l.links {
		if l.links[i].From == k {
			return &l.links[i]
		}
	}
	return nil
}

// next says whether a succession can be followed: its key counts now.
func (l *lineage) next(s *Succession) (bool, error) {
	if old := l.after(s.From); old != nil {
		if *old != *s {
			return false, fmt.Errorf("key %s is succeeded by %s, and here by %s: %w", s.From.id, old.To.id, s.To.id, ErrForked)
		}
		return false, nil
	}
	if !slices.Contains(l.all(), s.From) {
		return false, nil // from before the keys that were given, or of another control plane
	}
	if l.after(s.To) != nil {
		return false, fmt.Errorf("key %s was withdrawn, and is to return: %w", s.To.id, ErrForked)
	}
	if len(l.links) >= MaxSuccessions {
		return false, fmt.Errorf("follow key %s: more than %d successions", s.To.id, MaxSuccessions)
	}
	return true, nil
}

// kept refuses what is on disk by authority of a key that counted no more when
// it is said to have been signed.
func (l *lineage) kept(by PublicKey, revision uint64, head Hash) error {
	s := l.after(by)
	if s == nil || revision < s.Revision || revision == s.Revision && head == s.Head {
		return nil
	}
	return fmt.Errorf("%w: revision %d by key %s, which ended with revision %d", ErrSignature, revision, by.id, s.Revision)
}

func (l *lineage) keptState(data []byte) (State, PublicKey, error) {
	s, by, err := openState(data, l.all(), time.Time{})
	if err == nil {
		err = l.kept(by, s.Revision, s.Head)
	}
	if err != nil {
		return State{}, PublicKey{}, err
	}
	return s, by, nil
}

func (l *lineage) keptOrder(data []byte) (Order, Hash, PublicKey, error) {
	o, head, by, err := openOrder(data, l.all(), time.Time{})
	if err == nil {
		err = l.kept(by, o.Revision, head)
	}
	if err != nil {
		return Order{}, Hash{}, PublicKey{}, err
	}
	return o, head, by, nil
}

// Trust is whose signatures count now. It may be called at any time, by anybody.
func (f *Follower) Trust() Trust { return *f.trust.Load() }

// Follow goes on from the keys that are trusted to their successors, as far as
// data, a signed list of [Successions], leads. followed reports whether anything
// changed: then the owner asks for a full state, and makes it durable with
// Persist. What cannot be verified is passed over. [ErrForked] says that a key
// has two successors, and [ErrRollback] that a succession is from before what is
// held: the control plane has lost part of its record. What was followed stays.
func (f *Follower) Follow(data []byte) (followed bool, err error) {
	var list Successions
	if err := json.Unmarshal(data, &list, json.RejectUnknownMembers(true)); err != nil {
		return false, fmt.Errorf("follow successions: %w: %w", ErrMalformed, err)
	}
	if len(list.Successions) > MaxSuccessions {
		return false, fmt.Errorf("follow successions: %w: %d, at most %d", ErrMalformed, len(list.Successions), MaxSuccessions)
	}
	followed, err = f.follow(list, false)
	if err != nil {
		err = fmt.Errorf("follow successions: %w", err)
	}
	return followed, err
}

// follow takes a list in, in whatever order it is. What was kept was compared
// with the state when it came in.
func (f *Follower) follow(list Successions, kept bool) (followed bool, err error) {
	var links []Succession
	var signed [][]byte
	for _, raw := range list.Successions {
		s, e := OpenSuccession(raw)
		if e != nil {
			err = errors.Join(err, e)
			continue
		}
		links, signed = append(links, s), append(signed, raw)
	}
	done := make([]bool, len(links))
	for again := true; again; {
		again = false
		for i := range links {
			s := &links[i]
			if done[i] {
				continue
			}
			take, e := f.line.next(s)
			if take && !kept && s.From == f.by && (s.Revision < f.state.Revision || s.Revision == f.state.Revision && s.Head != f.state.Head) {
				take, e = false, fmt.Errorf("key %s ended with revision %d, and it signed %d, which is held: %w", s.From.id, s.Revision, f.state.Revision, ErrRollback)
			}
			if e != nil {
				done[i], err = true, errors.Join(err, e)
			}
			if take {
				f.line.links, f.line.raw = append(f.line.links, *s), append(f.line.raw, slices.Clone(signed[i]))
				done[i], followed, again = true, true, true
			}
		}
	}
	if followed {
		t := f.line.now()
		f.trust.Store(&t)
		f.unkeptLinks = true
	}
	return followed, err
}

// The successions on disk, twice, as the state is.
const (
	linksFile = "successions.json"
	linksCopy = "successions.copy.json"
)

// keepLinks writes the successions that were followed.
func (f *Follower) keepLinks() error {
	if !f.unkeptLinks {
		return nil
	}
	data, err := canonical(Successions{f.line.raw})
	if err != nil {
		return err
	}
	for _, name := range []string{linksFile, linksCopy} {
		if err := replaceFile(f.path(name), data); err != nil {
			return err
		}
	}
	f.unkeptLinks = false
	return nil
}

// loadLinks follows again what was followed. Of two files that differ, both are
// followed: one was written just before the end.
func (f *Follower) loadLinks() error {
	t := f.line.now()
	f.trust.Store(&t)
	read, good := 0, 0
	for _, name := range []string{linksFile, linksCopy} {
		data, err := os.ReadFile(f.path(name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return err
		}
		read++
		var list Successions
		if err = json.Unmarshal(data, &list, json.RejectUnknownMembers(true)); err == nil {
			_, err = f.follow(list, true)
		}
		if err != nil {
			f.note("%s is broken and was passed over: %w", name, err)
			if err := os.Rename(f.path(name), f.path(name)+brokenSuffix); err != nil {
				return err
			}
			continue
		}
		good++
	}
	// What a lost succession withdrew would count again.
	f.lost = f.lost || read > 0 && good == 0
	if f.unkeptLinks = read > 0 && good < 2 && len(f.line.links) > 0; f.unkeptLinks {
		if err := f.keepLinks(); err != nil {
			f.note("the successions cannot be written again: %w", err)
		}
	}
	return nil
}
