package server

import (
	"database/sql"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/patchbay-io/patchbay/core/execution"
	"github.com/patchbay-io/patchbay/core/plugin"
)

// metrics is a registry of this server's own: several servers may live in one process of a test.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.HistogramVec
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "patchbay_http_request_duration_seconds", Help: "Time from request to answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60},
		}, []string{"method", "code"}),
	}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), m.requests)
	return m
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}

func (m *metrics) measured(next http.Handler) http.Handler {
	return promhttp.InstrumentHandlerDuration(m.requests, next)
}

func (m *metrics) watchDatabase(db *sql.DB) {
	m.registry.MustRegister(collectors.NewDBStatsCollector(db, "patchbay"))
}

func (m *metrics) watchPlugins(plugins func() []plugin.Status) {
	m.registry.MustRegister(&pluginCollector{plugins: plugins})
}

// watchExecutions shows what runs and what waits.
func (m *metrics) watchExecutions(load func() execution.Load) {
	for _, g := range []struct {
		name, help string
		of         func(execution.Load) int
	}{
		{"patchbay_executions_running", "Executions that run on this server, without nested ones.", func(l execution.Load) int { return l.Running }},
		{"patchbay_executions_seats", "Executions that may run on this server at once.", func(l execution.Load) int { return l.Seats }},
		{"patchbay_executions_waiting", "Executions that wait for any server of the database.", func(l execution.Load) int { return l.Waiting }},
		{"patchbay_executions_waiting_users", "Users of whom executions wait.", func(l execution.Load) int { return l.Users }},
	} {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: g.name, Help: g.help}, func() float64 { return float64(g.of(load())) }))
	}
}

var (
	pluginUp = prometheus.NewDesc("patchbay_plugin_up", "1 while the plugin's blocks can run.",
		[]string{"plugin", "version"}, nil)
	pluginRestarts = prometheus.NewDesc("patchbay_plugin_restarts_total", "How often the plugin's process was started again.",
		[]string{"plugin"}, nil)
)

type pluginCollector struct{ plugins func() []plugin.Status }

// Describe is part of prometheus.Collector.
func (c *pluginCollector) Describe(out chan<- *prometheus.Desc) {
	out <- pluginUp
	out <- pluginRestarts
}

// Collect is part of prometheus.Collector. A broken folder may have the name of a plugin; the first one counts.
func (c *pluginCollector) Collect(out chan<- prometheus.Metric) {
	seen := map[string]bool{}
	for _, p := range c.plugins() {
		if seen[p.Name] {
			continue
		}
		seen[p.Name] = true
		up := 0.0
		if p.State.Serves() {
			up = 1
		}
		out <- prometheus.MustNewConstMetric(pluginUp, prometheus.GaugeValue, up, p.Name, p.Version)
		out <- prometheus.MustNewConstMetric(pluginRestarts, prometheus.CounterValue, float64(p.Restarts), p.Name)
	}
}
