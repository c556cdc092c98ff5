package ledger

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"
)

// agree checks that the short way says nothing that the long way does not.
func agree(t interface {
	Helper()
	Fatalf(string, ...any)
}, leaf []byte) (plain bool) {
	t.Helper()
	e, ok := parsePlain(leaf)
	if !ok {
		return false
	}
	want, apart, err := parseAny(leaf)
	if err != nil || apart != nil {
		t.Fatalf("%q was taken for plain, and is not an entry: %v", leaf, err)
	}
	if e.Seq != want.Seq || !e.At.Equal(want.At) || e.At.Location() != time.UTC || e.Type != want.Type || e.Actor != want.Actor ||
		!bytes.Equal(e.Body, want.Body) || len(e.Personal) != len(want.Personal) {
		t.Fatalf("%q reads as %+v, want %+v", leaf, e, want)
	}
	return true
}

func value(depth int) *rapid.Generator[any] {
	leaf := rapid.OneOf(rapid.Map(rapid.String(), func(s string) any { return s }), rapid.Map(rapid.StringN(0, 4, 8), func(s string) any { return s }),
		rapid.Map(rapid.Int64(), func(n int64) any { return n }), rapid.Map(rapid.Float64(), func(f float64) any { return f }), rapid.Just[any](true), rapid.Just[any](nil))
	if depth == 0 {
		return leaf
	}
	return rapid.OneOf(leaf, rapid.Map(rapid.SliceOfN(value(depth-1), 0, 4), func(v []any) any { return v }),
		rapid.Map(rapid.MapOfN(rapid.StringMatching(`[a-zA-Z_"é]{0,4}`), value(depth-1), 0, 4), func(v map[string]any) any { return v }))
}

// TestPlainAgrees makes entries, canonical and spoilt, and compares both ways.
func TestPlainAgrees(t *testing.T) {
	plain, all := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		raw, err := json.Marshal(value(3).Draw(t, "body"))
		if err != nil {
			t.Skip(err)
		}
		e := Entry{Seq: rapid.Uint64Max(1<<62).Draw(t, "seq"), At: time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "at"), rapid.Int64Range(0, 999).Draw(t, "ns")),
			Type: rapid.StringN(1, 20, 40).Draw(t, "type"), Actor: rapid.StringMatching(`op-\d|[a-z"\\é]*`).Draw(t, "actor"), Body: jsontext.Value(raw)}
		if rapid.Bool().Draw(t, "personal") {
			name, sealed := Commit(nil)
			e.Personal = map[string][]byte{name: sealed}
		}
		leaf, err := e.Encode()
		if err != nil {
			t.Skip(err)
		}
		all++
		if agree(t, leaf) {
			plain++
		}
		for range 20 { // spoilt: a byte changed, removed, doubled
			b := bytes.Clone(leaf)
			i := rapid.IntRange(0, len(b)-1).Draw(t, "i")
			switch rapid.IntRange(0, 2).Draw(t, "how") {
			case 0:
				b[i] = rapid.SampledFrom([]byte("\"\\{}[],: 0123456789.eE-Zabntrulse\x00\x7f\x80\xff")).Draw(t, "c")
			case 1:
				b = append(b[:i], b[i+1:]...)
			case 2:
				b = append(b[:i+1], b[i:]...)
			}
			agree(t, b)
		}
	})
	if !testing.Short() && (plain == 0 || plain == all) { // few tries may be all of one kind
		t.Errorf("%d of %d were plain: one of the ways was not tested", plain, all)
	}
}

// TestPlainIsUsed: the common form must not fall to the long way.
func TestPlainIsUsed(t *testing.T) {
	for _, body := range []string{`{"a":1,"b":[true,false,null,-7,0,"é",{}],"c":{"d":"x"}}`, `null`, `[]`, `{}`, `"x"`} {
		e := Entry{Seq: 7, At: time.Unix(1e9, 5), Type: "correction.created", Actor: "op-1", Body: jsontext.Value(body)}
		leaf, err := e.Encode()
		if err != nil || !agree(t, leaf) {
			t.Errorf("%s: %v", leaf, err)
		}
	}
	deep := fmt.Sprintf(`{"actor":"","at":"2026-11-23T12:00:00Z","body":%s,"seq":0,"type":"t"}`, strings.Repeat("[", 20000)+strings.Repeat("]", 20000))
	if agree(t, []byte(deep)) {
		t.Error("deep nesting was read in one pass")
	}
}

func FuzzPlain(f *testing.F) {
	f.Add([]byte(`{"actor":"op-1","at":"2026-11-23T14:00:00Z","body":{"a":[1,"x"],"b":null},"seq":7,"type":"t"}`))
	f.Add([]byte(`{"actor":"","at":"2026-11-23T14:00:00.5Z","body":["x"],"personal":["` + strings.Repeat("0", 64) + `"],"seq":0,"type":"t"}`))
	f.Fuzz(func(t *testing.T, leaf []byte) { agree(t, leaf) })
}
