package smoke

import (
	"context"
	"fmt"

	"github.com/certyard/certyard/stack"
)

// table collects the checks of one hop. The first is the positive one at the
// first endpoint, and the others need it.
type table struct {
	hop       stack.Hop
	prefix    string // of every ID
	endpoints []stack.Endpoint
	checks    []*check
}

// tableFor returns an empty table, or nil if there is no endpoint to dial.
func tableFor(hop stack.Hop, prefix string, endpoints []stack.Endpoint) *table {
	if len(endpoints) == 0 {
		return nil
	}
	return &table{hop: hop, prefix: prefix, endpoints: endpoints}
}

// names adds the positive probe for every endpoint and for every other name.
// The title has one verb for the name.
func (t *table) names(names []string, title string, probe func(context.Context, stack.Endpoint, string) (stack.Evidence, error)) {
	known := map[string]bool{}
	add := func(e stack.Endpoint, name, id string) {
		c := t.check(id, e, fmt.Sprintf(title, name))
		c.probe = func(ctx context.Context) (stack.Evidence, error) { return probe(ctx, e, name) }
		t.checks = append(t.checks, c)
	}
	for _, e := range t.endpoints {
		id := "tls:" + e.Host
		if known[e.Host] {
			id = "tls:" + e.Address()
		}
		known[e.Host] = true
		add(e, e.Host, id)
	}
	first := t.checks[0]
	for _, name := range names {
		if !known[name] {
			known[name] = true
			add(t.endpoints[0], name, "tls:"+name)
			// What is wrong with the server is wrong under every name.
			last(t.checks).needs = []need{{first, lacksName}}
		}
	}
}

// add adds a probe of the first endpoint, which is made if the first check
// holds, or fails for one of the reasons in despite.
func (t *table) add(id, title string, despite []stack.Reason, probe func(context.Context, stack.Endpoint) (stack.Evidence, error)) {
	e := t.endpoints[0]
	c := t.check(id, e, title)
	c.needs = []need{{t.checks[0], despite}}
	c.probe = func(ctx context.Context) (stack.Evidence, error) { return probe(ctx, e) }
	t.checks = append(t.checks, c)
}

func (t *table) check(id string, e stack.Endpoint, title string) *check {
	return &check{
		Check: stack.Check{ID: t.prefix + id, Hop: t.hop, Target: e.Address(), Title: title},
		limit: probeLimit,
	}
}

func last(checks []*check) *check { return checks[len(checks)-1] }
