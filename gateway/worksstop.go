package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"andon/bus"
	"andon/correction"
	"andon/gateway/upstream"
	"andon/order"
)

const (
	tendEvery   = 100 * time.Millisecond
	cancelTime  = 30 * time.Second // for one exchange with a provider
	slowestPace = 5 * time.Minute  // of retries
	answerLimit = 1 << 20          // bytes of an answer about a work
)

// tendWorks judges what runs whenever something else is in force, cancels what is
// forbidden, keeps works on disk and tells of them. It is never in the way of a
// request.
func (g *Gateway) tendWorks(ctx context.Context) {
	s := g.works
	t := time.NewTicker(tendEvery)
	defer t.Stop()
	var under *ruling
	var change time.Time // when time itself changes a verdict
	for {
		select {
		case <-ctx.Done():
			s.disk.close()
			return
		case <-t.C:
		}
		now, _ := g.clock.span()
		late := time.Unix(0, now.Late)
		rl := g.current.Load()
		if m := s.masked.Load(); m != nil && m.of != rl {
			s.masked.CompareAndSwap(m, nil) // it would keep what is no more in force, its lists too
		}
		if rl != nil && (rl != under || s.fresh.Load() || !change.IsZero() && !late.Before(change)) {
			s.fresh.Store(false)
			g.judgeWorks(rl, now)
			under, change = rl, rl.policy.NextChange(late)
			s.judged.Store(rl.revision + 1)
		}
		g.cancelWorks(ctx)
		s.disk.tend(s, time.Now())
		g.tellWorks()
	}
}

// judgeWorks decides on everything that runs, as on a call that runs.
func (g *Gateway) judgeWorks(rl *ruling, now correction.Span) {
	s := g.works
	for _, w := range s.open() {
		rule := g.forbidsWork(rl, w, now)
		s.mu.Lock()
		stop, by := w.Stop, w.Correction
		s.mu.Unlock()
		switch {
		case rule == nil && (stop == "" || stop == order.StopCancelled):
		case rule == nil: // lifted before it was cancelled
			s.change(w, func() { w.Stop, w.Correction, w.Error, w.Attempts = "", "", "", 0 })
		case stop == "":
			s.change(w, func() {
				w.Correction, w.Stop, w.next = rule.Correction.ID, order.StopPending, time.Time{}
				switch {
				case w.Cancel == "":
					w.Stop = order.StopNoCall
				case !w.Own:
					w.Stop = order.StopCaller
				}
			})
		case by != rule.Correction.ID && stop != order.StopCancelled:
			s.change(w, func() { w.Correction = rule.Correction.ID })
		}
	}
}

// forbidsWork returns the rule that forbids one of the requests that a work makes.
func (g *Gateway) forbidsWork(rl *ruling, w *job, now correction.Span) *correction.Rule {
	var q correction.Request
	var v correction.Verdict
	for i := range w.Facts {
		f := &w.Facts[i]
		policy := rl.policy
		if !w.request(&q, f) {
			policy = g.works.policy(g, rl)
		}
		if f.Unknown {
			q.Features = 0 // whether it uses them is not known, and it runs
		}
		q.Live = true
		if policy.Decide(&q, now, &v); !v.Allowed() {
			return v.Refused[0]
		}
	}
	return nil
}

// maskedPolicy is a ruling's policy in which users are meant by their pseudonyms,
// too.
type maskedPolicy struct {
	of     *ruling
	policy *correction.Policy
}

// policy is the ruling's policy for works whose users are pseudonyms. It is made
// when it is asked for first.
func (s *works) policy(g *Gateway, rl *ruling) *correction.Policy {
	if m := s.masked.Load(); m != nil && m.of == rl {
		return m.policy
	}
	var all []correction.Correction
	masked := false
	rl.policy.Each(func(r *correction.Rule) bool {
		c := *r.Correction
		c.Scope.Users = g.mask(c.Scope.Users, &masked)
		if c.Except != nil {
			except := *c.Except
			except.Users = g.mask(except.Users, &masked)
			c.Except = &except
		}
		all = append(all, c)
		return true
	})
	p := rl.policy
	if masked {
		var err error
		if p, err = correction.CompileWith(all, policyLists(rl.lists)); err != nil {
			g.log.Error("corrections by user can not be decided for works that began before the restart", "error", err)
			p = rl.policy
		}
	}
	s.masked.Store(&maskedPolicy{rl, p})
	return p
}

func (g *Gateway) mask(users []string, masked *bool) []string {
	if len(users) == 0 {
		return users
	}
	*masked = true
	out := slices.Clone(users)
	for _, u := range users {
		out = append(out, g.pseudo.User(correction.FoldUser(u)))
	}
	return out
}

// cancelWorks begins the cancellations that are due, and asks after those that
// the provider is still carrying out.
func (g *Gateway) cancelWorks(ctx context.Context) {
	s, now := g.works, time.Now()
	var due []*job
	s.mu.Lock()
	for w := range s.ending {
		if !w.busy && !now.Before(w.next) {
			due = append(due, w)
		}
	}
	s.mu.Unlock()
	for _, w := range due {
		select {
		case s.slots <- struct{}{}:
		default:
			return // the rest has its turn later
		}
		s.mu.Lock()
		w.busy = true
		s.mu.Unlock()
		g.spawn(func() {
			defer func() {
				s.mu.Lock()
				w.busy = false
				s.mu.Unlock()
				<-s.slots
			}()
			g.cancelWork(ctx, w)
		})
	}
}

// cancelWork asks the provider once to end a work.
func (g *Gateway) cancelWork(ctx context.Context, w *job) {
	s := g.works
	s.mu.Lock()
	told, n, by := w.Stop == order.StopCancelled, w.Attempts+1, w.Correction
	if !s.ending[w] { // lifted meanwhile
		s.mu.Unlock()
		return
	}
	s.mu.Unlock()
	status, a, err := 0, begunAnswer{}, error(nil)
	if !told {
		if status, a, err = g.askWork(ctx, w, http.MethodPost, w.Cancel); ctx.Err() != nil {
			return
		}
		g.metrics.workCancels.WithLabelValues(cancelResult(status, err)).Inc()
		if err == nil && status/100 == 2 {
			state := stateOf(a.status())
			s.change(w, func() {
				w.Stop, w.Correction, w.Error, w.Attempts, w.Status = order.StopCancelled, by, "", n, a.status()
				if w.State = order.WorkCancelling; state == order.WorkCancelled || a.status() == "" {
					w.State = order.WorkCancelled
				}
				w.next = time.Now().Add(s.pace)
			})
			g.log.Info("work cancelled at its provider", "kind", w.Kind, "id", w.ID, "upstream", w.Upstream, "correction", by)
			return
		}
	}
	// It may have ended by itself.
	if w.Read != "" && (told || err == nil) {
		seen, b, rerr := g.askWork(ctx, w, http.MethodGet, w.Read)
		if ctx.Err() != nil {
			return
		}
		switch {
		case rerr == nil && seen == http.StatusOK:
			s.stands(w, &b)
		case rerr == nil && (seen == http.StatusNotFound || seen == http.StatusGone) && (told || status == seen):
			s.change(w, func() {
				if w.State, w.Status = order.WorkEnded, "not found"; !told {
					w.Stop, w.Error = order.StopEnded, ""
				}
			})
		}
	}
	s.change(w, func() {
		w.next = time.Now().Add(min(s.pace<<min(n-1, 20), slowestPace))
		if w.Attempts = n; w.Stop == "" {
			w.Attempts = 0
		}
		if w.over() || told || w.Stop == "" {
			return // or it was lifted meanwhile
		}
		w.Stop = order.StopFailing
		if w.Error = fmt.Sprintf("the provider answered %d", status); err != nil {
			w.Error = err.Error()
		}
	})
}

func cancelResult(status int, err error) string {
	if err != nil {
		return "unreachable"
	}
	return strconv.Itoa(status)
}

// askWork asks a provider about a work, with this gateway's credential.
func (g *Gateway) askWork(ctx context.Context, w *job, method, path string) (status int, a begunAnswer, err error) {
	i := slices.IndexFunc(g.cfg.Upstreams, func(u Upstream) bool { return u.Name == w.Upstream })
	if i < 0 {
		return 0, a, errors.New("its upstream is not configured any more")
	}
	u, host := &g.cfg.Upstreams[i], g.hosts[w.Upstream]
	ctx, cancel := context.WithTimeout(ctx, cancelTime)
	defer cancel()
	if w.Query != "" {
		path += "?" + w.Query
	}
	head := fmt.Appendf(nil, "%s %s%s HTTP/1.1\r\nHost: %s\r\nContent-Length: 0\r\nAccept: application/json\r\nUser-Agent: andon-gateway\r\n", method, host.Prefix, path, host.Name)
	switch w.Wire {
	case "anthropic":
		head = appendHeader(head, "Anthropic-Version", "2023-06-01")
		if w.Beta != "" {
			head = appendHeader(head, "Anthropic-Beta", w.Beta)
		}
		if u.Key != "" {
			head = appendHeader(head, "X-Api-Key", u.Key)
		}
	case "gemini":
		if u.Key != "" {
			head = appendHeader(head, "X-Goog-Api-Key", u.Key)
		}
	default:
		if u.Key != "" {
			head = appendHeader(head, "Authorization", "Bearer "+u.Key)
		}
	}
	head = append(head, "\r\n"...)
	for try := 0; ; try++ {
		conn := host.Kept()
		if conn == nil || try > 0 {
			if conn, err = host.Dial(ctx); err != nil {
				return 0, a, err
			}
		}
		status, a, err = exchangeWork(ctx, conn, head)
		if !errors.Is(err, upstream.ErrReset) || try > 0 {
			return status, a, err
		}
	}
}

func exchangeWork(ctx context.Context, conn *upstream.Conn, head []byte) (status int, a begunAnswer, err error) {
	stop := context.AfterFunc(ctx, conn.Interrupt)
	defer stop()
	err = conn.Send(head, nil)
	var resp *http.Response
	if err == nil {
		resp, err = conn.Receive()
	}
	if err != nil {
		conn.Close()
		return 0, a, err
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, answerLimit+1))
	if err != nil || len(data) > answerLimit {
		conn.Close()
		if err == nil {
			err = errors.New("receive from upstream: the answer exceeds 1 MiB")
		}
		return 0, a, err
	}
	conn.Release(resp)
	if resp.StatusCode/100 == 2 {
		a, _ = readBegun(data)
	}
	return resp.StatusCode, a, nil
}

// listenWorks answers the control plane's questions about works.
func (g *Gateway) listenWorks(b Bus) error {
	_, err := b.Subscribe(order.SubjectWorks, func(m bus.Msg) {
		var q order.WorksAsk
		if json.Unmarshal(m.Data, &q) != nil {
			return
		}
		a := g.works.answer(&q)
		a.Gateway = g.cfg.Name
		if data, err := json.Marshal(a); err == nil {
			m.Respond(data)
		}
	})
	return err
}

// tellWorks tells those who watch what has changed.
func (g *Gateway) tellWorks() {
	list := g.works.told(order.MaxWorks)
	if len(list) == 0 || g.cfg.Bus == nil {
		return
	}
	if data, err := json.Marshal(order.WorkChanges{Gateway: g.cfg.Name, Works: list}); err == nil {
		g.cfg.Bus.Publish(order.SubjectWorkChanged, data) // what is lost shows when works are asked for
	}
}
