package lint

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/moby/buildkit/cmd/buildkitd/config"
	"github.com/pelletier/go-toml/v2"
)

// anyName stands for the names in a path that people choose, as registry hosts.
const anyName = "*"

// aliases are names that people write for a key or table of buildkitd, from the
// flags and the settings of other programs.
func aliases() map[string]string {
	return map[string]string{
		"cacert": "ca", "ca_cert": "ca", "ca-cert": "ca", "cacerts": "ca", "cafile": "ca", "ca_file": "ca", "ca-file": "ca",
		"cas": "ca", "rootca": "ca", "rootcas": "ca", "root_ca": "ca", "root_cas": "ca", "tlscacert": "ca", "tlsca": "ca", "certificate_authority": "ca",
		"certificate": "cert", "certfile": "cert", "cert_file": "cert", "cert-file": "cert", "certs": "cert", "tlscert": "cert", "tls_cert": "cert", "crt": "cert",
		"keyfile": "key", "key_file": "key", "key-file": "key", "privatekey": "key", "private_key": "key", "tlskey": "key", "tls_key": "key",
		"plainhttp": "http", "plain_http": "http", "plain-http": "http",
		"skip_verify": "insecure", "skip-verify": "insecure", "skipverify": "insecure", "insecure_skip_verify": "insecure", "insecureskipverify": "insecure",
		"mirror": "mirrors", "keypairs": "keypair", "key_pair": "keypair", "tls_config_dir": "tlsconfigdir",
		"addr": "address", "addresses": "address", "listen": "address", "debugaddr": "debugAddress", "debug_address": "debugAddress",
		"registries": "registry", "workers": "worker", "entitlements": "insecure-entitlements",
		"max_parallelism": "max-parallelism", "maxparallelism": "max-parallelism", "max_entries": "maxEntries",
	}
}

// alias returns the name of buildkitd for one of somebody else.
func alias(name string) string {
	if known, ok := aliases()[strings.ToLower(name)]; ok {
		return known
	}
	return name
}

// configType returns the type that a path of the file is decoded into; nil when
// buildkitd has no such key.
func configType(path []string) reflect.Type {
	t := reflect.TypeFor[config.Config]()
	for _, name := range path {
		if t = fieldType(t, name); t == nil {
			return nil
		}
	}
	return elem(t)
}

// fieldType returns the type of a key in a table. Lists of tables count as their
// tables, as in [[registry."h".keypair]].
func fieldType(t reflect.Type, name string) reflect.Type {
	t = elem(t)
	if t.Kind() == reflect.Slice {
		t = elem(t.Elem())
	}
	switch {
	case t.Kind() == reflect.Map:
		return t.Elem()
	case t.Kind() == reflect.Interface:
		return t
	case t.Kind() != reflect.Struct || isLeafStruct(t):
		return nil
	}
	for known, field := range fields(t) {
		if strings.EqualFold(known, name) {
			return field
		}
	}
	return nil
}

func elem(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

// isLeafStruct is true for structs that are written as one value, as a duration.
func isLeafStruct(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// fields returns the keys of a struct as go-toml v2.4.3 has them
// (unmarshaler.go:2290): by their tags, and flat where a struct is embedded.
func fields(t reflect.Type) map[string]reflect.Type {
	out := map[string]reflect.Type{}
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
		switch {
		case f.Anonymous && name == "":
			for k, v := range fields(elem(f.Type)) {
				out[k] = v
			}
		case f.IsExported() && name != "-":
			if name == "" {
				name = f.Name
			}
			out[name] = f.Type
		}
	}
	return out
}

// configPaths returns every path that buildkitd knows, sorted, with anyName for
// what people name.
func configPaths() [][]string {
	var out [][]string
	var walk func(t reflect.Type, path []string)
	walk = func(t reflect.Type, path []string) {
		if len(path) > 0 {
			out = append(out, path)
		}
		t = elem(t)
		if t.Kind() == reflect.Slice {
			t = elem(t.Elem())
		}
		switch {
		case t.Kind() == reflect.Map && elem(t.Elem()).Kind() == reflect.Struct:
			walk(t.Elem(), append(slices.Clone(path), anyName))
		case t.Kind() == reflect.Struct && !isLeafStruct(t):
			for name, field := range fields(t) {
				walk(field, append(slices.Clone(path), name))
			}
		}
	}
	walk(reflect.TypeFor[config.Config](), nil)
	slices.SortFunc(out, slices.Compare)
	return out
}

// unknown tells the keys and tables that buildkitd ignores, by its own decoder.
func (b *Buildkitd) unknown() []Finding {
	var c config.Config
	err := toml.NewDecoder(bytes.NewReader(b.clean)).DisallowUnknownFields().Decode(&c)
	var missing *toml.StrictMissingError
	if !errors.As(err, &missing) {
		return nil
	}
	var out []Finding
	for _, e := range missing.Errors {
		row, column := e.Position()
		at := b.toml.offset(row, column)
		i := slices.IndexFunc(b.toml.entries, func(have tomlEntry) bool { return have.parts[0].from == at })
		if i < 0 {
			out = append(out, Finding{Rule: "buildkitd.unknown-key", Line: row, Object: keyPath(e.Key()...), Problem: ignored(e.Key())})
			continue
		}
		out = append(out, b.unknownFinding(b.toml.entries[i]))
	}
	return out
}

func ignored(path []string) string {
	return fmt.Sprintf("buildkitd v0.34.2 knows no %s, and ignores it without a word", keyPath(path...))
}

// unknownFinding tells what an unknown key or table was probably meant to be.
func (b *Buildkitd) unknownFinding(e tomlEntry) Finding {
	bad := 1 // so many components lead to the first that is not known
	for bad < len(e.path) && configType(e.path[:bad]) != nil {
		bad++
	}
	bad--
	table, name := e.path[:bad], e.path[bad]
	f := Finding{Rule: "buildkitd.unknown-key", Line: e.line, Object: keyPath(e.path...), Problem: ignored(e.path)}
	if near := nearest(table, name); near != "" {
		return b.misspelt(f, e, bad, near)
	}
	if host, edit, ok := b.unquotedHost(e); ok {
		return b.unquotedFinding(e, host, edit)
	}
	if places := elsewhere(e.path, bad); len(places) > 0 {
		return b.misplaced(f, e, places)
	}
	return f
}

// nearest returns the key of a table that a name is close to, "" when none is.
func nearest(table []string, name string) string {
	t := configType(table)
	if t == nil {
		t = reflect.TypeFor[config.Config]()
	}
	if t.Kind() == reflect.Slice {
		t = elem(t.Elem())
	}
	if t.Kind() != reflect.Struct || isLeafStruct(t) {
		return ""
	}
	known := fields(t)
	if a := alias(name); a != name && known[a] != nil {
		return a
	}
	best, most := "", 1
	if len(name) >= 6 {
		most = 2
	}
	for k := range known {
		d := distance(strings.ToLower(k), strings.ToLower(name))
		if len(name) >= 4 && (d < most || d == most && (best == "" || k < best)) {
			best, most = k, d
		}
	}
	return best
}

// distance returns how many letters have to be changed, added, left out, or
// swapped with their neighbour to make one name of the other.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		for j := range rows[i] {
			switch {
			case i == 0 || j == 0:
				rows[i][j] = i + j
				continue
			case a[i-1] == b[j-1]:
				rows[i][j] = rows[i-1][j-1]
			default:
				rows[i][j] = 1 + min(rows[i-1][j-1], rows[i-1][j], rows[i][j-1])
			}
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}

// misspelt tells a name that is close to one that buildkitd has.
func (b *Buildkitd) misspelt(f Finding, e tomlEntry, bad int, near string) Finding {
	target := slices.Clone(e.path)
	target[bad] = near
	b.explain(slices.Clone(target)...)
	f.Problem += consequence([][]string{target})
	f.Mend = fmt.Sprintf("write %s", near)
	if e.header {
		f.Mend = fmt.Sprintf("write [%s]", keyPath(target...))
	}
	part, ok := e.part(bad)
	if !ok || configType(target) == nil || !e.header && len(b.toml.find(target...)) > 0 {
		return f
	}
	fix := b.toml.splice(part, quoteKey(near))
	if !e.header && bad == len(e.path)-1 { // its value may want another form too
		if text, ok := b.converted(e, configType(target)); ok {
			fix = b.toml.splice(span{part.from, e.value.to}, quoteKey(near)+" = "+text)
		}
	}
	f.Edits = []Edit{fix}
	return f
}
