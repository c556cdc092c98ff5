package ledger_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"andon/ledger"

	"github.com/go-json-experiment/json"
	"golang.org/x/mod/sumdb/note"

	"go.uber.org/goleak"
)

// childEnv makes this test binary a writer of the ledger in that folder.
const childEnv = "ANDON_LEDGER_TEST_WRITER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		if err := writeForever(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	goleak.VerifyTestMain(m)
}

// writeForever appends batches and prints the size after each one that was
// acknowledged. The actor of an entry says how large its batch is and which
// place it has there.
func writeForever(dir string) error {
	s, _, err := ledger.LoadOrCreateSigner(filepath.Join(dir, "key"), "example.com/crash")
	if err != nil {
		return err
	}
	l, err := ledger.OpenSQLite(filepath.Join(dir, "ledger.db"), s)
	if err != nil {
		return err
	}
	var names []string // values that are to be erased at some time
	for {
		at := l.Size()
		n := int(at%4) + 1
		es := entries(int(at), n)
		var gone []string
		for i := range es {
			switch k := rand.IntN(10); {
			case k < 2:
				var name []string
				es[i], name = naming(int(at)+i, "somebody")
				names = append(names, name...)
			case k == 2 && len(names) > 3 && gone == nil:
				gone, names = names[:3], names[3:]
				es[i] = erasure(gone...)
			}
			es[i].Actor = fmt.Sprintf("%d of %d", i+1, n)
			if len(es[i].Personal) == 0 && es[i].Type != ledger.TypeErased && rand.IntN(50) == 0 {
				es[i].Body = bigBody(70_000 + rand.IntN(100_000))
			}
		}
		size, err := l.Append(context.Background(), at, es...)
		if err == nil {
			err = l.Erase(context.Background(), gone...)
		}
		if err != nil {
			return err
		}
		if _, err := os.Stdout.WriteString(strconv.FormatUint(size, 10) + "\n"); err != nil {
			return err
		}
	}
}

// writer starts a child and returns its acknowledgements, line by line.
func writer(dir string) (*exec.Cmd, *bufio.Reader, *bytes.Buffer, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, nil, nil, err
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, nil, err
	}
	return cmd, bufio.NewReader(out), &stderr, cmd.Start()
}

// TestKill kills a writer at random moments, again and again: each time, the
// ledger verifies as it lies there, opens again, holds every entry that was
// acknowledged, and no half batch.
func TestKill(t *testing.T) {
	const fewest = 10 // say something
	kills, budget := int64(400), 20*time.Second
	if testing.Short() {
		kills, budget = 30, 5*time.Second
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	var left, done, acked atomic.Int64
	left.Store(kills)
	begin := time.Now()
	var wg sync.WaitGroup
	for lane := range 2 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(lane)))
			dir := t.TempDir()
			for size := uint64(0); left.Add(-1) >= 0 && (time.Since(begin) < budget || done.Load() < fewest); done.Add(1) {
				if size > 3000 { // so that verifying does not come to dominate
					dir, size = t.TempDir(), 0
				}
				next, err := killOnce(t.Context(), dir, size, r)
				if err != nil {
					t.Errorf("lane %d, kill %d: %v", lane, done.Load(), err)
					return
				}
				acked.Add(int64(next - size))
				size = next
			}
		})
	}
	wg.Wait()
	t.Logf("%d kills, %d entries, %v", done.Load(), acked.Load(), time.Since(begin).Round(time.Millisecond))
	if done.Load() < fewest || acked.Load() == 0 {
		t.Error("too few kills to say anything")
	}
}

// killOnce runs a writer on a ledger of the given size, kills it, checks what
// it left, and returns the new size.
func killOnce(ctx context.Context, dir string, before uint64, r *rand.Rand) (uint64, error) {
	cmd, out, stderr, err := writer(dir)
	if err != nil {
		return 0, err
	}
	acked := before
	read := func() bool {
		line, err := out.ReadString('\n')
		if err != nil {
			return false // a line without its end was not acknowledged to anyone
		}
		if n, err := strconv.ParseUint(strings.TrimSpace(line), 10, 64); err == nil {
			acked = n
		}
		return true
	}
	// Mostly in the middle of the writing, now and then while it opens.
	if r.IntN(8) > 0 {
		for range 1 + r.IntN(25) {
			if !read() {
				break
			}
		}
		time.Sleep(time.Duration(r.IntN(1500)) * time.Microsecond)
	} else {
		time.Sleep(time.Duration(r.IntN(40)) * time.Millisecond)
	}
	_ = cmd.Process.Kill()
	for read() {
	}
	if err := cmd.Wait(); err == nil || stderr.Len() > 0 {
		return 0, fmt.Errorf("the writer ended by itself: %v: %s", err, stderr)
	}
	return checkKilled(ctx, dir, before, acked)
}

func checkKilled(ctx context.Context, dir string, before, acked uint64) (uint64, error) {
	db := filepath.Join(dir, "ledger.db")
	if _, err := os.Stat(filepath.Join(dir, "key.pub")); err != nil {
		return 0, nil // killed before it had a key: nothing was there yet
	}
	v, err := ledger.ReadVerifier(filepath.Join(dir, "key.pub"))
	if err != nil {
		return 0, err
	}
	var fault *ledger.Fault
	report, err := ledger.Verify(ctx, db, v, ledger.VerifyOptions{})
	young := errors.Is(err, os.ErrNotExist) || errors.As(err, &fault) && fault.Entry < 0 // killed while it was being created
	if err != nil && !(young && acked == 0) {
		return 0, fmt.Errorf("after the kill: %w", err)
	}
	s, _, err := ledger.LoadOrCreateSigner(filepath.Join(dir, "key"), "example.com/crash")
	if err != nil {
		return 0, err
	}
	l, err := ledger.OpenSQLite(db, s)
	if err != nil {
		return 0, err
	}
	defer l.Close()
	size := l.Size()
	if size < acked || size != report.Size {
		return 0, fmt.Errorf("%d entries were acknowledged, verified %d, opened %d", acked, report.Size, size)
	}
	// Verify has found a value for each commitment that no entry erased. What was
	// erased, or only begun to be, ends as erased.
	var gone []string
	err = l.Read(ctx, 0, size, func(e ledger.Entry) error {
		var b ledger.Erased
		if e.Type != ledger.TypeErased {
			return nil
		}
		err := json.Unmarshal(e.Body, &b)
		gone = append(gone, b.Commitments...)
		return err
	})
	if err == nil {
		err = l.Erase(ctx, gone...)
	}
	for _, name := range gone {
		if _, e := l.Personal(ctx, name); !errors.Is(e, ledger.ErrErased) {
			err = errors.Join(err, fmt.Errorf("commitment %s: %w", name, e))
		}
	}
	if err != nil {
		return 0, err
	}
	want := uint64(1) // the place in its batch that the next entry must have
	err = l.Read(ctx, before, size, func(e ledger.Entry) error {
		var place, of uint64
		if _, err := fmt.Sscanf(e.Actor, "%d of %d", &place, &of); err != nil || place != want {
			return fmt.Errorf("entry %d is %q, not place %d of its batch", e.Seq, e.Actor, want)
		}
		if want++; place == of {
			want = 1
		}
		return nil
	})
	if err == nil && want != 1 {
		err = errors.New("the last batch is not whole")
	}
	return size, err
}

// TestSecondProcess: the lock is held across processes and dies with its owner.
func TestSecondProcess(t *testing.T) {
	dir := t.TempDir()
	cmd, out, stderr, err := writer(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := out.ReadString('\n'); err != nil {
		t.Fatal(err, stderr)
	}
	s, _, err := ledger.LoadOrCreateSigner(filepath.Join(dir, "key"), "example.com/crash")
	if err != nil {
		t.Fatal(err)
	}
	_, err = ledger.OpenSQLite(filepath.Join(dir, "ledger.db"), s)
	if !errors.Is(err, ledger.ErrInUse) || !strings.Contains(err.Error(), strconv.Itoa(cmd.Process.Pid)) {
		t.Errorf("while process %d writes: %v", cmd.Process.Pid, err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	l, err := ledger.OpenSQLite(filepath.Join(dir, "ledger.db"), s)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// TestTornLog is power loss as the disk shows it: whatever was not synced may
// be cut off or be garbage. An acknowledged entry was synced.
func TestTornLog(t *testing.T) {
	s, v := keys(t, "example.com/torn")
	dir := t.TempDir()
	db := filepath.Join(dir, "ledger.db")
	l := must(ledger.OpenSQLite(db, s))(t)
	walSize := func() int { return int(must(os.Stat(db + "-wal"))(t).Size()) }
	synced := []int{walSize()} // by number of entries
	for i := range 12 {
		must(l.Append(t.Context(), uint64(i), entry(i)))(t)
		synced = append(synced, walSize())
	}
	file, wal := must(os.ReadFile(db))(t), must(os.ReadFile(db+"-wal"))(t)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if synced[12] <= synced[0] {
		t.Fatal("the log did not grow: nothing is being tested")
	}
	r := rand.New(rand.NewPCG(1, 2))
	for cut := synced[0]; cut <= len(wal); cut += 1 + r.IntN(1500) {
		want := uint64(0)
		for n, size := range synced {
			if size <= cut {
				want = uint64(n)
			}
		}
		torn := bytes.Clone(wal[:cut])
		if cut%2 == 0 { // the tail has its length but not its content
			for len(torn) < len(wal) {
				torn = append(torn, byte(r.Uint32()))
			}
		}
		checkTorn(t, file, torn, s, v, want)
	}
}

func checkTorn(t *testing.T, file, wal []byte, s note.Signer, v note.Verifier, want uint64) {
	t.Helper()
	db := filepath.Join(t.TempDir(), "ledger.db")
	for name, data := range map[string][]byte{db: file, db + "-wal": wal} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if r, err := ledger.Verify(t.Context(), db, v, ledger.VerifyOptions{}); err != nil || r.Size != want {
		t.Fatalf("log of %d bytes: %d entries verified, want %d: %v", len(wal), r.Size, want, err)
	}
	l := must(ledger.OpenSQLite(db, s))(t)
	defer l.Close()
	if l.Size() != want {
		t.Fatalf("log of %d bytes: opened with %d entries, want %d", len(wal), l.Size(), want)
	}
	must(l.Append(t.Context(), want, entry(0)))(t)
}
