package openai

import (
	"andon/correction"
	"andon/wire"
	"andon/wire/scan"
)

// What is decided on, level by level; anything that differs from one of these
// in case alone is refused there.
var (
	chatNames = scan.NewNames(false, "model", "stream", "messages", "tools", "functions", "function_call", "web_search_options",
		"max_tokens", "max_completion_tokens", "n", "safety_identifier", "user", "models", "tool_choice", "parallel_tool_calls", "store",
		"metadata", "logprobs", "top_logprobs", "reasoning_effort", "reasoning", "thinking", "response_format", "modalities", "audio", "temperature")
	responseNames = scan.NewNames(false, "model", "stream", "input", "tools", "max_output_tokens", "safety_identifier", "user",
		"previous_response_id", "conversation", "prompt", "models", "tool_choice", "parallel_tool_calls", "store", "background", "metadata",
		"top_logprobs", "include", "reasoning", "text", "instructions", "modalities", "temperature")
	completionNames = scan.NewNames(false, "model", "stream", "prompt", "max_tokens", "n", "best_of", "safety_identifier", "user", "models",
		"logprobs", "temperature")
	embeddingNames   = scan.NewNames(false, "model", "input", "safety_identifier", "user", "models")
	toolNames        = scan.NewNames(false, "type", "name", "function", "custom", "server_label", "tools", "model", "container", "environment", "allowed_callers", "defer_loading")
	functionNames    = scan.NewNames(false, "name")
	environmentNames = scan.NewNames(false, "container_id")
	choiceNames      = scan.NewNames(false, "type", "mode", "tools", "allowed_tools")
	entryNames       = scan.NewNames(false, "type", "name", "server_label", "function", "custom")
	messageNames     = scan.NewNames(false, "role", "content", "audio")
	itemNames        = scan.NewNames(false, "role", "type", "id", "tools", "content", "output")
	partNames        = scan.NewNames(false, "type", "content", "output")
	reasoningNames   = scan.NewNames(false, "effort", "mode", "max_tokens", "enabled")
	textNames        = scan.NewNames(false, "format")
	formNames        = scan.NewNames(false, "type")
	idNames          = scan.NewNames(false, "id")
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
	many         bool   // tools are offered of which several may be called in one turn: not the older functions
	serial       bool   // that is forbidden
	unstored     bool   // the provider is told to keep nothing
	nullStore    scan.Span
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
		e.Into = wire.Into{At: scan.Span{Start: s.Offset(), End: s.Offset()}, Top: true}
		switch rt.API {
		case Responses, InputTokens, Compact:
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
	r.missing(rt)
	e.Settle()
	return nil
}

// missing says what it means that the body lacks a member, and where it would
// go: on a route that generates, for the others take none of them.
func (r *reader) missing(rt wire.Route) {
	e, key := r.e, ""
	switch rt.API {
	case Chat:
		key = `"max_completion_tokens":`
	case Responses:
		key = `"max_output_tokens":`
		switch {
		case e.Store.Set(), r.unstored:
		case r.nullStore.End > 0:
			e.Store = wire.Fix{At: r.nullStore, Text: "false"}
		default:
			e.Store = wire.Fix{Key: `"store":`, Text: "false"}
		}
	case Completions:
		key = `"max_tokens":`
	default:
		e.Store, e.TempAt = wire.Fix{}, scan.Span{}
		return
	}
	switch {
	case r.bound:
	case r.nullKey != "":
		e.MaxNull = r.nullAt
	default:
		e.InsertKey = key
	}
	if e.TempAt.End == 0 {
		e.TempKey = `"temperature":`
	}
	if e.Store.Set() {
		e.Features |= correction.StoredConversations
	}
	if e.Background {
		e.Use(correction.StoredConversations)
	}
	if r.many && !r.serial {
		e.Features |= correction.ParallelToolCalls
		if !e.Parallel.Set() {
			e.Parallel = wire.Fix{Key: `"parallel_tool_calls":`, Text: "false"}
		}
	}
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
	case "temperature":
		r.e.ReadTemperature(r.s)
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
	v, at, ok := r.s.Count()
	switch {
	case ok:
		r.bound = true
		r.e.Boundless = r.e.Boundless || v == 0
		r.e.MaxTokens = max(r.e.MaxTokens, v)
		r.e.MaxAt = append(r.e.MaxAt, at)
	case r.s.Err() == nil && (r.nullKey == "" || key == `"max_completion_tokens":`):
		r.nullKey, r.nullAt = key, at
	}
}

func (r *reader) chat() {
	s, e := r.s, r.e
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		index := e.Into.Count
		e.Into.Count++
		switch string(name) {
		case "messages":
			e.ReadTurns(s, messageNames, "assistant", r.message)
		case "tools":
			n := e.AddList(s.NameAt(), -1, index, wire.ListTools)
			r.tools(n, 0)
			e.Close(n, s.Offset())
		case "functions":
			n := e.AddList(s.NameAt(), -1, index, wire.ListFunctions)
			r.functions(n)
			e.Close(n, s.Offset())
		case "function_call":
			r.functionCall(index)
		case "web_search_options":
			if !s.Null() {
				n := e.AddList(s.NameAt(), -1, index, 0)
				r.offer("web_search")
				e.AddTool(s.Skip(), n, 0, "web_search", "", correction.WebSearch)
				e.Close(n, s.Offset())
			}
		case "max_tokens":
			r.output(`"max_tokens":`)
		case "max_completion_tokens":
			r.output(`"max_completion_tokens":`)
		case "n":
			e.ReadChoices(s)
		case "logprobs":
			r.asked(correction.Logprobs)
		case "reasoning_effort":
			r.effort()
		case "reasoning":
			r.reasoning()
		case "thinking":
			r.thinking()
		case "response_format":
			e.ReadForm(s, formNames)
		case "audio":
			r.asked(correction.AudioOutput)
		default:
			if !r.shared(name, index) && !r.common(name) {
				s.Other(name, chatNames)
			}
		}
	}
}

func (r *reader) responses() {
	s, e := r.s, r.e
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		index := e.Into.Count
		e.Into.Count++
		switch string(name) {
		case "input":
			if s.Kind() == '"' {
				e.First, e.Messages = r.raw(s.Skip()), 1
			} else {
				r.items()
			}
		case "tools":
			n := e.AddList(s.NameAt(), -1, index, wire.ListTools)
			r.tools(n, 0)
			e.Close(n, s.Offset())
		case "max_output_tokens":
			r.output(`"max_output_tokens":`)
		case "previous_response_id":
			if v, _, ok := s.Text(); ok && v != "" {
				r.goesOn("response", v)
			}
		case "conversation":
			r.conversation()
		case "prompt":
			if !s.Null() {
				e.Stored = true
				e.Use(wire.StoredPrompt)
				e.Keep() // a list of tools, gone, would let the prompt's own come in
				s.Skip()
			}
		case "instructions":
			r.instructions()
		case "background":
			e.Background = s.Flag()
		case "include":
			r.include()
		case "reasoning":
			r.reasoning()
		case "text":
			r.text()
		default:
			if !r.shared(name, index) && !r.common(name) {
				s.Other(name, responseNames)
			}
		}
	}
}

func (r *reader) completions() {
	s, e := r.s, r.e
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		e.Into.Count++
		switch string(name) {
		case "prompt":
			e.Messages = 1
			r.first()
		case "max_tokens":
			r.output(`"max_tokens":`)
		case "n", "best_of":
			e.ReadChoices(s)
		case "logprobs":
			r.asked(correction.Logprobs) // 0 still tells the token's own
		default:
			if !r.common(name) {
				s.Other(name, completionNames)
			}
		}
	}
}

func (r *reader) embeddings() {
	s := r.s
	r.e.Use(correction.Embeddings)
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		r.e.Into.Count++
		switch string(name) {
		case "input":
			r.first()
		case "stream", "temperature":
			s.Skip() // embeddings do not stream, and are not drawn
		default:
			if !r.common(name) {
				s.Other(name, embeddingNames)
			}
		}
	}
}
