package witness

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Bounds of what a keeper remembers of others, and of what counts against a log.
const (
	maxRecent = 64  // checkpoints that it cosigned itself
	maxSound  = 256 // checkpoints that were proved to be of its own history
	maxForks  = 16
	maxDoubts = 1024

	// A proof that was asked for and is none weighs answered. One that nobody
	// answered weighs 1 if others were answered since, else nothing: what is on its
	// way may be lost, and what comes may be damaged.
	answered = 4
	enough   = 12
)

// Said is what a witness tells the others of itself.
type Said struct {
	Name   string   // of the witness
	Key    string   // that it cosigns with
	LogKey string   // of the log, that signed the note
	Note   string   // the newest checkpoint that it vouches for
	Led    []string // statements that led it to that key of the log
}

// Fork is evidence that a log shows two histories: two checkpoints that its keys
// have signed and two witnesses have cosigned. Of one size and with two roots they
// are the proof by themselves; else that nobody shows the one to continue the other.
type Fork struct {
	At         time.Time `json:"at"`
	Peer       string    `json:"peer"`     // the witness that was shown the other history
	PeerKey    string    `json:"peer_key"` // that it cosigns with
	Own        string    `json:"own"`      // the note that this witness vouches for
	Theirs     string    `json:"theirs"`   // the note that the peer vouches for
	LogKey     string    `json:"log_key"`  // that signed ours
	PeerLogKey string    `json:"peer_log_key"`
	Led        []string  `json:"led,omitempty"` // statements by which keys of the log follow one another
}

// doubt is what speaks against what a peer and this witness were shown.
type doubt struct {
	weight int
	proofs int // Keeper.proofs when it was last asked
}

// Errors of what others say that is no evidence of anything.
var (
	ErrUnnamed    = errors.New("whose key this is, nobody has said")
	ErrUnanswered = errors.New("no answer") // a Prove wraps it: that it has none says nothing of the log
)

// Said is what this witness tells the others; its Note is "" before the first
// checkpoint.
func (k *Keeper) Said() Said {
	return Said{Name: k.cosigner.Name(), Key: k.Key(), LogKey: k.logKey, Note: k.note, Led: k.led}
}

// Forks is the evidence that was found, one for each peer. It stays until a person
// has removed its file and restarted the witness.
func (k *Keeper) Forks() []Fork { return k.forks }

// Hear compares what another witness says with what this one vouches for. named is
// the key that the log's owner says is that witness's; "" if it is not known.
//
// A fork is returned once, and is on disk then, as well as may be. It needs two
// checkpoints by keys of the log, so no witness can make one up; and where it rests
// on proofs that do not come, a named key. The error says why nothing follows:
// ErrUnproved, which is worth another try, ErrUnnamed, or what is wrong with what
// was said.
func (k *Keeper) Hear(s Said, named string, prove Prove, now time.Time) (*Fork, error) {
	c, text, err := s.open()
	if err != nil {
		return nil, err
	}
	if !reaches(k.known(), s.LogKey, s.Led) {
		return nil, fmt.Errorf("%s vouches for a ledger of key %s; nothing that was signed here leads there", s.Name, s.LogKey)
	}
	had := slices.IndexFunc(k.forks, func(f Fork) bool { return f.Peer == s.Name })
	if had < 0 && len(k.forks) >= maxForks {
		return nil, nil // there is evidence enough
	}
	for _, r := range k.recent {
		switch {
		case r.Size != c.Size:
		case r.Root == c.Root:
			delete(k.doubts, s.Name)
			return nil, nil
		case had < 0 || !k.forks[had].Proven():
			return k.fork(s, r.note, text, now), nil
		default:
			return nil, nil
		}
	}
	switch {
	case had >= 0, k.note == "", c.Size == 0, k.held.Size == 0, k.sound[c]:
		return nil, nil
	case named != s.Key:
		return nil, fmt.Errorf("%s vouches with %s: %w", s.Name, s.Key, ErrUnnamed)
	case prove == nil, k.alarm != nil: // of a log that does not go with what is held here, it proves nothing
		return nil, ErrUnproved
	}
	a, b := k.held, c
	if a.Size > b.Size {
		a, b = b, a
	}
	var proof tlog.TreeProof
	if proof, err = prove(a.Size, b.Size); err == nil {
		err = Consistent(a, b, proof)
	}
	if err == nil {
		k.proofs++
		delete(k.doubts, s.Name)
		if c.Size <= k.held.Size { // what is ahead may still part from what comes here
			if len(k.sound) >= maxSound || k.sound == nil {
				k.sound = map[Checkpoint]bool{}
			}
			k.sound[c] = true
		}
		return nil, nil
	}
	if k.doubts == nil || len(k.doubts) >= maxDoubts {
		k.doubts = map[string]doubt{}
	}
	d, doubted := k.doubts[s.Name]
	switch {
	case !errors.Is(err, ErrUnanswered):
		d.weight += answered
	case doubted && d.proofs != k.proofs:
		d.weight++
	}
	d.proofs = k.proofs
	if k.doubts[s.Name] = d; d.weight < enough {
		return nil, fmt.Errorf("%s vouches for %d entries, and %d are vouched for here: %w: %w", s.Name, c.Size, k.held.Size, ErrUnproved, err)
	}
	return k.fork(s, k.note, text, now), nil
}

// fork keeps evidence. That it cannot be written does not silence it.
func (k *Keeper) fork(s Said, own, theirs string, now time.Time) *Fork {
	f := Fork{At: now.UTC().Truncate(time.Second), Peer: s.Name, PeerKey: s.Key, Own: own, Theirs: theirs, LogKey: k.logKey, PeerLogKey: s.LogKey}
	f.Led = slices.Compact(slices.Concat(k.led, s.Led))
	if text, err := signedBy(own, k.known()); err == nil {
		f.LogKey = text
	}
	delete(k.doubts, s.Name)
	k.forks = append(slices.DeleteFunc(slices.Clone(k.forks), func(o Fork) bool { return o.Peer == s.Name }), f)
	if data, err := json.Marshal(k.forks); err == nil {
		k.unkept = replaceFile(k.path(forksFile), data)
	}
	return &f
}

// Unkept says why evidence of a fork could not be written; nil if it was.
func (k *Keeper) Unkept() error { return k.unkept }

// Proven says whether the two checkpoints are of one size: then they prove the
// fork to anybody who knows the log's keys.
func (f *Fork) Proven() bool {
	a, b, err := f.sizes()
	return err == nil && a == b
}

func (f *Fork) sizes() (own, theirs uint64, err error) {
	var size [2]uint64
	for i, n := range []string{f.Own, f.Theirs} {
		text, _, err := Split([]byte(n))
		if err != nil {
			return 0, 0, err
		}
		c, err := Parse(text)
		if err != nil {
			return 0, 0, err
		}
		size[i] = c.Size
	}
	return size[0], size[1], nil
}

// Error says what the evidence shows.
func (f *Fork) Error() string {
	a, b, err := f.sizes()
	switch {
	case err != nil:
		return err.Error()
	case a == b:
		return fmt.Sprintf("both histories have %d entries, and the ledger's key has signed both", a)
	}
	return fmt.Sprintf("of %d and %d entries, both signed by the ledger's key, and nothing shows that the longer continues the shorter", a, b)
}

// Check verifies evidence that a witness with the key own brings, and returns the
// two checkpoints. known are keys of the log. Whether one continues the other is for
// the caller to find out, unless the evidence is Proven.
func (f *Fork) Check(own string, known []string) (mine, theirs Checkpoint, err error) {
	ov, err := NewVerifier(own)
	if err != nil {
		return mine, theirs, err
	}
	for _, x := range []struct {
		to *Checkpoint
		s  Said
	}{{&mine, Said{ov.Name(), own, f.LogKey, f.Own, f.Led}}, {&theirs, Said{f.Peer, f.PeerKey, f.PeerLogKey, f.Theirs, f.Led}}} {
		if !reaches(known, x.s.LogKey, x.s.Led) {
			return mine, theirs, fmt.Errorf("the note of %s is signed by %s, which is no key of this ledger", x.s.Name, x.s.LogKey)
		}
		if *x.to, _, err = x.s.open(); err != nil {
			return mine, theirs, err
		}
	}
	if mine == theirs || mine.Origin != theirs.Origin {
		return mine, theirs, errors.New("these are no two histories of one ledger")
	}
	return mine, theirs, nil
}

// open verifies both signatures, and returns the note with those two alone.
func (s *Said) open() (c Checkpoint, text string, err error) {
	v, err := NewVerifier(s.Key)
	if err != nil {
		return c, "", err
	}
	if v.Name() != s.Name {
		return c, "", fmt.Errorf("the key is of %q, not of %q", v.Name(), s.Name)
	}
	log, err := note.NewVerifier(s.LogKey)
	if err != nil {
		return c, "", fmt.Errorf("read the ledger's key: %w", err)
	}
	if c, err = Open([]byte(s.Note), log); err != nil {
		return c, "", err
	}
	line, _, err := v.Line([]byte(s.Note))
	if err != nil {
		return c, "", err
	}
	n, err := note.Open([]byte(s.Note), note.VerifierList(log))
	if err != nil {
		return c, "", err
	}
	return c, c.Text() + "\n— " + n.Sigs[0].Name + " " + n.Sigs[0].Base64 + "\n" + line, nil
}

// known are the keys of the log that this witness has gone through, the present
// one first.
func (k *Keeper) known() []string {
	keys := []string{k.logKey}
	for _, s := range k.led {
		if from, _ := between(s); from != "" {
			keys = append(keys, from)
		}
	}
	return keys
}

// between are the keys of which a statement speaks.
func between(statement string) (from, to string) {
	f := strings.SplitN(statement, "\n", 4)
	if len(f) < 4 || f[0] != succession {
		return "", ""
	}
	return f[1], f[2]
}

// reaches says whether a key is one of those that are known, or is led to from one.
func reaches(known []string, key string, led []string) bool {
	if slices.Contains(known, key) {
		return key != ""
	}
	for i, s := range led[:min(len(led), maxLed*2)] {
		if from, _ := between(s); from == "" || !slices.Contains(known, from) {
			continue
		}
		from, _ := between(s)
		rest := make([][]byte, 0, len(led)-i)
		for _, t := range led[i:] {
			rest = append(rest, []byte(t))
		}
		if leads(from, key, rest) == nil {
			return true
		}
	}
	return false
}

// signedBy is which of some keys signed a note.
func signedBy(signed string, keys []string) (string, error) {
	for _, key := range keys {
		v, err := note.NewVerifier(key)
		if err != nil {
			continue
		}
		if _, err := Open([]byte(signed), v); err == nil {
			return key, nil
		}
	}
	return "", errors.New("none of these keys has signed it")
}

// maxLed bounds the statements that are kept: the last ones.
const maxLed = 8

// follows keeps the statements that led to a key.
func (k *Keeper) follows(statements [][]byte, to string) error {
	for _, s := range statements {
		if !slices.Contains(k.led, string(s)) {
			k.led = append(slices.Clip(k.led), string(s))
		}
		if _, at := between(string(s)); at == to {
			break
		}
	}
	k.led = slices.Clone(k.led[max(0, len(k.led)-maxLed):])
	data, err := json.Marshal(k.led)
	if err == nil {
		err = replaceFile(k.path(ledFile), data)
	}
	return err
}

// loadForks reads what is kept of keys that followed one another, and of forks.
func (k *Keeper) loadForks() error {
	for name, to := range map[string]any{forksFile: &k.forks, ledFile: &k.led} {
		data, err := os.ReadFile(k.path(name))
		if err == nil {
			err = json.Unmarshal(data, to)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}
