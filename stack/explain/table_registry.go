package explain

// registryHops is where these messages come from, the usual place first.
var registryHops = []Hop{DaemonStart}

// registryLogs shows why a registry has ended.
const registryLogs = `docker logs --tail 20 REGISTRY`

// registryEntries: what the registry says about its config.
var registryEntries = []Entry{
	{
		ID: "registry-config", Title: "the registry cannot read its config", Hops: registryHops,
		Patterns: []Pattern{
			{Text: "configuration error: ", Hop: DaemonStart},
			{Text: "configuration path unspecified", Hop: DaemonStart, Source: dist + "registry/registry.go:481"},
		},
		Means:   "the file is missing, no YAML, or of another version; a key that is only misspelt is no error, and ignored",
		Causes:  []Cause{{"the path is that of version 2", "version 3 reads /etc/distribution/config.yml, version 2 /etc/docker/registry/config.yml"}, {"indentation, or a tab", "the text has the line"}},
		Confirm: `docker exec REGISTRY cat /etc/distribution/config.yml`,
		Mend:    Mend{Certyard: `"certyard init" writes a config.yml that fits`, Hand: "version: 0.1 has to be its first key; mount it at the path of the registry's version"},
		Source:  dist + "registry/registry.go:111",
		Wraps:   true,
	},
	{
		ID: "registry-minimum-tls", Title: "the registry does not know this minimum of TLS", Hops: registryHops,
		Patterns: []Pattern{{Text: "unknown minimum TLS level '<what>' specified for http.tls.minimumtls", Hop: DaemonStart}},
		Means:    "{what} is neither tls1.2 nor tls1.3; version 3 has no older ones, though its documentation still names them",
		Causes:   []Cause{{"a config of version 2", "tls1.0 or tls1.1"}, {"another spelling", "TLSv1.2, 1.2"}},
		Confirm:  registryLogs,
		Mend:     Mend{Certyard: `"certyard init" writes a config.yml that fits`, Hand: "  http:\n    tls:\n      minimumtls: tls1.2"},
		Source:   dist + "registry/registry.go:75-78, 236-243",
	},
	{
		ID: "registry-client-auth", Title: "the registry does not know this way to ask for client certificates", Hops: registryHops,
		Patterns: []Pattern{{Text: "invalid ClientAuth <what> Must be one of: ", Hop: DaemonStart}},
		Means:    "clientauth takes request-client-cert, require-any-client-cert, verify-client-cert-if-given and require-and-verify-client-cert",
		Causes:   []Cause{{"another spelling", "{what}"}},
		Confirm:  registryLogs,
		Mend:     Mend{Certyard: `certyard's registry uses passwords`, Hand: "  http:\n    tls:\n      clientauth: require-and-verify-client-cert\n      clientcas: [/certs/client-ca.pem]"},
		Source:   dist + "configuration/configuration.go:1020",
	},
	{
		ID: "no-http-secret", Title: "the registry has no fixed secret", Hops: registryHops,
		Patterns: []Pattern{{Text: "No HTTP secret provided - generated random secret", Hop: DaemonStart}},
		Means:    "it makes a new one at every start: a push that a restart comes into fails with 404, blob upload unknown",
		Causes:   []Cause{{"http.secret is missing", "grep secret config.yml"}},
		Confirm:  `docker exec REGISTRY grep -n secret /etc/distribution/config.yml`,
		Mend:     Mend{Certyard: `"certyard up" gives it one that stays`, Hand: "  http:\n    secret: SOME-LONG-RANDOM-TEXT"},
		Source:   dist + "registry/handlers/app.go:681-690",
	},
	{
		ID: "registry-env", Title: "the registry ignores one of its environment variables", Hops: registryHops,
		Patterns: []Pattern{{Text: "Ignoring unrecognized environment variable <name>", Hop: DaemonStart}},
		Means:    "{name} begins with REGISTRY_ and names no key of the config: a typo leaves TLS or passwords switched off without another word",
		Causes:   []Cause{{"a typo", "the words between underscores are the keys of the config"}, {"a name of Docker or Kubernetes", "REGISTRY_PORT and the like come from links and services"}},
		Confirm:  `docker exec REGISTRY env | grep REGISTRY_`,
		Mend:     Mend{Certyard: `certyard's registry is configured by its file`, Hand: "  REGISTRY_HTTP_TLS_CERTIFICATE=/certs/registry.crt\n  REGISTRY_HTTP_TLS_KEY=/certs/registry.key"},
		Source:   dist + "configuration/parser.go:229-233",
	},
}
