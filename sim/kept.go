package sim

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// mostKept bounds what is kept of each kind; the oldest makes room.
const mostKept = 10_000

// kept is what a provider goes on with, or keeps, after it has answered: a
// file, a batch, a fine-tuning job, a response. Its state follows from the clock:
// it runs for as long as saying its longest answer takes, unless it is cancelled.
type kept struct {
	id      string
	kind    string // as in its path: "files", "batches", "fine_tuning/jobs", "responses", "messages/batches"
	created time.Time
	takes   time.Duration
	show    func(k *kept, st standing) any // the object as it stands

	data []byte // a file's content, or what a batch results in

	mu        sync.Mutex
	cancelled time.Time
}

// standing is where a kept thing stands at one moment.
type standing struct {
	running   bool
	cancelled bool
	asked     bool      // its cancellation has just been asked for
	ended     time.Time // zero while it runs
}

func (k *kept) at(now time.Time) standing {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch end := k.created.Add(k.takes); {
	case !k.cancelled.IsZero():
		return standing{cancelled: true, ended: k.cancelled}
	case now.Before(end):
		return standing{running: true}
	default:
		return standing{ended: end}
	}
}

// cancel ends it, and reports whether it ran.
func (k *kept) cancel(now time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.cancelled.IsZero() || !now.Before(k.created.Add(k.takes)) {
		return false
	}
	k.cancelled = now
	return true
}

// shelf is all that a Sim keeps.
type shelf struct {
	mu    sync.Mutex
	kinds map[string][]*kept // the oldest first
}

func (s *shelf) put(k *kept) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kinds == nil {
		s.kinds = map[string][]*kept{}
	}
	list := s.kinds[k.kind]
	if len(list) >= mostKept {
		list = slices.Delete(list, 0, len(list)-mostKept+1)
	}
	s.kinds[k.kind] = append(list, k)
}

func (s *shelf) find(kind, id string) *kept {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range slices.Backward(s.kinds[kind]) {
		if k.id == id {
			return k
		}
	}
	return nil
}

func (s *shelf) remove(k *kept) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kinds[k.kind] = slices.DeleteFunc(s.kinds[k.kind], func(x *kept) bool { return x == k })
}

func (s *shelf) list(kind string) []*kept {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.kinds[kind])
}

func (s *shelf) reset() {
	s.mu.Lock()
	s.kinds = nil
	s.mu.Unlock()
}

// keptKinds are the paths below /v1 that keep things.
var keptKinds = []string{"files", "batches", "fine_tuning/jobs", "responses", "messages/batches"}

// stored serves what is kept. It reports whether it knows the route.
func (c *call) stored(path string) bool {
	rest, ok := strings.CutPrefix(path, "/v1/")
	if !ok {
		return false
	}
	for _, kind := range keptKinds {
		if rest == kind {
			return c.collection(kind)
		}
		if below, ok := strings.CutPrefix(rest, kind+"/"); ok {
			id, verb, _ := strings.Cut(below, "/")
			return c.one(kind, id, verb)
		}
	}
	return false
}

func (c *call) collection(kind string) bool {
	switch {
	case c.r.Method == http.MethodPost && kind == "files":
		c.upload()
	case c.r.Method == http.MethodPost && kind == "batches":
		c.newBatch()
	case c.r.Method == http.MethodPost && kind == "fine_tuning/jobs":
		c.newJob()
	case c.r.Method == http.MethodPost && kind == "messages/batches":
		c.newMessageBatch()
	case c.r.Method == http.MethodGet && kind != "responses":
		list := struct {
			Object string `json:"object"`
			Data   []any  `json:"data"`
			More   bool   `json:"has_more"`
		}{"list", []any{}, false}
		for _, k := range slices.Backward(c.sim.shelf.list(kind)) {
			list.Data = append(list.Data, k.show(k, k.at(c.at)))
		}
		c.reply(list)
	default:
		return false
	}
	return true
}

// one serves one kept thing.
func (c *call) one(kind, id, verb string) bool {
	method := c.r.Method
	known := method == http.MethodGet && verb == "" || method == http.MethodDelete && verb == "" && kind != "batches" && kind != "fine_tuning/jobs" ||
		method == http.MethodPost && verb == "cancel" && kind != "files" || method == http.MethodGet && verb == "content" && kind == "files" ||
		method == http.MethodGet && verb == "results" && kind == "messages/batches"
	if !known {
		return false
	}
	k := c.sim.shelf.find(kind, c.segment(id))
	if k == nil {
		c.refuse(http.StatusNotFound, "No such object: "+shorten(id))
		return true
	}
	st := k.at(c.at)
	switch {
	case verb == "cancel":
		if !k.cancel(c.at) {
			c.refuse(http.StatusConflict, "It has ended already and cannot be cancelled.")
			return true
		}
		st = standing{cancelled: true, asked: true, ended: c.at}
	case verb == "results" && st.running:
		c.refuse(http.StatusBadRequest, "The batch is still in progress.")
		return true
	case verb != "":
		c.ended(endComplete)
		c.send(http.StatusOK, typeLines, k.data)
		return true
	case method == http.MethodDelete:
		c.sim.shelf.remove(k)
		c.reply(map[string]any{"id": k.id, "deleted": true})
		return true
	}
	c.reply(k.show(k, st))
	return true
}

var typeLines = []string{"application/octet-stream"}

// reply answers with an object.
func (c *call) reply(v any) {
	b, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		c.refuse(http.StatusInternalServerError, err.Error())
		return
	}
	c.ended(endComplete)
	c.send(http.StatusOK, typeJSON, b)
}

// unix is a time as OpenAI writes it, null if it is none.
func unix(t time.Time) jsontext.Value {
	if t.IsZero() {
		return jsontext.Value("null")
	}
	b, _ := json.Marshal(t.Unix())
	return b
}

func (c *call) newID(prefix string) string { return string(appendID(nil, prefix, c.seq)) }

// lasts is how long saying an answer takes.
func (d *Directive) lasts(tokens int) time.Duration {
	return d.First + time.Duration(tokens)*d.Interval
}
