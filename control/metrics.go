package control

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	registry *prometheus.Registry
	commands *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	effect   prometheus.Histogram
	alarms   prometheus.Counter
	logins   *prometheus.CounterVec
}

// newMetrics registers with the control plane's own registry, and with another
// one if there is one.
func newMetrics(c *Control, also prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		commands: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "andon_control_commands_total", Help: "Commands, by type and result (done, or the code of the problem).",
		}, []string{"type", "result"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "andon_control_command_seconds", Help: "Time from a command's arrival to its answer, durable.",
			Buckets: []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .5, 1, 5},
		}, []string{"type"}),
		effect: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "andon_control_time_to_effect_seconds", Help: "Time from a durable command until the last live enforcement point enforced it.",
			Buckets: []float64{.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 5, 15, 60},
		}),
		alarms: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "andon_control_alarms_total", Help: "Enforcement points found ahead of this control plane, or on another history.",
		}),
	}
	m.logins = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "andon_control_logins_total", Help: "Passwords and issuers' answers, by result (done, failed).",
	}, []string{"result"})
	err := m.register(c, m.registry)
	if also != nil {
		err = errors.Join(err, m.register(c, also))
	}
	return m, err
}

func (m *metrics) register(c *Control, r prometheus.Registerer) error {
	var errs []error
	for _, x := range []prometheus.Collector{m.commands, m.seconds, m.effect, m.alarms, m.logins, observer{c}} {
		errs = append(errs, r.Register(x))
	}
	return errors.Join(errs...)
}

// observer reads what is so at the moment of a scrape.
type observer struct{ c *Control }

var (
	descRevision = prometheus.NewDesc("andon_control_revision", "Revision of the order in force.", nil, nil)
	descEntries  = prometheus.NewDesc("andon_control_ledger_entries", "Entries in the ledger.", nil, nil)
	descActive   = prometheus.NewDesc("andon_control_corrections", "Corrections, by state.", []string{"state"}, nil)
	descPoints   = prometheus.NewDesc("andon_control_points", "Enforcement points, by state.", []string{"state"}, nil)
	descWatchers = prometheus.NewDesc("andon_control_watchers", "Open event streams.", nil, nil)
)

// Describe lists the metrics.
func (observer) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descRevision, descEntries, descActive, descPoints, descWatchers} {
		ch <- d
	}
}

// Collect counts.
func (o observer) Collect(ch chan<- prometheus.Metric) {
	c := o.c
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	corrections := map[string]int{"scheduled": 0, "active": 0, "expired": 0, "lifted": 0}
	points := map[string]int{pointSynced: 0, pointSent: 0, pointStale: 0, pointRefused: 0}
	early := c.early()
	c.mu.RLock()
	revision, entries := c.state.revision, c.state.size
	for _, r := range c.state.list {
		corrections[r.stateAt(early)]++
	}
	now := c.cfg.Now()
	for _, p := range c.points {
		points[p.state(now, revision)]++
	}
	c.mu.RUnlock()
	gauge(descRevision, float64(revision))
	gauge(descEntries, float64(entries))
	gauge(descWatchers, float64(c.hub.count()))
	for s, n := range corrections {
		gauge(descActive, float64(n), s)
	}
	for s, n := range points {
		gauge(descPoints, float64(n), s)
	}
}
