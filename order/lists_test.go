package order

import (
	"errors"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
)

func listed(name string, digest byte) ListRef {
	return ListRef{Name: name, Dimension: "users", Digest: Hash{digest}, Entries: 3, Bytes: 97}
}

// TestListsArePinned fails when the bytes that are hashed change. That an order
// without lists has the bytes it always had, TestEncodingIsPinned says.
func TestListsArePinned(t *testing.T) {
	o := Order{Revision: 1, IssuedAt: t0, PutLists: []ListRef{listed("banned", 0xab)}, DropLists: []string{"old"}}
	got, err := canonical(&o)
	if err != nil {
		t.Fatal(err)
	}
	const zeros = "00000000000000000000000000000000000000000000000000000000000000"
	want := `{"revision":1,"prev":"00` + zeros + `","issued_at":"2026-11-23T14:00:00Z","put_lists":[{"name":"banned","dimension":"users","digest":"ab` + zeros + `","entries":3,"bytes":97}],"drop_lists":["old"]}`
	if string(got) != want {
		t.Errorf("the encoding has changed:\n got %s\nwant %s", got, want)
	}
	beat, err := json.Marshal(Beat{Lists: map[string]ListHeld{"banned": {}}})
	if err != nil {
		t.Fatal(err)
	}
	var b Beat
	if err := json.Unmarshal(beat, &b); err != nil || !cmp.Equal(b.Lists, map[string]ListHeld{"banned": {}}) {
		t.Errorf("%s: %v", beat, err)
	}
}

func TestApplyLists(t *testing.T) {
	c := chain{t: t}
	c.next(Order{PutLists: []ListRef{listed("b", 1), listed("a", 2)}})
	base := c.state
	if base.Lists[0].Name != "a" || base.Lists[1].Name != "b" || base.Check() != nil {
		t.Fatalf("%+v: %v", base.Lists, base.Check())
	}
	for name, tc := range map[string]struct {
		o    Order
		want error
	}{
		"drops what is not there": {Order{DropLists: []string{"c"}}, ErrMismatch},
		"puts twice":              {Order{PutLists: []ListRef{listed("c", 1), listed("c", 2)}}, ErrMalformed},
		"puts and drops":          {Order{PutLists: []ListRef{listed("a", 1)}, DropLists: []string{"a"}}, ErrMalformed},
		"no name":                 {Order{PutLists: []ListRef{listed("", 1)}}, ErrMalformed},
		"no digest":               {Order{PutLists: []ListRef{listed("c", 0)}}, ErrMalformed},
		"no dimension":            {Order{PutLists: []ListRef{{Name: "c", Digest: Hash{1}, Entries: 1, Bytes: 1}}}, ErrMalformed},
		"no entries":              {Order{PutLists: []ListRef{{Name: "c", Dimension: "users", Digest: Hash{1}, Bytes: 1}}}, ErrMalformed},
	} {
		tc.o.Revision, tc.o.Prev = 2, base.Head
		s := base
		if err := s.Apply(&tc.o, Hash{1}); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
		if diff := cmp.Diff(base, s); diff != "" {
			t.Errorf("%s: the state changed: %s", name, diff)
		}
	}
	c.next(Order{PutLists: []ListRef{listed("b", 9)}, DropLists: []string{"a"}})
	if diff := cmp.Diff([]ListRef{listed("b", 9)}, c.state.Lists); diff != "" {
		t.Error(diff)
	}
	if base.Lists[1] != listed("b", 1) {
		t.Error("the state before was written to")
	}
	c.put("c-1")
	if len(c.state.Lists) != 1 {
		t.Error("an order that says nothing of lists dropped one")
	}
}

func TestStateWithBadLists(t *testing.T) {
	for _, lists := range [][]ListRef{
		{listed("b", 1), listed("a", 1)},
		{listed("a", 1), listed("a", 1)},
		{listed("", 1)},
		{listed("a", 0)},
	} {
		if _, err := OpenState(sign(t, State{Revision: 1, Head: Hash{1}, Lists: lists}, control), trust); !errors.Is(err, ErrMalformed) {
			t.Errorf("%+v: %v", lists, err)
		}
	}
	if _, err := OpenState(sign(t, State{Lists: []ListRef{listed("a", 1)}}, control), trust); !errors.Is(err, ErrMalformed) {
		t.Error(err)
	}
}
