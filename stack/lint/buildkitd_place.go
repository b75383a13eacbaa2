package lint

import (
	"fmt"
	"slices"
	"strings"
)

// elsewhere returns the paths at which buildkitd has what stands at a path whose
// component bad it does not know: those that share most with it. Names in them
// that people choose are taken from the path, where it has them.
func elsewhere(path []string, bad int) [][]string {
	suffix := slices.Clone(path[bad:])
	suffix[0] = alias(suffix[0])
	var out [][]string
	most := -1
	for _, known := range configPaths() {
		tail := len(known) - len(suffix)
		if tail < 0 || known[tail] == anyName || !matches(suffix, known[tail:]) {
			continue
		}
		target := append(slices.Clone(known[:tail]), suffix...)
		shared := 0
		for shared < tail && shared < bad && matches(path[shared:shared+1], known[shared:shared+1]) {
			target[shared] = path[shared]
			shared++
		}
		for i := range known { // as buildkitd spells it
			if known[i] != anyName {
				target[i] = known[i]
			}
		}
		if shared == 0 && strings.EqualFold(path[0], "registry") {
			continue // [registry."h".tls] is not about [grpc.tls]
		}
		if shared > most {
			out, most = nil, shared
		}
		if shared == most {
			out = append(out, target)
		}
	}
	return out
}

// matches compares a path with one that has anyName in it.
func matches(path, known []string) bool {
	for i := range known {
		if known[i] != anyName && !strings.EqualFold(path[i], known[i]) {
			return false
		}
	}
	return true
}

// misplaced tells a known name at a wrong place.
func (b *Buildkitd) misplaced(f Finding, e tomlEntry, places [][]string) Finding {
	f.Rule = "buildkitd.misplaced"
	var names []string
	for _, p := range places {
		names = append(names, placeName(p, e.header))
	}
	f.Problem = fmt.Sprintf("buildkitd ignores %s without a word, at that place%s", keyPath(e.path...), consequence(places))
	f.Mend = "what buildkitd reads is " + strings.Join(names, " or ")
	for _, p := range places {
		b.explain(slices.Clone(p)...)
	}
	if len(places) == 1 && !slices.Contains(places[0], anyName) {
		f.Edits = b.moved(e, places[0])
	}
	return f
}

// consequence says what comes of a setting that is not read. The rules that would
// tell it are silent then.
func consequence(places [][]string) string {
	if len(places) != 1 {
		return ""
	}
	switch p := places[0]; {
	case p[0] == "registry" && slices.Contains([]string{"ca", "tlsconfigdir"}, p[len(p)-1]):
		return ", and does not trust that CA"
	case p[0] != "grpc" || len(p) < 2 || p[1] != "tls":
		return ""
	case p[len(p)-1] == "ca":
		return ", and asks no client for a certificate"
	default:
		return ", and its tcp addresses are plain and open to everybody unless TLS is set elsewhere too"
	}
}

// placeName writes where something belongs, as `ca in [grpc.tls]`.
func placeName(path []string, table bool) string {
	shown := slices.Clone(path)
	if len(shown) > 1 && shown[0] == "registry" && shown[1] == anyName {
		shown[1] = "registry:5000" // as an example
	}
	if table || len(shown) == 1 {
		return "[" + keyPath(shown...) + "]"
	}
	header := "[" + keyPath(shown[:len(shown)-1]...) + "]"
	if len(shown) == 4 && shown[2] == "keypair" {
		header = "[" + header + "]"
	}
	return shown[len(shown)-1] + " in " + header
}

// moved returns the edits that move an entry, nil when there is no simple way. It
// is written where the table's header is, else from where it stands.
func (b *Buildkitd) moved(e tomlEntry, to []string) []Edit {
	if e.inline || len(b.toml.find(to...)) > 0 {
		return nil
	}
	if e.header {
		return []Edit{b.toml.splice(e.key(), keyPath(to...))}
	}
	lines := b.toml.splice(e.whole, "")
	if header, ok := b.toml.header(to[:len(to)-1]...); ok {
		if lines.From != lines.To {
			return nil
		}
		text := keyPath(to[len(to)-1:]...) + strings.TrimPrefix(b.toml.text(e.whole), b.toml.text(e.key()))
		edits := []Edit{b.toml.under(header, text)}
		if rest := strings.TrimSpace(lines.New[0]); rest != "" {
			return append(edits, Edit{lines.From, lines.To, []string{rest}}) // its comment
		}
		return append(edits, Edit{lines.From, lines.To, nil})
	}
	if table := e.table(); hasPrefix(to, table) {
		return []Edit{b.toml.splice(e.key(), keyPath(to[len(table):]...))}
	}
	return nil
}

// unquotedHost recognises a registry whose host is not quoted, as
// [registry.example.com]: to TOML that is a table com in a table example. It
// returns the host and the line with the quotes.
func (b *Buildkitd) unquotedHost(e tomlEntry) (string, Edit, bool) {
	if len(e.path) < 3 || !strings.EqualFold(e.path[0], "registry") || e.inline {
		return "", Edit{}, false
	}
	end := len(e.path) // of the host
	last := e.path[end-1]
	if !e.header || strings.EqualFold(last, "keypair") {
		end--
	}
	if end > 3 && strings.EqualFold(e.path[end-1], "keypair") { // keypair.cert = "..."
		end--
	}
	from, ok := e.part(1)
	if !ok || end < 3 {
		return "", Edit{}, false
	}
	to, _ := e.part(end - 1)
	written := b.toml.text(span{from.from, to.to})
	if strings.ContainsAny(written, `"'`) {
		return "", Edit{}, false
	}
	host := strings.Join(e.path[1:end], ".")
	return host, b.toml.splice(span{from.from, to.to}, quoteText(host)), true
}

func (b *Buildkitd) unquotedFinding(e tomlEntry, host string, edit Edit) Finding {
	b.explain("registry", e.path[1])
	b.explain("registry", host)
	return Finding{
		Rule: "buildkitd.unquoted-host", Line: e.line, Object: keyPath("registry", host),
		Problem: fmt.Sprintf("the host %s is not quoted, so TOML makes it the registry %q with a table that buildkitd does not know, and what is written for it holds for nobody", host, e.path[1]),
		Mend:    fmt.Sprintf("write [%s]", keyPath("registry", host)),
		Edits:   []Edit{edit},
	}
}
