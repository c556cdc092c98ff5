package front

import (
	"bufio"
	"errors"
	"net"
	"time"
)

// Hijack gives the connection to the handler, for another protocol than HTTP.
// What the handler has written must be nothing but a head of status 101, or
// nothing. The server still knows the connection: it counts as busy until the
// handler returns, is broken off when a Shutdown runs out of time, and is closed
// when the handler has returned. The request's context then ends with the
// handler, and no longer with the client.
func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c := w.c
	switch {
	case w.hijack:
		return nil, nil, errors.New("hijack connection: it was taken over before")
	case w.sent || len(w.buf) > 0 || w.status != 0 && w.status != 101:
		return nil, nil, errors.New("hijack connection: an answer has begun")
	case !w.r.Body.(*body).ended:
		return nil, nil, errors.New("hijack connection: the request has a body that was not read")
	}
	if !c.disarm() {
		return nil, nil, errors.New("hijack connection: the client has gone")
	}
	w.hijack = true
	if w.status == 101 {
		w.switching()
	}
	c.timed.Store(false)
	c.until, c.reads = time.Time{}, time.Time{}
	c.nc.SetDeadline(time.Time{})
	if _, err := c.nc.Write(w.head); err != nil {
		return nil, nil, err
	}
	w.head = nil
	return c.nc, bufio.NewReadWriter(c.r, bufio.NewWriterSize(c.nc, 4<<10)), nil
}

// switching writes the head of an answer by which the protocol changes.
func (w *response) switching() {
	b := append(w.head[:0], "HTTP/1.1 101 Switching Protocols\r\n"...)
	for k, vs := range w.header {
		for _, v := range vs {
			b = append(b, k...)
			b = append(b, ": "...)
			b = appendValue(b, v)
			b = append(b, crlf...)
		}
	}
	w.head = append(b, crlf...)
}
