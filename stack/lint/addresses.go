package lint

import (
	"cmp"
	"net"
	"net/netip"
	"slices"
)

// privateName says whether no public CA signs for a name: one without a dot, of a
// private-use domain, or an address that is not public.
func privateName(host string) bool {
	if a, err := netip.ParseAddr(host); err == nil {
		return a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast()
	}
	_, last, dotted := cutLast(host)
	return !dotted || slices.Contains([]string{"local", "localhost", "internal", "lan", "test", "home", "corp", "arpa"}, last)
}

// loopbackAddress says whether a listener's address can be reached from its own
// host, or container, only.
func loopbackAddress(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	ip, err := netip.ParseAddr(cmp.Or(host, "0.0.0.0"))
	return host == "localhost" || err == nil && ip.IsLoopback()
}
