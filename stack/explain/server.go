package explain

import (
	"bytes"
	"sort"
)

// places returns what the name of a server comes after: in URLs, references and
// errors of dialling.
func places() []string {
	return []string{"http://", "https://", "tcp://", "failed to push ", "source metadata for ", "resolve reference ", "load metadata for ", "repository [", "dial tcp "}
}

// schemes is how many of the places are schemes of URLs.
const schemes = 3

// dialled is the place that tells an address, where others tell a name.
const dialled = 8

// findServers finds the servers that the line names.
func (f *finder) findServers() {
	f.servers = f.servers[:0]
	for state, i := uint32(0), 0; ; {
		var words []int
		if words, state, i = f.places.find(f.line, state, i); words == nil {
			return
		}
		if words[0] == dialled && len(f.servers) > 0 {
			continue
		}
		s := hostAt(f.line, i)
		name := f.line[s.from:s.to]
		// A reference without a host, as "app:1", has no dot and no number of a port.
		if len(name) > 0 && (words[0] < schemes || bytes.ContainsAny(name, ".:") || string(name) == "localhost") {
			f.servers = append(f.servers, s)
		}
	}
}

// serverOf returns which server a message is about, host and port as the text has
// them: the last one that is named before the message ends. A daemon that starts,
// and one that logs, speak of none.
func (f *finder) serverOf(m match, hop Hop) span {
	if hop == DaemonStart || hop == ServerLog {
		return span{}
	}
	after := sort.Search(len(f.servers), func(i int) bool { return f.servers[i].from >= m.to })
	if after == 0 || f.servers[after-1].from < m.from-maxGap {
		return span{}
	}
	return f.servers[after-1]
}

// hostAt returns the host and port that begin at line[from].
func hostAt(line []byte, from int) span {
	for from < len(line) && (line[from] == '"' || line[from] == '\'') {
		from++
	}
	to := from
	for to < len(line) && to-from < maxHost && hostByte(line[to]) {
		to++
	}
	for to > from && line[to-1] == ':' {
		to--
	}
	return span{from, to}
}

// maxHost is how long a host with a port may be: RFC 1035 has names of up to 255
// bytes.
const maxHost = 300

func hostByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' || c == '-' || c == '_' || c == ':' || c == '[' || c == ']'
}
