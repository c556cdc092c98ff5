package gemini

import (
	"strings"

	"andon/correction"
	"andon/wire"
	"andon/wire/route"
	"andon/wire/scan"
)

// Match knows POST /{version}/models/{model}:{method} and the same for
// tunedModels, for the versions v1, v1beta and v1alpha; and for the latter two
// (v1 is OpenAI's) GET /{version}/models, GET /{version}/models/{model}, the
// rest of the table, /upload/{version} and the sockets.
//
// Google's front end lets query parameters change what a request or its answer
// is: $httpMethod, callback, fields, alt in two spellings. Those are not known
// here; alt itself may be given once, as json, for a stream as sse, and for a
// download as media.
func (api) Match(method, path, rawQuery string, _ func(string) string) (rt wire.Route, ok bool) {
	rest, version := "", ""
	for _, v := range [...]string{"/v1beta/", "/v1/", "/v1alpha/"} {
		if strings.HasPrefix(path, v) {
			version, rest = v, path[len(v):]
		}
	}
	switch {
	case method == "POST" && (strings.HasPrefix(rest, "models/") || strings.HasPrefix(rest, "tunedModels/")):
		if rt, ok = asked(version, rest); !ok {
			rt, ok = table.Find(method, path, len(version)-1)
			ok = ok && version != "/v1/"
		}
	case version == "/v1/":
	case method == "GET" && strings.HasPrefix(rest, "models/") && strings.Count(rest, "/") == 1:
		rt = wire.Route{API: Models, Op: wire.OpGetModel, ModelIn: wire.ModelInPath}
		rt.Model, ok = model(rest[len("models/"):])
	case version != "":
		rt, ok = table.Find(method, path, len(version)-1)
	case strings.HasPrefix(path, "/upload/v1beta/"):
		rt, ok = uploads.Find(method, path, len("/upload/v1beta"))
	case strings.HasPrefix(path, "/upload/v1alpha/"):
		rt, ok = uploads.Find(method, path, len("/upload/v1alpha"))
	case method == "GET" && strings.HasPrefix(path, "/ws/"):
		for _, s := range sockets {
			if path == s {
				rt, ok = wire.Route{API: "gemini.live", Op: wire.OpRealtime, Upgrade: true, Features: correction.Realtime}, true
			}
		}
	}
	if !ok || !queried(&rt, method, path, rawQuery) {
		return wire.Route{}, false
	}
	return rt, true
}

// asked knows what a model is asked.
func asked(version, rest string) (rt wire.Route, ok bool) {
	collection, rest, _ := strings.Cut(rest, "/")
	segment, verb, _ := strings.Cut(rest, ":")
	if rt, ok = methods[verb]; !ok {
		return rt, false
	}
	rt.Body, rt.ModelIn = wire.BodyJSON, wire.ModelInPath
	if rt.Model, ok = model(segment); !ok {
		return rt, false
	}
	if collection == "tunedModels" {
		rt.Model = collection + "/" + rt.Model
	}
	rt.ModelPath = wire.Region{Start: len(version), End: len(version) + len(collection) + 1 + len(segment)}
	return rt, true
}

// model decodes a model's id. It is one segment without a colon: the method
// follows the colon, and readers may differ on which colon that is.
func model(segment string) (string, bool) {
	name, ok := route.Decode(segment)
	if !ok || strings.ContainsAny(name, ":/") {
		return "", false
	}
	return name, true
}

// queried takes in what the query says of a route, and refuses one that would
// make the request or its answer another.
func queried(rt *wire.Route, method, path, raw string) bool {
	ok := route.Params(raw, func(name, value string) bool {
		return !strings.HasPrefix(name, "$") && !strings.EqualFold(name, "callback") && !strings.EqualFold(name, "fields")
	})
	q, fine := route.ReadQuery(raw)
	if !ok || !fine {
		return false
	}
	if rt.Op == wire.OpStored && rt.ModelPath.End > 0 { // of a tuned model, or of an operation of a model
		if strings.ContainsAny(rt.Model, ":/") {
			return false
		}
		if n := len("tunedModels/"); strings.HasSuffix(path[:rt.ModelPath.Start], "/tunedModels/") {
			rt.Model, rt.ModelPath.Start = "tunedModels/"+rt.Model, rt.ModelPath.Start-n
		} else {
			rt.ModelPath.Start -= len("models/")
		}
	}
	switch q.Alt {
	case "":
		return !strings.Contains(raw, "alt") || !given(raw, "alt")
	case "json":
		return true
	case "media":
		return method == "GET" && strings.HasSuffix(path, ":download")
	case "sse":
		switch {
		case rt.API == Stream:
			rt.SSE = true
		case !rt.SSE:
			return false
		}
		rt.Stream = true
		return true
	}
	return false
}

// given says whether a query has a parameter, with or without a value.
func given(raw, param string) (is bool) {
	route.Params(raw, func(name, _ string) bool {
		is = is || name == param
		return true
	})
	return is
}

// What is decided on in bodies that are not generation bodies.
var (
	accountNames = scan.NewNames(true, "model", "baseModel", "batch", "stream")
	modelNames   = scan.NewNames(true, "model")
)

// Read reads a generation body, or what is decided on of any other.
func (a api) Read(rt wire.Route, body []byte, e *wire.Envelope) error {
	switch rt.API {
	case Generate, Stream, CountTokens, Embed, BatchEmbed:
		return a.read(rt, body, e)
	}
	e.Reset()
	e.Model, e.Stream = rt.Model, rt.Stream
	if rt.Body == wire.BodyAny {
		return nil
	}
	if len(body) == 0 && !rt.Named {
		return nil
	}
	s := scan.New(body)
	defer s.Free()
	r := reader{s: s, e: e, rt: rt}
	if s.Kind() == 'n' {
		s.Fail(scan.CodeType, s.Offset(), "the body must be a JSON object")
	}
	named := r.account()
	if err := s.End(); err != nil {
		return wire.BadBody(err)
	}
	if rt.Body == wire.BodyNone && r.members > 0 {
		return &wire.Problem{Status: 400, Code: "unexpected_body", Title: "The request body cannot be used", Detail: "this request takes no body"}
	}
	if rt.Named && !named {
		return &wire.Problem{Status: 400, Code: scan.CodeMissing, Title: "The request body cannot be used", Param: "model",
			Detail: `"model" is missing; it must be a string that names the model`}
	}
	return nil
}

// account reads the outermost object, and says whether it names a model.
func (r *reader) account() (named bool) {
	s, e := r.s, r.e
	if !s.Object() {
		return false
	}
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		r.members++
		switch string(name) {
		case "model", "baseModel", "base_model":
			switch {
			case r.rt.ModelIn == wire.ModelInPath && string(name) == "model":
				r.sameModel()
			case r.rt.ModelIn == wire.ModelInBody && s.Kind() == '"':
				v, at, ok := s.Text()
				if !ok {
					break
				}
				if named {
					s.Fail(scan.CodeDuplicate, at.Start, "the model is named twice; name it once")
				}
				named, e.Model = true, strings.TrimPrefix(v, "models/")
				if e.ModelToo = append(e.ModelToo, at); !strings.HasPrefix(v, "models/") {
					e.ModelToo, e.ModelAt = e.ModelToo[:0], at // it is written without its collection, and stays so
				}
			default:
				r.inside(name)
			}
		case "stream":
			if r.rt.SSE {
				e.Stream = s.Flag() || e.Stream
			} else {
				s.Skip()
			}
		case "batch":
			r.inside(name)
		default:
			s.Distinct(name, accountNames)
			r.inside(name)
		}
	}
	return named
}

// inside reads over a value and, on routes that set a model going in ways that
// the body describes, notes the models that it names.
func (r *reader) inside(name []byte) {
	s := r.s
	deep := r.rt.Op == wire.OpRun || r.rt.Op == wire.OpRealtime || r.rt.Op == wire.OpBatch
	switch string(name) {
	case "metadata", "labels", "parameters", "parametersJsonSchema", "parameters_json_schema", "responseSchema", "response_schema", "schema":
		deep = false
	}
	if !deep {
		s.Skip()
		return
	}
	switch s.Kind() {
	case '"':
		if string(name) != "model" {
			s.Skip()
		} else if v, at, ok := s.Text(); ok && v != "" {
			if v = strings.TrimPrefix(v, "models/"); r.rt.Op == wire.OpBatch && v != r.rt.Model {
				s.Fail("model_mismatch", at.Start, "the model must be the one that the path names")
			} else if r.rt.Op != wire.OpBatch {
				r.e.Others = append(r.e.Others, v)
			} else {
				r.e.ModelToo = append(r.e.ModelToo, at)
			}
		}
	case '{':
		s.Object()
		for name, ok := s.Member(); ok; name, ok = s.Member() {
			if string(name) != "model" {
				s.Distinct(name, modelNames)
			}
			r.inside(name)
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

// Routes lists the methods and path templates below /v1beta, but for what a
// model can be asked.
func Routes() []string { return table.Rows() }
