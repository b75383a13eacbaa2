package stack_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/certyard/certyard/stack"
)

func checks(outcomes ...stack.Outcome) stack.Report {
	var r stack.Report
	for i, o := range outcomes {
		r.Checks = append(r.Checks, stack.Check{ID: fmt.Sprint(i), Outcome: o})
	}
	return r
}

func TestReport(t *testing.T) {
	const h, f, s = stack.Holds, stack.Fails, stack.Skipped
	for _, c := range []struct {
		report stack.Report
		held   int
		ok     bool
		failed string
	}{
		{checks(), 0, false, ""}, // nothing was proven
		{checks(h), 1, true, ""},
		{checks(h, h, h), 3, true, ""},
		{checks(h, f, h), 2, false, "1"},
		{checks(h, s), 1, false, ""},
		{checks(f, s, f, s, h), 1, false, "0 2"},
		{checks(h, stack.Outcome("")), 1, false, ""},
		{checks(h, stack.Outcome("HOLDS")), 1, false, ""},
	} {
		held, total := c.report.Held()
		var failed []string
		for _, check := range c.report.Failed() {
			failed = append(failed, check.ID)
		}
		if held != c.held || total != len(c.report.Checks) || c.report.OK() != c.ok || strings.Join(failed, " ") != c.failed {
			t.Errorf("%+v: got %d of %d, OK %v, failed %v; want %d, %v, %s", c.report, held, total, c.report.OK(), failed, c.held, c.ok, c.failed)
		}
	}
}

// TestReportJSON is the contract of --json: names, words and units.
func TestReportJSON(t *testing.T) {
	expiry := now.Add(90 * day)
	report := stack.Report{Checks: []stack.Check{
		{
			ID: "registry.tls:localhost", Hop: stack.HopHostRegistry, Target: "localhost:5005", Title: "the certificate holds",
			Outcome: stack.Holds, Took: 1500 * time.Microsecond,
			Evidence: stack.Evidence{
				Serial: "1f", Issuer: "certyard CA", NotAfter: &expiry, TLSVersion: "TLS 1.3", ALPN: "h2", HTTPStatus: 200,
				Digest: "sha256:00", Version: "v0.34.2", Platform: "linux/amd64", Answer: "tls: certificate required",
			},
		},
		{ID: "builder.plain", Hop: stack.HopHostBuilder, Title: "plain TCP is refused", Outcome: stack.Fails, Reason: stack.ReasonAccepted, Error: "it answers"},
		{ID: "build.push", Hop: stack.HopBuilderRegistry, Title: "a build is pushed", Outcome: stack.Skipped, Reason: stack.ReasonNotApplicable},
	}}
	const want = `{
  "checks": [
    {
      "id": "registry.tls:localhost",
      "hop": "host -> registry",
      "target": "localhost:5005",
      "title": "the certificate holds",
      "outcome": "holds",
      "evidence": {
        "serial": "1f",
        "issuer": "certyard CA",
        "not_after": "2027-02-21T09:30:00Z",
        "tls_version": "TLS 1.3",
        "alpn": "h2",
        "http_status": 200,
        "digest": "sha256:00",
        "version": "v0.34.2",
        "platform": "linux/amd64",
        "answer": "tls: certificate required"
      },
      "took_ns": 1500000
    },
    {
      "id": "builder.plain",
      "hop": "host -> builder",
      "title": "plain TCP is refused",
      "outcome": "fails",
      "reason": "accepted",
      "error": "it answers",
      "evidence": {},
      "took_ns": 0
    },
    {
      "id": "build.push",
      "hop": "builder -> registry",
      "title": "a build is pushed",
      "outcome": "skipped",
      "reason": "not-applicable",
      "evidence": {},
      "took_ns": 0
    }
  ]
}
`
	var got strings.Builder
	e := json.NewEncoder(&got)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(report); err != nil {
		t.Fatal(err)
	}
	if got.String() != want {
		t.Errorf("got %s", got.String())
	}
	var back stack.Report
	if err := json.Unmarshal([]byte(want), &back); err != nil || !reflect.DeepEqual(back, report) {
		t.Errorf("got %+v and %v back", back, err)
	}
}

// TestReasons are the other words of the contract.
func TestReasons(t *testing.T) {
	got := []stack.Reason{
		stack.ReasonUnreachable, stack.ReasonPlaintext, stack.ReasonUntrusted, stack.ReasonName, stack.ReasonExpired,
		stack.ReasonStale, stack.ReasonProtocol, stack.ReasonUnauthorized, stack.ReasonAccepted, stack.ReasonBuild,
		stack.ReasonContent, stack.ReasonDrift, stack.ReasonUnexpected, stack.ReasonNotApplicable,
	}
	const want = "[unreachable plaintext untrusted name expired stale protocol unauthorized accepted build content drift unexpected not-applicable]"
	if fmt.Sprint(got) != want {
		t.Errorf("got %v", got)
	}
}
