package bus

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// Options of an embedded server. The zero value serves this process alone.
type Options struct {
	Listen string // host:port for gateways on other machines; "" opens no port at all; port 0 picks one
	Token  string // shared secret that they may present; "": nobody comes in by one

	TLS      *tls.Config  // of the listener; nil: none
	Optional bool         // plaintext is taken beside TLS
	Shared   *Permissions // of those who come with the token; nil: they may do everything

	// Own decides about who presents a certificate that TLS has verified: its
	// holder's name, and what it may do. nil: certificates let nobody in. Without
	// Token and Own everybody is let in, which takes a loopback address.
	Own func(cert *x509.Certificate) (name string, p Permissions, err error)

	Logger *slog.Logger // told of who is kept out; nil: nobody is
}

// Permissions are the subjects that a connection may use; wildcards as in NATS.
type Permissions struct {
	Publish, Subscribe []string
	Deaf               []string // subjects among those of Subscribe of which it hears nothing
}

// Server is a NATS server inside this process. It stores nothing.
type Server struct {
	ns   *server.Server
	door *door
	addr string
	tls  bool
}

// tlsTimeout bounds a handshake.
const tlsTimeout = 5 * time.Second

// Embedded starts a server. It fails if the address cannot be listened on.
func Embedded(o Options) (*Server, error) {
	so := &server.Options{
		ServerName:    "andon",
		NoSigs:        true, // signals belong to the program
		NoLog:         true,
		MaxPayload:    MaxPayload,
		MaxPending:    4 * MaxPayload, // for one client, before it is dropped as too slow
		WriteDeadline: 10 * time.Second,
		DontListen:    o.Listen == "",
		// Nothing of this is used; each would open something.
		JetStream: false,
		HTTPPort:  0,
	}
	if o.Listen != "" {
		host, port, err := net.SplitHostPort(o.Listen)
		if err != nil {
			return nil, fmt.Errorf("start bus: listen: %w", err)
		}
		if o.Token == "" && o.Own == nil && !loopback(host) {
			return nil, fmt.Errorf("start bus: listening on %s for other machines needs a token, or certificates", o.Listen)
		}
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("start bus: listen: port %q", port)
		}
		so.Host, so.Port = host, int(n)
		if n == 0 {
			so.Port = server.RANDOM_PORT
		}
		// The server only logs that it cannot listen. Find out first, and say so.
		l, err := net.Listen("tcp", o.Listen)
		if err != nil {
			return nil, fmt.Errorf("start bus: %w", err)
		}
		l.Close()
	}
	d := newDoor(o)
	so.CustomClientAuthentication = d
	if o.TLS != nil && o.Listen != "" {
		so.TLSConfig, so.TLS, so.AllowNonTLS, so.TLSTimeout = o.TLS, true, o.Optional, tlsTimeout.Seconds()
	}
	ns, err := server.NewServer(so)
	if err != nil {
		return nil, fmt.Errorf("start bus: %w", err)
	}
	var log firstFatal
	ns.SetLoggerV2(&log, false, false, false)
	go ns.Start() // without a goroutine a listener that hangs would hang the caller
	if !ns.ReadyForConnections(10 * time.Second) {
		ns.Shutdown()
		return nil, fmt.Errorf("start bus: %w", errors.Join(errors.New("it is not ready after 10 s"), log.get()))
	}
	s := &Server{ns: ns, door: d, tls: so.TLS && !o.Optional}
	if o.Listen != "" {
		s.addr = ns.Addr().String()
	}
	return s, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Addr is where other processes can dial, host:port; "" if it is in-process only.
func (s *Server) Addr() string { return s.addr }

// URL is Addr as Dial wants it; "" if it is in-process only.
func (s *Server) URL() string {
	if s.addr == "" {
		return ""
	}
	if s.tls {
		return "tls://" + s.addr
	}
	return "nats://" + s.addr
}

// Connect makes a connection inside this process, without a socket, that may do
// everything.
func (s *Server) Connect(name string) (*Bus, error) {
	return connect("", name, "", s.door.inner, nats.InProcessServer(s.ns), nats.RetryOnFailedConnect(false), nats.CustomInboxPrefix("_INBOX.control"))
}

// ConnectAs is [Server.Connect] for a party that speaks in its own name, as
// [DialAs] says.
func (s *Server) ConnectAs(name, as string) (*Bus, error) {
	return connect("", name, as, s.door.inner, nats.InProcessServer(s.ns), nats.RetryOnFailedConnect(false), nats.CustomInboxPrefix("_INBOX."+as))
}

// Disconnect breaks off every connection that came in under this name, by a
// certificate. Whoever is about to come in is asked about after it.
func (s *Server) Disconnect(name string) {
	for _, id := range s.door.of(s.ns, name) {
		s.ns.DisconnectClientByID(id) // an error says that it is gone already
	}
}

// Close stops the server and waits until it has. Connections to it are lost.
func (s *Server) Close() {
	s.ns.Shutdown()
	s.ns.WaitForShutdown()
}
