package gateway

import (
	"errors"
	"io"
	"net/http"
	"strings"

	"andon/gateway/upstream"
	"andon/wire"
)

const streamBuffer = 8 << 10

// streams reports whether the answer is a stream of events, whatever its
// caller asked for.
func (x *exchange) streams(resp *http.Response) bool {
	if !answered(resp) {
		return false
	}
	const events = "text/event-stream"
	kind := resp.Header.Get("Content-Type")
	return len(kind) >= len(events) && strings.EqualFold(kind[:len(events)], events) || x.rt.Stream && !x.rt.SSE
}

// answered reports whether the provider did what it was asked, by its status.
func answered(resp *http.Response) bool { return resp.StatusCode/100 == 2 }

// stream brings back a stream, at the provider's pace. What has arrived of an
// event that is not complete waits for its rest: so the caller always stands
// at the end of an event, and a cut can end the stream in the wire's own words.
// The head goes out with the first event, for the same reason.
func (x *exchange) stream(c *call, conn *upstream.Conn, resp *http.Response) bool {
	if c.state.Load() != running {
		conn.Close()
		return false
	}
	if e := resp.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		// Nobody asked for it. Nothing in it could be judged, and it could not be ended in the wire's words.
		conn.Close()
		return x.deny(c, &reason{status: http.StatusBadGateway, code: "encoded_stream", detail: "the provider compressed its stream unasked"}, "")
	}
	if cap(x.buf) < streamBuffer || cap(x.buf) > 2*streamBuffer {
		x.buf = make([]byte, streamBuffer)
	}
	if broken := x.guard(c, x.under, &x.verdict); broken != nil {
		conn.Close()
		return x.deny(c, cannotLook(x.under, broken), "")
	}
	buf := x.buf[:cap(x.buf)]
	framer := wire.NewFramer(x.rt)
	metered := x.metered()
	flusher, _ := x.w.(http.Flusher)
	held, sent := 0, false // bytes of an incomplete event at the start of buf; whether any event went out
	stands := framer       // where the caller stands
	known := false         // whose answer it is, where it is fetched again
	for {
		n, err := resp.Body.Read(buf[held:])
		filtered := x.answer.filtered()
		if x.answer.under != x.g.current.Load() {
			x.reguard(c)
			filtered = filtered || x.answer.filtered()
		}
		before := framer
		if n > 0 {
			end := held + n
			ready := 0
			for at := held; at < end; {
				k := framer.Frame(buf[at:end])
				if k == 0 {
					break
				}
				at += k
				if metered {
					x.meter(&framer, buf[ready:at])
				}
				if x.begin.kind != "" && x.begin.work == nil {
					x.noteEvent(c, &framer, buf[ready:at])
				}
				if x.rt.Answers && !known {
					var why *reason
					if known, why = x.first(c, &framer, buf[ready:at]); why != nil && !sent {
						conn.Close()
						return x.deny(c, why, "")
					} else if why != nil {
						c.mark(cut, why)
						return x.broken(c, conn, &stands, sent, nil)
					}
					if !filtered && x.answer.filtered() {
						filtered = true
						x.answer.out = append(x.answer.out, buf[:ready]...)
					}
				}
				if filtered {
					x.write(c, buf[ready:at])
				}
				ready = at
			}
			out := buf[:ready]
			if filtered {
				out = x.answer.out
			}
			if len(out) > 0 {
				if x.pass(c, resp, flusher, out, !sent) {
					if !filtered || !sent {
						stands = framer
					}
					sent = true
				} else if !filtered {
					stands = before
				}
			}
			x.answer.out = x.answer.out[:0]
			held = copy(buf, buf[ready:end])
			if held == len(buf) {
				if len(buf) >= maxEvent {
					err = errors.New("one event exceeds 16 MiB")
				} else {
					buf = append(buf, make([]byte, len(buf))...)
				}
			}
		}
		if err == io.EOF && filtered && x.answer.hit == nil && c.state.Load() == running {
			x.finish(c, buf[:held])
			held = 0
			if out := x.answer.out; len(out) > 0 && x.pass(c, resp, flusher, out, !sent) {
				sent = true
			}
			x.answer.out = x.answer.out[:0]
		}
		if hit := x.answer.hit; hit != nil && c.state.Load() == running {
			why := x.found(x.answer.under, x.answer.hitter, hit)
			if !sent {
				conn.Close()
				return x.deny(c, why, x.instead(c, x.answer.hitter, hit))
			}
			c.mark(cut, why)
			return x.broken(c, conn, &stands, sent, nil)
		}
		if err == nil && c.state.Load() == running {
			continue
		}
		if err == io.EOF && c.state.CompareAndSwap(running, done) {
			conn.Release(resp)
			x.over()
			if !sent {
				x.copyHead(resp, -1)
			}
			x.w.Write(buf[:held])
			x.g.metrics.outcome(x, "ok")
			return true
		}
		return x.broken(c, conn, &stands, sent, err)
	}
}

// first looks at the first event that carries something of a stream that is
// fetched again, for whose it is. It reports whether this is that event.
func (x *exchange) first(c *call, framer *wire.Framer, event []byte) (bool, *reason) {
	data, ok := framer.Data(event, x.scratch[:0])
	if !ok {
		return false, nil
	}
	why := x.retrieved(c, data, true)
	if why == nil {
		x.reguard(c)
	}
	return true, why
}

// deny keeps an answer from its caller, who has seen nothing of it yet: it is
// refused, or another model serves. It returns what forward returns then.
func (x *exchange) deny(c *call, why *reason, fallback string) bool {
	x.late, x.lateFallback = why, fallback
	return false
}

// pass sends whole events on, unless the call was ended. It reports whether
// it did. From the first one on, a sweep may end the stream.
func (x *exchange) pass(c *call, resp *http.Response, flusher http.Flusher, events []byte, first bool) bool {
	c.out.Lock()
	defer c.out.Unlock()
	if c.state.Load() != running {
		return false
	}
	if first {
		x.copyHead(resp, -1)
		x.keepOnly() // until now it could have been asked again
	}
	x.deadline(c)
	if _, err := x.w.Write(events); err != nil {
		c.depart()
	}
	flusher.Flush()
	if first && x.rt.SSE {
		c.sink, _ = x.w.(ender)
	}
	return true
}

// broken ends a stream that did not come to its own end. Before the first
// event nothing has been said yet, and the call can be answered afresh.
func (x *exchange) broken(c *call, conn *upstream.Conn, framer *wire.Framer, sent bool, err error) bool {
	switch {
	case !sent:
		conn.Close()
		if !c.state.CompareAndSwap(running, done) {
			return false
		}
		x.g.metrics.upstreamErrors.Inc()
		x.fail(&wire.Problem{Status: http.StatusBadGateway, Code: "upstream_broke_off", Title: "Upstream failed",
			Detail: "the provider broke off before the first event of its stream", Retry: true})
		return true
	case c.state.CompareAndSwap(running, done):
		// The provider broke off: so the caller sees, too.
		conn.Close()
		x.g.metrics.upstreamErrors.Inc()
		x.g.log.Warn("upstream broke off in mid-stream", "request", x.id, "upstream", c.model.Upstream, "error", err)
		panic(http.ErrAbortHandler)
	case c.state.Load() == gone:
		conn.Close()
		x.g.metrics.outcome(x, "client_gone")
		panic(http.ErrAbortHandler)
	}
	p := x.g.problem(c, c.why.Load())
	c.out.Lock()
	told := c.told
	c.sink = nil
	c.out.Unlock()
	if !told {
		x.head = framer.AppendEnd(x.head[:0], x.wr, x.rt, p)
		x.deadline(c)
		x.w.Write(x.head)
		x.w.(http.Flusher).Flush()
	}
	conn.Close()
	c.state.Store(done)
	x.g.metrics.outcome(x, "cut")
	x.g.record(x, c, "cut", p.Status, p.Corrections)
	return true
}

// keepOnly lets go of what a stream does not need any more: its request may
// have been large, and it may run for an hour.
func (x *exchange) keepOnly() {
	if cap(x.body) > streamBuffer {
		x.body, x.env = nil, wire.Envelope{} // which refers to it
	}
	if cap(x.sent) > streamBuffer {
		x.sent = nil
	}
	x.head = nil
}

// meter counts the tokens of one event.
func (x *exchange) meter(framer *wire.Framer, event []byte) {
	data, ok := framer.Data(event, x.scratch[:0])
	if !ok {
		return
	}
	x.counted++
	x.wr.Usage(x.rt, data, &x.usage)
	x.follow(data)
}
