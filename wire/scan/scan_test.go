package scan

import (
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

func TestValid(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	many := func(n int, last string) string {
		var b strings.Builder
		b.WriteByte('{')
		for i := range n {
			fmt.Fprintf(&b, `"m%d":{"a":1},`, i)
		}
		return b.String() + last + ":1}"
	}
	for _, c := range []struct{ in, code string }{
		{`{}`, ""}, {` [ ] `, ""}, {`"a"`, ""}, {"\t{\r\n\"a\" : [1 , 2.5e-7,-0,true,false,null]}", ""},
		{``, CodeEmpty}, {" \n", CodeEmpty},
		{"\xef\xbb\xbf{}", CodeSyntax}, {`{} {}`, CodeSyntax}, {`{}x`, CodeSyntax}, {"{}\x00", CodeSyntax},
		{`{"a":1,}`, CodeSyntax}, {`[1,]`, CodeSyntax}, {`{"a" 1}`, CodeSyntax}, {`{a:1}`, CodeSyntax}, {`{`, CodeSyntax}, {`[1`, CodeSyntax}, {`{"a":`, CodeSyntax},
		{`01`, CodeSyntax}, {`1.`, CodeSyntax}, {`.5`, CodeSyntax}, {`+1`, CodeSyntax}, {`1e`, CodeSyntax}, {`-`, CodeSyntax}, {`0x1`, CodeSyntax}, {`NaN`, CodeSyntax}, {`tru`, CodeSyntax}, {`truee`, CodeSyntax},
		{`"a`, CodeSyntax}, {"\"a\nb\"", CodeSyntax}, {"\"01234567\x1f\"", CodeSyntax}, {`"\x41"`, CodeSyntax}, {`"\u12"`, CodeSyntax}, {`"\`, CodeSyntax},
		{`"\ud83d\ude00"`, ""}, {`"\ud83d"`, CodeUTF8}, {`"\ude00"`, CodeUTF8}, {`"\ud83d\u0041"`, CodeUTF8}, {`"\ud83dx"`, CodeUTF8},
		{"\"\xff\"", CodeUTF8}, {"\"0123456789\xc3\"", CodeUTF8}, {"\"\xed\xa0\x80\"", CodeUTF8}, {"\"\xc0\x80\"", CodeUTF8}, {"\"h\u00e9llo w\u00f6rld \U0001F600\"", ""},
		{`{"a":1,"a":2}`, CodeDuplicate}, {`{"model":1,"mod\u0065l":2}`, CodeDuplicate}, {`{"mod\u0065l":1,"m\u006fdel":2}`, CodeDuplicate}, {`{"":1,"":2}`, CodeDuplicate},
		{`[{"x":{"a":[{"b":1,"b":2}]}}]`, CodeDuplicate}, {`{"a":{"a":{"a":1}},"b":{"a":1}}`, ""}, {`{"\u0000":1,"\u0001":2}`, ""}, {`{"A":1,"a":1}`, ""},
		{many(15, `"x"`), ""}, {many(40, `"x"`), ""}, {many(40, `"m3"`), CodeDuplicate}, {many(40, `"m39"`), CodeDuplicate}, {many(1000, `"m\u0030"`), CodeDuplicate}, {many(1000, `"y"`), ""},
		{deep(MaxDepth), ""}, {deep(MaxDepth + 1), CodeTooDeep}, {strings.Repeat(`{"a":`, MaxDepth+1), CodeTooDeep},
	} {
		err := Valid([]byte(c.in))
		if got := code(err); got != c.code {
			t.Errorf("Valid(%.60q): got %v, want code %q", c.in, err, c.code)
		}
	}
}

func code(e *Error) string {
	if e == nil {
		return ""
	}
	return e.Code
}

func TestErrorsSayWhere(t *testing.T) {
	for _, c := range []struct {
		in, path string
		off      int
	}{
		{`{"tools":[{},{"function":{"name":1,"name":2}}]}`, "tools[1].function.name", 35},
		{"{\"a\":[\"x\",\"\xff\"]}", "a[1]", 11},
		{`{"a b":{"c":1,"c":2}}`, "*.c", 14},
	} {
		err := Valid([]byte(c.in))
		if err == nil || err.Path != c.path || err.Offset != c.off {
			t.Errorf("Valid(%q) = %v, want path %q at byte %d", c.in, err, c.path, c.off)
		}
	}
}

// An object of many members must be looked up in its table, and the table must
// spread them, or a body could cost time in the square of its length.
func TestManyMembersAreSpread(t *testing.T) {
	const n = 100_000
	var b strings.Builder
	b.WriteByte('{')
	for i := range n {
		fmt.Fprintf(&b, `"member-%d":0,`, i)
	}
	s := New([]byte(b.String()))
	s.Object()
	for range n {
		s.Member()
		s.Skip()
	}
	if s.Err() != nil || len(s.tab) < 2*n {
		t.Fatalf("error %v, table of %d for %d names", s.Err(), len(s.tab), n)
	}
	run := 0
	for _, v := range s.tab {
		if run++; v == 0 {
			run = 0
		}
		if run > 200 {
			t.Fatalf("more than %d names stand in a row in the table", run)
		}
	}
}

// agree asks jsontext for its opinion of b, by the same rules.
func agree(b []byte) bool {
	dec := jsontext.NewDecoder(strings.NewReader(string(b)), jsontext.AllowDuplicateNames(false), jsontext.AllowInvalidUTF8(false))
	if _, err := dec.ReadValue(); err != nil {
		return false
	}
	return jsontext.Value(b).IsValid(jsontext.AllowDuplicateNames(false), jsontext.AllowInvalidUTF8(false))
}

func FuzzValid(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":1,"\u0061":2}`, `["\ud83d\ude00","é",1e5,-0.1]`, "{\"a\":\"\xff\"}", `{"model":"x","messages":[{"role":"user","content":"hi \"there\" \\ "}],"stream":true}`,
		`{"a":{},"b":{"a":[[],{}]}}`, `{"1":0,"2":0,"3":0,"4":0,"5":0,"6":0,"7":0,"8":0,"9":0,"10":0,"11":0,"12":0,"13":0,"14":0,"15":0,"16":0,"17":0,"18":0}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		err := Valid(b)
		if err != nil && err.Code == CodeTooDeep {
			return // jsontext allows more
		}
		if want := agree(b); (err == nil) != want {
			t.Errorf("Valid(%q) = %v, jsontext accepts: %v", b, err, want)
		}
	})
}

func FuzzText(f *testing.F) {
	for _, s := range []string{`"a"`, `"\u00e9\n\ud83d\ude00"`, `null`, `"\""`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s := New(b)
		defer s.Free()
		got, at, ok := s.Text()
		if s.End() != nil || !ok {
			return
		}
		want, err := jsontext.AppendUnquote(nil, b[at.Start:at.End])
		if err != nil || string(want) != got {
			t.Errorf("Text(%q) = %q, jsontext has %q, %v", b, got, want, err)
		}
	})
}

// chat is a chat body of about n bytes, prose with the escapes that prose has.
func chat(n int) []byte {
	para := `The lamp above the line went red and the whole floor stopped to look. \"What is it?\" she asked.\nNobody moved until the light was green again; then the work went on as before. `
	var b strings.Builder
	b.WriteString(`{"model":"sim-large","stream":true,"max_completion_tokens":512,"user":"u-1","messages":[{"role":"system","content":"You are terse."}`)
	for b.Len() < n {
		b.WriteString(`,{"role":"user","content":"` + strings.Repeat(para, 60) + `"}`)
	}
	return []byte(b.String() + "]}")
}

func TestOrdinaryBodiesDoNotAllocate(t *testing.T) {
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		t.Skip("the race detector has pools forget at random")
	}
	body := chat(8 << 10)
	Valid(body)
	if n := testing.AllocsPerRun(100, func() { Valid(body) }); n > 0 {
		t.Errorf("%v allocations a body, want 0", n)
	}
}

func BenchmarkChat220KB(b *testing.B) {
	body := chat(220 << 10)
	wide := []byte(strings.ReplaceAll(string(body), "lamp above", "лампа über"))
	b.Run("scan", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		b.ReportAllocs()
		for b.Loop() {
			if err := Valid(body); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("scan-not-ascii", func(b *testing.B) {
		b.SetBytes(int64(len(wide)))
		b.ReportAllocs()
		for b.Loop() {
			if err := Valid(wide); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("jsontext", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		b.ReportAllocs()
		for b.Loop() {
			if !jsontext.Value(body).IsValid() {
				b.Fatal("refused")
			}
		}
	})
}

func BenchmarkManyMembers(b *testing.B) {
	var sb strings.Builder
	sb.WriteByte('{')
	for i := range 100_000 {
		fmt.Fprintf(&sb, `"member-%d":0,`, i)
	}
	body := []byte(sb.String() + `"z":0}`)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if err := Valid(body); err != nil {
			b.Fatal(err)
		}
	}
}
