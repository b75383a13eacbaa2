package main

import (
	"strings"
	"testing"

	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
)

// TestStatusHints: what only has to be renewed in a running stack is renewed by
// rotate, which waits for builds; for all else it takes up.
func TestStatusHints(t *testing.T) {
	due := func(actions ...string) (out []lifecycle.PlannedStep) {
		for _, action := range actions {
			out = append(out, lifecycle.PlannedStep{Action: action})
		}
		return out
	}
	running := []lifecycle.ContainerStatus{{Service: "registry", State: "running"}}
	for name, c := range map[string]struct {
		status lifecycle.Status
		want   string // the commands, in their order
	}{
		"well":                {lifecycle.Status{Containers: running}, ""},
		"due":                 {lifecycle.Status{Containers: running, Due: due("renew", "reissue")}, "rotate"},
		"missing":             {lifecycle.Status{Containers: running, Due: due("renew", "issue")}, "up"},
		"to be signed":        {lifecycle.Status{Containers: running, Due: due("await")}, "up"},
		"changed":             {lifecycle.Status{Containers: running, Due: due("renew"), Changed: []string{"x"}}, "up"},
		"stopped":             {lifecycle.Status{Containers: []lifecycle.ContainerStatus{{State: "exited"}}, Due: due("renew")}, "up"},
		"not seen":            {lifecycle.Status{Engine: "gone", Due: due("renew")}, "up"},
		"expired":             {lifecycle.Status{Containers: running, Due: due("renew"), Certificates: []lifecycle.CertificateStatus{{DaysLeft: -1}}}, "up"},
		"CA being replaced":   {lifecycle.Status{Containers: running, Due: due("renew"), Rotation: &stack.Rotation{}}, "up"},
		"interrupted, down":   {lifecycle.Status{Containers: []lifecycle.ContainerStatus{{State: "missing"}}, Unproven: true}, "up"},
		"interrupted, unseen": {lifecycle.Status{Engine: "gone", Unproven: true}, "rotate"},
		"interrupted":         {lifecycle.Status{Containers: running, Unproven: true}, "rotate"},
		"interrupted and due": {lifecycle.Status{Containers: running, Unproven: true, Due: due("renew")}, "rotate rotate"},
	} {
		var got []string
		for _, hint := range statusHints(c.status) {
			_, rest, _ := strings.Cut(hint, `"certyard `)
			command, _, _ := strings.Cut(rest, `"`)
			got = append(got, command)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %v, want %s", name, got, c.want)
		}
	}
}
