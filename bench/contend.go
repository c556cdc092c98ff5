package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The names of contenders, as tables show them.
const (
	direct  = "direct"
	nginx   = "nginx"
	haproxy = "haproxy"
	goproxy = "plain Go proxy"
	andon   = "andon"
)

// field is everybody that is measured in a row, all in front of one provider.
type field struct {
	targets  []*target
	key      string
	provider *target
	absent   map[string]error // who is not installed
}

// provider starts one of the providers.
func (b *bench) provider(role string) (*target, error) {
	var h at
	c, err := b.self(role, struct{}{}, &h)
	if err != nil {
		return nil, err
	}
	return &target{name: direct, addr: h.Addr, child: c}, nil
}

// contenders starts a provider, by role, and those proxies in front of it that
// are wanted: all, if none is named.
func (b *bench) contenders(role string, want ...string) (*field, error) {
	provider, err := b.provider(role)
	if err != nil {
		return nil, err
	}
	f := &field{provider: provider, absent: map[string]error{}}
	f.targets = append(f.targets, f.provider)
	cs, err := scoped(1000)
	if err != nil {
		return nil, err
	}
	p, err := b.standIn(cs)
	if err != nil {
		return nil, err
	}
	f.key = p.key()
	start := map[string]func(string) (*target, error){
		nginx: b.nginx, haproxy: b.haproxy, goproxy: b.goproxy,
		andon: func(provider string) (*target, error) { return b.gateway(p, andon, provider) },
	}
	if len(want) == 0 {
		want = []string{nginx, haproxy, goproxy, andon}
	}
	for _, name := range want {
		t, err := start[name](provider.addr)
		var absent errAbsent
		if errors.As(err, &absent) {
			f.absent[name] = err
			continue
		}
		if err != nil {
			return nil, err
		}
		f.targets = append(f.targets, t)
	}
	return f, nil
}

// need reports, as an error, that somebody whom the target is measured by is
// not there.
func (f *field) need(name string) error { return f.absent[name] }

// missing names those that are not installed, for a row's notes.
func (f *field) missing() string {
	var s strings.Builder
	for name, err := range f.absent {
		fmt.Fprintf(&s, "\n%s was not measured: %v.\n", name, err)
	}
	return s.String()
}

// rounds calls measure for every target, again and again, in an order that
// changes from round to round.
func (b *bench) rounds(n int, f *field, measure func(round int, t *target) error) error {
	for r := range n {
		for i := range f.targets {
			if b.ctx.Err() != nil {
				return b.ctx.Err()
			}
			t := f.targets[(i+r)%len(f.targets)]
			if err := measure(r, t); err != nil {
				return fmt.Errorf("%s: %w %s", t.name, err, t.child.errs)
			}
		}
		fmt.Fprint(os.Stderr, ".")
	}
	fmt.Fprint(os.Stderr, " ")
	return nil
}

// profiled runs f while the gateway t profiles itself, if that was asked for
// and t is one.
func (b *bench) profiled(row string, t *target, f func() error) error {
	if b.profile == "" || !t.gateway {
		return f()
	}
	dir, err := filepath.Abs(b.profile)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	var ok bool
	file := filepath.Join(dir, fmt.Sprintf("%s-%d.pprof", row, b.count.Add(1)))
	if err := t.child.ask(question{Do: "profile", File: file}, &ok); err != nil {
		return err
	}
	return errors.Join(f(), t.child.ask(question{Do: "stop-profile"}, &ok))
}

// spent is how much processor time a target's processes have used; zero for
// the provider, and where it can not be known.
func (t *target) spent() time.Duration {
	if t.child == nil {
		return 0
	}
	return groupTime(t.child.pid())
}
