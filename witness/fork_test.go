package witness_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"andon/witness"
)

// seen is a keeper that was shown a log at some sizes.
func seen(t *testing.T, name string, l *tree, sizes ...int64) (*witness.Keeper, string) {
	t.Helper()
	dir := t.TempDir()
	k, err := witness.OpenKeeper(dir, witness.GatewayName(name))
	ok(t, err)
	for _, n := range sizes {
		_, err := k.Take(l.at(n), l.key, true, l.prove, nil, now)
		ok(t, err)
	}
	return k, dir
}

// hear repeats what a peer says until something follows, n times at most.
func hear(t *testing.T, k *witness.Keeper, s witness.Said, named string, prove witness.Prove, n int) (*witness.Fork, error) {
	t.Helper()
	for i := 1; ; i++ {
		f, err := k.Hear(s, named, prove, now)
		if f != nil || !errors.Is(err, witness.ErrUnproved) || i == n {
			return f, err
		}
	}
}

// histories are two of one log, that part after the fifth entry.
func histories(t *testing.T) (a, b *tree) {
	a = newTree(t)
	a.grow(5, "same")
	b = a.fork()
	a.grow(20, "a")
	b.grow(20, "b")
	return a, b
}

func TestTwoThatWereShownDifferentHistories(t *testing.T) {
	for name, tc := range map[string]struct {
		ours, theirs []int64
		named        bool
		fork, proven bool
	}{
		"of one size":                           {[]int64{4, 9}, []int64{9}, true, true, true},
		"of a size that was passed by":          {[]int64{4, 9, 15}, []int64{9}, true, true, true},
		"theirs is longer":                      {[]int64{9}, []int64{12}, true, true, false},
		"ours is longer":                        {[]int64{12}, []int64{9}, true, true, false},
		"of one size, by nobody that is known":  {[]int64{9}, []int64{9}, false, true, true},
		"theirs is longer, and nobody is known": {[]int64{9}, []int64{12}, false, false, false},
		"before they part":                      {[]int64{12}, []int64{4}, true, false, false},
		"where they part":                       {[]int64{5}, []int64{5}, true, false, false},
		"nothing was seen yet":                  {nil, []int64{9}, true, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := histories(t)
			k, dir := seen(t, "gw-1", a, tc.ours...)
			peer, _ := seen(t, "gw-2", b, tc.theirs...)
			named := ""
			if tc.named {
				named = peer.Key()
			}
			f, err := hear(t, k, peer.Said(), named, a.prove, 10)
			if (f != nil) != tc.fork || f != nil && (f.Proven() != tc.proven || f.Peer != "andon/gateway/gw-2" || err != nil) {
				t.Fatalf("%+v, %v", f, err)
			}
			if !tc.named && !tc.fork && !errors.Is(err, witness.ErrUnnamed) {
				t.Error(err)
			}
			k, err = witness.OpenKeeper(dir, witness.GatewayName("gw-1"))
			ok(t, err)
			if got := k.Forks(); len(got) != map[bool]int{true: 1}[tc.fork] || tc.fork && fmt.Sprint(got[0]) != fmt.Sprint(*f) {
				t.Errorf("after a restart: %+v", got)
			}
			if !tc.fork {
				return
			}
			if again, err := hear(t, k, peer.Said(), named, a.prove, 10); again != nil || err != nil {
				t.Errorf("it is found once more: %v, %v", again, err)
			}
			own := k.Key()
			x, y, err := f.Check(own, []string{a.key})
			if err != nil || x.Size != uint64(tc.ours[len(tc.ours)-1]) && x.Size != uint64(tc.theirs[0]) || y.Size != uint64(tc.theirs[len(tc.theirs)-1]) || x == y {
				t.Errorf("%+v, %+v, %v", x, y, err)
			}
			for what, spoil := range map[string]func(f *witness.Fork){
				"another peer's key": func(f *witness.Fork) { f.PeerKey = own },
				"another name":       func(f *witness.Fork) { f.Peer = "andon/gateway/gw-3" },
				"the same twice":     func(f *witness.Fork) { f.Theirs, f.Peer, f.PeerKey = f.Own, witness.GatewayName("gw-1"), own },
				"a changed note":     func(f *witness.Fork) { f.Theirs = strings.Replace(f.Theirs, "example.com", "example.org", 1) },
				"another log's key":  func(f *witness.Fork) { f.PeerLogKey = newTree(t).key },
				"nothing":            func(f *witness.Fork) { *f = witness.Fork{} },
			} {
				bad := *f
				spoil(&bad)
				if _, _, err := bad.Check(own, []string{a.key}); err == nil {
					t.Errorf("%s: taken for evidence", what)
				}
			}
		})
	}
}

// TestNoWitnessMakesUpAFork: a lie proves nothing, and what is old or lost neither.
func TestNoWitnessMakesUpAFork(t *testing.T) {
	a, _ := histories(t)
	k, dir := seen(t, "gw-1", a, 3, 12)
	peer, _ := seen(t, "gw-2", a, 9)
	honest := peer.Said()
	forged := a.fork()
	forged.signer = newTree(t).signer
	liar, _ := seen(t, "gw-2", a, 9)
	c, err := witness.NewCosigner(witness.GatewayName("gw-2"))
	ok(t, err)
	text := witness.Checkpoint{Origin: "example.com/log", Size: 12, Root: tlog.Hash{1}}.Text()
	for name, tc := range map[string]struct {
		change func(s *witness.Said)
		prove  witness.Prove
	}{
		"the same history":                    {func(*witness.Said) {}, a.prove},
		"a checkpoint that nobody has signed": {func(s *witness.Said) { s.Note = text + "\n" + c.Cosign(text, now); s.Key = c.Verifier() }, a.prove},
		"signed by a key of its own": {func(s *witness.Said) {
			signed, err := note.Sign(&note.Note{Text: text}, forged.signer)
			ok(t, err)
			s.Note, s.Key = string(signed)+c.Cosign(text, now), c.Verifier()
		}, a.prove},
		"and that key named": {func(s *witness.Said) {
			other := newTree(t)
			signed, err := note.Sign(&note.Note{Text: text}, other.signer)
			ok(t, err)
			s.Note, s.Key, s.LogKey = string(signed)+c.Cosign(text, now), c.Verifier(), other.key
			s.Led = []string{string(succession(t, other, other)), "x"}
		}, a.prove},
		"without its cosignature": {func(s *witness.Said) { s.Note = string(a.at(9)) }, a.prove},
		"another's cosignature":   {func(s *witness.Said) { s.Key = liar.Key() }, a.prove},
		"another's name":          {func(s *witness.Said) { s.Name = witness.GatewayName("gw-3") }, a.prove},
		"no key":                  {func(s *witness.Said) { s.Key = "" }, a.prove},
		"no key of the ledger":    {func(s *witness.Said) { s.LogKey = "" }, a.prove},
		"garbage":                 {func(s *witness.Said) { *s = witness.Said{"\x00", "+", "++", "\n\n", []string{"", "a\nb"}} }, a.prove},
		"a proof that is lost twice": {func(*witness.Said) {}, func() witness.Prove {
			n := 0
			return func(x, y uint64) (tlog.TreeProof, error) {
				if n++; n < 3 {
					return nil, errors.New("damaged")
				}
				return a.prove(x, y)
			}
		}()},
		"nobody answers for a while": {func(*witness.Said) {}, func() witness.Prove {
			n := 0
			return func(x, y uint64) (tlog.TreeProof, error) {
				if n++; n < 10 {
					return nil, fmt.Errorf("%w: it is down", witness.ErrUnanswered)
				}
				return a.prove(x, y)
			}
		}()},
	} {
		s := honest
		tc.change(&s)
		k, err := witness.OpenKeeper(dir, witness.GatewayName("gw-1"))
		ok(t, err)
		if f, _ := hear(t, k, s, s.Key, tc.prove, 20); f != nil || len(k.Forks()) != 0 {
			t.Errorf("%s: a fork: %v", name, f)
		}
	}
	// A log that was rolled back proves nothing of others.
	back := a.fork()
	if _, err := k.Take(back.at(11), a.key, true, a.prove, nil, now); err == nil {
		t.Fatal("no roll-back")
	}
	if f, err := hear(t, k, honest, honest.Key, func(uint64, uint64) (tlog.TreeProof, error) { return nil, errors.New("no such size") }, 20); f != nil || !errors.Is(err, witness.ErrUnproved) {
		t.Errorf("%v, %v", f, err)
	}
}

// TestProofsThatNeverCome: a log that answers, but with no proof, is found out
// sooner than one that does not answer while it answers others. One that answers
// nobody is not there, and that is no fork.
func TestProofsThatNeverCome(t *testing.T) {
	for name, tc := range map[string]struct {
		err    error
		others bool // have their answers
		most   int  // 0: never
	}{
		"refused":                  {errors.New("no proof"), false, 3},
		"not answered":             {fmt.Errorf("%w: timeout", witness.ErrUnanswered), true, 13},
		"nobody has their answers": {fmt.Errorf("%w: timeout", witness.ErrUnanswered), false, 0},
	} {
		a, b := histories(t)
		k, _ := seen(t, "gw-1", a, 9)
		peer, _ := seen(t, "gw-2", b, 25)
		found := 0
		for n := 1; n <= 50 && found == 0; n++ {
			f, err := k.Hear(peer.Said(), peer.Key(), func(uint64, uint64) (tlog.TreeProof, error) { return nil, tc.err }, now)
			if f == nil && !errors.Is(err, witness.ErrUnproved) {
				t.Fatal(err)
			}
			if f != nil {
				found = n
			}
			if tc.others && n < 15 {
				_, err := k.Take(a.at(int64(9+n)), a.key, true, a.prove, nil, now)
				ok(t, err)
			}
		}
		if found != tc.most {
			t.Errorf("%s: found after %d, not %d", name, found, tc.most)
		}
	}
}

// TestAForkUnderAnotherKey: one history goes on under a new key, the other does not.
func TestAForkUnderAnotherKey(t *testing.T) {
	for _, ahead := range []string{"gw-1", "gw-2", "both"} {
		a, b := histories(t)
		k, dir := seen(t, "gw-1", a, 9)
		peer, _ := seen(t, "gw-2", b, 8)
		old, next := *a, newTree(t)
		turn := func(l *tree, k *witness.Keeper, next *tree) {
			t.Helper()
			led := [][]byte{succession(t, &old, next)}
			l.signer, l.key = next.signer, next.key
			taken, err := k.Take(l.at(9), l.key, true, l.prove, func(string) ([][]byte, error) { return led, nil }, now)
			if !taken || err != nil {
				t.Fatal(taken, err)
			}
		}
		if ahead != "gw-2" {
			turn(a, k, next)
		}
		if ahead != "gw-1" {
			turn(b, peer, newTree(t))
		} else {
			_, err := peer.Take(b.at(9), b.key, true, b.prove, nil, now)
			ok(t, err)
		}
		k, err := witness.OpenKeeper(dir, witness.GatewayName("gw-1")) // what led there is on disk
		ok(t, err)
		f, err := hear(t, k, peer.Said(), peer.Key(), a.prove, 10)
		if f == nil || !f.Proven() {
			t.Fatalf("%s is ahead: %v, %v", ahead, f, err)
		}
		if _, _, err := f.Check(k.Key(), []string{old.key}); err != nil {
			t.Errorf("%s is ahead: %v", ahead, err)
		}
	}
}

func TestForksAreBounded(t *testing.T) {
	a, b := histories(t)
	k, dir := seen(t, "gw-1", a, 9)
	for i := range 40 {
		peer, _ := seen(t, fmt.Sprint("gw-", i+2), b, 9)
		hear(t, k, peer.Said(), peer.Key(), a.prove, 10)
	}
	if n := len(k.Forks()); n != 16 {
		t.Errorf("%d forks are kept", n)
	}
	ok(t, os.WriteFile(filepath.Join(dir, "forks.json"), []byte("{"), 0o600))
	if _, err := witness.OpenKeeper(dir, witness.GatewayName("gw-1")); err == nil || !strings.Contains(err.Error(), "forks.json") {
		t.Errorf("damaged evidence: %v", err)
	}
}

func FuzzHear(f *testing.F) {
	t := &testing.T{}
	a := newTree(t)
	a.grow(9, "a")
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { os.RemoveAll(dir) })
	k, err := witness.OpenKeeper(dir, witness.GatewayName("gw-1"))
	if err != nil {
		f.Fatal(err)
	}
	if _, err := k.Take(a.at(9), a.key, true, a.prove, nil, now); err != nil {
		f.Fatal(err)
	}
	s := k.Said()
	f.Add(s.Name, s.Key, s.LogKey, s.Note, "andon ledger key succession\na\nb\n")
	f.Add("", "", "", "\n\n", "")
	f.Fuzz(func(t *testing.T, name, key, logKey, text, led string) {
		fork, _ := k.Hear(witness.Said{Name: name, Key: key, LogKey: logKey, Note: text, Led: []string{led}}, key, a.prove, now)
		if fork != nil {
			t.Errorf("a fork was made up: %+v", fork)
		}
	})
}
