package openai

import (
	"strings"

	"andon/wire"
	"andon/wire/route"
)

// Match knows the routes of the table below five roots:
//
//	/v1                                   OpenAI's own, and compatible servers'
//	/openai/v1                            Azure's, where it has them
//	/openai                               Azure's dated ones (?api-version=)
//	/openai/deployments/{model}           Azure's dated ones that name a deployment, which is the model
//	/v1beta/openai                        Gemini's compatible ones
//
// Paths that Anthropic has too are Anthropic's where its clients' header says so.
func (api) Match(method, path, rawQuery string, header func(string) string) (rt wire.Route, ok bool) {
	from, isDated := 0, false
	switch {
	case strings.HasPrefix(path, "/v1/"):
		from = len("/v1")
		if shared(path) && header != nil && header("anthropic-version") != "" {
			return rt, false
		}
	case strings.HasPrefix(path, "/openai/v1/"):
		if from = len("/openai/v1"); !at(path[from:], azure) {
			return rt, false
		}
	case strings.HasPrefix(path, "/openai/deployments/"):
		return deployment(method, path, rawQuery)
	case strings.HasPrefix(path, "/openai/"):
		if from, isDated = len("/openai"), true; !at(path[from:], dated) {
			return rt, false
		}
	case strings.HasPrefix(path, "/v1beta/openai/"):
		if from = len("/v1beta/openai"); !at(path[from:], gemini) {
			return rt, false
		}
	default:
		return rt, false
	}
	if rt, ok = table.Find(method, path, from); !ok {
		return wire.Route{}, false
	}
	return queried(rt, method, rawQuery, isDated)
}

// queried takes in what the query says of a route.
func queried(rt wire.Route, method, rawQuery string, dated bool) (wire.Route, bool) {
	q, ok := route.ReadQuery(rawQuery)
	if !ok {
		return wire.Route{}, false
	}
	if rt.ModelIn == wire.ModelInQuery {
		if rt.Model = q.Model; dated {
			rt.Model = q.Deployment
		}
		if q.Model != "" && q.Deployment != "" || len(rt.Model) > route.MaxName {
			return wire.Route{}, false // readers differ on which of the two counts
		}
	}
	if method == "GET" && rt.SSE {
		switch q.Stream {
		case "true":
			rt.Stream = true
		case "", "false":
		default:
			return wire.Route{}, false
		}
	}
	return rt, true
}

// deployment knows Azure's routes that name a deployment, which is the model.
func deployment(method, path, rawQuery string) (rt wire.Route, ok bool) {
	const root = "/openai/deployments/"
	name, rest, _ := strings.Cut(path[len(root):], "/")
	from := len(root) + len(name)
	if rest == "" || !at(path[from:], deployed) {
		return rt, false
	}
	if rt, ok = table.Find(method, path, from); !ok || rt.ModelIn != wire.ModelInBody {
		return wire.Route{}, false
	}
	if rt, ok = queried(rt, method, rawQuery, true); !ok {
		return rt, false
	}
	if rt.Model, ok = route.Decode(name); !ok || strings.IndexByte(rt.Model, '/') >= 0 {
		return wire.Route{}, false
	}
	rt.ModelIn, rt.Named = wire.ModelInPath, false
	rt.ModelPath = wire.Region{Start: len(root), End: from}
	return rt, true
}

// What of the table stands below the other roots, by the beginning of the path.
var (
	azure = []string{"/chat/completions", "/completions", "/embeddings", "/responses", "/conversations", "/models", "/files", "/uploads", "/batches",
		"/fine_tuning", "/evals", "/vector_stores", "/containers", "/images", "/audio", "/videos", "/realtime", "/assistants", "/threads", "/moderations"}
	dated = []string{"/responses", "/models", "/files", "/uploads", "/batches", "/fine_tuning", "/evals", "/vector_stores", "/containers",
		"/assistants", "/threads", "/realtime"}
	deployed = []string{"/chat/completions", "/completions", "/embeddings", "/images/generations", "/images/edits",
		"/audio/transcriptions", "/audio/translations", "/audio/speech"}
	gemini = []string{"/chat/completions", "/embeddings", "/models", "/images/generations", "/videos", "/files", "/batches"}
)

// at says whether path is one of list or below it.
func at(path string, list []string) bool {
	for _, p := range list {
		if strings.HasPrefix(path, p) && (len(path) == len(p) || path[len(p)] == '/') {
			return true
		}
	}
	return false
}

// shared says whether a path below /v1 is one that OpenAI and Anthropic both have.
func shared(path string) bool {
	return at(path, []string{"/v1/models", "/v1/files", "/v1/skills", "/v1/agents", "/v1/vaults"})
}

// Read reads a generation body, or what is decided on of any other.
func (a api) Read(rt wire.Route, body []byte, e *wire.Envelope) error {
	switch rt.API {
	case Chat, Responses, Completions, Embeddings:
		if rt.Body == wire.BodyJSON {
			return a.read(rt, body, e)
		}
	case InputTokens, Compact:
		return a.read(rt, body, e) // their bodies are those of responses
	}
	return wire.ReadAccount(rt, body, e)
}

// deployed checks a body's own model against the deployment that the path names.
func (r *reader) deployed(rt wire.Route) error {
	if r.model && r.e.Model != rt.Model {
		return &wire.Problem{Status: 400, Code: "model_mismatch", Title: "The request body cannot be used", Param: "model",
			Detail: "the model must be the deployment that the path names, or be left out"}
	}
	r.e.Model = rt.Model
	return nil
}

// Routes lists the methods and path templates of the table, below its root.
func Routes() []string { return table.Rows() }
