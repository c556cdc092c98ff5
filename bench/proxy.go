package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// target is something that a call can be sent to: the provider itself, or a
// proxy in front of it.
type target struct {
	name    string
	addr    string
	child   *child
	admin   string // HAProxy's socket, or a gateway's admin listener
	gateway bool
}

// errAbsent says that a program to compare with is not installed.
type errAbsent struct{ program, install string }

func (e errAbsent) Error() string {
	return e.program + " is not installed: " + e.install
}

// find looks for a program on PATH, and where Debian puts servers.
func find(program, install string) (string, error) {
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	path := filepath.Join("/usr/sbin", program)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	return "", errAbsent{program, install}
}

// freePort returns a loopback address that nobody listens on now.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

const nginxConf = `daemon off;
worker_processes auto;
pid %[1]s/nginx.pid;
error_log stderr error;
%[4]s
events { worker_connections %[5]d; }
http {
	access_log off;
	client_body_temp_path %[1]s/nginx-body;
	proxy_temp_path %[1]s/nginx-proxy;
	fastcgi_temp_path %[1]s/nginx-fastcgi;
	uwsgi_temp_path %[1]s/nginx-uwsgi;
	scgi_temp_path %[1]s/nginx-scgi;
	keepalive_requests 100000000;
	client_max_body_size 64m;
	client_body_buffer_size 1m;
	upstream provider {
		server %[3]s;
		keepalive 256;
		keepalive_requests 100000000;
	}
	server {
		listen %[2]s backlog=4096;
		location / {
			proxy_pass http://provider;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_buffering off;
			proxy_read_timeout 300s;
		}
	}
}
`

// nginx starts nginx as one runs it in production on this machine: a worker a
// core, kept connections to the provider, answers not buffered.
func (b *bench) nginx(provider string) (*target, error) {
	path, err := find("nginx", "apt-get install nginx-light")
	if err != nil {
		return nil, err
	}
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;" // workers must reach the temporary folder
	}
	return b.foreign("nginx", func(addr, conf string) (*child, error) {
		text := fmt.Sprintf(nginxConf, b.dir, addr, provider, user, min(b.files-100, 1<<14))
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			return nil, err
		}
		return b.start("nginx", path, "-e", "stderr", "-p", b.dir, "-c", conf)
	})
}

const haproxyConf = `global
	nbthread 2
	maxconn %[4]d
	stats socket %[1]s mode 600 level admin
defaults
	mode http
	timeout connect 5s
	timeout client 300s
	timeout server 300s
	http-reuse always
	option http-no-delay
	option abortonclose
frontend in
	bind %[2]s backlog 4096
	default_backend provider
backend provider
	server s1 %[3]s
`

// haproxy starts HAProxy with two threads and kept connections.
func (b *bench) haproxy(provider string) (*target, error) {
	path, err := find("haproxy", "apt-get install haproxy")
	if err != nil {
		return nil, err
	}
	var socket string
	t, err := b.foreign("haproxy", func(addr, conf string) (*child, error) {
		socket = conf + ".sock"
		text := fmt.Sprintf(haproxyConf, socket, addr, provider, (min(b.files, 1<<16)-200)/2)
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			return nil, err
		}
		return b.start("haproxy", path, "-db", "-f", conf)
	})
	if t != nil {
		t.admin = socket
	}
	return t, err
}

// foreign starts a proxy on a free port and waits until it accepts. Somebody
// may take the port in between, so there are three tries.
func (b *bench) foreign(name string, start func(addr, conf string) (*child, error)) (*target, error) {
	var last error
	for range 3 {
		addr, err := freePort()
		if err != nil {
			return nil, fmt.Errorf("start %s: %w", name, err)
		}
		f, err := os.CreateTemp(b.dir, name+"-*.conf")
		if err != nil {
			return nil, fmt.Errorf("start %s: %w", name, err)
		}
		f.Close()
		c, err := start(addr, f.Name())
		if err != nil {
			return nil, err
		}
		if last = accepts(addr, c.exited); last == nil {
			return &target{name: name, addr: addr, child: c}, nil
		}
		c.stop()
		last = fmt.Errorf("start %s: %w: %s", name, last, c.errs.String())
	}
	return nil, last
}

// accepts waits until somebody listens on addr.
func accepts(addr string, exited <-chan struct{}) error {
	deadline := time.Now().Add(5 * time.Second)
	for {
		nc, err := net.Dial("tcp", addr)
		if err == nil {
			return nc.Close()
		}
		if time.Now().After(deadline) {
			return err
		}
		select {
		case <-exited:
			return errors.New("it ended at once")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// goproxyConfig is what goproxyRole needs.
type goproxyConfig struct {
	Provider string `json:"provider"`
}

// goproxyRole is the plain Go proxy: the standard library's ReverseProxy over a
// transport that keeps enough connections.
func goproxyRole(cfg jsontext.Value) (any, func(), error) {
	var c goproxyConfig
	if err := json.Unmarshal(cfg, &c); err != nil {
		return nil, nil, err
	}
	to := &url.URL{Scheme: "http", Host: c.Provider}
	p := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(to) },
		Transport:     &http.Transport{MaxIdleConns: 4096, MaxIdleConnsPerHost: 4096, DisableCompression: true},
		FlushInterval: -1,
		BufferPool:    &bufferPool{},
		ErrorLog:      log.New(os.Stderr, "", 0),
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Without it an answer that begins before the transport has seen the end
		// of the request's body is broken off: the server closes that body.
		http.NewResponseController(w).EnableFullDuplex()
		p.ServeHTTP(w, r)
	})}
	go s.Serve(l) // without it nobody is accepted
	return at{Addr: l.Addr().String()}, func() { s.Close() }, nil
}

type bufferPool struct{ p sync.Pool }

func (b *bufferPool) Get() []byte {
	if v, ok := b.p.Get().(*[]byte); ok {
		return *v
	}
	return make([]byte, 32<<10)
}

func (b *bufferPool) Put(v []byte) { b.p.Put(&v) }

func (b *bench) goproxy(provider string) (*target, error) {
	var h at
	c, err := b.self("goproxy", goproxyConfig{Provider: provider}, &h)
	if err != nil {
		return nil, err
	}
	return &target{name: "plain Go proxy", addr: h.Addr, child: c}, nil
}
