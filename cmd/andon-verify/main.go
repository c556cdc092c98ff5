// Command andon-verify checks a file that `andon ledger export` wrote, with nothing but
// the public key of the ledger: every entry, the tree over all of them (RFC
// 6962), the signed checkpoint (C2SP signed-note), cosignatures of witnesses
// (C2SP tlog-cosignature), and personal values against their commitments. Where
// an entry names another key, signed by both, it goes on with that one. Every
// signature counts that the record or the reader has a key for: one that does not
// verify makes the record unsound, and one by a key that neither names is said. It
// is for people who do not trust the program that wrote the file: it shares no code
// with it, and is short enough to be read. docs/ledger-format.md has the format.
//
//	andon-verify -key ledger.key.pub [-witness KEY]… [-quorum N] record.jsonl
//
// It exits with 0 if the record is sound, 1 if it is not, and names the first
// bad entry, and 2 if it could not be checked.
package main

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	maxLine = 64<<20 + 1<<16
	maxLeaf = 1<<16 - 1 // larger entries stand in the tree by the hash of their body
)

// unsound is what is wrong with a record.
type unsound string

func (u unsound) Error() string { return string(u) }

func bad(format string, args ...any) error { return unsound(fmt.Sprintf(format, args...)) }

// cosigner verifies timestamped Ed25519 cosignatures.
type cosigner struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func newCosigner(text string) (note.Verifier, error) {
	name, rest, _ := strings.Cut(text, "+")
	hash, key64, _ := strings.Cut(rest, "+")
	key, err := base64.StdEncoding.DecodeString(key64)
	sum := sha256.Sum256([]byte(name + "\n" + string(key)))
	if err != nil || len(key) != 1+ed25519.PublicKeySize || key[0] != 4 || hex.EncodeToString(sum[:4]) != hash {
		return nil, fmt.Errorf("witness key %.80q is not <name>+<hash>+<Ed25519 key of type 4>", text)
	}
	return &cosigner{name, binary.BigEndian.Uint32(sum[:]), key[1:]}, nil
}

func (c *cosigner) Name() string    { return c.name }
func (c *cosigner) KeyHash() uint32 { return c.hash }
func (c *cosigner) Verify(msg, sig []byte) bool {
	return len(sig) == 8+ed25519.SignatureSize &&
		ed25519.Verify(c.key, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", binary.BigEndian.Uint64(sig), msg), sig[8:])
}

// verifier is one check. peaks are the roots of the full subtrees that the leaves
// so far fall into: all that it takes to go on.
type verifier struct {
	log       note.Verifier   // of the ledger, as far as the entries were read
	keys      []note.Verifier // of the ledger, all that are known
	rekeyed   []int64         // entries that named another
	leads     []succession    // what they say
	witnesses []note.Verifier // that the reader gave
	named     []note.Verifier // that entries name, beside those
	quorum    int

	size     int64
	peaks    []tlog.Hash
	notes    []signedNote // checkpoints, of which the tree was compared
	names    []string     // commitments of the last entry whose values may follow
	vouched  int64        // entries that a quorum has cosigned; -1: none
	unknown  []string     // who has signed by keys that nobody names
	personal int
}

// succession is an entry that names another key of the ledger.
type succession struct {
	From, To  string
	Statement []byte
}

// signedNote is a checkpoint with its signatures.
type signedNote struct {
	size int64
	text []byte
}

func (v *verifier) add(leaf []byte) {
	h := tlog.RecordHash(leaf)
	for n := v.size; n&1 == 1; n >>= 1 {
		h = tlog.NodeHash(v.peaks[len(v.peaks)-1], h)
		v.peaks = v.peaks[:len(v.peaks)-1]
	}
	v.peaks, v.size = append(v.peaks, h), v.size+1
}

func (v *verifier) root() tlog.Hash {
	if v.size == 0 {
		return sha256.Sum256(nil)
	}
	h := v.peaks[len(v.peaks)-1]
	for i := len(v.peaks) - 2; i >= 0; i-- {
		h = tlog.NodeHash(v.peaks[i], h)
	}
	return h
}

// checkpoint compares a line {"<name>":"<signed note>"} with the tree so far. Who
// has signed it is looked at when all keys are known.
func (v *verifier) checkpoint(line []byte, name string) error {
	var text map[string]string
	if json.Unmarshal(line, &text) != nil || len(text) != 1 {
		return bad("entry %d: the checkpoint that stands in its place is malformed", v.size)
	}
	signed := text[name]
	if string(line) != `{"`+name+`":"`+strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(signed)+`"}` {
		return bad("entry %d: the line of the checkpoint that stands in its place is not in canonical form", v.size)
	}
	said, _, _ := strings.Cut(signed, "\n\n")
	f := strings.Split(said, "\n")
	if len(f) != 3 || f[0] != v.log.Name() {
		return bad("the checkpoint after %d entries is not of %s, with a size and a root", v.size, v.log.Name())
	}
	if f[1] != strconv.FormatInt(v.size, 10) {
		return bad("entry %d: the checkpoint covers %.20s entries and stands after %d", v.size, f[1], v.size)
	}
	if f[2] != v.root().String() {
		return bad("the checkpoint of size %d attests other entries: at least one of the first %d is not what was signed", v.size, v.size)
	}
	if n := len(v.notes); n > 0 && name == "cosigned" && v.notes[n-1].size == v.size {
		return bad("entry %d: a second cosigned checkpoint stands in its place", v.size)
	}
	v.notes = append(v.notes, signedNote{v.size, []byte(signed)})
	return nil
}

// signatures checks who has signed the checkpoints. Each must be signed by a key of
// the ledger, the last one by the last key. What is signed by a key that is known
// must verify; and what shows the name or the number of a known key is no other's.
func (v *verifier) signatures() error {
	before := v.keys[0]
	for i := len(v.leads) - 1; i >= 0; i-- { // what came before the given key
		if k, err := note.NewVerifier(v.leads[i].From); err == nil && v.leads[i].signedBy(k, before) {
			v.keys, before = append(v.keys, k), k
		}
	}
	var known []note.Verifier
	for _, k := range append(append(append([]note.Verifier{}, v.keys...), v.witnesses...), v.named...) {
		if !is(known, k.Name(), k.KeyHash()) {
			known = append(known, k)
		}
	}
	for i, c := range v.notes {
		n, err := note.Open(c.text, note.VerifierList(known...))
		var unknown *note.UnverifiedNoteError
		var wrong *note.InvalidSignatureError
		if errors.As(err, &wrong) {
			return bad("the checkpoint after %d entries: the signature of %s does not verify", c.size, wrong.Name)
		} else if errors.As(err, &unknown) {
			n = unknown.Note
		} else if err != nil {
			return bad("the checkpoint after %d entries: %v", c.size, err)
		}
		own, cosigned := false, 0
		for _, s := range n.Sigs {
			own = own || is(v.keys, s.Name, s.Hash) && (i < len(v.notes)-1 || s.Hash == v.log.KeyHash())
			if is(v.witnesses, s.Name, s.Hash) {
				cosigned++
			}
		}
		if !own {
			return bad("the checkpoint after %d entries is not signed by the key of %s", c.size, v.log.Name())
		}
		for _, s := range n.UnverifiedSigs {
			for _, k := range known {
				if k.Name() == s.Name || k.KeyHash() == s.Hash {
					return bad("the checkpoint after %d entries: what stands as a signature of %s is by key %08x, which is not one of its keys", c.size, s.Name, s.Hash)
				}
			}
			v.unknown = append(v.unknown, fmt.Sprintf("%s+%08x on the first %d entries", s.Name, s.Hash, c.size))
		}
		all := append(append([]note.Signature{}, n.Sigs...), n.UnverifiedSigs...)
		if strings.Count(string(c.text[len(n.Text):]), "\n") != 1+len(all) {
			return bad("the checkpoint after %d entries: somebody's signature stands twice", c.size)
		}
		for _, s := range all {
			if _, err := base64.StdEncoding.Strict().DecodeString(s.Base64); err != nil {
				return bad("the checkpoint after %d entries: the signature of %s is not in canonical form", c.size, s.Name)
			}
		}
		if v.quorum > 0 && cosigned >= v.quorum {
			v.vouched = c.size
		}
	}
	if v.quorum > 0 && v.vouched < 0 {
		return bad("no checkpoint carries the cosignatures of %d of the witnesses", v.quorum)
	}
	return nil
}

// is reports whether a signature names one of the keys.
func is(keys []note.Verifier, name string, hash uint32) bool {
	for _, k := range keys {
		if k.Name() == name && k.KeyHash() == hash {
			return true
		}
	}
	return false
}

// entry takes the line of the next entry.
func (v *verifier) entry(line []byte) error {
	var e struct {
		Actor, At, Type, Body json.RawMessage
		Personal              []string
		Seq                   int64
	}
	var compact bytes.Buffer
	if json.Unmarshal(line, &e) != nil || e.Body == nil || json.Compact(&compact, e.Body) != nil {
		return bad("entry %d: the line is not an entry", v.size)
	}
	if e.Seq != v.size {
		return bad("entry %d: in its place stands what says it is entry %d", v.size, e.Seq)
	}
	head, tail := fmt.Sprintf(`{"actor":%s,"at":%s,"`, e.Actor, e.At), fmt.Sprintf(`,"seq":%d,"type":%s}`, e.Seq, e.Type)
	if len(e.Personal) > 0 {
		tail = `,"personal":["` + strings.Join(e.Personal, `","`) + `"]` + tail
	}
	// One byte string stands for one entry: these members, in this order, no blanks.
	if string(line) != head+`body":`+compact.String()+tail {
		return bad("entry %d: the line is not in canonical form", v.size)
	}
	if len(line) > maxLeaf {
		line = fmt.Appendf(nil, `%sbody_sha256":"%x","body_size":%d%s`, head, sha256.Sum256(e.Body), len(e.Body), tail)
	}
	v.add(line)
	v.names = e.Personal
	switch string(e.Type) {
	case `"ledger.rekeyed"`:
		return v.rekey(e.Body)
	case `"witness.known"`: // a key that cosigns; one that cannot be read verifies nothing
		var b struct{ Key string }
		if json.Unmarshal(e.Body, &b) == nil {
			if k, err := newCosigner(b.Key); err == nil {
				v.named = append(v.named, k)
			}
		}
	}
	return nil
}

// rekey goes on with the key that an entry names, if the one before has signed
// that, and it has, too. A rekeying of before the given key is passed over here.
func (v *verifier) rekey(body []byte) error {
	var s succession
	if err := json.Unmarshal(body, &s); err != nil {
		return bad("entry %d: it does not say which key signs from here on", v.size-1)
	}
	v.leads = append(v.leads, s)
	if next, err := note.NewVerifier(s.To); err == nil && s.signedBy(v.log, next) {
		v.log, v.keys, v.rekeyed = next, append(v.keys, next), append(v.rekeyed, v.size-1)
	}
	return nil
}

// signedBy reports whether both keys have signed that one follows the other.
func (s *succession) signedBy(from, to note.Verifier) bool {
	if to.Name() != from.Name() || to.KeyHash() == from.KeyHash() {
		return false
	}
	n, err := note.Open(s.Statement, note.VerifierList(from, to))
	return err == nil && len(n.Sigs) == 2 && n.Text == "andon ledger key succession\n"+s.From+"\n"+s.To+"\n"
}

// value takes a line with a personal value: after its entry, in order, once.
func (v *verifier) value(line []byte) error {
	var p struct{ Commitment, Sealed string }
	err := json.Unmarshal(line, &p)
	sealed, err2 := base64.StdEncoding.Strict().DecodeString(p.Sealed)
	if err != nil || err2 != nil || string(line) != `{"commitment":"`+p.Commitment+`","sealed":"`+p.Sealed+`"}` {
		return bad("entry %d: the line of a personal value after it is malformed", v.size-1)
	}
	for len(v.names) > 0 && v.names[0] != p.Commitment {
		v.names = v.names[1:]
	}
	if len(v.names) == 0 {
		return bad("entry %d: a personal value stands after it that it does not bring", v.size-1)
	}
	v.names, v.personal = v.names[1:], v.personal+1
	if sum := sha256.Sum256([]byte("andon personal value v1\x00" + string(sealed))); hex.EncodeToString(sum[:]) != p.Commitment {
		return bad("entry %d: the value of commitment %s is not the one committed to", v.size-1, p.Commitment)
	}
	return nil
}

var errCut = bad("the file ends within a line")

// wholeLines splits at line feeds and nowhere else. What the last one does not end
// was cut off.
func wholeLines(data []byte, atEOF bool) (int, []byte, error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i], nil
	}
	if atEOF && len(data) > 0 {
		return 0, nil, errCut
	}
	return 0, nil, nil
}

// read checks the whole file.
func (v *verifier) read(r io.Reader) error {
	in := bufio.NewScanner(r)
	in.Buffer(make([]byte, 1<<16), maxLine)
	in.Split(wholeLines)
	for in.Scan() {
		line := in.Bytes()
		var err error
		switch {
		case bytes.HasPrefix(line, []byte(`{"commitment":`)):
			err = v.value(line)
		case bytes.HasPrefix(line, []byte(`{"cosigned":`)):
			v.names, err = nil, v.checkpoint(line, "cosigned")
		case bytes.HasPrefix(line, []byte(`{"checkpoint":`)):
			if err = v.checkpoint(line, "checkpoint"); err == nil && in.Scan() {
				err = bad("something follows the checkpoint")
			}
			if err = errors.Join(err, in.Err()); err == nil {
				err = v.signatures()
			}
			return err
		default:
			err = v.entry(line)
		}
		if err != nil {
			return err
		}
	}
	if err := in.Err(); err != nil && !errors.Is(err, bufio.ErrTooLong) && !errors.Is(err, errCut) {
		return err
	}
	return bad("entry %d: the file ends before its checkpoint, or holds a line longer than any entry", v.size)
}

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

func run(args []string, in io.Reader, stdout, stderr io.Writer) int {
	v := verifier{vouched: -1}
	f := flag.NewFlagSet("andon-verify", flag.ContinueOnError)
	f.SetOutput(stderr)
	keyFile := f.String("key", "", "`file` of the ledger's public key (required)")
	f.IntVar(&v.quorum, "quorum", 1, "how many of the witnesses must have cosigned one checkpoint")
	f.Func("witness", "`key` of a witness, or a file of keys; may be repeated", func(text string) error {
		if data, err := os.ReadFile(text); err == nil {
			text = string(data)
		}
		for _, key := range strings.Fields(text) {
			c, err := newCosigner(key)
			if err != nil {
				return err
			}
			if is(v.witnesses, c.Name(), c.KeyHash()) {
				return fmt.Errorf("witness %s is given twice, and counts once", c.Name())
			}
			v.witnesses = append(v.witnesses, c)
		}
		return nil
	})
	fail := func(err error) int { fmt.Fprintln(stderr, "andon-verify:", err); return 2 }
	if f.Parse(args) != nil {
		return 2
	}
	if f.NArg() != 1 || *keyFile == "" || v.quorum < 1 || v.quorum > max(1, len(v.witnesses)) {
		return fail(errors.New("give -key FILE, one export or - for stdin, and a -quorum of 1 to as many as there are -witness keys"))
	}
	if len(v.witnesses) == 0 {
		v.quorum = 0
	}
	key, err := os.ReadFile(*keyFile)
	if err == nil {
		v.log, err = note.NewVerifier(strings.TrimSpace(string(key)))
	}
	v.keys = []note.Verifier{v.log}
	if err == nil && f.Arg(0) != "-" {
		in, err = os.Open(f.Arg(0))
	}
	if err != nil {
		return fail(err)
	}
	var u unsound
	if err := v.read(in); errors.As(err, &u) {
		fmt.Fprintln(stdout, "NOT SOUND:", u)
		return 1
	} else if err != nil {
		return fail(err)
	}
	fmt.Fprintf(stdout, "sound: %d entries, signed by %s\nroot %s\npersonal values as committed to: %d\n", v.size, v.log.Name(), v.root(), v.personal)
	if len(v.rekeyed) > 0 {
		fmt.Fprintf(stdout, "it has another key than the one given, %08x, named in entry %d\n", v.log.KeyHash(), v.rekeyed[len(v.rekeyed)-1])
	}
	if v.quorum > 0 {
		fmt.Fprintf(stdout, "at least %d of %d witnesses vouch for the first %d entries\n", v.quorum, len(v.witnesses), v.vouched)
	}
	for _, who := range v.unknown {
		fmt.Fprintln(stdout, "NOT CHECKED, by a key that neither the record nor -witness names:", who)
	}
	return 0
}
