package sim

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// rawCall is a request for a bare connection: the client should cost little
// beside the simulation.
func rawCall(body string) []byte {
	return fmt.Appendf(nil, "POST /v1/chat/completions HTTP/1.1\r\nHost: sim\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// BenchmarkPlain is small plain calls over 32 connections, with the journal on.
func BenchmarkPlain(b *testing.B) {
	s := start(b, Config{})
	call := rawCall(chatBody("Hello there, how are you?", ""))
	per := b.N/32 + 1
	var wg sync.WaitGroup
	b.ResetTimer()
	for range 32 {
		wg.Go(func() {
			conn, err := net.Dial("tcp", s.Addr())
			if err != nil {
				b.Error(err)
				return
			}
			defer conn.Close()
			buf := make([]byte, 16<<10)
			for range per {
				if _, err := conn.Write(call); err != nil {
					b.Error(err)
					return
				}
				for n := 0; ; {
					m, err := conn.Read(buf[n:])
					if err != nil {
						b.Error(err)
						return
					}
					if n += m; bytes.HasSuffix(buf[:n], []byte(`"fp_sim"}`)) {
						break
					}
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(32*per)/b.Elapsed().Seconds(), "calls/s")
}

// BenchmarkStream50 is 50-token streams without pauses over 16 connections.
func BenchmarkStream50(b *testing.B) {
	s := start(b, Config{})
	call := rawCall(chatBody("sim: tokens=50", `,"stream":true`))
	per := b.N/16 + 1
	var wg sync.WaitGroup
	b.ResetTimer()
	for range 16 {
		wg.Go(func() {
			conn, err := net.Dial("tcp", s.Addr())
			if err != nil {
				b.Error(err)
				return
			}
			defer conn.Close()
			r := bufio.NewReader(conn)
			for range per {
				conn.Write(call)
				res, err := http.ReadResponse(r, nil)
				if err != nil {
					b.Error(err)
					return
				}
				if n, err := io.Copy(io.Discard, res.Body); err != nil || n < 1000 {
					b.Error(n, err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(16*per)/b.Elapsed().Seconds(), "streams/s")
}

// BenchmarkLargeBody is plain calls of 220 KB on one connection.
func BenchmarkLargeBody(b *testing.B) {
	s := start(b, Config{})
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	call := rawCall(chatBody(strings.Repeat("all work and no play ", 220<<10/21), ""))
	r := bufio.NewReader(conn)
	for b.Loop() {
		conn.Write(call)
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			b.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
	}
}

// BenchmarkManyStreams holds 9,000 streams of ten tokens a second and tells
// how many events a second arrive, and what a stream holds in memory.
func BenchmarkManyStreams(b *testing.B) {
	s := start(b, Config{})
	call := rawCall(chatBody("sim: tokens=1000000 interval=100ms", `,"stream":true`))
	const many = 9_000 // both ends are in this process: two descriptors each
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	conns := make([]net.Conn, many)
	for i := range conns {
		conn, err := net.Dial("tcp", s.Addr())
		if err != nil {
			b.Skipf("stopped at %d connections: %v", i, err)
		}
		defer conn.Close()
		conn.Write(call)
		conns[i] = conn
	}
	var stop sync.WaitGroup
	for _, conn := range conns {
		stop.Go(func() {
			buf := make([]byte, 2048)
			for {
				if _, err := conn.Read(buf); err != nil {
					return
				}
			}
		})
	}
	await(b, "all streams to be open", func() bool { n, _ := s.Active(); return n == many })
	said := func() (n int64) {
		for _, e := range s.journal.list(0, many) {
			n += e.tokens.Load()
		}
		return n
	}
	b.ResetTimer()
	var events int64
	for b.Loop() {
		from := said()
		time.Sleep(time.Second)
		events += said() - from
	}
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapInuse+after.StackInuse-before.HeapInuse-before.StackInuse)/many, "B/stream")
	for _, conn := range conns {
		conn.Close()
	}
	stop.Wait()
	await(b, "all streams to be given up", func() bool { n, _ := s.Active(); return n == 0 })
}
