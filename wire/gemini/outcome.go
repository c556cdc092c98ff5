package gemini

import (
	"bytes"

	"andon/wire"
	"andon/wire/scan"
)

// Outcome reads an answer, or one chunk of it. Each chunk tells id and model
// anew.
func (api) Outcome(rt wire.Route, data []byte, o *wire.Outcome) {
	if rt.Op != wire.OpGenerate || len(data) == 0 {
		return
	}
	if o.ID != "" && o.Model != "" && !bytes.Contains(data, []byte(`unctionCall"`)) && !bytes.Contains(data, []byte(`"finishReason"`)) &&
		!bytes.Contains(data, []byte(`xecutableCode"`)) && !bytes.Contains(data, []byte(`"toolCall"`)) && !bytes.Contains(data, []byte(`"blockReason"`)) {
		return
	}
	s := scan.New(data)
	defer s.Free()
	r := outcome{s: s, o: o}
	r.s.Members(r.answer)
	if s.Err() == nil {
		o.ToolCalls += r.calls
		o.Refusal = o.Refusal || r.no
	}
}

// outcome reads one answer.
type outcome struct {
	s *scan.Scanner
	o *wire.Outcome

	calls int64
	no    bool // it refuses
}

func (r *outcome) answer(name []byte) {
	switch string(name) {
	case "responseId":
		wire.Keep(&r.o.ID, r.s.Word())
	case "modelVersion":
		wire.Keep(&r.o.Model, r.s.Word())
	case "candidates":
		r.s.Elements(func() { r.s.Members(r.candidate) })
	case "promptFeedback":
		r.s.Members(func(name []byte) {
			if string(name) == "blockReason" {
				r.no = r.s.Word() != "" || r.no
			} else {
				r.s.Skip()
			}
		})
	default:
		r.s.Skip()
	}
}

func (r *outcome) candidate(name []byte) {
	switch string(name) {
	case "content":
		r.s.Members(func(name []byte) {
			if string(name) == "parts" {
				r.s.Elements(func() { r.s.Members(r.part) })
			} else {
				r.s.Skip()
			}
		})
	case "finishReason":
		v := r.s.Word()
		wire.Keep(&r.o.Status, v)
		switch v {
		case "SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE",
			"IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION":
			r.no = true
		}
	default:
		r.s.Skip()
	}
}

// part counts what it calls: a function, which is named where its call begins,
// code that the provider runs, or another tool of the provider.
func (r *outcome) part(name []byte) {
	switch string(name) {
	case "functionCall":
		r.s.Members(func(name []byte) {
			if string(name) == "name" && r.s.Word() != "" {
				r.calls++
			} else if string(name) != "name" {
				r.s.Skip()
			}
		})
	case "executableCode", "toolCall":
		if !r.s.Null() {
			r.s.Skip()
			r.calls++
		}
	default:
		r.s.Skip()
	}
}
