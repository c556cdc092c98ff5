package gateway

import (
	"slices"
	"strings"
	"time"

	"andon/correction"
	"andon/wire"
	"andon/wire/openai"
)

// beginning is what a call may begin at its provider.
type beginning struct {
	kind     string // "": nothing
	facts    []fact
	any      bool     // which models is not known
	lines    bool     // the requests stand in the body
	screened []string // corrections whose filters have looked at them
	counted  []grant  // what its requests take under rate corrections
	// It is told apart from a call that ends with its connection: the provider goes
	// on all the same. So the answer is waited for, to know what has begun.
	detached bool
	timer    *time.Timer // ends the wait

	work  *job // that has begun
	about *job // that the route names
}

// begins finds out what the call may begin, and reads the requests of a batch. The
// error is a batch that can not be read.
func (x *exchange) begins(c *call, m *model) *wire.Problem {
	b := &x.begin
	if x.rt.Object != "" && x.rt.ID != "" {
		b.about = x.g.works.find(m.Upstream, x.keptID())
	}
	switch x.rt.Op {
	case wire.OpBatch:
		b.kind, b.detached = kindBatch, true
		return x.batch(c, m)
	case wire.OpFile:
		b.kind = kindFile
		if x.env.Purpose == "batch" && x.env.FileAt.End > 0 {
			return x.lines(c, m, x.body[x.env.FileAt.Start:x.env.FileAt.End])
		}
	case wire.OpFineTune:
		b.kind, b.detached = kindJob, true
		if a := b.about; a != nil && m.account { // goes on with a job
			c.others = c.others[:0]
			x.take(c, a.Facts)
		}
	case wire.OpRun:
		b.kind, b.detached = kindRun, !x.env.Stream
	case wire.OpRealtime:
		if !x.rt.Upgrade {
			b.kind = kindSession
		}
	case wire.OpImage:
		if strings.HasPrefix(x.rt.API, "openai.videos") || strings.HasSuffix(x.r.URL.Path, ":predictLongRunning") {
			b.kind, b.detached = kindMedia, true
		}
	case wire.OpStored:
		if x.rt.API == "gemini.cachedContents" && x.rt.ID == "" && x.r.Method == "POST" {
			b.kind = kindCache
		}
	case wire.OpGenerate:
		switch {
		case x.env.Background && x.rt.API == openai.Responses:
			b.kind, b.detached = kindBackground, !x.env.Stream
		case x.env.Features&correction.StoredConversations != 0 && (x.rt.API == openai.Responses || x.rt.API == openai.Chat):
			b.kind = kindResponse
		}
	}
	return nil
}

// keptID is the id by which the route names what the provider keeps.
func (x *exchange) keptID() string {
	if x.wr.Name() == "gemini" { // names of resources, from the version on
		_, path, _ := strings.Cut(strings.TrimPrefix(x.r.URL.Path, "/"), "/")
		path, _, _ = strings.Cut(path, ":")
		return path
	}
	return x.rt.ID
}

// batch finds out what a batch is going to ask: by its own lines, or by those of
// a file that came in here. Of a file that is not known it may be anything.
func (x *exchange) batch(c *call, m *model) *wire.Problem {
	b := &x.begin
	if x.env.InputFile == "" && x.rt.Body == wire.BodyJSON && x.wr.Name() != "openai" {
		if p := x.lines(c, m, x.body); p != nil || len(b.facts) > 0 {
			return p
		}
		return x.unknown(c, m)
	}
	w := x.g.works.find(m.Upstream, x.env.InputFile)
	if w == nil || w.Kind != kindFile || len(w.Facts) == 0 {
		return x.unknown(c, m)
	}
	b.screened = w.Screened
	c.others = c.others[:0] // they were all that might be meant
	x.take(c, w.Facts)
	return nil
}

// unknown is a batch that nobody here has read: it may ask anything of any model
// that it can reach.
func (x *exchange) unknown(c *call, m *model) *wire.Problem {
	b := &x.begin
	of := c.others
	if !m.account {
		of = []*model{m}
	} else {
		b.any = true
	}
	for _, o := range of {
		f := fact{Features: unseen, Generates: true, N: 1, Unknown: true, model: o}
		f.of(o)
		b.facts = append(b.facts, f)
	}
	return nil
}

// unseen is what a request may use that nobody has looked at. No batch streams.
const unseen = wire.StoredPrompt | correction.StoredConversations | correction.ReasoningEffort | correction.StructuredOutput | correction.Logprobs | correction.Embeddings |
	correction.Batch

// take takes over what is known of requests.
func (x *exchange) take(c *call, facts []fact) {
	b := &x.begin
	for _, f := range facts {
		if f.model = x.g.resolve(f.Model); f.model == nil {
			f.model = &model{Model: Model{Name: f.Model, OnStale: Hold}, as: f.Model} // not served any more; it is decided all the same
		}
		for _, v := range f.model.Versions {
			if v.Version == f.Version {
				f.model = f.model.at(v.Version, v.UpstreamModel)
			}
		}
		b.facts = append(b.facts, f)
		c.others = append(c.others, f.model)
	}
}

// of says which model a fact is about.
func (f *fact) of(m *model) {
	var q correction.Request
	m.describe(&q)
	f.Model, f.Version, f.Derivative = q.Model, q.Version, q.Derivative
	f.Features |= q.Features
}

// lines reads the requests of a batch.
func (x *exchange) lines(c *call, m *model, data []byte) *wire.Problem {
	b := &x.begin
	b.lines = true
	if m.account {
		c.others = c.others[:0]
	}
	var q correction.Request
	err := wire.BatchLines(x.wr, x.rt, data, func(l wire.Line, e *wire.Envelope) error {
		o, p := x.lineModel(m, l, e)
		if p != nil {
			return p
		}
		x.lineRequest(&q, c, &l, e, o)
		x.gather(c, &q, o)
		if !slices.Contains(c.others, o) {
			c.others = append(c.others, o)
		}
		for _, name := range e.Others {
			more := x.g.resolve(name)
			if more == nil || more.Upstream != m.Upstream || more.UpstreamModel != name {
				return lineProblem(l.N, unknownModel(name))
			}
			x.gather(c, &q, more)
			if !slices.Contains(c.others, more) {
				c.others = append(c.others, more)
			}
		}
		return nil
	})
	return wire.AsProblem(err)
}

// lineModel finds the model that a line asks. It travels as it is written: so it
// has to be what the provider takes it for.
func (x *exchange) lineModel(m *model, l wire.Line, e *wire.Envelope) (*model, *wire.Problem) {
	if !m.account && x.rt.ModelIn == wire.ModelInPath {
		return m, nil
	}
	o := x.g.resolve(e.Model)
	if o == nil || o.Upstream != m.Upstream || o.UpstreamModel != e.Model || !o.serves(x.wr.Name()) {
		return nil, lineProblem(l.N, unknownModel(e.Model))
	}
	return o, nil
}

func lineProblem(n int, p *wire.Problem) *wire.Problem {
	p.Detail = lineOf(n) + p.Detail
	return p
}

// lineRequest fills q with what is decided on of one line.
func (x *exchange) lineRequest(q *correction.Request, c *call, l *wire.Line, e *wire.Envelope, m *model) {
	users, folded := append(q.Users[:0], c.req.Users...), append(q.Folded[:0], c.req.Folded...)
	*q = c.req
	for _, u := range e.Users {
		if u != "" && len(users) < 4 {
			users = append(users, u)
			if f := correction.FoldUser(u); f != u && f != "" {
				folded = append(folded, f)
			}
		}
	}
	q.Users, q.Folded = users, folded
	q.Tools, q.OptionalTools, q.Optional = e.Tools, nil, 0 // a line is not rewritten
	q.Features = c.req.Features | e.Features | l.Route.Features | correction.Batch
	if e.HasTools || e.Stored {
		q.Features |= correction.Tools
	}
	q.Generates = l.Route.Op == wire.OpGenerate || l.Route.Op == wire.OpImage
	q.Brings = true
	q.OutputTokens, q.Choices, q.Messages, q.Temperature, q.Reasoning, q.Effort = e.MaxTokens, e.Choices, e.Messages, e.Temperature, e.Reasoning, e.Effort
	q.InputTokens = int64(l.Body.End-l.Body.Start)/bytesPerToken + 1
	q.Continues, q.Live = false, false
	m.describe(q)
}

// gather adds a request to the facts.
func (x *exchange) gather(c *call, q *correction.Request, m *model) {
	b := &x.begin
	own := q.Users[len(c.req.Users):]
	i := slices.IndexFunc(b.facts, func(f fact) bool {
		return f.model == m && f.Features == q.Features && f.Generates == q.Generates && slices.Equal(f.Tools, q.Tools) && slices.Equal(f.users, own)
	})
	if i < 0 && len(b.facts) >= mostFacts { // too many to tell apart: of this model it may be anything
		if i = slices.IndexFunc(b.facts, func(f fact) bool { return f.model == m && f.Unknown }); i < 0 {
			b.facts = append(b.facts, fact{Features: unseen, Generates: true, Unknown: true, Temperature: -1, model: m})
			i = len(b.facts) - 1
			b.facts[i].of(m)
		}
	}
	if i < 0 {
		f := fact{Features: q.Features, Generates: q.Generates, Bound: q.OutputTokens, Temperature: q.Temperature, model: m}
		f.of(m)
		for _, t := range q.Tools {
			f.Tools = append(f.Tools, strings.Clone(t))
		}
		for _, u := range own {
			f.users = append(f.users, strings.Clone(u))
			f.Users = append(f.Users, x.g.pseudo.User(correction.FoldUser(u)))
		}
		b.facts = append(b.facts, f)
		i = len(b.facts) - 1
	}
	f := &b.facts[i]
	output := q.OutputTokens
	if output == 0 {
		f.Bound, output = 0, unboundedAsks
	} else if f.Bound > 0 {
		f.Bound = max(f.Bound, output)
	}
	if q.Temperature < 0 || f.Temperature < 0 {
		f.Temperature = -1
	} else {
		f.Temperature = max(f.Temperature, q.Temperature)
	}
	f.N++
	f.Input += q.InputTokens
	f.Output += output * max(min(q.Choices, 1<<10), 1)
	f.Context, f.Choices, f.Messages = max(f.Context, q.InputTokens), max(f.Choices, q.Choices), max(f.Messages, q.Messages)
	f.Reasoning, f.Effort = max(f.Reasoning, q.Reasoning), f.Effort || q.Effort
}
