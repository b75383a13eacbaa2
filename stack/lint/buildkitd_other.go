package lint

import (
	"fmt"
	"slices"
	"strings"
)

// logLevels are those of github.com/sirupsen/logrus v1.10.2 logrus.go:31-56.
func logLevels() []string {
	return []string{"panic", "fatal", "error", "warn", "warning", "info", "debug", "trace"}
}

func judgeValues(b *Buildkitd) []Finding {
	var out []Finding
	add := func(problem string, path ...string) {
		out = append(out, Finding{Line: b.Line(path...), Object: keyPath(path...), Problem: problem + ", so buildkitd does not start"})
	}
	log := b.Config.Log
	if !slices.Contains([]string{"", "json", "text"}, log.Format) {
		add(fmt.Sprintf("the log format is %q, and there are json and text", log.Format), "log", "format")
	}
	if log.Level != "" && !slices.Contains(logLevels(), strings.ToLower(log.Level)) {
		add(fmt.Sprintf("the log level is %q, and there are %s", log.Level, strings.Join(logLevels(), ", ")), "log", "level")
	}
	if s := b.Config.System; s != nil && s.MaxRegistryConcurrency != nil && *s.MaxRegistryConcurrency <= 0 {
		add(fmt.Sprintf("maxRegistryConcurrency is %d, and has to be more than 0", *s.MaxRegistryConcurrency), "system", "maxRegistryConcurrency")
	}
	if _, err := b.Config.Compaction.Policy(); err != nil {
		add(fmt.Sprintf("[compaction] is refused (%v)", err), "compaction")
	}
	return out
}

func judgePaths(b *Buildkitd) []Finding {
	var out []Finding
	check := func(file string, line int, path ...string) {
		windows := len(file) > 2 && file[1] == ':'
		if file == "" || strings.HasPrefix(file, "/") || strings.HasPrefix(file, `\`) || windows {
			return
		}
		out = append(out, Finding{
			Line: line, Object: keyPath(path...),
			Problem: fmt.Sprintf("%q is relative, so buildkitd looks for it below the directory that it happens to be started in", file),
		})
	}
	own := b.Config.GRPC.TLS
	for _, v := range []struct{ key, file, flag string }{{"cert", own.Cert, b.flags.TLSCert}, {"key", own.Key, b.flags.TLSKey}, {"ca", own.CA, b.flags.TLSCA}} {
		if v.flag == "" {
			check(v.file, b.Line("grpc", "tls", v.key), "grpc", "tls", v.key)
		}
	}
	for _, s := range b.sections() {
		for i, file := range s.RootCAs {
			check(file, b.itemLine(i, "registry", s.host, "ca"), "registry", s.host, "ca")
		}
		for i, dir := range s.TLSConfigDir {
			check(dir, b.itemLine(i, "registry", s.host, "tlsconfigdir"), "registry", s.host, "tlsconfigdir")
		}
		for i, pair := range s.KeyPairs {
			check(pair.Key, b.pairLine(s.host, i, "key"), "registry", s.host, "keypair", "key")
			check(pair.Certificate, b.pairLine(s.host, i, "cert"), "registry", s.host, "keypair", "cert")
		}
	}
	return out
}

// itemLine returns the line of an item of a list, or of the list.
func (b *Buildkitd) itemLine(i int, path ...string) int {
	if item, ok := b.listItem(i, path...); ok {
		return b.toml.line(item.from)
	}
	return b.Line(path...)
}

func judgeHistory(b *Buildkitd) []Finding {
	h := b.Config.History
	if h == nil || h.MaxEntries == nil || *h.MaxEntries != 0 {
		return nil
	}
	return []Finding{{
		Line: b.Line("history", "maxEntries"), Object: "history.maxEntries",
		Problem: "with maxEntries = 0 buildkitd keeps no history and does not tell which builds are running either: what waits for them before a restart sees none, and stops them half way",
	}}
}

func judgeEntitlements(b *Buildkitd) []Finding {
	i := slices.Index(b.Config.Entitlements, "security.insecure")
	if i < 0 {
		return nil
	}
	return []Finding{{
		Line: b.itemLine(i, "insecure-entitlements"), Object: "insecure-entitlements",
		Problem: "builds that ask for security.insecure run steps with all the privileges that buildkitd has: in a privileged container that is root on the machine, for everybody who can build",
	}}
}

func judgeDeprecated(b *Buildkitd) []Finding {
	//lint:ignore SA1019 they are what the rule is about
	set := map[string]bool{"debug": b.Config.Debug, "trace": b.Config.Trace}
	var out []Finding
	for _, key := range []string{"debug", "trace"} {
		if set[key] {
			out = append(out, Finding{
				Line: b.Line(key), Object: key,
				Problem: fmt.Sprintf("%s = true is deprecated: buildkitd warns of it, and a later version may ignore it", key),
				Mend:    fmt.Sprintf("write level = %q in [log], where buildkitd is new enough for it", key),
			})
		}
	}
	return out
}
