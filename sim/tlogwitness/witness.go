// Package tlogwitness is a simulated outside witness: a program that follows the
// state machine of C2SP tlog-witness and cosigns with Ed25519. It shares no code
// with what it is used to test.
//
// It promises what the specification asks of a witness, in memory: it forgets
// all when it ends. Told to, it misbehaves: see [Witness.Misbehave].
package tlogwitness

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Witness is one witness. It is an http.Handler and safe for concurrent use.
type Witness struct {
	name string
	key  ed25519.PrivateKey
	now  func() time.Time

	mu        sync.Mutex
	logs      map[string]note.Verifier // by origin
	held      map[string]tree
	requests  int
	misbehave func(w http.ResponseWriter, r *http.Request) bool
}

type tree struct {
	size int64
	root tlog.Hash
}

// New is a witness that knows the logs with these public keys.
func New(name string, now func() time.Time, logs ...string) (*Witness, error) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	w := &Witness{name: name, key: key, now: now, logs: map[string]note.Verifier{}, held: map[string]tree{}}
	for _, text := range logs {
		v, err := note.NewVerifier(text)
		if err != nil {
			return nil, fmt.Errorf("key of a log: %w", err)
		}
		w.logs[v.Name()] = v
	}
	return w, nil
}

func (w *Witness) public() []byte {
	return append([]byte{4}, w.key.Public().(ed25519.PublicKey)...)
}

func (w *Witness) id() []byte {
	sum := sha256.Sum256([]byte(w.name + "\n" + string(w.public())))
	return sum[:4]
}

// Key is the witness's public key: <name>+<hash>+<key>.
func (w *Witness) Key() string {
	return fmt.Sprintf("%s+%x+%s", w.name, w.id(), base64.StdEncoding.EncodeToString(w.public()))
}

// Requests is how many came in.
func (w *Witness) Requests() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.requests
}

// Misbehave makes f answer instead; what f does not answer, by returning false,
// is answered as the specification says. nil ends it.
func (w *Witness) Misbehave(f func(w http.ResponseWriter, r *http.Request) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.misbehave = f
}

// Forget lets go of what was cosigned, or with a size pretends that something
// else was.
func (w *Witness) Forget(origin string, size int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held[origin] = tree{size: size}
}

// ServeHTTP answers POST …/add-checkpoint.
func (w *Witness) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.requests++
	if w.misbehave != nil && w.misbehave(rw, r) {
		return
	}
	if !strings.HasSuffix(r.URL.Path, "/add-checkpoint") {
		http.NotFound(rw, r)
		return
	}
	if r.Method != http.MethodPost {
		rw.Header().Set("Allow", "POST")
		http.Error(rw, "POST a checkpoint", http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		http.Error(rw, "the body broke off", http.StatusBadRequest)
		return
	}
	old, proof, signed, err := parse(string(body))
	if err != nil {
		http.Error(rw, err.Error(), http.StatusBadRequest)
		return
	}
	w.add(rw, old, proof, signed)
}

// parse reads the request's body.
func parse(body string) (old int64, proof tlog.TreeProof, signed string, err error) {
	head, signed, ok := strings.Cut(body, "\n\n")
	lines := strings.Split(head, "\n")
	number, isOld := strings.CutPrefix(lines[0], "old ")
	if !ok || !isOld || len(lines) > 64 {
		return 0, nil, "", errors.New("not: old size, at most 63 hashes, an empty line, a checkpoint")
	}
	old, err = strconv.ParseInt(number, 10, 63)
	if err != nil || old < 0 || strconv.FormatInt(old, 10) != number {
		return 0, nil, "", errors.New("the old size is no decimal")
	}
	for _, l := range lines[1:] {
		h, err := tlog.ParseHash(l)
		if err != nil {
			return 0, nil, "", errors.New("a line of the proof is no hash")
		}
		proof = append(proof, h)
	}
	return old, proof, signed, nil
}

func (w *Witness) add(rw http.ResponseWriter, old int64, proof tlog.TreeProof, signed string) {
	origin, _, _ := strings.Cut(signed, "\n")
	log := w.logs[origin]
	if log == nil {
		http.Error(rw, "the log is not known here", http.StatusNotFound)
		return
	}
	n, err := note.Open([]byte(signed), note.VerifierList(log))
	if err != nil {
		http.Error(rw, "not signed by the log's key", http.StatusForbidden)
		return
	}
	f := strings.Split(n.Text, "\n")
	if len(f) < 4 {
		http.Error(rw, "not a checkpoint", http.StatusBadRequest)
		return
	}
	size, err := strconv.ParseInt(f[1], 10, 63)
	root, err2 := tlog.ParseHash(f[2])
	if err != nil || err2 != nil || size < 0 || old > size {
		http.Error(rw, "not a checkpoint of at least the old size", http.StatusBadRequest)
		return
	}
	held := w.held[origin]
	switch {
	case old != held.size:
		rw.Header().Set("Content-Type", "text/x.tlog.size")
		rw.WriteHeader(http.StatusConflict)
		fmt.Fprintf(rw, "%d\n", held.size)
		return
	case old == 0 && len(proof) > 0:
		http.Error(rw, "a proof from nothing", http.StatusUnprocessableEntity)
		return
	case old == size && old > 0 && root != held.root:
		http.Error(rw, "another history of this size was cosigned", http.StatusConflict)
		return
	case old > 0 && old < size && tlog.CheckTree(proof, size, root, old, held.root) != nil:
		http.Error(rw, "the proof does not verify", http.StatusUnprocessableEntity)
		return
	}
	w.held[origin] = tree{size, root}
	io.WriteString(rw, w.cosign(n.Text))
}

func (w *Witness) cosign(text string) string {
	at := uint64(w.now().Unix())
	sig := binary.BigEndian.AppendUint64(w.id(), at)
	sig = append(sig, ed25519.Sign(w.key, []byte("cosignature/v1\ntime "+strconv.FormatUint(at, 10)+"\n"+text))...)
	return "— " + w.name + " " + base64.StdEncoding.EncodeToString(sig) + "\n"
}
