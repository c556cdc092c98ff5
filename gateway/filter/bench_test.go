package filter

import (
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"andon/correction"
	"andon/detect"
)

var prose = strings.Fields(`the lamp above the line went red and the whole floor stopped to look at it for a while nobody moved until the
light was green again then the work went on as before and what had been wrong was written on a card beside the machine`)

// patterns are n literals of about twenty bytes, in the words of ordinary prose.
func patterns(n int) (list []string) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range n {
		list = append(list, fmt.Sprint(prose[rnd.IntN(len(prose))], " ", prose[rnd.IntN(len(prose))], " ", prose[rnd.IntN(len(prose))], " q", i))
	}
	return list
}

// tokens is a stream of n events of one word, as each wire sends them.
func tokens(where string, n int) (events [][]byte) {
	for i := range n {
		word := prose[i%len(prose)] + " "
		e := ""
		switch {
		case strings.HasPrefix(where, "/v1/chat"):
			e = fmt.Sprintf("data: {\"id\":\"chatcmpl-9xYz0123456789\",\"object\":\"chat.completion.chunk\",\"created\":1760000000,\"model\":\"sim-large\",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_0123\",\"choices\":[{\"index\":0,\"delta\":{\"content\":%q},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null,\"obfuscation\":\"Ab0\"}\n\n", word)
		case strings.HasPrefix(where, "/v1/responses"):
			e = fmt.Sprintf("event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":%d,\"item_id\":\"msg_0123456789abcdef\",\"output_index\":0,\"content_index\":0,\"delta\":%q,\"logprobs\":[],\"obfuscation\":\"Ab0\"}\n\n", i, word)
		case strings.HasPrefix(where, "/v1/messages"):
			e = fmt.Sprintf("event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":%q}}\n\n", word)
		default:
			e = fmt.Sprintf("data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":%q}],\"role\":\"model\"},\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":8,\"candidatesTokenCount\":%d,\"totalTokenCount\":%d},\"modelVersion\":\"sim-large\",\"responseId\":\"abc\"}\r\n\r\n", word, i, i+8)
		}
		events = append(events, []byte(e))
	}
	return events
}

var benchTargets = []string{"/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1beta/models/m:streamGenerateContent?alt=sse"}

func benchGuards(t testing.TB) map[string]*Guard {
	list := patterns(10_000)
	exact := literals(t, list...)
	fold, err := detect.Compile(detect.Spec{Literals: list, Fold: true})
	if err != nil {
		t.Fatal(err)
	}
	return map[string]*Guard{
		"exact": guard(t, Rule{ID: "p", Set: exact}, Rule{ID: "t", Tools: correction.MCP, ToolNames: []string{"no"}}),
		"fold":  guard(t, Rule{ID: "p", Set: fold}),
	}
}

func TestEventsDoNotAllocate(t *testing.T) {
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		t.Skip("the race detector has pools forget at random")
	}
	for name, g := range benchGuards(t) {
		for _, where := range benchTargets {
			w, rt := target(t, where)
			events := tokens(where, 500)
			s := g.Stream(w, rt)
			for _, e := range events {
				s.Write(e)
			}
			i := 0
			if n := testing.AllocsPerRun(400, func() {
				s.Write(events[i%len(events)])
				i++
			}); n > 0 {
				t.Errorf("%s, %s: %v allocations an event", where, name, n)
			}
		}
	}
}

// A stream of fifty tokens, from its first event to its end; figures are of one event.
func BenchmarkStream(b *testing.B) {
	for name, g := range benchGuards(b) {
		for _, where := range benchTargets {
			w, rt := target(b, where)
			events := tokens(where, 50)
			size := 0
			for _, e := range events {
				size += len(e)
			}
			b.Run(rt.API+"/"+name, func(b *testing.B) {
				b.SetBytes(int64(size / len(events)))
				b.ReportAllocs()
				var s *Stream
				for i := 0; b.Loop(); i++ {
					if i%len(events) == 0 {
						s = g.Stream(w, rt)
					}
					if _, hit := s.Write(events[i%len(events)]); hit != nil {
						b.Fatal(hit)
					}
				}
			})
		}
	}
}

// One event of 4 KiB of text, as providers send them that do not stream by tokens.
func BenchmarkStreamOfParagraphs(b *testing.B) {
	text := strings.Repeat(strings.Join(prose, " ")+" ", 18)[:4096]
	event := []byte(fmt.Sprintf("data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":%q}}\n\n", text))
	w, rt := target(b, "/v1/messages")
	for name, g := range benchGuards(b) {
		b.Run(name, func(b *testing.B) {
			s := g.Stream(w, rt)
			b.SetBytes(int64(len(event)))
			b.ReportAllocs()
			for b.Loop() {
				s.Write(event)
			}
		})
	}
}
