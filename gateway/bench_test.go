package gateway

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"andon/correction"
	"andon/order"
)

// fixedProvider answers every request on a connection with the same bytes, at
// as little cost as Go allows: what is measured is the gateway.
func fixedProvider(b *testing.B) string {
	l := must(net.Listen("tcp", "127.0.0.1:0"))
	b.Cleanup(func() { l.Close() })
	body := `{"id":"x","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"` + strings.Repeat("word ", 20) + `"}}],"usage":{"prompt_tokens":9,"completion_tokens":20}}`
	answer := []byte(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				r := bufio.NewReaderSize(conn, 64<<10)
				for {
					n := 0
					for {
						line, err := r.ReadSlice('\n')
						if err != nil {
							return
						}
						if v, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
							fmt.Sscan(string(v), &n)
						}
						if len(line) <= 2 {
							break
						}
					}
					r.Discard(n)
					conn.Write(answer)
				}
			}()
		}
	}()
	return "http://" + l.Addr().String()
}

func benchGateway(b *testing.B) *Gateway {

	p := newPlane(b)
	s := startSim(b)
	url := fixedProvider(b)
	g := p.start(s, func(c *Config) { c.Upstreams[0].BaseURL = url })
	var put []correction.Correction
	for i := range 1000 {
		c := must(correction.Parse([]byte(fmt.Sprintf(`{"kind":"access","params":{"mode":"block"},"scope":{"orgs":["org-%d"],"models":["sim-large"]},"reason":"t"}`, i))))
		c.ID = fmt.Sprintf("c-%04d", i)
		put = append(put, c)
	}
	p.issue(order.Order{Put: put})
	p.enforced(1)
	return g
}

// BenchmarkPlain is one small plain call, there and back, over kept connections.
func BenchmarkPlain(b *testing.B) {
	for _, size := range []int{200, 220_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			g := benchGateway(b)
			body := chat("sim-large", strings.Repeat("a word ", size/7))
			req := must(http.NewRequest("POST", "http://"+g.Addr()+"/v1/chat/completions", strings.NewReader(body)))
			req.Header.Set("Authorization", "Bearer "+secret)
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("User-Agent", "OpenAI/Python 1.99.0")
			var raw bytes.Buffer
			req.Write(&raw)
			var failed atomic.Int64
			b.SetParallelism(16)
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				conn := must(net.Dial("tcp", g.Addr()))
				defer conn.Close()
				r := bufio.NewReader(conn)
				for pb.Next() {
					conn.Write(raw.Bytes())
					resp, err := http.ReadResponse(r, nil)
					if err != nil || resp.StatusCode != 200 {
						failed.Add(1)
						return
					}
					io.Copy(io.Discard, resp.Body)
				}
			})
			if failed.Load() > 0 {
				b.Fatal("refused")
			}
		})
	}
}

// BenchmarkStream is a stream of 53 events, each written by itself by a
// provider that does not wait.
func BenchmarkStream(b *testing.B) {
	l := must(net.Listen("tcp", "127.0.0.1:0"))
	b.Cleanup(func() { l.Close() })
	event := `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"word"},"finish_reason":null}]}` + "\n\n"
	chunk := []byte(fmt.Sprintf("%x\r\n%s\r\n", len(event), event))
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				buf := make([]byte, 8192)
				for {
					if _, err := conn.Read(buf); err != nil {
						return
					}
					io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
					for range 53 {
						conn.Write(chunk)
					}
					io.WriteString(conn, "0\r\n\r\n")
				}
			}()
		}
	}()
	p := newPlane(b)
	g := p.start(startSim(b), func(c *Config) { c.Upstreams[0].BaseURL = "http://" + l.Addr().String() })
	body := chat("sim-large", "hello", `,"stream":true`)
	raw := fmt.Sprintf("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", secret, len(body), body)
	b.SetParallelism(8)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		conn := must(net.Dial("tcp", g.Addr()))
		defer conn.Close()
		buf := make([]byte, 64<<10)
		for pb.Next() {
			io.WriteString(conn, raw)
			for {
				n, err := conn.Read(buf)
				if err != nil {
					b.Error(err)
					return
				}
				if bytes.HasSuffix(buf[:n], []byte("0\r\n\r\n")) {
					break
				}
			}
		}
	})
}
