package bus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a server and a way to connect to it; each test below runs in both.
type world struct {
	server  *Server
	connect func(t *testing.T, name string) *Bus
}

func each(t *testing.T, test func(t *testing.T, w world)) {
	start := func(t *testing.T, o Options) *Server {
		s, err := Embedded(o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		return s
	}
	t.Run("in process", func(t *testing.T) {
		s := start(t, Options{Token: "s3cret"})
		test(t, world{s, func(t *testing.T, name string) *Bus {
			b, err := s.Connect(name)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(b.Close)
			return b
		}})
	})
	t.Run("tcp", func(t *testing.T) {
		s := start(t, Options{Listen: "127.0.0.1:0", Token: "s3cret"})
		test(t, world{s, func(t *testing.T, name string) *Bus { return dial(t, s.URL(), name, "s3cret") }})
	})
}

func dial(t *testing.T, url, name, token string) *Bus {
	t.Helper()
	up := make(chan struct{}, 1)
	b, err := Dial(url, name, token)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	b.OnReconnect(func() {
		select {
		case up <- struct{}{}:
		default:
		}
	})
	if !b.Connected() {
		wait(t, up)
	}
	return b
}

func ctx(t *testing.T) context.Context {
	c, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return c
}

func wait[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(30 * time.Second):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

func subscribe(t *testing.T, b *Bus, subject string, f func(Msg)) {
	t.Helper()
	stop, err := b.Subscribe(subject, f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	if err := b.Flush(ctx(t)); err != nil {
		t.Fatal(err)
	}
}

func TestPublishReachesEverySubscriberInOrder(t *testing.T) {
	each(t, func(t *testing.T, w world) {
		const n = 2000
		var got [3]chan string
		for i := range got {
			got[i] = make(chan string, n)
			subscribe(t, w.connect(t, fmt.Sprint("sub ", i)), "andon.order", func(m Msg) { got[i] <- string(m.Data) })
		}
		pub := w.connect(t, "pub")
		for i := range n {
			if err := pub.Publish("andon.order", fmt.Append(nil, i)); err != nil {
				t.Fatal(err)
			}
		}
		for i := range got {
			for j := range n {
				if s := wait(t, got[i]); s != fmt.Sprint(j) {
					t.Fatalf("subscriber %d: message %d is %s", i, j, s)
				}
			}
		}
	})
}

func TestRequest(t *testing.T) {
	each(t, func(t *testing.T, w world) {
		a, b := w.connect(t, "a"), w.connect(t, "b")
		if _, err := a.Request(ctx(t), "andon.sync", nil); !errors.Is(err, ErrNoResponders) {
			t.Fatalf("with nobody there: %v", err)
		}
		subscribe(t, b, "andon.sync", func(m Msg) { m.Respond(append([]byte("re: "), m.Data...)) })
		answer, err := a.Request(ctx(t), "andon.sync", []byte("hello"))
		if err != nil || string(answer) != "re: hello" {
			t.Fatalf("%q, %v", answer, err)
		}
	})
}

func TestRequestEndsWithItsContext(t *testing.T) {
	each(t, func(t *testing.T, w world) {
		a := w.connect(t, "a")
		asked := make(chan struct{})
		subscribe(t, w.connect(t, "b"), "andon.sync", func(Msg) { close(asked) })
		c, cancel := context.WithCancel(t.Context())
		go func() { <-asked; cancel() }()
		if _, err := a.Request(c, "andon.sync", nil); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	})
}

func TestGather(t *testing.T) {
	each(t, func(t *testing.T, w world) {
		a := w.connect(t, "a")
		if got, err := a.Gather(ctx(t), "andon.explain", nil, 1); err != nil || len(got) != 0 {
			t.Fatalf("with nobody there: %q, %v", got, err)
		}
		for i := range 3 {
			subscribe(t, w.connect(t, "gw"), "andon.explain", func(m Msg) { m.Respond(fmt.Append(nil, i)) })
		}
		got, err := a.Gather(ctx(t), "andon.explain", nil, 3)
		if err != nil || len(got) != 3 {
			t.Fatalf("%q, %v", got, err)
		}
		// One more than there are: the context ends it, with what came.
		for d := 200 * time.Millisecond; ; d *= 2 {
			c, cancel := context.WithTimeout(t.Context(), d)
			got, err = a.Gather(c, "andon.explain", nil, 4)
			cancel()
			if err == nil && len(got) == 3 {
				break
			}
			if err != nil || len(got) > 3 || d > patience {
				t.Fatalf("%q, %v", got, err)
			}
		}
	})
}

func TestLargeMessage(t *testing.T) {
	each(t, func(t *testing.T, w world) {
		got := make(chan []byte, 1)
		subscribe(t, w.connect(t, "sub"), "andon.order", func(m Msg) { got <- m.Data })
		pub := w.connect(t, "pub")
		big := bytes.Repeat([]byte("state"), 4<<20)
		if err := pub.Publish("andon.order", big); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(wait(t, got), big) {
			t.Fatal("it changed on the way")
		}
		if err := pub.Publish("andon.order", make([]byte, MaxPayload+1)); err == nil {
			t.Fatal("a message over the bound was taken")
		}
	})
}

func TestStopEndsASubscription(t *testing.T) {
	each(t, func(t *testing.T, w world) {
		b := w.connect(t, "b")
		got := make(chan struct{}, 8)
		stop, err := b.Subscribe("andon.order", func(Msg) { got <- struct{}{} })
		if err != nil {
			t.Fatal(err)
		}
		b.Publish("andon.order", nil)
		wait(t, got)
		stop()
		b.Publish("andon.order", nil)
		if err := b.Flush(ctx(t)); err != nil {
			t.Fatal(err)
		}
		if len(got) != 0 {
			t.Fatal("a message came after stop")
		}
	})
}

func TestSlowReceiverIsToldOfItsGap(t *testing.T) {
	each(t, func(t *testing.T, w world) {
		slow, pub := w.connect(t, "slow"), w.connect(t, "pub")
		gap := make(chan error, 16)
		slow.OnGap(func(err error) { gap <- err })
		busy, done := make(chan struct{}), make(chan struct{})
		var once sync.Once
		slow.pending = 1 << 20
		stop, err := slow.Subscribe("andon.order", func(Msg) { once.Do(func() { close(busy) }); <-done })
		if err != nil {
			t.Fatal(err)
		}
		defer stop()
		defer close(done)
		if err := slow.Flush(ctx(t)); err != nil {
			t.Fatal(err)
		}
		pub.Publish("andon.order", nil)
		wait(t, busy)
		// Fill its bytes: 1 MiB waits, the rest is dropped.
		big := make([]byte, 1<<18)
		for range 8 {
			if err := pub.Publish("andon.order", big); err != nil {
				t.Fatal(err)
			}
			if err := pub.Flush(ctx(t)); err != nil {
				t.Fatal(err)
			}
		}
		if err := wait(t, gap); err == nil {
			t.Fatal("a gap without a cause")
		}
	})
}

func TestReconnects(t *testing.T) {
	s, err := Embedded(Options{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	addr := s.Addr()
	b := dial(t, s.URL(), "gw", "")
	up, gap := make(chan struct{}, 8), make(chan error, 8)
	b.OnReconnect(func() { up <- struct{}{} })
	b.OnGap(func(err error) { gap <- err })
	got := make(chan string, 8)
	subscribe(t, b, "andon.order", func(m Msg) { got <- string(m.Data) })

	s.Close()
	wait(t, gap)
	if b.Connected() {
		t.Fatal("connected to a server that is gone")
	}
	if err := b.Publish("andon.ack", nil); err == nil {
		t.Fatal("published without a connection")
	}

	s, err = Embedded(Options{Listen: addr})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	wait(t, up)
	p, err := s.Connect("pub")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := b.Flush(ctx(t)); err != nil { // its subscription is there again
		t.Fatal(err)
	}
	p.Publish("andon.order", []byte("after"))
	if s := wait(t, got); s != "after" {
		t.Fatal(s)
	}
}

func TestDialBeforeTheServerIsThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	b, err := Dial("nats://"+addr, "gw", "")
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	up := make(chan struct{}, 8)
	b.OnReconnect(func() { up <- struct{}{} })
	got := make(chan string, 8)
	stop, err := b.Subscribe("andon.order", func(m Msg) { got <- string(m.Data) })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	s, err := Embedded(Options{Listen: addr})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	wait(t, up)
	if err := b.Flush(ctx(t)); err != nil {
		t.Fatal(err)
	}
	if err := b.Publish("andon.order", []byte("here")); err != nil {
		t.Fatal(err)
	}
	if s := wait(t, got); s != "here" {
		t.Fatal(s)
	}
}

func TestEmbeddedRefuses(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, o := range []Options{
		{Listen: l.Addr().String()}, // taken
		{Listen: "nonsense"},
		{Listen: "0.0.0.0:0"}, // no token
		{Listen: "127.0.0.1:http"},
	} {
		if s, err := Embedded(o); err == nil {
			s.Close()
			t.Errorf("%+v was taken", o)
		}
	}
}

func TestInProcessOpensNoPort(t *testing.T) {
	s, err := Embedded(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.Addr() != "" || s.URL() != "" || s.ns.Addr() != nil {
		t.Fatalf("it listens on %v", s.ns.Addr())
	}
}

func TestWrongTokenIsKeptOut(t *testing.T) {
	s, err := Embedded(Options{Listen: "127.0.0.1:0", Token: "right"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	b, err := Dial(s.URL(), "stranger", "wrong")
	if err == nil {
		defer b.Close()
		c, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := b.Flush(c); err == nil || b.Connected() {
			t.Fatal("let in")
		}
		if err := b.Publish("x", nil); err == nil || !strings.Contains(err.Error(), "the bus is not connected") {
			t.Fatalf("publish: %v", err)
		}
	}
}
