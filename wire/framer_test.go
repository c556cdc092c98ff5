package wire_test

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"andon/wire"
	"andon/wire/gemini"
	"andon/wire/openai"

	"github.com/go-json-experiment/json/jsontext"
)

var (
	arrayRoute = wire.Route{API: gemini.Stream, Op: wire.OpGenerate, Stream: true}
	sseRoute   = wire.Route{API: openai.Chat, Op: wire.OpGenerate, SSE: true}
	problem    = &wire.Problem{Status: 503, Code: "andon_correction", CorrectionID: "c-1", Kind: "stop", Reason: "unsafe"}
)

// split sends stream through f in random pieces and returns the events, whole.
func split(f *wire.Framer, stream []byte, rnd *rand.Rand) (events [][]byte) {
	var event []byte
	for len(stream) > 0 {
		n := 1 + rnd.IntN(min(len(stream), 9))
		chunk := stream[:n]
		stream = stream[n:]
		for len(chunk) > 0 {
			n := f.Frame(chunk)
			if n == 0 {
				event = append(event, chunk...)
				break
			}
			events = append(events, append(event, chunk[:n]...))
			event, chunk = nil, chunk[n:]
		}
	}
	return events
}

func TestArrayElements(t *testing.T) {
	stream := "[{\"a\": \"}]\\\"{\"}\n,\r\n{\"b\":[{},[1]]}\n,{}\n]\n"
	for seed := range uint64(200) {
		f := wire.NewFramer(arrayRoute)
		events := split(&f, []byte(stream), rand.New(rand.NewPCG(seed, 1)))
		var got []string
		for _, e := range events {
			if data, ok := f.Data(e, nil); ok {
				got = append(got, string(data))
			}
		}
		if want := `{"a": "}]\"{"}|{"b":[{},[1]]}|{}`; strings.Join(got, "|") != want {
			t.Fatalf("got %q, want %q", got, want)
		}
		if all := string(bytes.Join(events, nil)); all != strings.TrimSuffix(stream, "\n") {
			t.Fatalf("the events are not the stream: %q", all)
		}
	}
}

// Wherever a JSON array is cut, what the client has is a JSON array that ends
// with the error, unless it was complete.
func TestArrayCutAnywhere(t *testing.T) {
	stream := []byte("[{\"a\": \"}]\"}\n,\r\n{\"b\":[{},[1]]}\n,{}\n]")
	for upTo := 0; ; upTo++ {
		f := wire.NewFramer(arrayRoute)
		var sent []byte
		rest := stream
		for range upTo {
			n := f.Frame(rest)
			sent, rest = append(sent, rest[:n]...), rest[n:]
		}
		sent = f.AppendEnd(sent, gemini.Wire, arrayRoute, problem)
		var list []jsontext.Value
		if !jsontext.Value(sent).IsValid() {
			t.Fatalf("after %d events the client has %s", upTo, sent)
		}
		dec := jsontext.NewDecoder(bytes.NewReader(sent))
		dec.ReadToken()
		for dec.PeekKind() != ']' {
			v, err := dec.ReadValue()
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, v.Clone())
		}
		last := string(list[len(list)-1])
		if len(rest) == 0 {
			if len(list) != 3 || last != "{}" {
				t.Errorf("a complete array was changed to %s", sent)
			}
			return
		}
		if len(list) != upTo+1 || !strings.HasPrefix(last, `{"error":`) {
			t.Errorf("after %d events the client has %s", upTo, sent)
		}
	}
}

func TestStreamCutAnywhere(t *testing.T) {
	f := wire.NewFramer(sseRoute)
	if f.Begun() {
		t.Error("begun before anything was sent")
	}
	for range 2 {
		end := f.AppendEnd(nil, openai.Wire, sseRoute, problem)
		g := wire.NewFramer(sseRoute)
		if n := g.Frame(end); n != len(end) {
			t.Fatalf("the end is not one event: %q", end)
		}
		if data, ok := g.Data(end, nil); !ok || !jsontext.Value(data).IsValid() {
			t.Fatalf("the end carries %q", data)
		}
		f.Frame([]byte("data: {}\n\n"))
	}
	if !f.Begun() {
		t.Error("not begun after an event")
	}
}

func FuzzFramer(f *testing.F) {
	f.Add([]byte("data: {}\n\ndata: [DONE]\r\n\r\n"), uint64(1), false)
	f.Add([]byte("[{\"a\":[1,\"\\\"]\"]},\r\n{}]"), uint64(2), true)
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64, array bool) {
		rt := sseRoute
		if array {
			rt = arrayRoute
		}
		data := func(events [][]byte) (out []string) {
			f := wire.NewFramer(rt)
			for _, e := range events {
				if d, ok := f.Data(e, nil); ok {
					out = append(out, string(d))
				}
			}
			return out
		}
		one, two := wire.NewFramer(rt), wire.NewFramer(rt)
		var whole [][]byte
		for rest := stream; len(rest) > 0; {
			n := one.Frame(rest)
			if n == 0 {
				break
			}
			whole, rest = append(whole, rest[:n]), rest[n:]
		}
		pieces := split(&two, stream, rand.New(rand.NewPCG(seed, 2)))
		if a, b := data(whole), data(pieces); strings.Join(a, "\x00") != strings.Join(b, "\x00") || len(a) != len(b) {
			t.Fatalf("%q: whole %q, in pieces %q", stream, a, b)
		}
		if !bytes.HasPrefix(stream, bytes.Join(pieces, nil)) {
			t.Fatalf("%q: the events are not its beginning: %q", stream, pieces)
		}
	})
}
