package witness

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// On disk a keeper is:
//
//	cosigner.key  its private key
//	checkpoint    the newest checkpoint, with the log's signature and its own
//	ledger.pub    the key that signed that
//	alarm.json    evidence of two histories; a person removes it
//	forks.json    evidence that other witnesses were shown another history; a person removes it
//	led.json      by which statements the log's key was replaced
const (
	keyFile        = "cosigner.key"
	checkpointFile = "checkpoint"
	ledgerKeyFile  = "ledger.pub"
	alarmFile      = "alarm.json"
	forksFile      = "forks.json"
	ledFile        = "led.json"
)

// maxUnproved is how often a proof may fail before that is an alarm: an answer
// can be damaged on its way.
const maxUnproved = 3

// ErrUnproved means that a checkpoint was not taken because nothing shows yet
// that it continues what is held. It is offered again.
var ErrUnproved = errors.New("not proved to continue what was seen before")

// Alarm is evidence that a log shows two histories, or was rolled back.
type Alarm struct {
	At     time.Time `json:"at"`
	Detail string    `json:"detail"`
	Held   string    `json:"held"`    // the signed checkpoint that this witness has vouched for
	Shown  string    `json:"shown"`   // the signed checkpoint that does not go with it
	LogKey string    `json:"log_key"` // that signed what was shown
}

// Error says what was seen.
func (a *Alarm) Error() string { return a.Detail }

// Keeper is the memory of one witness.
type Keeper struct {
	dir      string
	cosigner *Cosigner
	held     Checkpoint
	note     string // held, with the log's signature and ours; "" before the first
	logKey   string
	alarm    *Alarm
	unproved int

	recent []cosignedNote      // the last that it cosigned, the newest last; held is one of them
	led    []string            // statements that led to logKey
	forks  []Fork              // one for each peer
	sound  map[Checkpoint]bool // of others, proved to be of this history
	doubts map[string]doubt    // by peer
	proofs int                 // that were good
	unkept error               // why forks are not on disk
}

// cosignedNote is a checkpoint that a keeper has cosigned.
type cosignedNote struct {
	Checkpoint
	note string
}

// Prove fetches a proof that the log of size b continues the log of size a.
type Prove func(a, b uint64) (tlog.TreeProof, error)

// Follow fetches the statements by which the log's key was replaced, from that key
// on: each a note with both keys as lines of its text, signed by both.
type Follow func(key string) (statements [][]byte, err error)

// OpenKeeper reads what is kept in dir, which it makes if needed. What cannot be
// read is an error: a witness that has forgotten what it vouched for is none.
func OpenKeeper(dir, name string) (*Keeper, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open witness: %w", err)
	}
	k := &Keeper{dir: dir}
	var err error
	if k.cosigner, err = LoadOrCreateCosigner(k.path(keyFile), name); err != nil {
		return nil, fmt.Errorf("open witness: %w", err)
	}
	if err := k.load(); err != nil {
		return nil, fmt.Errorf("open witness: %w; what it vouched for is not known: compare with the control plane's ledger, then remove %s", err, dir)
	}
	return k, nil
}

func (k *Keeper) path(name string) string { return filepath.Join(k.dir, name) }

func (k *Keeper) load() error {
	if err := k.loadForks(); err != nil {
		return err
	}
	alarm, err := os.ReadFile(k.path(alarmFile))
	if err == nil {
		k.alarm = &Alarm{}
		err = json.Unmarshal(alarm, k.alarm)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", alarmFile, err)
	}
	key, err := os.ReadFile(k.path(ledgerKeyFile))
	signed, err2 := os.ReadFile(k.path(checkpointFile))
	if errors.Is(err2, fs.ErrNotExist) && (err == nil || errors.Is(err, fs.ErrNotExist)) {
		return nil // the key is written before the first checkpoint
	}
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	k.logKey = strings.TrimSpace(string(key))
	// Our own signature is what counts: the log's key may be newer than the note.
	v, err := NewVerifier(k.cosigner.Verifier())
	if err == nil {
		_, _, err = v.Line(signed)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", checkpointFile, err)
	}
	text, _, err := Split(signed)
	if err == nil {
		k.held, err = Parse(text)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", checkpointFile, err)
	}
	k.note = string(signed)
	k.recent = []cosignedNote{{k.held, k.note}}
	return nil
}

// Held is the newest checkpoint vouched for, as a note with the log's signature
// and ours; "" before the first.
func (k *Keeper) Held() (Checkpoint, string) { return k.held, k.note }

// LogKey is the key that the log was last seen to sign with; "" if none.
func (k *Keeper) LogKey() string { return k.logKey }

// Key is the text of the witness's public key.
func (k *Keeper) Key() string { return k.cosigner.Verifier() }

// Alarm is the evidence that stands, nil if none. The first stays until a person
// has removed its file and restarted the witness.
func (k *Keeper) Alarm() *Alarm { return k.alarm }

// Take looks at a signed checkpoint. fresh says that it is what the log shows
// now, so that a smaller one is a roll-back and no straggler. If it continues
// what is held it is cosigned, made durable, and then held; taken says so. A key
// other than the one before has to be led to by it.
//
// The error is an [*Alarm] if it does not, ErrUnproved if that cannot be told
// yet, and another one if it is no checkpoint of that key, or could not be kept.
// What is held then stays as it was.
func (k *Keeper) Take(signed []byte, logKey string, fresh bool, prove Prove, follow Follow, now time.Time) (taken bool, err error) {
	log, err := note.NewVerifier(logKey)
	if err != nil {
		return false, fmt.Errorf("take checkpoint: the ledger's key: %w", err)
	}
	c, err := Open(signed, log)
	if err != nil {
		return false, fmt.Errorf("take checkpoint: %w", err)
	}
	var led [][]byte
	if k.note != "" && k.logKey != logKey {
		statements, err := follow(k.logKey)
		if err != nil {
			return false, fmt.Errorf("take checkpoint of size %d, signed by %s: %w: %w", c.Size, logKey, ErrUnproved, err)
		}
		if err := leads(k.logKey, logKey, statements); err != nil {
			if k.unproved++; k.unproved < maxUnproved {
				return false, fmt.Errorf("take checkpoint of size %d: %w: %w", c.Size, ErrUnproved, err)
			}
			return false, k.raise(signed, logKey, now, fmt.Sprintf("the ledger is signed by another key: %v", err))
		}
		led = statements
	}
	var proof tlog.TreeProof
	switch {
	case k.note == "":
	case c == k.held && k.logKey == logKey:
		return false, nil
	case c.Origin != k.held.Origin:
		return false, k.raise(signed, logKey, now, fmt.Sprintf("the control plane shows log %q; what was seen before is of log %q", c.Origin, k.held.Origin))
	case c.Size < k.held.Size && !fresh:
		return false, nil // overtaken on its way
	case c.Size < k.held.Size:
		return false, k.raise(signed, logKey, now, fmt.Sprintf("the ledger was rolled back: it had %d entries, and now %d", k.held.Size, c.Size))
	case c.Size == k.held.Size && c.Root != k.held.Root:
		return false, k.raise(signed, logKey, now, fmt.Sprintf("the ledger shows two histories of %d entries", c.Size))
	case c.Size > k.held.Size && k.held.Size > 0:
		if proof, err = prove(k.held.Size, c.Size); err != nil {
			return false, fmt.Errorf("take checkpoint of size %d: %w: %w", c.Size, ErrUnproved, err)
		}
	}
	if k.note != "" {
		if err := Consistent(k.held, c, proof); err != nil {
			if k.unproved++; k.unproved < maxUnproved {
				return false, fmt.Errorf("take checkpoint of size %d: %w: %w", c.Size, ErrUnproved, err)
			}
			return false, k.raise(signed, logKey, now, fmt.Sprintf("the ledger shows two histories: %v", err))
		}
	}
	if len(proof) > 0 {
		k.proofs++
	}
	if led != nil { // before the key that it leads to
		if err := k.follows(led, logKey); err != nil {
			return false, fmt.Errorf("keep what leads to the ledger's key: %w", err)
		}
	}
	return true, k.keep(c, signed, logKey, now)
}

// succession is the first line of a statement that a key of a log was replaced.
const succession = "andon ledger key succession"

// maxStatements bounds how often a key is followed.
const maxStatements = 1024

// leads reports why statements do not lead from one key of a log to another.
func leads(from, to string, statements [][]byte) error {
	at := from
	for _, s := range statements[:min(len(statements), maxStatements)] {
		f := strings.SplitN(string(s), "\n", 4)
		if len(f) < 4 || f[0] != succession || f[1] != at {
			break
		}
		before, err := note.NewVerifier(at)
		if err != nil {
			return err
		}
		next, err := note.NewVerifier(f[2])
		if err != nil || next.Name() != before.Name() {
			break
		}
		n, err := note.Open(s, note.VerifierList(before, next))
		if err != nil || len(n.Sigs) != 2 || n.Text != strings.Join(f[:3], "\n")+"\n" {
			break
		}
		if at = f[2]; at == to {
			return nil
		}
	}
	return fmt.Errorf("nothing that key %s has signed leads to key %s", from, to)
}

// keep cosigns c and makes it durable.
func (k *Keeper) keep(c Checkpoint, signed []byte, logKey string, now time.Time) error {
	log, err := note.NewVerifier(logKey)
	if err != nil {
		return err
	}
	n, err := note.Open(signed, note.VerifierList(log))
	if err != nil {
		return err
	}
	text := c.Text()
	both := text + "\n— " + n.Sigs[0].Name + " " + n.Sigs[0].Base64 + "\n" + k.cosigner.Cosign(text, now)
	if k.logKey != logKey {
		if err := replaceFile(k.path(ledgerKeyFile), []byte(logKey+"\n")); err != nil {
			return fmt.Errorf("keep the ledger's key: %w", err)
		}
		k.logKey = logKey
	}
	if err := replaceFile(k.path(checkpointFile), []byte(both)); err != nil {
		return fmt.Errorf("keep checkpoint of size %d: %w", c.Size, err)
	}
	k.held, k.note, k.unproved = c, both, 0
	k.recent = append(slices.DeleteFunc(k.recent, func(r cosignedNote) bool { return r.Size == c.Size }), cosignedNote{c, both})
	k.recent = slices.Delete(k.recent, 0, max(0, len(k.recent)-maxRecent))
	return nil
}

// raise keeps the first evidence. That it cannot be written does not silence it.
func (k *Keeper) raise(shown []byte, logKey string, now time.Time, detail string) error {
	a := &Alarm{At: now.UTC().Truncate(time.Second), Detail: detail, Held: k.note, Shown: string(shown), LogKey: logKey}
	if k.alarm == nil {
		k.alarm = a
		data, err := json.Marshal(a)
		if err == nil {
			err = replaceFile(k.path(alarmFile), data)
		}
		if err != nil {
			return fmt.Errorf("%w (the evidence could not be kept: %w)", a, err)
		}
	}
	return a
}
