package sse

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// read frames stream in chunks of the given sizes, the last one repeating, and
// returns the data of each event that has some.
func read(t testing.TB, stream []byte, sizes ...int) []string {
	t.Helper()
	var f Framer
	var got []string
	var event, all []byte
	for k := 0; len(stream) > 0; k++ {
		n := min(max(sizes[min(k, len(sizes)-1)], 1), len(stream))
		chunk := stream[:n]
		stream = stream[n:]
		for len(chunk) > 0 {
			n := f.Frame(chunk)
			if n == 0 {
				event = append(event, chunk...)
				break
			}
			event = append(event, chunk[:n]...)
			all = append(all, event...)
			if data, ok := Data(event, nil); ok {
				got = append(got, string(data))
			}
			event = event[:0]
			chunk = chunk[n:]
		}
	}
	return got
}

// The vectors of web-platform-tests' eventsource folder, and some more.
func TestEvents(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     []string
	}{
		{"empty, bare and plain", "data:\n\ndata\ndata\n\ndata:test\n\n", []string{"", "\n", "test"}},
		{"unterminated last", "data:one\n\ndata:two\n", []string{"one"}},
		{"CRLF", "data: a\r\n\r\ndata: b\r\n\r\n", []string{"a", "b"}},
		{"CR", "data: a\r\rdata: b\r\r", []string{"a", "b"}},
		{"mixed", "data:1\rdata:2\ndata:3\r\n\r\ndata:4\n\r\ndata:5\r\n\n", []string{"1\n2\n3", "4", "5"}},
		{"CR then LF is one end", "data:1\r\ndata:2\n\n", []string{"1\n2"}},
		{"one space is dropped", "data:  x\n\ndata:\ty\n\n", []string{" x", "\ty"}},
		{"comments", ": ping\n\n:\ndata:x\n: y\n\n", []string{"x"}},
		{"other fields", "event: e\nid: 7\nretry: 3\ndata: x\nDATA: y\n data: z\n\n", []string{"x"}},
		{"no data", "event: ping\n\n", nil},
		{"byte order mark", "\xef\xbb\xbfdata:x\n\n", []string{"x"}},
		{"colon in the value", "data: {\"a\": 1}\n\n", []string{`{"a": 1}`}},
		{"NUL in an id", "id: 1\x00\ndata:x\n\n", []string{"x"}},
		{"blank lines before", "\n\n\r\n\rdata:x\n\n", []string{"x"}},
		{"UTF-8", "data: \u00e9\u2028x\n\n", []string{"\u00e9\u2028x"}},
	} {
		for _, size := range []int{1 << 20, 1, 2, 3, 5} {
			if got := read(t, []byte(c.in), size); fmt.Sprintf("%q", got) != fmt.Sprintf("%q", c.want) {
				t.Errorf("%s, chunks of %d: got %q, want %q", c.name, size, got, c.want)
			}
		}
	}
}

func TestType(t *testing.T) {
	for in, want := range map[string]string{"event: error\ndata: x\n\n": "error", "data: x\r\nevent:y\r\n\r\n": "y", "data: event\n\n": "", "event: a\revent: b\r\r": "b"} {
		if got := string(Type([]byte(in))); got != want {
			t.Errorf("Type(%q) = %q, want %q", in, got, want)
		}
	}
}

// A chunk that is one event is one call, and events are found at once.
func TestBoundaryAtOnce(t *testing.T) {
	for _, in := range []string{"data: x\n\n", "data: x\r\n\r\n", "data: x\r\r", "data: x\n\r", "\n"} {
		var f Framer
		if n := f.Frame([]byte(in)); n != len(in) {
			t.Errorf("Frame(%q) = %d, want %d", in, n, len(in))
		}
	}
}

func TestNothingAllocated(t *testing.T) {
	event := []byte("event: message\ndata: {\"choices\":[{\"delta\":{\"content\":\"hello\"}}]}\n\n")
	var f Framer
	if n := testing.AllocsPerRun(100, func() {
		if f.Frame(event) != len(event) {
			t.Fatal("no boundary")
		}
		if _, ok := Data(event, nil); !ok {
			t.Fatal("no data")
		}
	}); n > 0 {
		t.Errorf("%v allocations an event, want 0", n)
	}
}

func FuzzSplits(f *testing.F) {
	for _, s := range []string{"data:\n\ndata\ndata\n\ndata:test\n\n", "data:1\rdata:2\r\n\r\n\rdata:3\n\r\n", "\xef\xbb\xbf\r\r\n\n: x\ndata: y\n\n"} {
		f.Add([]byte(s), uint64(1))
	}
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64) {
		whole := read(t, stream, len(stream)+1)
		if want := plain(stream); fmt.Sprintf("%q", whole) != fmt.Sprintf("%q", want) {
			t.Fatalf("%q: got %q, want %q", stream, whole, want)
		}
		rnd := rand.New(rand.NewPCG(seed, 0))
		var sizes []int
		for range len(stream) + 1 {
			sizes = append(sizes, 1+rnd.IntN(7))
		}
		if got := read(t, stream, sizes...); fmt.Sprintf("%q", got) != fmt.Sprintf("%q", whole) {
			t.Fatalf("%q split by %v: got %q, want %q", stream, sizes, got, whole)
		}
	})
}

// plain is the specification's algorithm, naively. A byte order mark counts at
// the start of every event, as Data has it.
func plain(stream []byte) (events []string) {
	text := strings.ReplaceAll(strings.ReplaceAll(string(stream), "\r\n", "\n"), "\r", "\n")
	lines := strings.Split(text, "\n")
	var data []string
	first := true
	for _, line := range lines[:len(lines)-1] {
		if line == "" {
			if data != nil {
				events = append(events, strings.Join(data, "\n"))
			}
			data, first = nil, true
			continue
		}
		if first {
			line, first = strings.TrimPrefix(line, "\ufeff"), false
		}
		field, value, _ := strings.Cut(line, ":")
		if field == "data" {
			data = append(data, strings.TrimPrefix(value, " "))
		}
	}
	return events
}

func BenchmarkFrame(b *testing.B) {
	event := []byte("data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1755137933,\"model\":\"sim-large\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" there\"},\"finish_reason\":null}]}\n\n")
	var f Framer
	b.SetBytes(int64(len(event)))
	b.ReportAllocs()
	for b.Loop() {
		if f.Frame(event) != len(event) {
			b.Fatal("no boundary")
		}
	}
}
