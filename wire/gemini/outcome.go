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
	r.object(r.answer)
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

func (r *outcome) word() string {
	if r.s.Kind() != '"' {
		r.s.Skip()
		return ""
	}
	v, _, _ := r.s.Text()
	return v
}

// object calls fn with each member of the next value, if it is an object; fn
// has to read the value.
func (r *outcome) object(fn func(name []byte)) {
	if r.s.Kind() != '{' {
		r.s.Skip()
		return
	}
	r.s.Object()
	for name, ok := r.s.Member(); ok; name, ok = r.s.Member() {
		fn(name)
	}
}

// each calls object for each element of the next value, if it is an array.
func (r *outcome) each(fn func(name []byte)) {
	if r.s.Kind() != '[' {
		r.s.Skip()
		return
	}
	r.s.Array()
	for r.s.Element() {
		r.object(fn)
	}
}

func (r *outcome) answer(name []byte) {
	switch string(name) {
	case "responseId":
		wire.Keep(&r.o.ID, r.word())
	case "modelVersion":
		wire.Keep(&r.o.Model, r.word())
	case "candidates":
		r.each(r.candidate)
	case "promptFeedback":
		r.object(func(name []byte) {
			if string(name) == "blockReason" {
				r.no = r.word() != "" || r.no
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
		r.object(func(name []byte) {
			if string(name) == "parts" {
				r.each(r.part)
			} else {
				r.s.Skip()
			}
		})
	case "finishReason":
		v := r.word()
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
		r.object(func(name []byte) {
			if string(name) == "name" && r.word() != "" {
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
