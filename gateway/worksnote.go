package gateway

import (
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"andon/correction"
	"andon/gateway/upstream"
	"andon/order"
	"andon/wire"
	"andon/wire/wires"
)

// begunAnswer is what an answer says of what it has begun, or of where something
// stands: the members that OpenAI, Anthropic and Google have for it.
type begunAnswer struct {
	ID         jsontext.Value `json:"id"`
	Name       jsontext.Value `json:"name"`
	Status     jsontext.Value `json:"status"`
	Processing jsontext.Value `json:"processing_status"`
	State      jsontext.Value `json:"state"`
	Done       jsontext.Value `json:"done"`
	Thread     jsontext.Value `json:"thread_id"`
	Output     jsontext.Value `json:"output_file_id"`
	Errors     jsontext.Value `json:"error_file_id"`
	Metadata   jsontext.Value `json:"metadata"`
	Response   jsontext.Value `json:"response"`
	File       jsontext.Value `json:"file"`
	Session    jsontext.Value `json:"session"`
}

var lenient = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

func readBegun(data []byte) (a begunAnswer, ok bool) {
	if json.Unmarshal(data, &a, lenient) != nil {
		return a, false
	}
	for _, inner := range [...]jsontext.Value{a.Response, a.File, a.Session} { // an event, an upload's answer, a secret's
		if a.ID == nil && a.Name == nil && inner.Kind() == '{' {
			return readBegun(inner)
		}
	}
	return a, true
}

func plainWord(v jsontext.Value) string {
	var s string
	if v.Kind() != '"' || json.Unmarshal(v, &s, lenient) != nil || len(s) > 256 {
		return ""
	}
	return s
}

// status is the provider's word for where it stands.
func (a *begunAnswer) status() string {
	for _, v := range [...]jsontext.Value{a.Processing, a.Status, a.State} {
		if s := plainWord(v); s != "" {
			return s
		}
	}
	var meta struct {
		State jsontext.Value `json:"state"`
	}
	if a.Metadata.Kind() == '{' && json.Unmarshal(a.Metadata, &meta, lenient) == nil && plainWord(meta.State) != "" {
		return plainWord(meta.State)
	}
	if string(a.Done) == "true" {
		return "done"
	}
	return ""
}

// stateOf is what a provider's word means.
func stateOf(status string) string {
	s := strings.ToLower(status)
	s = strings.TrimPrefix(strings.TrimPrefix(s, "job_state_"), "batch_state_")
	switch s {
	case "completed", "succeeded", "failed", "expired", "incomplete", "ended", "error", "errored", "done", "processed":
		return order.WorkEnded
	case "cancelled", "canceled":
		return order.WorkCancelled
	case "idle", "paused", "archived":
		return order.WorkKept
	case "cancelling", "canceling":
		return order.WorkCancelling
	}
	return order.WorkRunning
}

// begun notes what the call has begun, as its answer, or the first event of it,
// says.
func (x *exchange) begun(c *call, data []byte) {
	b := &x.begin
	var a begunAnswer
	id := ""
	if b.kind == kindResponse { // which may be long, and is not read whole
		var o wire.Outcome
		x.wr.Outcome(x.rt, data, &o)
		id = o.ID
	} else if a, _ = readBegun(data); true {
		if id = plainWord(a.ID); id == "" {
			id = plainWord(a.Name)
		}
	}
	if id == "" || len(id) > 512 || c.model == nil {
		return
	}
	x.keepCount()
	g, now := x.g, time.Now().UTC()
	w := &job{Wire: x.wr.Name(), Screened: b.screened, Tier: c.req.Tier, Surface: c.req.Surface, Country: c.req.Country,
		Attributes: slices.Clone(c.req.Attributes), UseCases: cloneAll(c.req.UseCases)}
	w.Work = order.Work{ID: id, Kind: b.kind, Gateway: g.cfg.Name, Upstream: c.model.Upstream, API: x.rt.API, Org: c.req.Org, Key: c.req.Key,
		RequestID: x.id, Created: now, Changed: now, State: order.WorkKept, Status: a.status(), AnyModel: b.any}
	for _, u := range c.req.Users {
		w.users = append(w.users, u)
		w.Users = append(w.Users, g.pseudo.User(correction.FoldUser(u)))
	}
	if w.Facts = b.facts; len(w.Facts) == 0 {
		for _, o := range append([]*model{c.model}, c.others...) {
			if o.account {
				continue
			}
			f := fact{Features: c.req.Features, Tools: cloneAll(c.req.Tools), Generates: c.req.Generates, N: 1, Temperature: c.req.Temperature,
				Context: c.req.InputTokens, Bound: c.req.OutputTokens, Choices: c.req.Choices, Messages: c.req.Messages, Reasoning: c.req.Reasoning, Effort: c.req.Effort}
			f.Features &^= correction.FineTuneServe
			f.of(o)
			w.Facts = append(w.Facts, f)
		}
		w.AnyModel = len(w.Facts) > 0 && c.model.account && len(x.env.Others) == 0
	}
	for i := range w.Facts {
		if name := w.Facts[i].Model; name != "" && !slices.Contains(w.Models, name) {
			w.Models = append(w.Models, name)
		}
	}
	switch b.kind {
	case kindFile, kindResponse, kindCache:
	default:
		w.State = stateOf(w.Status)
		w.Own = c.model.key != "" || g.cfg.Identity.Mode == "keys" // or no credential travels at all
		w.Beta = strings.Join(x.r.Header["Anthropic-Beta"], ",")
		w.Query = wires.WithoutKey(x.r.URL.RawQuery)
		w.Read, w.Cancel = x.paths(id, plainWord(a.Thread), w.Query)
		if w.Status == "" && w.Cancel == "" && b.kind == kindRun {
			w.State = order.WorkKept // something that can be run, and does not
		}
	}
	b.work = w
	g.works.put(w)
	g.works.disk.save(g.works, w)
}

func cloneAll(list []string) (out []string) {
	for _, s := range list {
		out = append(out, strings.Clone(s))
	}
	return out
}

// paths are where the provider tells of what has begun, and where it is
// cancelled; "" where it has no call for it, as far as the routes know that are
// documented.
func (x *exchange) paths(id, thread, query string) (read, cancel string) {
	path := x.r.URL.EscapedPath()
	header := func(name string) string {
		if x.wr.Name() == "anthropic" && name == "anthropic-version" {
			return "2023-06-01"
		}
		return ""
	}
	known := func(method, path string) bool {
		rt, ok := x.wr.Match(method, path, query, header)
		return ok && rt.Op == wire.OpStored && rt.Body == wire.BodyNone
	}
	if x.wr.Name() == "gemini" {
		version, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
		read = "/" + version + "/" + id
		if strings.HasSuffix(path, "/interactions") {
			read = path + "/" + id
		}
	} else if thread != "" && strings.HasSuffix(path, "/threads/runs") {
		read = strings.TrimSuffix(path, "runs") + thread + "/runs/" + id
	} else {
		read = path + "/" + id
	}
	for _, try := range [...]string{read + ":cancel", read + "/cancel"} {
		if cancel == "" && known("POST", try) {
			cancel = try
		}
	}
	if cancel == "" && x.rt.API == "openai.evals" && known("POST", read) {
		cancel = read // of a run of an eval it is the way to cancel it
	}
	if !known("GET", read) {
		read = ""
	}
	return read, cancel
}

// seen notes where something stands that the call asked after, or that it ended.
func (x *exchange) seen(data []byte) {
	w := x.begin.about
	if x.r.Method == "DELETE" {
		x.g.works.forget(w)
		return
	}
	if x.r.Method == "GET" && !w.asked(x.r.URL.Path) && x.rt.Answers && w.Kind != kindBackground {
		return // what it holds, and not where it stands
	}
	if a, ok := readBegun(data); ok && (plainWord(a.ID) == w.ID || plainWord(a.Name) == w.ID) {
		x.g.works.stands(w, &a)
	}
}

func (w *job) asked(path string) bool { return w.Read != "" && path == w.Read }

// stands takes over where the provider says that a work stands.
func (s *works) stands(w *job, a *begunAnswer) {
	status := a.status()
	for _, v := range [...]jsontext.Value{a.Output, a.Errors} {
		if id := plainWord(v); id != "" && s.find(w.Upstream, id) == nil {
			out := &job{Wire: w.Wire, Facts: w.Facts, Tier: w.Tier, Surface: w.Surface, Country: w.Country, Attributes: w.Attributes, UseCases: w.UseCases, users: w.users}
			s.mu.Lock()
			out.Work = w.Work
			s.mu.Unlock()
			out.ID, out.Kind, out.State, out.Status, out.Stop, out.Correction, out.Error, out.Attempts = id, kindFile, order.WorkKept, "", "", "", "", 0
			s.put(out)
			s.disk.save(s, out)
		}
	}
	s.mu.Lock()
	same := status == "" || status == w.Status || w.State == order.WorkKept
	s.mu.Unlock()
	if same {
		return
	}
	s.change(w, func() {
		state := stateOf(status)
		if state == order.WorkEnded && w.State == order.WorkCancelling {
			state = order.WorkCancelled // Anthropic's batches end in either case
		}
		w.State, w.Status = state, status
		if w.over() && (w.Stop == order.StopPending || w.Stop == order.StopFailing) {
			w.Stop, w.Error = order.StopEnded, ""
			if state == order.WorkCancelled {
				w.Stop = order.StopCancelled
			}
		}
	})
}

// beginTime is how long a provider may take to say what it has begun.
const beginTime = 2 * time.Minute

// hold gives the call its connection, unless the call outlives it. It reports
// false if the call was ended meanwhile.
func (x *exchange) hold(c *call, conn *upstream.Conn) bool {
	if !x.begin.detached {
		return c.hold(conn)
	}
	if x.begin.timer != nil {
		x.begin.timer.Stop()
	}
	x.begin.timer = time.AfterFunc(beginTime, conn.Interrupt)
	return c.state.Load() == running
}

// note notes what a plain answer says of works.
func (x *exchange) note(c *call, data []byte) {
	if x.begin.about != nil {
		x.seen(data)
	}
	if x.begin.kind != "" {
		x.begun(c, data)
	}
}

// noteEvent notes what the first event of a stream says that it has begun.
func (x *exchange) noteEvent(c *call, framer *wire.Framer, event []byte) {
	if data, ok := framer.Data(event, x.scratch[:0]); ok {
		x.begun(c, data)
	}
}

// over notes that what went on in the background has come to its end before the
// eyes of its caller.
func (x *exchange) over() {
	if w := x.begin.work; w != nil && w.Kind == kindBackground {
		x.g.works.change(w, func() {
			if !w.over() {
				w.State, w.Status = order.WorkEnded, "completed"
			}
		})
	}
}

// substitutes reports whether another model can take the place of the one that
// is asked: to make an answer, and not to make something of that very model.
func (x *exchange) substitutes() bool {
	switch x.rt.Op {
	case wire.OpGenerate, wire.OpEmbed, wire.OpCountTokens, wire.OpTranscribe, wire.OpSpeech, wire.OpImage, wire.OpModerate:
		return true
	}
	return x.rt.Upgrade // a session is made of answers
}
