package edge

import (
	"errors"
	"log/slog"
	"sync"
	"time"
)

// source has the snapshot of a listener, and makes a new one when its folders
// change. It is safe for use in parallel.
type source struct {
	certificates, clients string // directories; clients may be ""
	certificate           string // a file in certificates
	listener              string
	accessRequired        bool
	alpn                  []string
	now                   func() time.Time
	log                   *slog.Logger
	metrics               *metrics

	mu      sync.Mutex
	served  part[served]
	gate    part[*gate]
	current *snapshot
}

// newSource loads a listener's folders. The errors are of type *[LoadError], for
// each folder that does not load.
func newSource(l listenerPlan, o Options, m *metrics) (*source, error) {
	s := &source{
		certificates: l.certificates, certificate: l.certificate, clients: l.clients, accessRequired: l.accessRequired, listener: l.name, alpn: l.alpn,
		now: o.Now, log: o.Log.With("listener", l.name), metrics: m,
	}
	s.served = part[served]{folder: folder{l.certificates, []string{l.certificate, FileKey}}, parse: s.parseServed, now: o.Now}
	s.gate = part[*gate]{folder: folder{l.clients, []string{FileClients, FileAccess}}, parse: s.parseGate, now: o.Now}
	var errs []error
	if _, err := s.served.refresh(); err != nil {
		errs = append(errs, &LoadError{l.name, l.certificates, err})
	}
	if l.clients != "" {
		if _, err := s.gate.refresh(); err != nil {
			errs = append(errs, &LoadError{l.name, l.clients, err})
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	s.current = newSnapshot(s.served.value, s.gate.value, s.alpn, s.now)
	if leaf := s.current.pair.Cert; s.now().After(leaf.NotAfter) {
		s.log.Warn("the certificate has expired; clients will refuse it", "not_after", leaf.NotAfter, "dir", l.certificates)
	}
	return s, nil
}

// snapshot returns what a handshake that begins now depends on. The folders are
// looked at under the lock: whoever comes while they are read waits, since what
// it would get is no longer what is there.
func (s *source) snapshot() *snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	served := s.note("certificates", s.certificates, s.served.refresh)
	gate := s.clients != "" && s.note("clients", s.clients, s.gate.refresh)
	if served || gate {
		s.current = newSnapshot(s.served.value, s.gate.value, s.alpn, s.now)
		leaf := s.current.pair.Cert
		s.log.Info("reloaded", "certificates", served, "clients", gate, "generation", s.current.generation,
			"serial", s.current.pair.Serial(), "not_after", leaf.NotAfter)
	}
	return s.current
}

// last returns the snapshot as it is, without a look at the folders.
func (s *source) last() *snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current
}

// note refreshes one part, and tells what came of it. It reports whether there
// is a new value.
func (s *source) note(what, dir string, refresh func() (outcome, error)) bool {
	result, err := refresh()
	switch result {
	case taken:
		s.metrics.reloads.WithLabelValues(s.listener, what).Inc()
	case refused:
		s.metrics.refused.WithLabelValues(s.listener, what).Inc()
		s.log.Error("refused to reload; what was served before still is", "what", what, "dir", dir, "error", err.Error(),
			"generation", s.current.generation)
	}
	return result == taken
}
