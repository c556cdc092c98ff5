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
		table := newTextTable(len(texts), 0)
		for i, text := range texts {
			if table.find(hash(text), text) != 0 {
				t.Fatalf("%q is found before it is put", text)
			}
			if err := table.put(hash(text), text, posting(i)); err != nil {
				t.Fatal(err)
			}
		}
		for i, text := range texts {
			h := hash(strings.Clone(text))
			if place := table.find(h, text); !table.may(h) || place == 0 || table.at(place) != posting(i) {
				t.Fatalf("%q stands at %d, which leads elsewhere than to %d", text, place, i)
			}
			for _, other := range []string{text + "x", text[:len(text)-1] + "\xff"} {
				if place := table.find(h, other); place != 0 { // the hash alone leads nowhere
					t.Fatalf("%q leads to %q", other, texts[table.at(place)])
				}
			}
		}
	})
}
