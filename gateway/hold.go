package gateway

import (
	"strconv"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"andon/bus"
	"andon/correction"
	"andon/order"
)

const (
	holdFor   = 2 * time.Minute // then nobody has decided, and the call is refused
	holdAgain = 2 * time.Second // how often a held call is told of
	mostHolds = 1000            // calls held at once; one more is refused
	mostShown = 1000            // bytes of an excerpt
)

// holds are the calls that wait for a person.
type holds struct {
	mu      sync.Mutex
	n       uint64
	waiting map[string]chan bool
}

// listen takes decisions in. They may let a call pass, so each is signed, and
// counts once, for a call that waits here.
func (h *holds) listen(g *Gateway, b Bus) (func(), error) {
	return b.Subscribe(order.SubjectRelease, func(m bus.Msg) {
		r, err := order.OpenRelease(m.Data, g.agent.follower.Trust())
		if err != nil {
			g.log.Warn("a decision about a held call is not taken", "error", err)
			return
		}
		if r.Gateway == g.cfg.Name {
			h.settle(r.Hold, r.Let)
		}
	})
}

func (h *holds) settle(id string, let bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if ch := h.waiting[id]; ch != nil {
		delete(h.waiting, id)
		ch <- let
	}
}

func (h *holds) enter(prefix string) (id string, ch chan bool, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.waiting) >= mostHolds {
		return "", nil, false
	}
	if h.waiting == nil {
		h.waiting = map[string]chan bool{}
	}
	h.n++
	id, ch = "h-"+prefix+"-"+strconv.FormatUint(h.n, 36), make(chan bool, 1)
	h.waiting[id] = ch
	return id, ch, true
}

func (h *holds) leave(id string) {
	h.mu.Lock()
	delete(h.waiting, id)
	h.mu.Unlock()
}

// await holds the call until a person lets it go on. It reports false if the
// person did not, if nobody decided in time, if nobody can be asked, or if the
// call was ended meanwhile.
func (x *exchange) await(c *call, rule *correction.Rule, direction string, excerpt []byte) bool {
	g := x.g
	if g.cfg.Bus == nil {
		return false
	}
	id, ch, ok := g.holds.enter(x.id)
	if !ok {
		return false
	}
	defer g.holds.leave(id)
	now := time.Now()
	data, err := json.Marshal(order.Hold{ID: id, Gateway: g.cfg.Name, RequestID: x.id, Correction: rule.Correction.ID, Direction: direction,
		Since: now, Until: now.Add(holdFor), Model: c.req.Model, Org: c.req.Org, Key: c.req.Key, User: g.pseudo.User(first(c.req.Users)),
		Excerpt: printableText(excerpt, mostShown)})
	if err != nil {
		return false
	}
	ctx, stop := c.wait(x.r.Context())
	defer stop()
	end := time.NewTimer(holdFor)
	defer end.Stop()
	again := time.NewTicker(holdAgain)
	defer again.Stop()
	for {
		g.cfg.Bus.Publish(order.SubjectHold, data)
		select {
		case let := <-ch:
			return let && c.state.Load() == running
		case <-again.C:
		case <-end.C:
			return false
		case <-ctx.Done():
			if x.r.Context().Err() != nil {
				c.depart()
			}
			return false
		}
	}
}

// printableText bounds a text that a model or a caller wrote, and takes out of
// it what a terminal would obey.
func printableText(b []byte, most int) string {
	if len(b) > most {
		b = b[:most]
	}
	out := make([]rune, 0, len(b))
	for _, r := range string(b) {
		if r < ' ' && r != '\n' || r >= 0x7f && r < 0xa0 || r == 0xfffd || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			r = '?'
		}
		out = append(out, r)
	}
	return string(out)
}
