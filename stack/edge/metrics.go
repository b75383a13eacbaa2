package edge

import (
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the numbers of one server, in a registry of their own. The names
// are a contract with dashboards and alerts.
type metrics struct {
	registry    *prometheus.Registry
	handshakes  *prometheus.CounterVec // listener, result
	connections *prometheus.CounterVec // listener, result
	bytes       *prometheus.CounterVec // listener, direction
	reloads     *prometheus.CounterVec // listener, what
	refused     *prometheus.CounterVec // listener, what
}

// Directions of bytes, as the client sees them.
const (
	toTarget = "to-target"
	toClient = "to-client"
)

func newMetrics() *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "certyard_edge", Name: name, Help: help}, append([]string{"listener"}, labels...))
	}
	m := &metrics{
		registry:    prometheus.NewRegistry(),
		handshakes:  counter("handshakes_total", "TLS handshakes that have ended, by result.", "result"),
		connections: counter("connections_total", "Connections that have ended, by result.", "result"),
		bytes:       counter("bytes_total", "Bytes that were copied, without those of TLS itself.", "direction"),
		reloads:     counter("reloads_total", "Changes of certificates or of what clients need that are served now.", "what"),
		refused:     counter("refused_reloads_total", "Changes that did not load, so that the old ones are served on.", "what"),
	}
	m.registry.MustRegister(m.handshakes, m.connections, m.bytes, m.reloads, m.refused)
	return m
}

// listener makes every series of a listener exist from the start, so that a rate
// over the first refusal is not missed.
func (m *metrics) listener(l listenerPlan) {
	for _, reason := range Reasons() {
		if !l.plain {
			m.handshakes.WithLabelValues(l.name, string(reason))
		}
		m.connections.WithLabelValues(l.name, string(reason))
	}
	m.bytes.WithLabelValues(l.name, toTarget)
	m.bytes.WithLabelValues(l.name, toClient)
	if l.plain {
		return
	}
	for _, v := range []*prometheus.CounterVec{m.reloads, m.refused} {
		v.WithLabelValues(l.name, "certificates")
		if l.clients != "" {
			v.WithLabelValues(l.name, "clients")
		}
	}
}

// gauges are what is looked up when somebody asks.
type gauges struct {
	server                             *Server
	open, pending, expiry, serving, up *prometheus.Desc
}

func newGauges(s *Server) *gauges {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("certyard_edge_"+name, help, append([]string{"listener"}, labels...), nil)
	}
	return &gauges{
		server:  s,
		open:    desc("open_connections", "Connections that are open."),
		pending: desc("pending_handshakes", "Handshakes that are going on."),
		expiry:  desc("certificate_expiry_days", "Days until the certificate that is served expires; negative afterwards."),
		serving: desc("generation_info", "What is served: generation and serial number of the certificate.", "generation", "serial"),
		up:      desc("target_up", "Whether the target answered when it was dialed last.", "target"),
	}
}

// Describe implements prometheus.Collector.
func (g *gauges) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{g.open, g.pending, g.expiry, g.serving, g.up} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (g *gauges) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	const hoursPerDay = 24
	for _, l := range g.server.listeners {
		open, pending := l.counts()
		gauge(g.open, float64(open), l.plan.name)
		if state := l.target.state(); state != targetUnknown {
			gauge(g.up, float64(state-targetDown), l.plan.name, l.plan.target.String())
		}
		if l.source == nil {
			continue
		}
		gauge(g.pending, float64(pending), l.plan.name)
		now := l.source.last()
		gauge(g.expiry, now.pair.Cert.NotAfter.Sub(g.server.now()).Hours()/hoursPerDay, l.plan.name)
		gauge(g.serving, 1, l.plan.name, now.generation, now.pair.Serial())
	}
}
