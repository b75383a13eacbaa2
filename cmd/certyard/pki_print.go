package main

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/certyard/certyard/pki"
)

// printForest prints certificates as a tree on stdout: like "env", it is what
// was asked for, and so goes where a pipe takes it.
func (a *app) printForest(nodes []*pki.Node, indent string) {
	for i, n := range nodes {
		branch, below := "", ""
		if indent != "" || len(nodes) > 1 || n.Signed != nil {
			branch, below = "├─ ", "│  "
			if i == len(nodes)-1 {
				branch, below = "└─ ", "   "
			}
		}
		fmt.Fprintf(a.stdout, "%s%s%s\n", indent, branch, clean(nodeTitle(n)))
		for _, line := range nodeLines(n) {
			stem := "   "
			if len(n.Signed) > 0 {
				stem = "│  "
			}
			fmt.Fprintf(a.stdout, "%s%s%s%s\n", indent, below, stem, clean(line))
		}
		a.printForest(n.Signed, indent+below)
	}
}

func nodeTitle(n *pki.Node) string {
	kind := "leaf"
	if n.CA {
		kind = "CA"
	}
	name := n.Name
	if name != "" {
		name += ": "
	}
	return fmt.Sprintf("%s%s (%s)", name, n.Subject, kind)
}

// nodeLines says everything about one certificate, a matter a line.
func nodeLines(n *pki.Node) []string {
	var out []string
	add := func(title, format string, args ...any) {
		out = append(out, fmt.Sprintf("%-12s ", title)+fmt.Sprintf(format, args...))
	}
	add("valid", "%s to %s, %d days left", n.NotBefore.Format(time.DateOnly), n.NotAfter.Format(time.DateOnly), n.DaysLeft)
	if len(n.SANs) > 0 {
		add("names", "%s", strings.Join(n.SANs, ", "))
	}
	add("usage", "%s", cmp.Or(strings.Join(append(n.KeyUsage, n.ExtKeyUsage...), ", "), "none"))
	if n.PathLen != nil {
		add("path length", "%d", *n.PathLen)
	}
	if len(n.Permitted) > 0 {
		add("may sign", "%s", strings.Join(n.Permitted, ", "))
	}
	if len(n.Excluded) > 0 {
		add("may not sign", "%s", strings.Join(n.Excluded, ", "))
	}
	add("key", "%s", strings.TrimSuffix(string(n.KeyType)+", "+n.Key, ", "))
	add("serial", "%s", n.Serial)
	add("sha256", "%s", n.Fingerprint)
	if n.File != "" {
		add("file", "%s", n.File)
	}
	if n.Reader != "" {
		add("read by", "container of %s", n.Reader)
	}
	for _, p := range n.Problems {
		add("PROBLEM", "%s", p)
	}
	return out
}
