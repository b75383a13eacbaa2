package lint

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// listenPlace says where the addresses come from.
func (b *Buildkitd) listenPlace() (line int, object string) {
	if len(b.flags.Addresses) > 0 {
		return 0, "--addr"
	}
	return b.Line("grpc", "address"), "grpc.address"
}

// tcpAddresses returns the addresses that others can connect to.
func (b *Buildkitd) tcpAddresses() []string {
	var out []string
	for _, a := range b.Listens() {
		if strings.HasPrefix(a, "tcp://") {
			out = append(out, a)
		}
	}
	return out
}

// isLoopback says whether only the own machine, or container, reaches an address.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(strings.TrimPrefix(address, "tcp://"))
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

func judgeAddresses(b *Buildkitd) []Finding {
	var out []Finding
	line, object := b.listenPlace()
	for i, a := range b.Listens() {
		why, better := addressProblem(a)
		if why == "" {
			continue
		}
		f := Finding{Line: line, Object: object, Problem: fmt.Sprintf("%q %s, so buildkitd does not start", a, why)}
		if item, ok := b.listItem(i, "grpc", "address"); ok && len(b.flags.Addresses) == 0 {
			f.Line = b.toml.line(item.from)
			if better != "" {
				f.Mend = fmt.Sprintf("write %q", better)
				f.Edits = []Edit{b.toml.splice(item, quoteText(better))}
			}
		}
		out = append(out, f)
	}
	return out
}

// addressProblem says why buildkitd cannot listen on an address, and what was
// probably meant.
func addressProblem(address string) (why, better string) {
	scheme, rest, ok := strings.Cut(address, "://")
	switch {
	case !ok && strings.HasPrefix(address, "/"):
		return "has no scheme", "unix://" + address
	case !ok && hostPortProblem(address) == "":
		return "has no scheme", "tcp://" + address
	case !ok:
		return "has no scheme", ""
	case scheme == "tcp":
		return hostPortProblem(rest), ""
	case slices.Contains([]string{"unix", "npipe", "fd"}, scheme):
		return "", ""
	case slices.Contains([]string{"http", "https", "tls", "tcp4", "tcp6", "grpc"}, strings.ToLower(scheme)), scheme != strings.ToLower(scheme):
		better = "tcp://" + rest
		if hostPortProblem(rest) != "" {
			better = ""
		}
		return "has a scheme that it does not know", better
	default:
		return "has a scheme that it does not know", ""
	}
}

func hostPortProblem(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "is no host with a port"
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "has a port that is none"
	}
	if strings.ContainsAny(host, "/ ") {
		return "is no host with a port"
	}
	return ""
}

// listItem returns where an item of a list stands.
func (b *Buildkitd) listItem(i int, path ...string) (span, bool) {
	for _, e := range b.toml.find(path...) {
		if i < len(e.items) && e.items[i].to > e.items[i].from {
			return e.items[i], true
		}
	}
	return span{}, false
}

func judgeGRPCKeyPair(b *Buildkitd) []Finding {
	cert, key, _ := b.TLS()
	if (cert == "") == (key == "") {
		return nil
	}
	have, want := "cert", "key"
	if cert == "" {
		have, want = "key", "cert"
	}
	if b.isExplained("grpc", "tls", want) {
		return nil
	}
	return []Finding{{
		Line: b.Line("grpc", "tls", have), Object: "grpc.tls." + want,
		Problem: fmt.Sprintf("[grpc.tls] has %s without %s, so buildkitd does not start", have, want),
		Mend:    fmt.Sprintf("set %s too", want),
	}}
}

func judgeGRPCPlain(b *Buildkitd) []Finding {
	cert, key, ca := b.TLS()
	tcp := b.tcpAddresses()
	if cert != "" || key != "" || len(tcp) == 0 {
		return nil
	}
	if b.isExplained("grpc", "tls") || b.isExplained("grpc", "tls", "cert") || b.isExplained("grpc", "tls", "key") {
		return nil
	}
	who := "everybody who reaches it can build, RUN steps of builds included"
	f := Finding{Problem: fmt.Sprintf("%s is served without TLS: %s", strings.Join(tcp, ", "), who)}
	f.Line, f.Object = b.listenPlace()
	if ca != "" {
		f.Line, f.Object = b.Line("grpc", "tls", "ca"), "grpc.tls.ca"
		f.Problem = fmt.Sprintf("ca is set without cert and key, so buildkitd uses no TLS at all and asks nobody for a certificate: %s is plain, and %s", strings.Join(tcp, ", "), who)
	}
	return []Finding{f}
}

func judgeTLSUnused(b *Buildkitd) []Finding {
	cert, key, _ := b.TLS()
	listens := b.Listens()
	local := func(a string) bool { return strings.HasPrefix(a, "unix://") || strings.HasPrefix(a, "npipe://") }
	if cert == "" || key == "" || slices.ContainsFunc(listens, func(a string) bool { return !local(a) }) || b.isExplained("grpc", "address") {
		return nil
	}
	return []Finding{{
		Line: b.Line("grpc", "tls", "cert"), Object: "grpc.tls",
		Problem: fmt.Sprintf("buildkitd listens on %s alone, where it never uses TLS: nobody sees this certificate, and no client comes in over the network", strings.Join(listens, ", ")),
	}}
}

func judgeClientAuth(b *Buildkitd) []Finding {
	cert, key, ca := b.TLS()
	open := slices.DeleteFunc(b.tcpAddresses(), isLoopback)
	if b.flags.Loopback || ca != "" || cert == "" || key == "" || len(open) == 0 || b.isExplained("grpc", "tls", "ca") {
		return nil
	}
	f := Finding{Problem: fmt.Sprintf("%s has TLS without a ca, so clients verify buildkitd but it lets in every client: whoever reaches the port can build, which is anybody in the network unless the port is published on loopback alone", strings.Join(open, ", "))}
	f.Line, f.Object = b.Line("grpc", "tls", "ca"), "grpc.tls.ca"
	return []Finding{f}
}

// debugAddress returns the address as buildkitd takes it, "" when it is not set or
// a socket, which has file modes.
func (b *Buildkitd) debugAddress() string {
	a := b.Config.GRPC.DebugAddress
	if a != "" && !strings.Contains(a, "://") { // buildkit v0.34.2 cmd/buildkitd/debug.go:64-66
		a = "tcp://" + a
	}
	if !strings.HasPrefix(a, "tcp://") {
		return ""
	}
	return a
}

func judgeDebugOpen(b *Buildkitd) []Finding {
	a := b.debugAddress()
	if a == "" || isLoopback(a) || b.flags.Loopback {
		return nil
	}
	return []Finding{b.debugFinding(a, "whoever reaches it in the network")}
}

func judgeDebugAddress(b *Buildkitd) []Finding {
	if a := b.debugAddress(); a != "" && (isLoopback(a) || b.flags.Loopback) {
		return []Finding{b.debugFinding(a, "every process that reaches it")}
	}
	return nil
}

func (b *Buildkitd) debugFinding(address, who string) Finding {
	return Finding{
		Line: b.Line("grpc", "debugAddress"), Object: "grpc.debugAddress",
		Problem: fmt.Sprintf("%s serves profiles, traces of builds and the cache's keys without TLS or password: %s reads them, and can load a cache", address, who),
	}
}

func judgeDefaultSocket(b *Buildkitd) []Finding {
	listens := b.Listens()
	if len(b.tcpAddresses()) < len(listens) {
		return nil
	}
	f := Finding{Problem: "only tcp addresses are listed, so the default socket is gone: buildctl and health checks inside the container, which look for it, fail"}
	f.Line, f.Object = b.listenPlace()
	if item, ok := b.listItem(len(listens)-1, "grpc", "address"); ok && len(b.flags.Addresses) == 0 {
		f.Edits = []Edit{b.toml.splice(span{item.to, item.to}, ", "+quoteText(DefaultSocket))}
	}
	return []Finding{f}
}
