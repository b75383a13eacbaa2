package explain

// configHops is where these messages come from, the usual place first.
var configHops = []Hop{DaemonStart}

// configEntries: what buildkitd says about its config, or only warns about.
var configEntries = []Entry{
	{
		ID: "toml-list", Title: "buildkitd.toml has a text where a list belongs", Hops: configHops,
		Patterns: []Pattern{
			{Text: "cannot decode TOML string into struct field <field> of type []string"},
			{Text: "cannot decode TOML string into struct field <field> of type []", Source: "go-toml v2.4.3 unmarshaler.go:1517"},
			{Text: "cannot decode TOML string into []string", Source: "go-toml v2.4.3 unmarshaler.go:447"},
			{Text: "an't convert string to []string", Source: "go-toml v1.9.5 marshal.go, which buildkit had before v0.13"},
			{Text: "(string) to []string", Source: "go-toml v1.9.5 marshal.go"},
			{Text: "incompatible types: TOML value has type string; destination has type slice", Source: "BurntSushi/toml v1.5.0 decode.go"},
			{Text: "Can't convert * to []string"},
		},
		Means:   "a key takes several values and got one without brackets: address, ca and mirrors are lists",
		Causes:  []Cause{{"address = \"tcp://...\" or ca = \"...\" without brackets", "{field}"}},
		Confirm: `grep -nE '^ *(address|ca|mirrors|tlsconfigdir) *= *"' buildkitd.toml`,
		Mend:    Mend{Certyard: `"certyard init" writes a buildkitd.toml that fits`, Hand: "  [grpc]\n    address = [\"tcp://0.0.0.0:1234\"]\n  [registry.\"registry:5000\"]\n    ca = [\"/certs/ca.pem\"]"},
		Source:  "go-toml v2.4.3 unmarshaler.go:1517; buildkit v0.34.2 cmd/buildkitd/config/config.go, util/resolver/config/config.go",
	},
	{
		ID: "toml-text", Title: "buildkitd.toml has a list where one text belongs", Hops: configHops,
		Patterns: []Pattern{
			{Text: "cannot decode TOML array into struct field <field> of type string"},
			{Text: "cannot decode TOML array into a Go string"},
			{Text: "incompatible types: TOML value has type []interface {}; destination has type string", Source: "BurntSushi/toml v1.5.0 decode.go"},
		},
		Means:   "below [grpc.tls] cert, key and ca are one path each; that file may hold several certificates",
		Causes:  []Cause{{"ca = [\"...\"] below [grpc.tls]", "{field}; only a registry's ca is a list"}},
		Confirm: `grep -nA4 'grpc.tls' buildkitd.toml`,
		Mend:    Mend{Certyard: `"certyard init" writes a buildkitd.toml that fits`, Hand: "  [grpc.tls]\n    ca = \"/certs/client-ca.pem\""},
		Source:  "go-toml v2.4.3 unmarshaler.go:1517",
	},
	{
		// P8.
		ID: "toml-table-name", Title: "the name of a section in buildkitd.toml needs quotes", Hops: configHops,
		Patterns: []Pattern{
			{Text: "expected ']' to close table name"},
			{Text: "expected ']]' to close array table name"},
			{Text: "expected a top-level item to end with a newline, comment, or EOF, but got ':' instead", Source: "BurntSushi/toml v1.5.0 lex.go"},
			{Text: "expected '.' or ']' to end table name, but got ':' instead", Source: "BurntSushi/toml v1.5.0 lex.go"},
		},
		Means:   "a host with a port has to be quoted; one with a dot too, though without quotes it is no error: [registry.example.com] is a section for a registry named example",
		Causes:  []Cause{{"[registry.HOST:PORT] without quotes", "the command below lists them"}},
		Confirm: `grep -nE '^ *\[+registry\.[^"]' buildkitd.toml`,
		Mend:    Mend{Certyard: `"certyard init" writes a buildkitd.toml that fits`, Hand: "  [registry.\"registry:5000\"]"},
		Source:  "go-toml v2.4.3 unstable/parser.go:374",
	},
	{
		ID: "toml-type", Title: "a key in buildkitd.toml has a value of the wrong type", Hops: configHops,
		Patterns: []Pattern{
			{Text: "cannot decode TOML <what> into struct field <field> of type "},
			{Text: "toml: cannot decode TOML "},
			{Text: "toml: expected "},
			{Text: "toml: invalid ", Source: "go-toml v2.4.3 unstable/parser.go"},
			{Text: "buildkitd: toml: <what>", Source: "go-toml v2.4.3 unstable/parser.go; " + buildkit + "cmd/buildkitd/main.go:496"},
			{Text: "failed to parse config", Below: true, Source: buildkit + "cmd/buildkitd/config/load.go:15"},
			{Text: "toml: line ", Source: "BurntSushi/toml v1.5.0 error.go"},
		},
		Means:   "the file could not be read as buildkitd's config; the daemon does not start",
		Causes:  []Cause{{"http = \"false\" in quotes, or a number in them", "{field}"}, {"a quote or bracket is missing", "the text names what was expected"}},
		Confirm: `buildkitd --config buildkitd.toml --addr unix:///tmp/try.sock --root /tmp/try 2>&1 | head -3`,
		Mend:    Mend{Certyard: `"certyard init" writes a buildkitd.toml that fits`, Hand: "booleans and numbers have no quotes: http = false"},
		Source:  "go-toml v2.4.3 unmarshaler.go:1517",
	},
	{
		ID: "tls-off-tcp", Title: "the builder listens on TCP without TLS", Hops: configHops,
		Patterns: []Pattern{
			{Text: "TLS is not enabled for <address>. enabling mutual TLS authentication is highly recommended", Hop: DaemonStart},
			{Text: "TLS is not enabled for <address>", Hop: DaemonStart},
		},
		Means: "whoever reaches {address} can build there, which is to run programs as root; buildkitd only warns",
		Causes: []Cause{
			{"[grpc.tls] is missing", "grep"},
			{"cert and key are misspelt or missing, and only ca is there", "buildkitd ignores keys that it does not know, and a ca alone switches nothing on"},
			{"the config file was not read", "--config names a path that does not exist, which is no error; the default is /etc/buildkit/buildkitd.toml"},
		},
		Confirm: `docker exec BUILDKITD cat /etc/buildkit/buildkitd.toml`,
		Mend:    Mend{Certyard: `"certyard up" makes a builder with TLS, and "certyard smoke" proves that plain text is refused`, Hand: "  [grpc.tls]\n    cert = \"/certs/server.crt\"\n    key  = \"/certs/server.key\"\n    ca   = \"/certs/client-ca.pem\""},
		Source:  buildkit + "cmd/buildkitd/main.go:795, 825-828; cmd/buildkitd/config/load.go:25-28",
	},
	{
		ID: "tls-off-unix", Title: "the builder's unix socket has no TLS, which is normal", Hops: configHops,
		Patterns: []Pattern{{Text: "TLS is disabled for <address>", Hop: DaemonStart}},
		Means:    "[grpc.tls] counts for tcp:// addresses; a socket is protected by its file mode",
		Causes:   []Cause{{"address has a socket besides TCP", "nothing is wrong"}},
		Confirm:  `docker exec BUILDKITD ls -l /run/buildkit/buildkitd.sock`,
		Mend:     Mend{Certyard: `nothing has to be done`, Hand: "nothing has to be done"},
		Source:   buildkit + "cmd/buildkitd/main.go:778-780",
	},
	{
		ID: "address-form", Title: "an address in buildkitd.toml or --addr has no proper scheme", Hops: configHops,
		Patterns: []Pattern{
			{Text: "address <address> does not contain proto, you meant unix://", Hop: DaemonStart},
			{Text: "addr <address> not supported", Hop: DaemonStart},
		},
		Means:   "buildkitd takes tcp://, unix://, npipe:// and fd://",
		Causes:  []Cause{{"only host and port, or https://", "{address}"}},
		Confirm: `grep -n address buildkitd.toml`,
		Mend:    Mend{Certyard: `"certyard init" writes a buildkitd.toml that fits`, Hand: "  [grpc]\n    address = [\"tcp://0.0.0.0:1234\"]"},
		Source:  buildkit + "cmd/buildkitd/main.go:767-801",
	},
	{
		ID: "root-locked", Title: "two builders share a state directory", Hops: configHops,
		Patterns: []Pattern{{Text: "could not lock <path>, another instance running?", Hop: DaemonStart}},
		Means:    "another buildkitd has {path}; each needs a --root of its own",
		Causes:   []Cause{{"an older container still runs with the same volume", "docker ps"}, {"it was scaled to two", "compose ps"}},
		Confirm:  `docker ps --filter volume=VOLUME`,
		Mend:     Mend{Certyard: `every stack has a volume of its own; "certyard list" shows them`, Hand: "stop the other one, or give this one another volume"},
		Source:   buildkit + "cmd/buildkitd/main.go:392-404",
	},
}
