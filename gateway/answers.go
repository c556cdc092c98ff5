package gateway

import (
	"bytes"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"andon/correction"
	"andon/wire"
)

// retrieved decides on an answer that a model put out earlier, and that is
// fetched now: a stored response, a background one, the results of a batch. It is
// of the models that are known to have been asked for it, and of those that it
// names. One of which neither is known, or that names a model which is not known here,
// or that is too long to be read, may be of any model that its provider serves. The
// call counts as one of these models from here on, so that a later order ends it.
// It returns why the answer must not go out.
func (x *exchange) retrieved(c *call, data []byte, whole bool) *reason {
	g := x.g
	var of []*model
	add := func(m *model) {
		if !slices.Contains(of, m) {
			of = append(of, m)
		}
	}
	sure := false
	if w := x.begin.about; w != nil && len(w.Facts) > 0 {
		sure = !w.AnyModel
		for i := range w.Facts {
			f := &w.Facts[i]
			if m := g.resolve(f.Model); m != nil {
				add(m)
			} else {
				add(&model{Model: Model{Name: f.Model, OnStale: Hold}, as: f.Model})
			}
		}
	}
	names, told := x.named(data, whole)
	for _, name := range names {
		said := g.resolve(name)
		if said == nil || said.Upstream != c.model.Upstream {
			told = false
			continue
		}
		add(said)
		for _, m := range g.order { // several may be the same to their provider
			if m.Upstream == said.Upstream && m.as == m.Name && m.UpstreamModel == said.UpstreamModel {
				add(m)
			}
		}
	}
	if !sure && !told {
		for _, m := range g.order {
			if m.Upstream == c.model.Upstream && m.as == m.Name {
				add(m)
			}
		}
	}
	if len(of) == 0 {
		return nil
	}
	g.live.remove(c)
	c.others = append(c.others, of...)
	c.req.Generates = true
	g.live.add(c)
	rl := g.current.Load()
	now, _ := g.clock.span()
	x.under = nil // decided afresh from here on: filters on these models hold for the answer
	if refused := c.decideOthers(rl, now, true, nil); refused != nil {
		return &reason{ruling: rl, refused: append([]*correction.Rule(nil), refused...)}
	}
	return nil
}

// named lists the models that an answer says it is of. told says that these are
// all: every line of a batch's results that is an answer names its model.
func (x *exchange) named(data []byte, whole bool) (names []string, told bool) {
	var o wire.Outcome
	switch x.rt.Object {
	case "file", "generated_file", "artifact":
		// A model may have written what is in it; only the results of a batch are the provider's own words.
		if strings.HasPrefix(x.rt.API, "openai.containers") || !lined(data) {
			return nil, false
		}
	default:
		x.wr.Outcome(x.rt, data, &o)
	}
	if o.Model != "" {
		return []string{o.Model}, whole || x.rt.Object == "response"
	}
	if !whole || x.wr.Name() == "gemini" {
		return nil, false
	}
	for line := range bytes.Lines(data) {
		var l struct {
			Error    jsontext.Value `json:"error"`
			Response struct {
				Body jsontext.Value `json:"body"`
			} `json:"response"`
			Result struct {
				Type    string         `json:"type"`
				Message jsontext.Value `json:"message"`
			} `json:"result"`
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		if json.Unmarshal(line, &l, lenient) != nil {
			return nil, false
		}
		var said struct {
			Model string `json:"model"`
		}
		body := l.Response.Body
		if body == nil {
			body = l.Result.Message
		}
		switch {
		case body.Kind() == '{' && json.Unmarshal(body, &said, lenient) == nil && said.Model != "":
			if !slices.Contains(names, said.Model) {
				names = append(names, said.Model)
			}
		case body == nil && (l.Result.Type != "" && l.Result.Type != "succeeded" || l.Error.Kind() == '{'): // it came to nothing
		default:
			return nil, false
		}
	}
	return names, len(names) > 0
}

// lined reports whether data is several lines of JSON.
func lined(data []byte) bool {
	i := bytes.IndexByte(data, '\n')
	return i >= 0 && len(bytes.TrimSpace(data[i:])) > 0
}
