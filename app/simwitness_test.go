package app

import (
	"bytes"
	"context"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"

	"andon/ledger"
	"andon/witness"
)

// said is what a program has printed so far.
type said struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *said) find(re string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return regexp.MustCompile(re).FindStringSubmatch(s.b.String())
}

func TestRunSimWitness(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	signer, _, err := ledger.LoadOrCreateSigner(key, "example.com/andon")
	if err != nil {
		t.Fatal(err)
	}
	l, err := ledger.OpenSQLite(key+".db", signer)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var out said
	ended := make(chan error, 1)
	go func() { ended <- RunSimWitness(ctx, "127.0.0.1:0", []string{key + ".pub"}, &out) }()
	var m []string
	for begun := time.Now(); m == nil; time.Sleep(time.Millisecond) {
		if m = out.find(`url: "(\S+)", key: "(\S+)"`); m == nil && time.Since(begun) > 30*time.Second {
			t.Fatal("it does not say where it is")
		}
	}
	c, err := witness.NewClient(m[1], m[2])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	cp, err := l.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Submit(t.Context(), cp, nil); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := RunSimWitness(t.Context(), "127.0.0.1:0", []string{"nonsense"}, &out); err == nil {
		t.Error("a log without a key was taken")
	}
}
