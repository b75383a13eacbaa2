package lifecycle

import (
	"time"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
)

// EndingCA is a CA so near its end that new leaves would end with it. Renewing
// leaves does not help then.
type EndingCA struct {
	Name     string    `json:"name"` // as in [RotateOptions.CAs]
	NotAfter time.Time `json:"not_after"`
	DaysLeft int       `json:"days_left"` // whole days, negative once expired
	// Ours is false for a CA that somebody else has to replace.
	Ours bool `json:"ours"`
}

// ending returns the CAs in force with less left than the last third of their
// life, and less than leaves last. While CAs are being replaced there are none.
func ending(p prior, now time.Time) ([]EndingCA, error) {
	spec := p.state.Spec
	out := []EndingCA{}
	if p.rotation() != nil {
		return out, nil
	}
	m, err := p.material(spec.PKI)
	if err != nil {
		return nil, err
	}
	for _, name := range stack.CAs() {
		ca := m.CAs[name]
		if ca == nil {
			continue
		}
		cert := ca.Cert
		if last := cert.NotAfter.Sub(cert.NotBefore) / 3; cert.NotAfter.Sub(now) > min(last, spec.PKI.LeafValidity) {
			continue
		}
		out = append(out, EndingCA{Name: name, NotAfter: cert.NotAfter.UTC(), DaysLeft: pki.DaysLeft(cert, now), Ours: checkCAs(spec, []string{name}) == nil})
	}
	return out, nil
}
