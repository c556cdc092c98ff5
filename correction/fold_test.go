package correction

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestAnotherSpellingOfAUserIsTheUser(t *testing.T) {
	for in, want := range map[string]string{
		"mallory": "mallory", "Mallory": "mallory", "MALLORY": "mallory", " mallory\t": "mallory", "mal\u200blory": "mallory", "ｍａｌｌｏｒｙ": "mallory",
		"Straße": "strasse", "STRASSE": "strasse", "ﬁne": "fine", "İ": "i̇", "a b": "a b", "": "", "\u200b": "", "user-7": "user-7",
	} {
		if got := FoldUser(in); got != want {
			t.Errorf("FoldUser(%q) = %q, want %q", in, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "user")
		if f := FoldUser(s); FoldUser(f) != f {
			t.Fatalf("%q folds to %q, and that to %q", s, f, FoldUser(f))
		}
	})
	if n := testing.AllocsPerRun(100, func() { FoldUser("user-0123456789") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestSpellingNeitherEscapesNorSpares(t *testing.T) {
	block := Correction{ID: "c-1", Kind: Access, Params: Params{Mode: "block"}, Scope: Scope{Users: []string{"Mallory"}}}
	except := Correction{ID: "c-2", Kind: Access, Params: Params{Mode: "block"}, Scope: Scope{Orgs: []string{"acme"}}, Except: &Scope{Users: []string{"Alice"}}}
	only := Correction{ID: "c-3", Kind: Access, Params: Params{Mode: "allow_only"}, Scope: Scope{Users: []string{"Alice"}}}
	as := func(user string) *Request {
		q := &Request{Org: "acme", Users: []string{user}}
		if f := FoldUser(user); f != user {
			q.Folded = append(q.Folded, f)
		}
		return q
	}
	for _, tc := range []struct {
		c       Correction
		user    string
		refused bool
	}{
		{block, "Mallory", true}, {block, "mallory", true}, {block, "ＭALLORY", true}, {block, "mal\u00adlory", true}, {block, "mallory2", false},
		{except, "Alice", false}, {except, "alice", true}, {except, "ALICE", true}, {except, "bob", true},
		{only, "Alice", false}, {only, "ALICE", true}, {only, "bob", true},
	} {
		p, err := Compile([]Correction{tc.c})
		if err != nil {
			t.Fatal(err)
		}
		var v Verdict
		if p.Decide(as(tc.user), At(time.Now()), &v); (len(v.Refused) > 0) != tc.refused {
			t.Errorf("%s, user %q: refused %v, want %v", tc.c.ID, tc.user, !tc.refused, tc.refused)
		}
	}
}
