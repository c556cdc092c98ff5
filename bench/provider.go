package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"andon/sim"
)

// simRole is the simulated provider of `make run`, with its journal of calls
// bounded so that it does not grow in the course of a benchmark.
func simRole(jsontext.Value) (any, func(), error) {
	s, err := sim.New(sim.Config{Listen: "127.0.0.1:0", Journal: 1000, JournalBytes: 8 << 20})
	if err != nil {
		return nil, nil, err
	}
	if err := s.Start(context.Background()); err != nil {
		return nil, nil, err
	}
	return at{Addr: s.Addr()}, func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		s.Stop(ctx)
	}, nil
}

// providerRole is a provider that costs as little as one can: it reads a call
// and writes a fixed answer, or a stream of events that each carry the time at
// which they were written.
func providerRole(jsontext.Value) (any, func(), error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	go func() { // without it nobody is accepted
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go provide(c)
		}
	}()
	return at{Addr: l.Addr().String()}, func() { l.Close() }, nil
}

var fixedAnswer = func() []byte {
	body := `{"id":"chatcmpl-sim0000000000000001","object":"chat.completion","created":1767225600,"model":"sim-large","choices":[{"index":0,"message":{"role":"assistant","content":"The harbour was quiet in the early light, and the boats lay still.","refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":12,"completion_tokens":16,"total_tokens":28,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}},"service_tier":"default","system_fingerprint":"fp_sim"}`
	return fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nX-Request-Id: req_sim1\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}()

// provide serves one connection.
func provide(c net.Conn) {
	defer c.Close()
	r := bufio.NewReaderSize(c, 16<<10)
	var body []byte
	for {
		n, err := readHead(r)
		if err != nil {
			return
		}
		if cap(body) < n {
			body = make([]byte, n)
		}
		body = body[:n]
		if _, err := io.ReadFull(r, body); err != nil {
			return
		}
		if !bytes.Contains(body, []byte(`"stream":true`)) {
			_, err = c.Write(fixedAnswer)
		} else {
			err = provideStream(c, body)
		}
		if err != nil {
			return
		}
	}
}

var contentLength = []byte("content-length:")

// readHead reads a request's head and returns the length of its body. Chunked
// bodies are not read: no proxy here sends one for a request that had a length.
func readHead(r *bufio.Reader) (n int, err error) {
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		if len(line) <= 2 {
			return n, nil
		}
		if len(line) > len(contentLength) && bytes.EqualFold(line[:len(contentLength)], contentLength) {
			if n, err = strconv.Atoi(string(bytes.TrimSpace(line[len(contentLength):]))); err != nil {
				return 0, err
			}
		}
		if bytes.EqualFold(bytes.TrimSpace(line), []byte("transfer-encoding: chunked")) {
			return 0, errors.New("chunked request")
		}
	}
}

const streamHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nTransfer-Encoding: chunked\r\n\r\n"

// stamped is what an event's content begins with, followed by the Unix time in
// nanoseconds at which the event was written.
const stamped = `"content":"t`

// provideStream writes as many events, and at such a pace, as the call says
// with "tokens=N ms=N".
func provideStream(c net.Conn, body []byte) error {
	tokens, interval := directive(body, "tokens=", 50), time.Duration(directive(body, "ms=", 0))*time.Millisecond
	if _, err := io.WriteString(c, streamHead); err != nil {
		return err
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	next := time.Now()
	for range tokens {
		if interval > 0 {
			next = next.Add(interval)
			time.Sleep(time.Until(next))
		}
		event := (*buf)[:0]
		event = append(event, `data: {"id":"chatcmpl-sim0000000000000001","object":"chat.completion.chunk","created":1767225600,"model":"sim-large","service_tier":"default","system_fingerprint":"fp_sim","choices":[{"index":0,"delta":{`...)
		event = append(event, stamped...)
		event = strconv.AppendInt(event, time.Now().UnixNano(), 10)
		event = append(event, `"},"logprobs":null,"finish_reason":null}]}`+"\n\n"...)
		if err := writeChunk(c, event); err != nil {
			return err
		}
		*buf = event
	}
	_, err := io.WriteString(c, "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
	return err
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 1024); return &b }}

func writeChunk(c net.Conn, data []byte) error {
	var room [768]byte
	b := strconv.AppendInt(room[:0], int64(len(data)), 16)
	b = append(b, "\r\n"...)
	b = append(b, data...)
	b = append(b, "\r\n"...)
	_, err := c.Write(b)
	return err
}

func directive(body []byte, name string, absent int) int {
	_, after, ok := bytes.Cut(body, []byte(name))
	if !ok {
		return absent
	}
	n := 0
	for _, c := range after {
		if c < '0' || c > '9' {
			break
		}
		n = n*10 + int(c-'0')
	}
	return n
}
