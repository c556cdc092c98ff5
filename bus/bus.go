// Package bus carries messages between control and gateways over NATS core:
// in-process through an embedded server, or over the network to it or to a
// cluster. Both behave the same; one suite of tests runs on either.
//
// The bus promises speed, not delivery: a message can be lost, when a
// connection drops or a receiver is slow, and nobody stores it. So whatever is
// sent carries its revision, receivers check for gaps, and [Bus.OnGap] says when
// one is certain. Nothing that comes off the bus is trusted until its signature
// verifies.
//
// A Bus is safe for concurrent use. Callbacks of one subscription run one after
// the other; a callback that blocks delays only its own subscription.
package bus

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// MaxPayload is the largest message, in bytes. A full state with a million
// short corrections does not fit; ten thousand keys and corrections do easily.
const MaxPayload = 64 << 20

// What may lie unread in one subscription before messages are dropped. The
// memory is only used by what really waits.
const (
	pendingMessages = 1 << 20
	pendingBytes    = 256 << 20
)

// ErrNoResponders means that nobody listens on the subject of a request: for a
// gateway, that control is not there.
var ErrNoResponders = errors.New("nobody answers on this subject")

// Msg is one message received.
type Msg struct {
	Subject string
	Data    []byte                  // read-only
	Respond func(data []byte) error // answers a request; an error if it was none
}

// Answer is one answer to what was asked of many.
type Answer struct {
	From string // who answered, if it speaks in a name of its own; else ""
	Data []byte
}

// Bus is one connection.
type Bus struct {
	nc      *nats.Conn
	as      string // "", or the name that stands behind each subject on which it speaks
	pending int    // bytes that may wait in one subscription

	mu        sync.Mutex
	reconnect []func()
	gap       []func(error)
	closed    chan struct{}
	loss      chan struct{} // wakes the goroutine that calls the gap functions

	lossErr atomic.Pointer[error]
	refused atomic.Pointer[error] // why the last try to connect failed
}

func connect(url, name, as, token string, extra ...nats.Option) (*Bus, error) {
	b := &Bus{as: as, pending: pendingBytes, closed: make(chan struct{}), loss: make(chan struct{}, 1)}
	opts := append([]nats.Option{
		nats.Name(name),
		nats.MaxReconnects(-1),
		nats.RetryOnFailedConnect(true),
		// A token that is refused twice would end the trying for good, also when
		// the other side's mistake is put right a minute later.
		nats.IgnoreAuthErrorAbort(),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { b.refused.Store(&err) }),
		nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectJitter(250*time.Millisecond, 500*time.Millisecond),
		nats.PingInterval(5 * time.Second), // a dead peer is noticed within two of them
		nats.MaxPingsOutstanding(2),
		nats.Timeout(5 * time.Second),
		// What is published while the connection is down is refused, not kept: it
		// would arrive old, and a resync brings what counts.
		nats.ReconnectBufSize(-1),
		nats.ReconnectHandler(func(*nats.Conn) { b.reconnected() }),
		nats.ConnectHandler(func(*nats.Conn) { b.reconnected() }),
		nats.ClosedHandler(func(*nats.Conn) { close(b.closed) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { b.lost(err) }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				b.lost(err)
			}
		}),
	}, extra...)
	if token != "" {
		opts = append(opts, nats.Token(token))
	}
	nc, err := nats.Connect(url, opts...)
	if err != nil {
		return nil, fmt.Errorf("connect to bus: %w", err)
	}
	b.nc = nc
	go b.tellLosses() // without it a slow OnGap function would hold up the connection's own callbacks
	return b, nil
}

// Dial connects to a server or a cluster: "nats://a:4222,nats://b:4222". It
// returns at once, connected or not, and goes on trying for ever, then and after
// every loss; [Bus.Connected] tells. The error is for a url that cannot be used.
func Dial(url, name, token string) (*Bus, error) { return connect(url, name, "", token) }

// DialTLS is [Dial] to a server that has to speak TLS.
func DialTLS(url, name, token string, c *tls.Config) (*Bus, error) {
	return connect(url, name, "", token, nats.Secure(c))
}

// DialAs is [Dial] with a certificate, which c presents, in place of a token. The
// connection speaks in the name of its holder: what it publishes and asks goes to
// the subject with the name behind it ("andon.beat.gw-2"), answers likewise.
func DialAs(url, name, as string, c *tls.Config) (*Bus, error) {
	return connect(url, name, as, "", nats.Secure(c), nats.CustomInboxPrefix("_INBOX."+as))
}

// spoken is the subject on which this connection speaks.
func (b *Bus) spoken(subject string) string {
	if b.as == "" {
		return subject
	}
	return subject + "." + b.as
}

// Connected reports whether the connection stands now.
func (b *Bus) Connected() bool { return b.nc.IsConnected() }

// OnReconnect adds a function that is called each time the connection stands
// again, the first time included when Dial returned before it did. It must not
// block: it delays every subscription's own reconnection.
func (b *Bus) OnReconnect(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reconnect = append(b.reconnect, f)
}

// OnGap adds a function that is called when messages were, or may have been,
// lost: a receiver too slow, a connection dropped. Several losses close together
// may become one call.
func (b *Bus) OnGap(f func(cause error)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gap = append(b.gap, f)
}

func (b *Bus) reconnected() {
	b.mu.Lock()
	fs := b.reconnect
	b.mu.Unlock()
	for _, f := range fs {
		f()
	}
}

func (b *Bus) lost(err error) {
	b.lossErr.Store(&err)
	select {
	case b.loss <- struct{}{}:
	default: // one is already on its way
	}
}

func (b *Bus) tellLosses() {
	for {
		select {
		case <-b.closed:
			return
		case <-b.loss:
		}
		b.mu.Lock()
		fs := b.gap
		b.mu.Unlock()
		for _, f := range fs {
			f(*b.lossErr.Load())
		}
	}
}

// Publish sends to whoever subscribes, and forgets. It fails while the
// connection is down, and for more than [MaxPayload] bytes.
func (b *Bus) Publish(subject string, data []byte) error {
	if err := b.nc.Publish(b.spoken(subject), data); err != nil {
		return fmt.Errorf("publish on %s: %w", subject, b.cause(err))
	}
	return nil
}

// cause says of an error that only means "not connected" that it does, and why.
func (b *Bus) cause(err error) error {
	if !errors.Is(err, nats.ErrReconnectBufExceeded) {
		return err
	}
	if last := b.refused.Load(); last != nil {
		return fmt.Errorf("the bus is not connected, trying again: %w", *last)
	}
	return errors.New("the bus is not connected, trying again")
}

// Request sends and waits for the first answer. Without anybody there it fails
// at once with [ErrNoResponders].
func (b *Bus) Request(ctx context.Context, subject string, data []byte) ([]byte, error) {
	m, err := b.nc.RequestWithContext(ctx, b.spoken(subject), data)
	if errors.Is(err, nats.ErrNoResponders) {
		err = ErrNoResponders
	}
	if err != nil {
		return nil, fmt.Errorf("request on %s: %w", subject, b.cause(err))
	}
	return m.Data, nil
}

// Gather sends and collects answers until there are max of them, or ctx ends;
// the end of ctx is no error. Of those who answer in a name of their own the first
// answer counts, so that nobody crowds out the others. max must be at least 1. Nobody there is no error
// either: no answers.
func (b *Bus) Gather(ctx context.Context, subject string, data []byte, max int) ([]Answer, error) {
	inbox := b.nc.NewInbox()
	came := make(chan *nats.Msg, min(max, 1<<14)+1)   // what does not fit is lost, like any message
	for _, s := range []string{inbox, inbox + ".*"} { // the second of those who answer in a name of their own
		sub, err := b.nc.ChanSubscribe(s, came)
		if err != nil {
			return nil, fmt.Errorf("gather on %s: %w", subject, err)
		}
		defer sub.Unsubscribe()
	}
	if err := b.nc.PublishRequest(b.spoken(subject), inbox, data); err != nil {
		return nil, fmt.Errorf("gather on %s: %w", subject, err)
	}
	var answers []Answer
	answered := map[string]bool{}
	for len(answers) < max {
		select {
		case m := <-came:
			if len(m.Data) == 0 && m.Header.Get("Status") == "503" { // nobody is there
				return answers, nil
			}
			from, _ := strings.CutPrefix(strings.TrimPrefix(m.Subject, inbox), ".")
			if from != "" && answered[from] {
				continue
			}
			answered[from] = true
			answers = append(answers, Answer{from, m.Data})
		case <-ctx.Done():
			return answers, nil
		case <-b.closed:
			return answers, fmt.Errorf("gather on %s: %w", subject, nats.ErrConnectionClosed)
		}
	}
	return answers, nil
}

// Subscribe calls f for every message on a subject, in the order in which they
// come, one at a time, until stop. It survives reconnections. A message that was
// received before stop may still be handled after it.
//
// Where an answer goes is the asker's to say, and the bus does not look at it: so
// nothing but an inbox is answered, and where subject ends in ".*", of those who
// speak in a name of their own, only theirs. Else anybody could have answers
// delivered as if they were orders, or to others.
func (b *Bus) Subscribe(subject string, f func(Msg)) (stop func(), err error) {
	sub, err := b.nc.Subscribe(subject, func(m *nats.Msg) {
		respond := m.Respond
		if b.as != "" && m.Reply != "" {
			respond = func(data []byte) error { return b.nc.Publish(b.spoken(m.Reply), data) }
		}
		if b.as == "" && m.Reply != "" {
			inbox := "_INBOX."
			if strings.HasSuffix(subject, ".*") {
				inbox += m.Subject[strings.LastIndexByte(m.Subject, '.')+1:] + "."
			}
			if !strings.HasPrefix(m.Reply, inbox) {
				respond = func([]byte) error {
					return fmt.Errorf("an answer is wanted at %.100q, and goes to %s… alone", m.Reply, inbox)
				}
			}
		}
		f(Msg{Subject: m.Subject, Data: m.Data, Respond: respond})
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", subject, err)
	}
	if err := sub.SetPendingLimits(pendingMessages, b.pending); err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", subject, err)
	}
	return func() { sub.Unsubscribe() }, nil
}

// Flush waits until the server has everything sent so far: subscriptions made
// before it see what anyone publishes after it. It gives up after 10 s, or when
// ctx ends.
func (b *Bus) Flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := b.nc.FlushWithContext(ctx); err != nil {
		return fmt.Errorf("flush bus: %w", err)
	}
	return nil
}

// Close ends the connection and its subscriptions.
func (b *Bus) Close() {
	b.nc.Close()
	<-b.closed
}
