package gemini

import (
	"strings"

	"andon/correction"
	"andon/wire"
	"andon/wire/scan"
)

// What is decided on, level by level; anything that differs from one of these
// in case or underscores alone is refused there.
var (
	bodyNames  = scan.NewNames(true, "model", "contents", "tools", "toolConfig", "generationConfig", "systemInstruction", "cachedContent", "store")
	countNames = scan.NewNames(true, "model", "contents", "tools", "toolConfig", "generationConfig", "systemInstruction", "cachedContent", "store",
		"generateContentRequest")
	embedNames  = scan.NewNames(true, "model", "content")
	batchNames  = scan.NewNames(true, "model", "requests")
	configNames = scan.NewNames(true, "maxOutputTokens", "candidateCount", "temperature", "thinkingConfig", "responseMimeType", "responseSchema",
		"responseJsonSchema", "responseModalities", "responseLogprobs", "logprobs", "speechConfig", "imageConfig")
	thinkingNames = scan.NewNames(true, "thinkingBudget", "thinkingLevel")
	contentNames  = scan.NewNames(true, "role", "parts")
	partNames     = scan.NewNames(true, "inlineData", "fileData", "functionCall", "functionResponse", "executableCode", "codeExecutionResult", "toolCall", "toolResponse")
	dataNames     = scan.NewNames(true, "mimeType")
	responseNames = scan.NewNames(true, "parts")
	choiceNames   = scan.NewNames(true, "functionCallingConfig")
	callingNames  = scan.NewNames(true, "mode", "allowedFunctionNames")
	declNames     = scan.NewNames(true, "name")
)

// What is put into the generation's configuration.
const (
	maxKey  = `"maxOutputTokens":`
	tempKey = `"temperature":`
)

// reader reads one body into an envelope.
type reader struct {
	s  *scan.Scanner
	e  *wire.Envelope
	rt wire.Route

	config   bool   // generationConfig was given
	lastType string // of tools, so that a hundred functions say "function" once
	members  int    // of the outermost object, on routes that are no generation
	nested   bool   // within the request of a count: nothing is taken out there
}

func (api) read(rt wire.Route, body []byte, e *wire.Envelope) error {
	e.Reset()
	e.Model, e.Stream = rt.Model, rt.Stream
	s := scan.New(body)
	defer s.Free()
	r := reader{s: s, e: e, rt: rt}
	if s.Kind() == 'n' {
		s.Fail(scan.CodeType, s.Offset(), "the body must be a JSON object")
	}
	if s.Object() {
		e.Into = wire.Into{At: scan.Span{Start: s.Offset(), End: s.Offset()}, Top: true}
		switch rt.API {
		case Embed:
			r.e.Use(correction.Embeddings)
			r.embed()
		case BatchEmbed:
			r.e.Use(correction.Embeddings)
			r.batch()
		default:
			r.generate(rt.API == CountTokens)
		}
	}
	if err := s.End(); err != nil {
		return wire.BadBody(err)
	}
	if rt.Op != wire.OpGenerate {
		e.InsertKey, e.MaxNull, e.TempKey, e.TempAt = "", scan.Span{}, "", scan.Span{}
	} else if !r.config {
		e.Into.Key = `"generationConfig":`
		e.InsertKey, e.TempKey = maxKey, tempKey
	}
	e.Settle()
	return nil
}

// once refuses a member that was given already under its other spelling.
func (r *reader) once(seen *bool) {
	if *seen {
		r.s.Fail(scan.CodeDuplicate, r.s.NameAt(), "this member is given twice, in its two spellings; give it once")
	}
	*seen = true
}

// generate reads a GenerateContentRequest, or the request of countTokens, which
// may hold one.
func (r *reader) generate(counting bool) {
	s := r.s
	var config, cached, inner, choice, system bool
	names := bodyNames
	if counting {
		names = countNames
	}
	for index := 0; ; index++ {
		name, ok := s.Member()
		if !ok {
			if !r.nested && !r.config {
				r.e.Into.Count = index
			}
			return
		}
		switch string(name) {
		case "model":
			r.sameModel()
		case "contents":
			r.e.ReadTurns(s, contentNames, "model", r.message)
		case "tools":
			r.tools(index)
		case "toolConfig", "tool_config":
			r.once(&choice)
			r.toolConfig(index)
		case "systemInstruction", "system_instruction":
			r.once(&system)
			r.instruction()
		case "generationConfig", "generation_config":
			r.once(&config)
			r.generationConfig()
		case "cachedContent", "cached_content":
			r.once(&cached)
			if v, _, _ := s.Text(); v != "" {
				r.e.Stored = true
				r.e.Use(wire.StoredPrompt | correction.StoredConversations)
			}
		case "store":
			s.Kind()
			from := s.Offset()
			if s.Flag() {
				r.e.Features |= correction.StoredConversations
				r.e.Store = wire.Fix{At: scan.Span{Start: from, End: s.Offset()}, Text: "false"}
			}
		case "generateContentRequest", "generate_content_request":
			if !counting {
				s.Skip()
				continue
			}
			r.once(&inner)
			if s.Object() {
				r.nested = true
				r.generate(false)
				r.nested = false
			}
		default:
			s.Other(name, names)
		}
	}
}

// sameModel reads a body's own model, which must be the path's.
func (r *reader) sameModel() {
	v, at, ok := r.s.Text()
	if !ok {
		return
	}
	if strings.TrimPrefix(v, "models/") != r.rt.Model {
		r.s.Fail("model_mismatch", at.Start, "the model must be the one that the path names")
	}
	r.e.ModelToo = append(r.e.ModelToo, at)
}

func (r *reader) generationConfig() {
	s, e := r.s, r.e
	r.config = true
	if s.Kind() == 'n' {
		// A configuration that is null is none; a new one takes its place.
		at := s.Skip()
		e.Into, e.InsertKey, e.TempKey = wire.Into{At: at}, maxKey, tempKey
		return
	}
	if !s.Object() {
		return
	}
	open := s.Offset()
	members := 0
	var seen [configs]bool
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		members++
		r.setting(name, &seen)
	}
	e.Into = wire.Into{At: scan.Span{Start: open, End: open}, Count: members}
	if len(e.MaxAt) == 0 && e.MaxNull.End == 0 {
		e.InsertKey = maxKey
	}
	if e.TempAt.End == 0 {
		e.TempKey = tempKey
	}
}

// embed reads an EmbedContentRequest.
func (r *reader) embed() {
	s := r.s
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		switch string(name) {
		case "model":
			r.sameModel()
		case "content":
			s.Kind()
			from := s.Offset()
			r.content()
			if r.e.First == nil && s.Err() == nil {
				r.e.First = s.Bytes(scan.Span{Start: from, End: s.Offset()})
			}
		default:
			s.Other(name, embedNames)
		}
	}
}

func (r *reader) batch() {
	s := r.s
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		switch string(name) {
		case "model":
			r.sameModel()
		case "requests":
			if s.Array() {
				for s.Element() {
					if s.Object() {
						r.embed()
					}
				}
			}
		default:
			s.Other(name, batchNames)
		}
	}
}
