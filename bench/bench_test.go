package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"andon/correction"
)

func TestEventsAreCountedHoweverTheyAreCut(t *testing.T) {
	text := []byte("data: a\n\nevent: x\ndata: b\ndata: c\n\ndata: [DONE]\n\n")
	for size := 1; size <= len(text); size++ {
		var e events
		for rest := text; len(rest) > 0; rest = rest[min(size, len(rest)):] {
			e.take(rest[:min(size, len(rest))])
		}
		if e.n != 3 {
			t.Errorf("in pieces of %d: %d events, want 3", size, e.n)
		}
	}
}

func TestQuantile(t *testing.T) {
	vs := make([]int64, 100)
	for i := range vs {
		vs[i] = int64(100 - i)
	}
	for q, want := range map[float64]int64{0: 1, 0.5: 50, 0.99: 99, 1: 100} {
		if got := quantile(vs, q); got != want {
			t.Errorf("quantile %g is %d, want %d", q, got, want)
		}
	}
	if got := median([]float64(nil)); got != 0 {
		t.Errorf("median of nothing is %g", got)
	}
}

func TestNumbersAreWritten(t *testing.T) {
	for v, want := range map[float64]string{0.01234: "0.012", 1.234: "1.23", 12.34: "12.3", 123.4: "123", 12345.6: "12,346", -1234: "-1,234"} {
		if got := digits(v); got != want {
			t.Errorf("digits(%g) = %q, want %q", v, got, want)
		}
	}
	for v, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -100: "-100"} {
		if got := thousands(v); got != want {
			t.Errorf("thousands(%d) = %q, want %q", v, got, want)
		}
	}
}

// serveOnce answers one connection with what answer writes.
func serveOnce(t *testing.T, serve func(net.Conn)) *client {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	c, err := dial(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return c
}

func TestClientReadsWhatTheProviderWrites(t *testing.T) {
	c := serveOnce(t, provide)
	for range 3 { // the connection is kept
		if err := c.call(request(chatPath, "key", smallBody())); err != nil {
			t.Fatal(err)
		}
		if n, err := c.stream(request(chatPath, "key", streamBody("tokens=50"))); err != nil || n != 51 {
			t.Fatalf("%d events, %v; want 50 and the end", n, err)
		}
	}
	addr := c.nc.RemoteAddr().String()
	p, err := readPaced(addr, request(chatPath, "key", streamBody(fmt.Sprintf("tokens=%d ms=1", streamTokens))))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range p.delays {
		if d <= 0 || d > patience {
			t.Errorf("an event took %s", d)
		}
	}
	got, err := readEvents(addr, request(chatPath, "key", streamBody("tokens=3")))
	if err != nil || len(got) != 4 || got[3] != "data: [DONE]\n\n" {
		t.Errorf("events %q, %v", got, err)
	}
}

func TestClientSaysWhatItWasRefused(t *testing.T) {
	c := serveOnce(t, func(nc net.Conn) {
		nc.Read(make([]byte, 4096))
		nc.Write([]byte("HTTP/1.1 403 Forbidden\r\ncontent-length: 4\r\n\r\nno: "))
	})
	if err := c.call(request(chatPath, "key", smallBody())); err == nil || !strings.Contains(err.Error(), "403: no: ") {
		t.Errorf("error is %v", err)
	}
}

func TestClientNoticesAStreamThatBreaksOff(t *testing.T) {
	for _, text := range []string{"", "5\r\nda", "5\r\ndata:\r\n", "zz\r\n"} {
		c := serveOnce(t, func(nc net.Conn) {
			nc.Read(make([]byte, 4096))
			nc.Write([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + text))
			nc.Close()
		})
		if _, err := c.stream(request(chatPath, "key", streamBody("tokens=1"))); err == nil {
			t.Errorf("%q passed for a whole stream", text)
		}
	}
}

// A crowd has to tell a typed end from a bare close.
func TestCrowdKnowsHowStreamsEnd(t *testing.T) {
	const opening = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: a\n\n\r\n"
	for name, end := range map[string]string{
		"typed": "2e\r\n" + `data: {"error":{"code":"andon_correction"}}` + "\n\n\r\n0\r\n\r\n",
		"bare":  "9\r\ndata: b\n\n\r\n",
	} {
		release := make(chan struct{})
		c := serveOnce(t, func(nc net.Conn) {
			if n, _ := nc.Read(make([]byte, 4096)); n == 0 {
				return // the connection of the test's own
			}
			nc.Write([]byte(opening))
			<-release
			for i := range end { // in the smallest pieces
				nc.Write([]byte(end[i : i+1]))
			}
			nc.Close()
		})
		crowd, err := hold([]string{c.nc.RemoteAddr().String()}, request(chatPath, "key", streamBody("tokens=9")), 5)
		if err != nil {
			t.Fatal(err)
		}
		if err := crowd.expectEnd(); err != nil {
			t.Fatal(err)
		}
		since := time.Now()
		close(release)
		if err := crowd.wait(patience); err != nil {
			t.Fatal(err)
		}
		e := crowd.endings(since)
		if name == "typed" && (e.typed != 5 || e.bare != 0) || name == "bare" && (e.typed != 0 || e.bare != 5) {
			t.Errorf("%s: %d typed, %d bare", name, e.typed, e.bare)
		}
		for _, d := range append(e.read, e.written...) {
			if d <= 0 {
				t.Errorf("%s: ended %s before its end", name, -d)
			}
		}
		crowd.close()
	}
}

// What is in force during the benchmarks must cost its look-up and nothing else.
func TestScopedCorrectionsDoNotTouchTheLoad(t *testing.T) {
	cs, err := scoped(1000)
	if err != nil {
		t.Fatal(err)
	}
	p, err := correction.Compile(cs)
	if err != nil {
		t.Fatal(err)
	}
	q := correction.Request{Model: "sim-large", Version: "sim-large-1", Surface: "api", Org: "acme", Key: "k-1", Tier: "paid",
		Users: []string{"user-bench"}, Attributes: []string{"cohort=bench"}, Features: correction.Streaming}
	var v correction.Verdict
	p.Decide(&q, correction.At(time.Now()), &v)
	if !v.Allowed() || len(v.Limits)+len(v.Clamps)+len(v.Shadow) > 0 {
		t.Errorf("the load is touched: %+v", v)
	}
	kinds := map[correction.Kind]int{}
	for _, c := range cs {
		kinds[c.Kind]++
	}
	if len(kinds) != 5 {
		t.Errorf("not all kinds: %v", kinds)
	}
}

func TestAbsentProgramIsNamed(t *testing.T) {
	_, err := find("andon-no-such-program", "apt-get install nothing")
	var absent errAbsent
	if !errors.As(err, &absent) || !strings.Contains(err.Error(), "apt-get install nothing") {
		t.Errorf("error is %v", err)
	}
}

func TestLargeBodyIsLarge(t *testing.T) {
	if n := len(largeBody()); n < 215_000 || n > 225_000 {
		t.Errorf("%d bytes", n)
	}
	if bytes.Count([]byte(largeBody()), []byte(`"role"`)) < 100 {
		t.Error("a conversation has many messages")
	}
}
