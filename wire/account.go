package wire

import "andon/wire/scan"

// What is decided on in a JSON body that is not a generation body.
var (
	accountNames = scan.NewNames(false, "model", "stream", "stream_format", "purpose", "input_file_id", "training_file", "endpoint", "session",
		"n", "user", "safety_identifier", "previous_response_id", "conversation", "max_tokens_to_sample")
	modelNames = scan.NewNames(false, "model")
	idNames    = scan.NewNames(false, "id")
)

// account reads one body into an envelope.
type account struct {
	s     *scan.Scanner
	e     *Envelope
	rt    Route
	model bool // a model was named
}

// ReadAccount reads what is decided on in the JSON body of a route that is not
// a generation: the model, whether the answer is to be a stream, a file's
// purpose and a job's file. For routes that set a model going in ways that the
// body describes (OpRun, OpFineTune, OpRealtime), every member "model" inside
// counts: the one of a realtime session as the model, the others as Others.
// Everything else passes. It resets e first; the error is a *Problem.
func ReadAccount(rt Route, body []byte, e *Envelope) error {
	e.Reset()
	e.Model, e.Stream = rt.Model, rt.Stream
	switch rt.Body {
	case BodyAny:
		return nil
	case BodyForm:
		return contentType("this request takes multipart/form-data")
	}
	s := scan.New(body)
	defer s.Free()
	if len(body) == 0 {
		if rt.Named {
			return missingModel()
		}
		return nil
	}
	r := account{s: s, e: e, rt: rt}
	if s.Kind() == 'n' {
		s.Fail(scan.CodeType, s.Offset(), "the body must be a JSON object")
	}
	members := 0
	if s.Object() {
		for name, ok := s.Member(); ok; name, ok = s.Member() {
			members++
			r.member(name)
		}
	}
	if err := s.End(); err != nil {
		return BadBody(err)
	}
	if rt.Body == BodyNone && members > 0 {
		return &Problem{Status: 400, Code: "unexpected_body", Title: "The request body cannot be used", Detail: "this request takes no body"}
	}
	if rt.Named && !r.model {
		return missingModel()
	}
	return nil
}

func missingModel() error {
	return &Problem{Status: 400, Code: scan.CodeMissing, Title: "The request body cannot be used", Param: "model",
		Detail: `"model" is missing; it must be a string that names the model`}
}

// deep says whether a body may bring models in at any depth.
func (rt Route) deep() bool { return rt.Op == OpRun || rt.Op == OpFineTune || rt.Op == OpRealtime }

// member reads one member of the outermost object.
func (r *account) member(name []byte) {
	s, e, media := r.s, r.e, r.rt.ModelIn == ModelInBody
	switch string(name) {
	case "model":
		if media {
			r.named()
			return
		}
	case "stream":
		if r.rt.SSE {
			e.Stream = s.Flag() || e.Stream
			return
		}
	case "stream_format":
		if r.rt.SSE {
			v, _, _ := s.Text()
			e.Stream = v == "sse" || e.Stream
			return
		}
	case "purpose":
		if r.rt.Op == OpFile {
			e.Purpose, _, _ = s.Text()
			return
		}
	case "input_file_id", "training_file":
		if r.rt.Op == OpBatch || r.rt.Op == OpFineTune {
			e.InputFile, _, _ = s.Text()
			return
		}
	case "endpoint":
		if r.rt.Op == OpBatch {
			e.Endpoint, _, _ = s.Text()
			return
		}
	case "session":
		if r.rt.Op == OpRealtime && s.Kind() == '{' {
			r.session()
			return
		}
	case "n":
		if media {
			if v, _, ok := s.Count(); ok {
				e.Choices = max(e.Choices, v)
			}
			return
		}
	case "max_tokens_to_sample":
		if r.rt.Op == OpGenerate {
			if v, at, ok := s.Count(); ok {
				e.MaxTokens, e.Boundless = v, v == 0
				e.MaxAt = append(e.MaxAt, at)
			}
			return
		}
	case "user", "safety_identifier":
		if media && s.Kind() == '"' {
			if v, _, _ := s.Text(); v != "" {
				e.Users = append(e.Users, v)
			}
			return
		}
	case "previous_response_id", "conversation":
		at := s.Skip()
		e.Continues = e.Continues || string(s.Bytes(at)) != "null"
		return
	default:
		s.Distinct(name, accountNames)
	}
	r.inside(name)
}

// named reads the model: a string, or an object that has it as its id.
func (r *account) named() {
	s := r.s
	if s.Kind() != '{' {
		r.text()
		return
	}
	s.Object()
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		if string(name) == "id" {
			r.text()
		} else {
			s.Other(name, idNames)
		}
	}
}

func (r *account) text() {
	v, at, ok := r.s.Text()
	if !ok {
		return
	}
	if v == "" {
		r.s.Fail(scan.CodeValue, at.Start, `"model" must not be empty`)
	}
	r.model, r.e.Model, r.e.ModelAt = true, v, at
}

// session reads what a realtime session is to be.
func (r *account) session() {
	r.s.Object()
	for name, ok := r.s.Member(); ok; name, ok = r.s.Member() {
		if string(name) == "model" && r.s.Kind() == '"' && !r.model {
			r.text()
			continue
		}
		r.nested(name)
	}
}

// nested reads a member below the outermost object.
func (r *account) nested(name []byte) {
	if string(name) != "model" {
		r.s.Distinct(name, modelNames)
	}
	r.inside(name)
}

// inside reads over the value of a member and, on routes where that matters,
// notes the models that it names. What callers name as they like, and schemas,
// are left alone.
func (r *account) inside(name []byte) {
	s := r.s
	switch string(name) {
	case "metadata", "parameters", "input_schema", "schema", "item_schema", "json_schema", "variables":
		s.Skip()
		return
	}
	if !r.rt.deep() {
		s.Skip()
		return
	}
	switch s.Kind() {
	case '"':
		if string(name) != "model" {
			s.Skip()
		} else if v, _, ok := s.Text(); ok && v != "" {
			r.e.Others = append(r.e.Others, v)
		}
	case '{':
		s.Object()
		for name, ok := s.Member(); ok; name, ok = s.Member() {
			r.nested(name)
		}
	case '[':
		s.Array()
		for s.Element() {
			r.inside(name)
		}
	default:
		s.Skip()
	}
}

func contentType(want string) error {
	return &Problem{Status: 415, Code: "content_type", Title: "Unsupported content type", Param: "content-type", Detail: want}
}
