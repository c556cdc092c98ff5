package openai

import (
	"andon/wire"
	"andon/wire/scan"
)

// What is decided on, level by level; anything that differs from one of these
// in case alone is refused there.
var (
	chatNames = scan.NewNames(false, "model", "stream", "messages", "tools", "functions", "function_call", "web_search_options",
		"max_tokens", "max_completion_tokens", "n", "safety_identifier", "user", "models")
	responseNames = scan.NewNames(false, "model", "stream", "input", "tools", "max_output_tokens", "safety_identifier", "user",
		"previous_response_id", "conversation", "prompt", "models")
	completionNames = scan.NewNames(false, "model", "stream", "prompt", "max_tokens", "n", "best_of", "safety_identifier", "user", "models")
	embeddingNames  = scan.NewNames(false, "model", "input", "safety_identifier", "user", "models")
	toolNames       = scan.NewNames(false, "type", "name", "function", "custom", "server_label", "tools", "model")
	functionNames   = scan.NewNames(false, "name")
	messageNames    = scan.NewNames(false, "role")
	itemNames       = scan.NewNames(false, "role", "type", "id", "tools")
)

// reader reads one body into an envelope.
type reader struct {
	s *scan.Scanner
	e *wire.Envelope

	model        bool
	safety, user string
	lastType     string // of tools, so that a hundred functions say "function" once
	bound        bool   // an output bound was given
	nullAt       scan.Span
	nullKey      string // the member of nullAt, which is null
}

func (api) read(rt wire.Route, body []byte, e *wire.Envelope) error {
	e.Reset()
	s := scan.New(body)
	defer s.Free()
	r := reader{s: s, e: e}
	if s.Kind() == 'n' {
		s.Fail(scan.CodeType, s.Offset(), "the body must be a JSON object")
	}
	if s.Object() {
		e.InsertAt = s.Offset()
		switch rt.API {
		case Responses:
			r.responses()
		case Completions:
			r.completions()
		case Embeddings:
			r.embeddings()
		default:
			r.chat()
		}
	}
	if err := s.End(); err != nil {
		return wire.BadBody(err)
	}
	if rt.ModelIn == wire.ModelInPath {
		if err := r.deployed(rt); err != nil {
			return err
		}
	} else if !r.model && rt.Named {
		return &wire.Problem{Status: 400, Code: scan.CodeMissing, Title: "The request body cannot be used", Param: "model",
			Detail: `"model" is missing; it must be a string that names the model`}
	}
	if r.safety != "" {
		e.Users = append(e.Users, r.safety)
	}
	if r.user != "" {
		e.Users = append(e.Users, r.user)
	}
	if e.Boundless {
		e.MaxTokens = 0
	}
	r.insertion(rt)
	return nil
}

// insertion says where an output bound would go if there is none.
func (r *reader) insertion(rt wire.Route) {
	key := ""
	switch rt.API {
	case Chat:
		key = `"max_completion_tokens":`
	case Responses:
		key = `"max_output_tokens":`
	case Completions:
		key = `"max_tokens":`
	}
	if key == "" || r.bound {
		return
	}
	if r.nullKey != "" {
		// A bound that is null is none; the number takes its place.
		r.e.InsertAt, r.e.InsertTo = r.nullAt.Start, r.nullAt.End
		r.e.InsertKey, r.e.InsertEnd = r.nullKey, ""
		return
	}
	r.e.InsertTo = r.e.InsertAt
	r.e.InsertKey, r.e.InsertEnd = key, ","
}

// common reads the members that all routes share, and says whether name is one.
func (r *reader) common(name []byte) bool {
	switch string(name) {
	case "model":
		v, at, ok := r.s.Text()
		if ok && v == "" {
			r.s.Fail(scan.CodeValue, at.Start, `"model" must not be empty`)
		}
		r.model = r.model || ok
		r.e.Model, r.e.ModelAt = v, at
	case "stream":
		r.e.Stream = r.s.Flag()
	case "safety_identifier":
		r.safety, _, _ = r.s.Text()
	case "user":
		r.user, _, _ = r.s.Text()
	case "models":
		// Some compatible routers take a list of models to try.
		if r.s.Array() {
			for r.s.Element() {
				if v, _, ok := r.s.Text(); ok {
					r.e.Others = append(r.e.Others, v)
				}
			}
		}
	default:
		return false
	}
	return true
}

// output reads an output bound; key is its member as it would be inserted.
func (r *reader) output(key string) {
	from := r.s.NameAt()
	v, at, ok := r.s.Count()
	switch {
	case ok:
		r.bound = true
		r.e.Boundless = r.e.Boundless || v == 0
		r.e.MaxTokens = max(r.e.MaxTokens, v)
		r.e.MaxAt = append(r.e.MaxAt, at)
	case r.s.Err() == nil && (r.nullKey == "" || key == `"max_completion_tokens":`):
		r.nullKey, r.nullAt = key, scan.Span{Start: from, End: at.End}
	}
}

func (r *reader) choices() {
	if v, _, ok := r.s.Count(); ok {
		r.e.Choices = max(r.e.Choices, v)
	}
}

func (r *reader) chat() {
	s := r.s
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		switch string(name) {
		case "messages":
			r.e.ReadTurns(r.s, messageNames, "assistant")
		case "tools":
			r.tools(0)
		case "functions":
			if s.Array() {
				for s.Element() {
					r.offer("function")
					r.named()
				}
			}
		case "function_call":
			if !s.Null() {
				r.e.HasTools = true
				s.Skip()
			}
		case "web_search_options":
			if !s.Null() {
				r.offer("web_search")
				s.Skip()
			}
		case "max_tokens":
			r.output(`"max_tokens":`)
		case "max_completion_tokens":
			r.output(`"max_completion_tokens":`)
		case "n":
			r.choices()
		default:
			if !r.common(name) {
				s.Other(name, chatNames)
			}
		}
	}
}

func (r *reader) responses() {
	s := r.s
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		switch string(name) {
		case "input":
			if s.Kind() == '"' {
				r.e.First = r.raw(s.Skip())
			} else {
				r.items()
			}
		case "tools":
			r.tools(0)
		case "max_output_tokens":
			r.output(`"max_output_tokens":`)
		case "previous_response_id":
			if v, _, ok := s.Text(); ok && v != "" {
				r.e.Continues = true
			}
		case "conversation":
			if !s.Null() {
				r.e.Continues = true
				s.Skip()
			}
		case "prompt":
			if !s.Null() {
				r.e.Stored = true
				s.Skip()
			}
		default:
			if !r.common(name) {
				s.Other(name, responseNames)
			}
		}
	}
}

func (r *reader) completions() {
	s := r.s
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		switch string(name) {
		case "prompt":
			r.first()
		case "max_tokens":
			r.output(`"max_tokens":`)
		case "n", "best_of":
			r.choices()
		default:
			if !r.common(name) {
				s.Other(name, completionNames)
			}
		}
	}
}

func (r *reader) embeddings() {
	s := r.s
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		switch string(name) {
		case "input":
			r.first()
		case "stream":
			s.Skip() // embeddings do not stream
		default:
			if !r.common(name) {
				s.Other(name, embeddingNames)
			}
		}
	}
}
