package blob

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir, Bounds{One: 1000, All: 2500})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestKeepReadRemove(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	content := []byte("what was seen")
	d, err := s.Put(content)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := s.Put(content); err != nil || again != d || s.Used() != int64(len(content)) {
		t.Fatal(again, err, s.Used())
	}
	if got, err := open(t, dir).Get(d); err != nil || !bytes.Equal(got, content) {
		t.Fatal(got, err)
	}
	if err := s.Delete(d, time.Unix(0, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(d); !errors.Is(err, ErrGone) {
		t.Fatal(err)
	}
	if err := s.Delete(d, time.Now()); err != nil || s.Used() != 0 {
		t.Fatal(err, s.Used())
	}
	if _, err := s.Put(content); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Get(d); err != nil || !bytes.Equal(got, content) {
		t.Fatal(got, err)
	}
}

func TestBounds(t *testing.T) {
	s := open(t, t.TempDir())
	if _, err := s.Put(make([]byte, 1001)); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
	for i := range 3 {
		_, err := s.Put(bytes.Repeat([]byte{byte(i)}, 1000))
		if (err == nil) != (i < 2) || i == 2 && !errors.Is(err, ErrFull) {
			t.Error(i, err)
		}
	}
	if empty, err := s.Put(nil); err != nil {
		t.Error(err)
	} else if got, err := s.Get(empty); err != nil || len(got) != 0 {
		t.Error(got, err)
	}
}

func TestNothingButDigestsNamesAFile(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if err := os.WriteFile(filepath.Join(filepath.Dir(dir), "secret"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"", "..", "../secret", strings.Repeat("../", 21) + "x", strings.Repeat("A", 64), strings.Repeat("0", 63) + "/", strings.Repeat("0", 65)} {
		if _, err := s.Get(d); !errors.Is(err, ErrNotFound) {
			t.Errorf("%q: %v", d, err)
		}
		if err := s.Delete(d, time.Now()); !errors.Is(err, ErrNotFound) {
			t.Errorf("%q: %v", d, err)
		}
	}
}

func TestDamageIsFoundAndMended(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	content := []byte("what was seen")
	d, err := s.Put(content)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, d[:2], d)
	for _, bad := range [][]byte{[]byte("what was sewn"), nil, bytes.Repeat(content, 100)} {
		if err := os.WriteFile(name, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Get(d); !errors.Is(err, ErrDamaged) {
			t.Errorf("%d bytes: %v", len(bad), err)
		}
	}
	if _, err := s.Put(content); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Get(d); err != nil || !bytes.Equal(got, content) {
		t.Fatal(got, err)
	}
}

func TestACrashLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	d, err := s.Put([]byte("kept"))
	if err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(dir, d[:2], "1234"+partial)
	if err := os.WriteFile(left, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	if _, err := os.Stat(left); err == nil || s.Used() != 4 {
		t.Error("what a crash left is still there", s.Used())
	}
	// Between tombstone and removal: the file is there, and can be removed again.
	if err := os.WriteFile(filepath.Join(dir, d[:2], d+tombstone), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(d); err != nil {
		t.Error(err)
	}
	if err := s.Delete(d, time.Now()); err != nil {
		t.Error(err)
	}
	if _, err := s.Get(d); !errors.Is(err, ErrGone) {
		t.Error(err)
	}
}

func TestModel(t *testing.T) {
	root, run := t.TempDir(), 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		dir := filepath.Join(root, strings.Repeat("x", run%200+1), time.Now().Format("150405.000000000"))
		s, err := Open(dir, Bounds{One: 64})
		if err != nil {
			t.Fatal(err)
		}
		kept, gone := map[string][]byte{}, map[string]bool{}
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				c := rapid.SliceOfN(rapid.SampledFrom([]byte("ab")), 0, 3).Draw(t, "content")
				d, err := s.Put(c)
				if err != nil {
					t.Fatal(err)
				}
				kept[d] = c
				delete(gone, d)
			},
			"delete": func(t *rapid.T) {
				if len(kept) == 0 {
					return
				}
				d := slices.Min(slices.Collect(maps.Keys(kept)))
				if err := s.Delete(d, time.Now()); err != nil {
					t.Fatal(err)
				}
				delete(kept, d)
				gone[d] = true
			},
			"restart": func(t *rapid.T) {
				if s, err = Open(dir, Bounds{One: 64}); err != nil {
					t.Fatal(err)
				}
			},
			"": func(t *rapid.T) {
				used := int64(0)
				for d, c := range kept {
					used += int64(len(c))
					if got, err := s.Get(d); err != nil || !bytes.Equal(got, c) {
						t.Fatal(got, err)
					}
				}
				for d := range gone {
					if _, err := s.Get(d); !errors.Is(err, ErrGone) {
						t.Fatal(err)
					}
				}
				if s.Used() != used {
					t.Fatal(s.Used(), used)
				}
			},
		})
	})
}

func TestManyAtOnce(t *testing.T) {
	s := open(t, t.TempDir())
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 10 {
				c := []byte{byte(i)}
				d, err := s.Put(c)
				if err != nil {
					t.Error(err)
				}
				if got, err := s.Get(d); err != nil || !bytes.Equal(got, c) {
					t.Error(got, err)
				}
			}
		})
	}
	wg.Wait()
	if s.Used() != 10 {
		t.Error(s.Used())
	}
}
