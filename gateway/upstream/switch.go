package upstream

import (
	"errors"
	"fmt"
	"io"
	"net/http"
)

// Switch sends the head of a request that asks for another protocol and reads
// the head of the answer. With status 101 the connection speaks that protocol
// from here on: the answer's body is an io.ReadWriteCloser, and the Conn cannot be
// released any more. With any other status it is an answer like those of
// Receive.
func (c *Conn) Switch(head []byte) (*http.Response, error) {
	if err := c.Send(head, nil); err != nil {
		return nil, err
	}
	c.head, c.got = maxHead, false
	for {
		resp, err := http.ReadResponse(c.r, get)
		switch {
		case errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF):
			return nil, errors.New("receive from upstream: connection closed before an answer")
		case err != nil:
			return nil, fmt.Errorf("receive from upstream: %w", err)
		case resp.StatusCode == http.StatusSwitchingProtocols:
			c.broken.Store(true)
			c.head = -1
			resp.Body = switched{c}
			return resp, nil
		case resp.StatusCode >= 200:
			c.head = -1
			return resp, nil
		}
	}
}

var get = &http.Request{Method: http.MethodGet}

// switched is a connection after the protocol was switched. It implements
// io.ReadWriteCloser.
type switched struct{ c *Conn }

func (s switched) Read(p []byte) (int, error)  { return s.c.r.Read(p) }
func (s switched) Write(p []byte) (int, error) { return s.c.net.Write(p) }
func (s switched) Close() error                { s.c.Close(); return nil }
