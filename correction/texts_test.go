package correction

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// A full table finds each text that was put into it, and no other.
func TestTextTableFindsItsOwn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		texts := rapid.SliceOfDistinct(rapid.StringN(1, 40, 64), rapid.ID[string]).Draw(t, "texts")
		table := newTextTable(len(texts))
		for i, text := range texts {
			if table.find(hash(text), text) != nil {
				t.Fatalf("%q is found before it is put", text)
			}
			if err := table.put(hash(text), text, posting(i)); err != nil {
				t.Fatal(err)
			}
		}
		for i, text := range texts {
			h := hash(strings.Clone(text))
			if s := table.find(h, text); !table.may(h) || s == nil || s.at != posting(i) {
				t.Fatalf("%q leads to %v, want %d", text, s, i)
			}
			for _, other := range []string{text + "x", text[:len(text)-1] + "\xff"} {
				if s := table.find(h, other); s != nil { // the hash alone leads nowhere
					t.Fatalf("%q leads to %q", other, texts[s.at])
				}
			}
		}
	})
}
