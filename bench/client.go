package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// client is one kept connection of the load generator. It speaks just enough
// HTTP/1.1 to know where an answer ends, because what it costs is taken from
// the two cores that the measured proxy runs on.
type client struct {
	nc   net.Conn
	buf  []byte
	r, w int
}

const patience = 30 * time.Second

func dial(addr string) (*client, error) {
	nc, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return nil, err
	}
	return &client{nc: nc, buf: make([]byte, 8<<10)}, nil
}

func (c *client) close() { c.nc.Close() }

// request renders a call once, to be sent many times.
func request(path, key, body string) []byte {
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: model.example\r\nUser-Agent: andon-bench\r\nAccept: application/json\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		path, key, len(body), body)
}

// fill reads more. It makes room first if there is none.
func (c *client) fill() error {
	if c.r == c.w {
		c.r, c.w = 0, 0
	}
	if c.w == len(c.buf) {
		if c.r > 0 {
			c.w = copy(c.buf, c.buf[c.r:c.w])
			c.r = 0
		} else {
			c.buf = append(c.buf, make([]byte, len(c.buf))...)
		}
	}
	n, err := c.nc.Read(c.buf[c.w:])
	c.w += n
	if n > 0 {
		return nil
	}
	return err
}

// head is what counts of an answer's head.
type head struct {
	status  int
	length  int // -1: not told
	chunked bool
}

var (
	headEnd = []byte("\r\n\r\n")
	nameLen = []byte("content-length: ")
	nameTE  = []byte("transfer-encoding: chunked")
)

// receive reads the head of an answer.
func (c *client) receive() (h head, err error) {
	at := 0
	for {
		if i := bytes.Index(c.buf[c.r+at:c.w], headEnd); i >= 0 {
			h, err = parseHead(c.buf[c.r : c.r+at+i+2])
			c.r += at + i + len(headEnd)
			return h, err
		}
		at = max(0, c.w-c.r-3)
		if err := c.fill(); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return h, fmt.Errorf("read head: %w", err)
		}
	}
}

func parseHead(b []byte) (head, error) {
	h := head{length: -1}
	if len(b) < 14 {
		return h, errors.New("read head: too short")
	}
	var err error
	if h.status, err = strconv.Atoi(string(b[9:12])); err != nil {
		return h, fmt.Errorf("read status: %w", err)
	}
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n')
		line := b[:max(0, i-1)]
		b = b[i+1:]
		switch {
		case len(line) > len(nameLen) && bytes.EqualFold(line[:len(nameLen)], nameLen):
			if h.length, err = strconv.Atoi(string(line[len(nameLen):])); err != nil {
				return h, fmt.Errorf("read length: %w", err)
			}
		case len(line) == len(nameTE) && bytes.EqualFold(line, nameTE):
			h.chunked = true
		}
	}
	return h, nil
}

// call sends a rendered request and reads its answer to the end. An answer
// that is no 200 is an error that holds its body.
func (c *client) call(req []byte) error {
	if _, err := c.nc.Write(req); err != nil {
		return err
	}
	h, err := c.receive()
	if err != nil {
		return err
	}
	if h.status != 200 {
		return c.refused(h)
	}
	return c.body(h, nil)
}

// status sends a rendered request and returns its answer's status.
func (c *client) status(req []byte) (int, error) {
	if _, err := c.nc.Write(req); err != nil {
		return 0, err
	}
	h, err := c.receive()
	if err != nil {
		return 0, err
	}
	return h.status, c.body(h, nil)
}

func (c *client) refused(h head) error {
	var said []byte
	err := c.body(h, func(p []byte) { said = append(said, p...) })
	if len(said) > 400 {
		said = said[:400]
	}
	return errors.Join(fmt.Errorf("answered %d: %s", h.status, said), err)
}

// body hands on the pieces of an answer's body as they come, to its end.
func (c *client) body(h head, take func([]byte)) error {
	if h.chunked {
		for {
			p, err := c.chunk(take)
			if err != nil || p == 0 {
				return err
			}
		}
	}
	if h.length < 0 {
		return errors.New("read body: neither a length nor chunks")
	}
	return c.pass(h.length, take)
}

// pass hands on exactly n bytes.
func (c *client) pass(n int, take func([]byte)) error {
	for n > 0 {
		if c.r == c.w {
			if err := c.fill(); err != nil {
				return fmt.Errorf("read body: %w", err)
			}
		}
		k := min(n, c.w-c.r)
		if take != nil {
			take(c.buf[c.r : c.r+k])
		}
		c.r += k
		n -= k
	}
	return nil
}

// chunk hands on one chunk, and returns its size; 0 is the end of the body.
func (c *client) chunk(take func([]byte)) (int, error) {
	for {
		i := bytes.IndexByte(c.buf[c.r:c.w], '\n')
		if i < 0 {
			if err := c.fill(); err != nil {
				return 0, fmt.Errorf("read chunk: %w", err)
			}
			continue
		}
		n, err := strconv.ParseUint(string(bytes.TrimSpace(c.buf[c.r:c.r+i])), 16, 31)
		if err != nil {
			return 0, fmt.Errorf("read chunk: %w", err)
		}
		c.r += i + 1
		if err := c.pass(int(n), take); err != nil {
			return 0, err
		}
		return int(n), c.pass(2, nil) // its line end; no trailers are expected
	}
}

// events counts the events of a stream, which end with an empty line, however
// it is cut into pieces.
type events struct {
	n       int
	newline bool // the last byte seen was one
}

func (e *events) take(p []byte) {
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		switch {
		case i < 0:
			e.newline = false
			return
		case i == 0 && e.newline:
			e.n++
			e.newline = false
		default:
			e.newline = true
		}
		p = p[i+1:]
	}
}

// stream sends a rendered request and counts the events of its answer.
func (c *client) stream(req []byte) (int, error) {
	if _, err := c.nc.Write(req); err != nil {
		return 0, err
	}
	h, err := c.receive()
	if err != nil {
		return 0, err
	}
	if h.status != 200 {
		return 0, c.refused(h)
	}
	var e events
	err = c.body(h, e.take)
	return e.n, err
}

// exchange sends a rendered request and returns its answer.
func (c *client) exchange(req []byte) (status int, body []byte, err error) {
	if _, err := c.nc.Write(req); err != nil {
		return 0, nil, err
	}
	h, err := c.receive()
	if err != nil {
		return 0, nil, err
	}
	err = c.body(h, func(p []byte) { body = append(body, p...) })
	return h.status, body, err
}
