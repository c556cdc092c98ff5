package control

import (
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"andon/ledger"
)

// hubRoom is how many messages a watcher may be behind before it is dropped. It
// comes back with the id of the last one it saw, and misses nothing.
const hubRoom = 1024

// maxEventBody is the largest body told in an event; a larger one is left out,
// and found in the ledger.
const maxEventBody = 64 << 10

// hub tells watchers what happens. It never waits for them.
type hub struct {
	mu       sync.Mutex
	watchers map[*watcher]bool
}

type watcher struct {
	messages chan message
	dropped  chan struct{} // closed when it was too slow
}

// message is one event: of the ledger, with its seq as id, or in passing.
type message struct {
	entry   bool
	id      uint64
	name    string
	data    any
	body    jsontext.Value // of the entry, whole
	encoded []byte
}

func newHub() *hub { return &hub{watchers: map[*watcher]bool{}} }

func (h *hub) watch() *watcher {
	w := &watcher{messages: make(chan message, hubRoom), dropped: make(chan struct{})}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.watchers[w] = true
	return w
}

func (h *hub) leave(w *watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.watchers, w)
}

func (h *hub) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.watchers)
}

func (h *hub) send(m message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.watchers) == 0 {
		return
	}
	if err := m.encode(); err != nil {
		return
	}
	for w := range h.watchers {
		select {
		case w.messages <- m:
		default:
			delete(h.watchers, w)
			close(w.dropped)
		}
	}
}

func (m *message) encode() (err error) {
	m.encoded, err = json.Marshal(m.data)
	return err
}

func (h *hub) entry(e ledger.Entry) { h.send(entryMessage(e)) }

// entryEvent is a ledger entry as an event.
type entryEvent struct {
	Seq   uint64         `json:"seq"`
	At    time.Time      `json:"at"`
	Type  string         `json:"type"`
	Actor string         `json:"actor"`
	Body  jsontext.Value `json:"body,omitempty"`
	Large bool           `json:"body_left_out,omitempty"` // it is in the ledger
}

func entryMessage(e ledger.Entry) message {
	v := entryEvent{Seq: e.Seq, At: e.At.UTC(), Type: e.Type, Actor: e.Actor, Body: e.Body}
	if len(e.Body) > maxEventBody {
		v.Body, v.Large = nil, true
	}
	return message{entry: true, id: e.Seq, name: e.Type, data: v, body: e.Body}
}
