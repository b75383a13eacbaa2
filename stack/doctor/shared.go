package doctor

import (
	"fmt"
	"slices"

	"github.com/certyard/certyard/stack/lint"
)

// sharedKeys finds private keys of one daemon that the other one's container sees.
// The builder runs other people's steps, as root.
func (p *patient) sharedKeys() (out []lint.Finding) {
	for _, u := range p.uses {
		if u.Use != lint.ServerKey {
			continue
		}
		for _, other := range subjects() {
			s := p.services()[other]
			if other == u.Subject || s == nil {
				continue
			}
			if m := mountOf(s, u.Path); m != nil && !p.usedBy(other, u.Path) {
				out = append(out, lint.Finding{
					Rule: ruleShared, Subject: other, File: p.target.Compose, Line: m.Line, Object: s.Name + ": " + m.Target,
					Problem: fmt.Sprintf("the private key of the %s, %s, is in the container of %s too, which has no use for it: who breaks into that one can pose as the other", u.Subject, u.Path, s.Name),
				})
			}
		}
	}
	return out
}

// usedBy reports whether a daemon uses a file itself.
func (p *patient) usedBy(subject lint.Subject, file string) bool {
	return slices.ContainsFunc(p.uses, func(u lint.Used) bool { return u.Subject == subject && u.Path == file })
}

// mountOf returns the mount that brings a file into a service's container, nil for
// none.
func mountOf(s *lint.Service, file string) *lint.Mount {
	for i, m := range s.Mounts {
		if m.Type == "bind" && within(m.Source, file) {
			return &s.Mounts[i]
		}
	}
	return nil
}
