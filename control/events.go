package control

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"andon/ledger"
)

const (
	heartbeat    = 15 * time.Second // a comment, so that proxies keep the stream and a dead peer is noticed
	eventTimeout = 10 * time.Second // for one write; who is slower is dropped
)

// getEvents streams what happens: ledger entries, each with its seq as id, and
// in passing, without id, acknowledgements and changes of points. Last-Event-ID
// takes the thread up again after that entry; without it the stream begins now.
// Entries of incidents that the operator may not know of are left out.
func (c *Control) getEvents(cl *call) error {
	if err := cl.op.may("event.read"); err != nil {
		return err
	}
	c.mu.RLock() // entries are told under mu: none is missed, none comes twice
	size := c.state.size
	w := c.hub.watch()
	c.mu.RUnlock()
	defer c.hub.leave(w)

	from := size
	if last := cl.r.Header.Get("Last-Event-ID"); last != "" {
		n, err := strconv.ParseUint(last, 10, 64)
		if err != nil || n >= size {
			p := problem("invalid_header", fmt.Sprintf("Last-Event-ID %q is not the number of an entry; the ledger has %d", short(last), size))
			p.Field = "Last-Event-ID"
			return p
		}
		from = n + 1
	}
	s := &stream{w: cl.w, rc: http.NewResponseController(cl.w)}
	// The server's ReadTimeout would end the stream: it watches the connection.
	if err := s.rc.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	h := cl.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	cl.w.WriteHeader(http.StatusOK)
	if cl.r.Method == http.MethodHead {
		return nil
	}
	if err := s.write(": andon\nretry: 1000\n\n"); err != nil {
		return nil
	}
	if err := c.catchUpWatcher(cl.r.Context(), cl.op, s, from, size); err != nil {
		c.log.Info("an event stream ended early", "operator", cl.op.id, "error", err)
		return nil
	}
	c.follow(cl.r.Context(), cl.op, s, w)
	return nil // the answer has begun: there is no other way to say anything now
}

func (c *Control) catchUpWatcher(ctx context.Context, op *operator, s *stream, from, to uint64) error {
	if from >= to {
		return nil
	}
	return c.cfg.Log.Read(ctx, from, to, func(e ledger.Entry) error {
		select {
		case <-c.stopping:
			return errors.New("the control plane is stopping")
		default:
		}
		m := entryMessage(e)
		if err := m.encode(); err != nil {
			return err
		}
		if !c.tells(op, &m) {
			return nil
		}
		return s.event(m)
	})
}

func (c *Control) follow(ctx context.Context, op *operator, s *stream, w *watcher) {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-c.stopping:
			return
		case <-w.dropped:
			return // it comes back with Last-Event-ID
		case m := <-w.messages:
			if c.gone(op) { // it was revoked, perhaps by this very entry
				return
			}
			if c.tells(op, &m) {
				err = s.event(m)
			}
		case <-beat.C:
			if c.gone(op) { // its time is over
				return
			}
			err = s.write(":\n\n")
		}
		if err != nil {
			return
		}
	}
}

// stream writes server-sent events.
type stream struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

// event writes one message. Its data is JSON, so it has no line breaks.
func (s *stream) event(m message) error {
	id := ""
	if m.entry {
		id = "id: " + strconv.FormatUint(m.id, 10) + "\n"
	}
	return s.write(id + "event: " + m.name + "\ndata: " + string(m.encoded) + "\n\n")
}

func (s *stream) write(text string) error {
	if err := s.rc.SetWriteDeadline(time.Now().Add(eventTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := s.w.Write([]byte(text)); err != nil {
		return err
	}
	return s.rc.Flush()
}
