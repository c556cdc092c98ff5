package bus

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// Options of an embedded server. The zero value serves this process alone.
type Options struct {
	Listen string // host:port for gateways on other machines; "" opens no port at all; port 0 picks one
	Token  string // shared secret that they must present; required unless Listen is a loopback address
}

// Server is a NATS server inside this process. It stores nothing.
type Server struct {
	ns    *server.Server
	token string
	addr  string
}

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
		Authorization: o.Token,
		// Nothing of this is used; each would open something.
		JetStream: false,
		HTTPPort:  0,
	}
	if o.Listen != "" {
		host, port, err := net.SplitHostPort(o.Listen)
		if err != nil {
			return nil, fmt.Errorf("start bus: listen: %w", err)
		}
		if o.Token == "" && !loopback(host) {
			return nil, fmt.Errorf("start bus: listening on %s for other machines needs a token", o.Listen)
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
	s := &Server{ns: ns, token: o.Token}
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
	return "nats://" + s.addr
}

// Connect makes a connection inside this process, without a socket.
func (s *Server) Connect(name string) (*Bus, error) {
	b, err := connect("", name, s.token, nats.InProcessServer(s.ns), nats.RetryOnFailedConnect(false))
	if err != nil {
		return nil, err
	}
	return b, nil
}

// Close stops the server and waits until it has. Connections to it are lost.
func (s *Server) Close() {
	s.ns.Shutdown()
	s.ns.WaitForShutdown()
}
