package gateway

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"andon/correction"
	"andon/wire/wires"
)

// metrics are a gateway's own. Series are resolved once, so that counting is
// an atomic addition.
type metrics struct {
	registry       *prometheus.Registry
	requests       map[string]map[string]prometheus.Counter // wire, outcome
	refusals       map[string]prometheus.Counter
	fallbacks      prometheus.Counter
	full           prometheus.Counter
	filtered       *prometheus.CounterVec
	shadow         prometheus.Counter
	upstreamErrors prometheus.Counter
	workCancels    *prometheus.CounterVec
	cuts           prometheus.Counter
	forced         atomic.Int64
	sweep          prometheus.Histogram
	orders         *prometheus.CounterVec
}

var outcomes = []string{"ok", "refused", "cut", "client_gone", "broken"}

func newMetrics(g *Gateway) *metrics {
	reg := prometheus.NewRegistry()
	m := &metrics{registry: reg, requests: map[string]map[string]prometheus.Counter{}, refusals: map[string]prometheus.Counter{}}
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "andon_requests_total", Help: "Requests by wire and how they ended."}, []string{"wire", "outcome"})
	refusals := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "andon_refusals_total", Help: "Requests refused, by kind of correction."}, []string{"kind"})
	for _, w := range wires.All {
		m.requests[w.Name()] = map[string]prometheus.Counter{}
		for _, o := range outcomes {
			m.requests[w.Name()][o] = requests.WithLabelValues(w.Name(), o)
		}
	}
	for _, k := range []correction.Kind{correction.Stop, correction.Access, correction.Use, correction.Capability, correction.Rate, ""} {
		name := string(k)
		if name == "" {
			name = "posture"
		}
		m.refusals[string(k)] = refusals.WithLabelValues(name)
	}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		reg.MustRegister(c)
		return c
	}
	gauge := func(name, help string, f func() float64) {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f))
	}
	m.fallbacks = counter("andon_fallbacks_total", "Requests that a fallback served.")
	m.full = counter("andon_fallbacks_full_total", "Requests that a fallback did not take because it was at its capacity.")
	m.shadow = counter("andon_shadow_total", "What shadow corrections would have done.")
	m.upstreamErrors = counter("andon_upstream_errors_total", "Calls on which a provider failed or broke off.")
	m.cuts = counter("andon_cuts_total", "Running calls ended by a correction, a posture or a revoked key.")
	reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "andon_forced_total", Help: "Calls that had not ended by themselves in time after they were cut, whose connections were closed."},
		func() float64 { return float64(m.forced.Load()) }))
	m.sweep = prometheus.NewHistogram(prometheus.HistogramOpts{Name: "andon_sweep_seconds", Help: "Time to look at every running call after a new order.",
		Buckets: prometheus.ExponentialBuckets(1e-5, 4, 10)})
	m.orders = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "andon_orders_total", Help: "Orders received, by what became of them."}, []string{"result"})
	m.filtered = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "andon_filtered_total", Help: "Requests and answers that a filter or a switched-off tool ended, by what found it."}, []string{"cause"})
	m.workCancels = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "andon_work_cancels_total", Help: "Cancellations of works asked of providers, by what they answered."}, []string{"result"})
	reg.MustRegister(m.filtered, m.workCancels)
	gauge("andon_works_running", "Batches, jobs and responses that run at providers.", func() float64 { return float64(g.works.count()) })
	gauge("andon_live_requests", "Requests that run now.", func() float64 { return float64(g.live.len()) })
	gauge("andon_revision", "Revision of the order in force; -1 if there is none.", func() float64 {
		if rl := g.current.Load(); rl != nil {
			return float64(rl.revision)
		}
		return -1
	})
	gauge("andon_lease_valid", "1 while the control plane's lease holds.", func() float64 {
		if g.lease.over(g.clock.mono()) {
			return 0
		}
		return 1
	})
	gauge("andon_limit_gateways", "Other gateways that share limits with this one.", func() float64 { return float64(g.counted.peers.Load()) })
	gauge("andon_limit_buckets", "Rate limit buckets held.", func() float64 { return float64(g.limits.Len()) })
	reg.MustRegister(requests, refusals, m.sweep, m.orders, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) outcome(x *exchange, outcome string) { m.requests[x.wr.Name()][outcome].Inc() }

func (m *metrics) refused(kind string) { m.refusals[kind].Inc() }
