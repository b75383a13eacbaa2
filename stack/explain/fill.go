package explain

import (
	"maps"
	"net"
	"strings"
)

// filler puts values into the templates of an entry: "{server}" and the like.
type filler struct{ texts, commands *strings.Replacer }

// unset is what stands in a template for a value that the text does not have.
func unset() map[string]string {
	return map[string]string{
		"server": "HOST:PORT", "registry": "REGISTRY", "host": "HOST", "port": "PORT", "name": "NAME", "names": "other names", "path": "FILE", "address": "HOST:PORT",
		"client": "the client", "user": "USER", "dns": "the DNS server", "field": "the key", "after": "its end", "before": "its beginning", "ca": "CA", "ref": "IMAGE", "driver": "DRIVER",
		"what": "what the text names", "line": "the line", "run": "",
	}
}

func newFiller(hop Hop, values map[string]string) filler {
	texts := unset()
	maps.Copy(texts, values)
	if texts["server"] == "HOST:PORT" && values["address"] != "" {
		texts["server"] = values["address"]
	}
	complete(texts)
	commands := unset()
	for k, v := range texts {
		if harmless(v) {
			commands[k] = v
		}
	}
	if hop == BuilderRegistry || hop == BuilderToken {
		// The builder's own view: its resolver, its network. BuildKit's image has
		// openssl (buildkit v0.34.2 Dockerfile:222-233).
		commands["run"] = "docker exec -i BUILDKITD "
	}
	return filler{replacer(texts), replacer(commands)}
}

// complete derives the host and the port of the server. A name that was looked for
// is the server's, when the text has no other.
func complete(v map[string]string) {
	if v["server"] == "HOST:PORT" && v["name"] != "NAME" {
		v["server"] = v["name"]
	}
	if v["server"] != "HOST:PORT" {
		v["registry"] = v["server"] // as a config has to name it: without a port that nobody wrote
	}
	host, port, err := net.SplitHostPort(v["server"])
	if err != nil {
		host, port = v["server"], "443"
		if v["server"] == v["name"] {
			port = "PORT" // of a builder, or of whatever: the name alone does not say
		}
		v["server"] = net.JoinHostPort(strings.Trim(host, "[]"), port)
	}
	v["host"], v["port"] = host, port
	if v["name"] == "NAME" && host != "HOST" {
		v["name"] = host
	}
}

// harmless reports whether a value may stand in a command that somebody copies:
// what a log says was written by others.
func harmless(v string) bool {
	if strings.HasPrefix(v, "-") {
		return false
	}
	return !strings.ContainsFunc(v, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:/_-[]@+", r)
	})
}

func replacer(values map[string]string) *strings.Replacer {
	var pairs []string
	for k, v := range values {
		pairs = append(pairs, "{"+k+"}", v)
	}
	return strings.NewReplacer(pairs...)
}

func (f filler) text(t string) string    { return f.texts.Replace(t) }
func (f filler) command(t string) string { return f.commands.Replace(t) }
