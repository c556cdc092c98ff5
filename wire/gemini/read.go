package gemini

import (
	"strings"

	"andon/wire"
	"andon/wire/scan"
)

// What is decided on, level by level; anything that differs from one of these
// in case or underscores alone is refused there.
var (
	bodyNames    = scan.NewNames(true, "model", "contents", "tools", "generationConfig", "cachedContent")
	countNames   = scan.NewNames(true, "model", "contents", "tools", "generationConfig", "cachedContent", "generateContentRequest")
	embedNames   = scan.NewNames(true, "model", "content")
	batchNames   = scan.NewNames(true, "model", "requests")
	configNames  = scan.NewNames(true, "maxOutputTokens", "candidateCount")
	contentNames = scan.NewNames(true, "role")
	declNames    = scan.NewNames(true, "name")
)

// reader reads one body into an envelope.
type reader struct {
	s  *scan.Scanner
	e  *wire.Envelope
	rt wire.Route

	members int  // of the outermost object
	config  bool // generationConfig was given
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
		e.InsertAt = s.Offset()
		switch rt.API {
		case Embed:
			r.embed()
		case BatchEmbed:
			r.batch()
		default:
			r.generate(rt.API == CountTokens)
		}
	}
	if err := s.End(); err != nil {
		return wire.BadBody(err)
	}
	if rt.Op != wire.OpGenerate {
		e.InsertKey, e.InsertEnd = "", ""
		return nil
	}
	if !r.config {
		e.InsertTo = e.InsertAt
		e.InsertKey, e.InsertEnd = `"generationConfig":{"maxOutputTokens":`, "},"
		if r.members == 0 {
			e.InsertEnd = "}"
		}
	}
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
	var config, cached, inner bool
	names := bodyNames
	if counting {
		names = countNames
	}
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		r.members++
		switch string(name) {
		case "model":
			r.sameModel()
		case "contents":
			r.e.ReadTurns(r.s, contentNames, "model")
		case "tools":
			r.tools()
		case "generationConfig", "generation_config":
			r.once(&config)
			r.generationConfig()
		case "cachedContent", "cached_content":
			r.once(&cached)
			if v, _, _ := s.Text(); v != "" {
				r.e.Stored = true
			}
		case "generateContentRequest", "generate_content_request":
			if !counting {
				s.Skip()
				continue
			}
			r.once(&inner)
			if s.Object() {
				r.generate(false)
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
	from := s.NameAt()
	r.config = true
	if s.Null() {
		// A configuration that is null is none; a new one takes its place.
		e.InsertAt, e.InsertTo = from, s.Offset()
		e.InsertKey, e.InsertEnd = `"generationConfig":{"maxOutputTokens":`, "}"
		return
	}
	if !s.Object() {
		return
	}
	open := s.Offset()
	members := 0
	var bound, count bool
	var null scan.Span
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		members++
		switch string(name) {
		case "maxOutputTokens", "max_output_tokens":
			r.once(&bound)
			from := s.NameAt()
			v, at, ok := s.Count()
			if !ok {
				null = scan.Span{Start: from, End: at.End}
				continue
			}
			e.Boundless = v == 0
			e.MaxTokens = max(e.MaxTokens, v)
			e.MaxAt = append(e.MaxAt, at)
		case "candidateCount", "candidate_count":
			r.once(&count)
			if v, _, ok := s.Count(); ok {
				e.Choices = max(e.Choices, v)
			}
		default:
			s.Other(name, configNames)
		}
	}
	switch {
	case len(e.MaxAt) > 0:
	case null.End > 0:
		e.InsertAt, e.InsertTo = null.Start, null.End
		e.InsertKey, e.InsertEnd = `"maxOutputTokens":`, ""
	default:
		e.InsertAt, e.InsertTo = open, open
		e.InsertKey, e.InsertEnd = `"maxOutputTokens":`, ","
		if members == 0 {
			e.InsertEnd = ""
		}
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
			at := s.Skip()
			if r.e.First == nil {
				r.e.First = s.Bytes(at)
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
