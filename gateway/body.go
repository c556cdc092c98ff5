package gateway

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"andon/wire"
)

// read takes the body in, whole. What is decided on has to be what is sent, so
// encodings that would hide it are refused.
func (x *exchange) read() *wire.Problem {
	h := x.r.Header
	if e := h.Get("Content-Encoding"); e != "" && e != "identity" || len(h["Content-Encoding"]) > 1 {
		return &wire.Problem{Status: http.StatusUnsupportedMediaType, Code: "encoded_body", Title: "Encoded body", Param: "content-encoding",
			Detail: "a request body has to be sent without Content-Encoding: what is compressed can not be decided on"}
	}
	if p := x.readable(h["Content-Type"]); p != nil {
		return p
	}
	limit := x.g.cfg.MaxBody
	tooLarge := &wire.Problem{Status: http.StatusRequestEntityTooLarge, Code: "body_too_large", Title: "Body too large",
		Detail: "the request body exceeds " + strconv.FormatInt(limit, 10) + " bytes"}
	n := x.r.ContentLength
	if n > limit {
		return tooLarge
	}
	if n >= 0 && (n <= keepBytes || n <= int64(cap(x.body))) {
		if int64(cap(x.body)) < n {
			x.body = make([]byte, n, n+n/8)
		}
		x.body = x.body[:n]
		if _, err := io.ReadFull(x.r.Body, x.body); err != nil {
			return brokenBody()
		}
		return nil
	}
	// What a client announces is not set aside before it comes.
	x.body = x.body[:0]
	for {
		if len(x.body) == cap(x.body) {
			x.body = append(x.body, make([]byte, max(4096, len(x.body)))...)[:len(x.body)]
		}
		k, err := x.r.Body.Read(x.body[len(x.body):cap(x.body)])
		x.body = x.body[:len(x.body)+k]
		if int64(len(x.body)) > limit {
			return tooLarge
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return brokenBody()
		}
	}
}

// readable refuses content types that are not read as what they say they are,
// or that the route does not take.
func (x *exchange) readable(given []string) *wire.Problem {
	if len(given) == 1 && given[0] == "application/json" && (x.rt.Body == wire.BodyJSON || x.rt.Body == wire.BodyEither) {
		return nil
	}
	if x.rt.Body == wire.BodyAny && len(given) <= 1 {
		return nil
	}
	allowed := "application/json in UTF-8"
	switch x.rt.Body {
	case wire.BodyForm:
		allowed = "multipart/form-data"
	case wire.BodyEither:
		allowed += ", or multipart/form-data"
	}
	fine := len(given) == 0 && x.rt.Body != wire.BodyForm
	if len(given) == 1 {
		kind, params, err := mime.ParseMediaType(given[0])
		charset := strings.ToLower(params["charset"])
		form := kind == "multipart/form-data" && (x.rt.Body == wire.BodyForm || x.rt.Body == wire.BodyEither)
		fine = err == nil && (form || x.rt.Body == wire.BodyNone || kind == "application/json" && x.rt.Body != wire.BodyForm && (charset == "" || charset == "utf-8"))
	}
	if fine {
		return nil
	}
	return &wire.Problem{Status: http.StatusUnsupportedMediaType, Code: "content_type", Title: "Unsupported content type", Param: "content-type",
		Detail: "the content type " + strconv.Quote(printable(strings.Join(given, ", "))) + " is not read here: allowed is " + allowed}
}

func brokenBody() *wire.Problem {
	return &wire.Problem{Status: http.StatusBadRequest, Code: "broken_body", Title: "Broken body", Detail: "the request body ended before its announced length"}
}

// understand reads of the body what decisions rest on.
func (x *exchange) understand() *wire.Problem {
	var err error
	kind := x.r.Header.Get("Content-Type")
	switch {
	case x.rt.Body == wire.BodyAny:
		x.env.Reset()
	case x.rt.Body == wire.BodyNone:
		x.env.Reset()
		if s := strings.TrimSpace(string(x.body[:min(len(x.body), 64)])); s != "" && s != "{}" {
			return &wire.Problem{Status: http.StatusBadRequest, Code: "unexpected_body", Title: "Unexpected body", Detail: "this request takes no body"}
		}
	case wire.IsForm(kind):
		err = wire.ReadForm(x.rt, kind, x.body, &x.env)
	default:
		err = x.wr.Read(x.rt, x.body, &x.env)
	}
	if err != nil {
		var p *wire.Problem
		if errors.As(err, &p) {
			return p
		}
		return &wire.Problem{Status: http.StatusBadRequest, Code: "invalid_request", Title: "Invalid request", Detail: err.Error()}
	}
	if x.env.Model == "" && x.rt.Model != "" {
		x.env.Model = x.rt.Model
	}
	return nil
}

// imageDeployment is the header by which Azure is told the model that an image
// generation tool uses.
const imageDeployment = "X-Ms-Oai-Image-Generation-Deployment"

// asked finds the model that the request asks, and all others that it lets the
// provider use. A route that names none reaches the provider's account; where
// it sets a model going all the same, it may be any that is served there.
func (x *exchange) asked(c *call) (*model, *wire.Problem) {
	g, w := x.g, x.wr.Name()
	if p := x.around(); p != nil {
		return nil, p
	}
	var m *model
	if x.env.Model != "" {
		if m = g.resolve(x.env.Model); m == nil || !m.serves(w) {
			return nil, unknownModel(x.env.Model)
		}
	} else {
		if m = g.accounts[w]; m == nil {
			return nil, &wire.Problem{Status: http.StatusForbidden, Code: "account_route", Title: "Not served here",
				Detail: "this request reaches the provider's account and not a model: this gateway's configuration does not let such requests pass (upstreams: account: pass)"}
		}
		switch x.rt.Op {
		case wire.OpModerate, wire.OpRun, wire.OpBatch, wire.OpFineTune, wire.OpRealtime, wire.OpGenerate, wire.OpEmbed, wire.OpTranscribe, wire.OpSpeech, wire.OpImage:
			for _, o := range g.order {
				if o.Upstream == m.Upstream && o.as == o.Name {
					c.others = append(c.others, o)
				}
			}
		}
	}
	x.env.Others = append(x.env.Others, x.r.Header[imageDeployment]...)
	for _, name := range x.env.Others {
		o := g.resolve(name)
		if o == nil || !o.serves(w) || o.Upstream != m.Upstream || o.UpstreamModel != name {
			return nil, unknownModel(name) // these travel as they are: each has to be what the provider takes it for
		}
		c.others = append(c.others, o)
	}
	return m, nil
}
