package openai

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"andon/correction"
	"andon/wire"
)

func TestClientEvents(t *testing.T) {
	const tools = correction.Tools
	for _, c := range []struct {
		event    string
		features correction.Features
		tools    []string
		voice    Voice
		creates  bool
	}{
		{`{"type":"response.create"}`, 0, nil, Unsaid, true},
		{`{"type":"some.later.event","response":{"tools":[{"type":"function","name":"f"}]}}`, tools | correction.FunctionTools, []string{"f", "function"}, Unsaid, true},
		{`{"type":"session.update","session":{"tools":[{"type":"mcp","server_label":"docs","headers":{"Type":"x"}}],"output_modalities":["text"]}}`, tools | correction.MCP, []string{"docs", "mcp"}, Silent, false},
		{`{"type":"session.update","session":{"tools":[{"type":"later"}]}}`, tools | wire.UnknownTool, []string{"later"}, Unsaid, false},
		{`{"type":"session.update","session":{"tools":[],"modalities":["text","audio"],"instructions":"Be brief."}}`, correction.SystemPrompt, nil, Spoken, false},
		{`{"type":"session.update","session":{"prompt":{"id":"pmpt_1"}}}`, wire.StoredPrompt, nil, Unsaid, false},
		{`{"type":"session.update","session":{"audio":{"input":{"transcription":{"model":"w","prompt":"hint"},"turn_detection":{"type":"server_vad"}}}}}`, 0, nil, Unsaid, false},
		{`{"type":"input_audio_buffer.append","audio":"AAAA"}`, correction.AudioInput, nil, Unsaid, false},
		{`{"type":"conversation.item.create","item":{"type":"message","role":"user","content":[{"type":"input_image","image_url":"data:,"},{"type":"input_audio","audio":"AA=="}]}}`,
			correction.AudioInput | correction.ImageInput, nil, Unsaid, false},
		{`{"type":"conversation.item.create","item":{"type":"message","role":"system","content":[{"type":"input_text","text":"x"}]}}`, correction.SystemPrompt, nil, Unsaid, false},
		{`{"type":"response.create","response":{"input":[{"type":"function_call_output","call_id":"c","output":"{}"}]}}`, tools | correction.FunctionTools, nil, Unsaid, true},
	} {
		var e ClientEvent
		if err := ReadClientEvent([]byte(c.event), &e); err != nil {
			t.Errorf("%s: %v", c.event, err)
			continue
		}
		if e.Features != c.features || !slices.Equal(e.Tools, c.tools) && len(e.Tools)+len(c.tools) > 0 || e.Voice != c.voice || e.Creates() != c.creates {
			t.Errorf("%s: features %b, want %b; tools %q; voice %d; creates %v", c.event, e.Features, c.features, e.Tools, e.Voice, e.Creates())
		}
	}
}

// Texts of two responses that are said at the same time do not run into each
// other, and each ends with its own.
func TestRealtimePiecesAreToldApart(t *testing.T) {
	rt := wire.Route{API: Realtime, SSE: true}
	var scratch []byte
	pieces := func(event string) []wire.Piece { return Wire.AppendPieces(nil, rt, []byte(event), &scratch) }
	delta := func(response string) wire.Piece {
		p := pieces(fmt.Sprintf(`{"type":"response.output_text.delta","response_id":%q,"item_id":"i","output_index":0,"content_index":0,"delta":"x"}`, response))
		if len(p) != 1 || p[0].Kind != wire.PieceText || p[0].Whole() || string(p[0].Text) != "x" {
			t.Fatalf("%+v", p)
		}
		return p[0]
	}
	a, b := delta("resp_a"), delta("resp_b")
	if a.Channel == b.Channel || a.Channel.Group == b.Channel.Group || delta("resp_a").Channel != a.Channel {
		t.Errorf("%v %v", a.Channel, b.Channel)
	}
	ends := 0
	for _, p := range pieces(`{"type":"response.done","response":{"id":"resp_a","output":[]}}`) {
		if p.Kind == wire.PieceEnd && p.Channel.Group == a.Channel.Group {
			ends++
		}
		if p.Kind == wire.PieceEnd && (p.Channel.Group == b.Channel.Group || p.Channel.Group == wire.EveryGroup) {
			t.Errorf("the end of one response ends another: %+v", p)
		}
	}
	if ends == 0 {
		t.Error("the end of a response ends nothing")
	}
	for _, input := range []string{
		`{"type":"session.updated","session":{"instructions":"x"}}`,
		`{"type":"conversation.item.added","item":{"type":"message","role":"user","content":[{"type":"input_text","text":"x"}]}}`,
	} {
		if p := pieces(input); len(p) != 0 {
			t.Errorf("%s: %+v", input, p)
		}
	}
	if p := pieces(`{"type":"response.output_audio.delta","response_id":"r","delta":"AAAA"}`); len(p) != 0 {
		t.Errorf("sound is text: %+v", p)
	}
	if p := pieces(`{"type":"a","type":"b"}`); len(p) != 1 || p[0].Kind != wire.PieceUnreadable {
		t.Errorf("%+v", p)
	}
}

func FuzzClientEvent(f *testing.F) {
	f.Add(`{"type":"session.update","session":{"model":"m","max_output_tokens":"inf","temperature":0.8,"tools":[{"type":"function","name":"f"}]}}`)
	f.Add(`{"type":"response.create","response":{"max_output_tokens":7}}`)
	f.Fuzz(func(t *testing.T, text string) {
		var e, again ClientEvent
		if ReadClientEvent([]byte(text), &e) != nil {
			return
		}
		ch := wire.Unchanged
		if e.ModelAt.End > 0 {
			ch.Model = "another"
		}
		if e.Bound && len(e.MaxAt)+e.MaxNull.End > 0 {
			ch.OutputTokens = 3
		}
		out, err := wire.Rewrite(nil, []byte(text), &e.Envelope, &ch)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if err := ReadClientEvent(out, &again); err != nil {
			t.Fatalf("%q became %q: %v", text, out, err)
		}
		if ch.Model != "" && again.Model != "another" || ch.OutputTokens > 0 && (again.MaxTokens > 3 || again.MaxNull.End > 0) ||
			again.Features != e.Features || again.Type != e.Type || strings.Join(again.Tools, "|") != strings.Join(e.Tools, "|") {
			t.Errorf("%q became %q", text, out)
		}
	})
}
