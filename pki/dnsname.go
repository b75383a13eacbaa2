package pki

import (
	"net/netip"
	"strings"
)

// Limits of RFC 1035, section 2.3.4; 253 is what its 255 octets leave for the
// written form.
const (
	maxName  = 253
	maxLabel = 63
)

// nameProblem says why a lower-case name cannot be a SAN, or "" if it can. It
// is strict on purpose: cfssl and the verifiers take almost any text as a DNS
// name, and a name that nobody can match is found much later, by a client.
func nameProblem(name string) string {
	if why := notAName(name); why != "" {
		return why
	}
	labels := strings.Split(name, ".")
	if labels[0] == "*" {
		// OpenSSL, and so most of what is not Go, ignores a wildcard with
		// less than two labels behind it.
		if len(labels) < 3 {
			return "is too wide a wildcard; want at least two labels after the *, as in *.build.lan"
		}
		labels = labels[1:]
	}
	for _, label := range labels {
		if why := labelProblem(label); why != "" {
			return why
		}
	}
	if isNumber(labels[len(labels)-1]) {
		return "ends in a number, so resolvers and URL parsers read it as an IPv4 address, and it is not written as one"
	}
	if len(labels) > 1 && strings.Contains(name, "_") {
		return "has an underscore, which no host name has; only single names have them here, since compose makes such names of project and service"
	}
	return ""
}

// isNumber reports whether the last label of a name makes it an IPv4 address for
// those who read the forms of inet_aton: 127.1, 0x7f.1, 2130706433 (URL Standard,
// section 3.5, "ends in a number").
func isNumber(label string) bool {
	if hex, ok := strings.CutPrefix(label, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return strings.Trim(label, "0123456789") == ""
}

// notAName recognizes the other things that people write where a host is
// wanted, so that the message can say what it is.
func notAName(s string) string {
	const want = "; want a host name or an IP address"
	_, prefixErr := netip.ParsePrefix(s)
	switch {
	case s == "":
		return "is empty" + want
	case strings.Contains(s, "://"):
		return "is a URL" + want
	case prefixErr == nil:
		return "is a network" + want
	case strings.Contains(s, "/"):
		return "has a path" + want
	case strings.Contains(s, "@"):
		return "has a user" + want
	case strings.Count(s, ":") == 1, strings.HasPrefix(s, "[") && strings.Contains(s, "]:"):
		return "has a port; want the host alone"
	case strings.HasPrefix(s, "["):
		return "is in brackets; want the address alone"
	case strings.Contains(s, ":"):
		return "is not an IP address"
	case len(s) > maxName:
		return "is longer than 253 characters"
	}
	return ""
}

// labelProblem accepts letters, digits, hyphens, and underscores: those are no
// part of host names by RFC 952, but compose makes single names with them, and
// Go's verifier matches them.
func labelProblem(label string) string {
	switch {
	case label == "":
		return "has an empty label"
	case len(label) > maxLabel:
		return "has a label longer than 63 characters"
	case strings.HasPrefix(label, "-"), strings.HasSuffix(label, "-"):
		return "has a label that begins or ends with a hyphen"
	}
	for _, c := range label {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
		case c == '*':
			return "has a * that is not its whole first label"
		case c > 127:
			return "is not ASCII; want the xn-- form"
		default:
			return "has a character that no host name has"
		}
	}
	return ""
}
