package explain

// httpHops is where these messages come from, the usual place first.
var httpHops = []Hop{BuilderRegistry, ClientRegistry, EngineRegistry, ClientToken}

// httpEntries: HTTP and HTTPS taken for each other, and what servers answer.
var httpEntries = []Entry{
	{
		// P1: loopback names are plain HTTP unless http = false is written.
		ID: "http-to-https", Title: "plain HTTP was sent to an HTTPS port", Hops: httpHops,
		Patterns: []Pattern{
			{Text: "lient sent an HTTP request to an HTTPS server"},
			// A HEAD has no body that would say why.
			{Text: "unexpected status from <> request to http://<>: 400 Bad Request", Source: "containerd v2.4.2 core/remotes/errors/errors.go:43, " + goHTTP + "/server.go:1927"},
			{Text: "HTTP request to HTTPS server"},
			{Text: "HTTP request to an HTTPS server"},
			{Text: "http: TLS handshake error from * client sent an HTTP request to an HTTPS server", Hop: ServerLog, Source: goHTTP + "/server.go:1929"},
			// Of the answer to a HEAD request there is no text.
			{Text: "unexpected status from * request to http://*: 400 Bad Request", Source: "containerd v2.4.2 core/remotes/errors/errors.go:43"},
			{Text: "The plain HTTP request was sent to HTTPS port", Source: "nginx 1.27 src/http/ngx_http_special_response.c"},
		},
		Means: "the server speaks TLS and got a request without: whoever asked believes that {registry} is plain HTTP",
		Causes: []Cause{
			{"a name of the loopback, and http = false is missing", "the registry is called localhost, 127.x or ::1: buildkitd takes it for plain HTTP unless its section says http = false, even when it has a ca"},
			{"the section says http = true", "look at [registry.\"{registry}\"]"},
			{"the push has registry.insecure=true", "in --output or --export-cache: it replaces the whole section, the CA too"},
			{"the section's name does not match", "it has to be exactly {registry}; a section of another name is ignored without a word"},
			{"a program with a guess of its own", "go-containerregistry, and with it crane and kaniko, tries HTTP for localhost and private addresses"},
		},
		Confirm: `{run}openssl s_client -connect {server} -servername {host} </dev/null 2>&1 | grep -E 'subject|issuer|Verify'`,
		Mend: Mend{
			Certyard: `"certyard up" writes "http = false" for every name of the registry and restarts the builder`,
			Hand:     trustOnBuilder,
		},
		Source: goHTTP + "/server.go:1927; buildkit v0.34.2 util/resolver/resolver.go:38-42,61-64",
	},
	{
		ID: "https-to-http", Title: "HTTPS was spoken to a port that has plain HTTP", Hops: httpHops,
		Patterns: []Pattern{
			{Text: "http: server gave HTTP response to HTTPS client"},
			{Text: "server gave HTTP response to HTTPS client"},
		},
		Means: "{registry} answers without TLS, and this side insists on it",
		Causes: []Cause{
			{"the registry has no certificate in its config", "http.tls.certificate and key are missing, or a key in its config is misspelt, which it ignores; its log says \"listening on ...\" without \", tls\""},
			{"it is meant to be plain HTTP", "nobody was to use TLS: see by hand"},
			{"it is the port of something else", "the command below shows who answers"},
		},
		Confirm: `{run}curl -si --max-time 5 http://{server}/v2/`,
		Mend: Mend{
			Certyard: `"certyard up" makes a registry with TLS`,
			Hand: "in the registry's config.yml, then restart it:\n  http:\n    tls:\n      certificate: /certs/registry.crt\n      key: /certs/registry.key\n" +
				"where plain HTTP is meant, in buildkitd.toml:\n  [registry.\"{registry}\"]\n    http = true",
		},
		Source: goHTTP + "/client.go:212",
	},
	{
		ID: "tls-answer-to-http", Title: "a TLS server answered a request that was not TLS", Hops: httpHops,
		Patterns: []Pattern{
			{Text: `malformed HTTP response "\x15\x03`},
			{Text: `malformed HTTP response "\x00\x00`, Source: "a gRPC server, " + goHTTP + "/response.go:170"},
			// With an error behind it, it is that error, of a server that was faster.
			{Text: "readLoopPeekFailLocked: %!w(", Source: goHTTP + "/transport.go, when the server speaks first"},
			{Text: "curl: (1) Received HTTP/0.9 when not allowed", Hop: Command, Source: "curl 7.88.1 lib/http.c"},
			{Text: "curl: (52) Empty reply from server", Hop: Command, Source: "curl 7.88.1 lib/strerror.c"},
		},
		Means:   "plain HTTP was sent to a port with TLS, or to that of a builder: the answer is no HTTP",
		Causes:  []Cause{{"http:// instead of https://", "\"\\x15\\x03\" is a TLS alert"}, {"the port is the builder's", "\"\\x00\\x00\" is HTTP/2, which gRPC speaks"}},
		Confirm: `{run}openssl s_client -connect {server} -servername {host} </dev/null`,
		Mend:    Mend{Certyard: `"certyard env" prints the addresses with their schemes`, Hand: "use https://, and for a builder tcp:// with buildctl or buildx"},
		Source:  goHTTP + "/response.go:170",
	},
	{
		// Facts 0.8.
		ID: "blob-upload-unknown", Title: "the registry does not know the upload that it began", Hops: httpHops,
		Patterns: []Pattern{
			{Text: "blob upload unknown to registry"},
			{Text: "blob upload unknown"},
			{Text: "BLOB_UPLOAD_UNKNOWN"},
			{Text: "blob upload invalid"},
			{Text: "BLOB_UPLOAD_INVALID"},
		},
		Means: "a push had begun to send a layer, and the registry that got the rest does not accept that beginning",
		Causes: []Cause{
			{"the registry was restarted in between, and has no fixed secret", "its log has \"No HTTP secret provided\"; it makes a new one at every start, and uploads are signed with it"},
			{"several registries behind one name have different secrets, or storages of their own", "pushes fail now and then without a restart"},
			{"the upload was purged, or its files are gone", "it was idle for days, or the storage was emptied"},
		},
		Confirm: `docker logs REGISTRY 2>&1 | grep -c 'No HTTP secret provided'`,
		Mend: Mend{
			Certyard: `"certyard up" gives the registry a secret that stays, and time to end uploads before it stops`,
			Hand:     "  http:\n    secret: SOME-LONG-RANDOM-TEXT\n    draintimeout: 60s\nthen push again: it begins anew",
		},
		Source: dist + "registry/api/errcode/register.go:202, registry/handlers/app.go:681-690",
	},
	{
		ID: "proxy", Title: "a proxy is in between, and does not let this through", Hops: httpHops,
		Patterns: []Pattern{
			{Text: "proxyconnect tcp: "},
			{Text: "curl: (97) ", Hop: Command, Source: "curl 7.88.1 lib/strerror.c"},
			{Text: "Received HTTP code 407 from proxy", Hop: Command, Source: "curl 7.88.1 lib/cf-h1-proxy.c"},
		},
		Means:   "HTTP_PROXY or HTTPS_PROXY is set for this program, and names of the network do not exist for the proxy",
		Causes:  []Cause{{"the registry's name is not in NO_PROXY", "the variables are set in the environment of the side that connects: the builder's for a push"}},
		Confirm: `{run}env | grep -i _proxy`,
		Mend:    Mend{Certyard: `certyard gives its containers no proxy`, Hand: "  NO_PROXY=localhost,127.0.0.1,registry,{host}\nin the environment of that process, then restart it"},
		Source:  goHTTP + "/transport.go:1785",
	},
	{
		ID: "server-error", Title: "the registry had an error of its own", Hops: httpHops,
		Patterns: []Pattern{
			{Text: ": 500 Internal Server Error"},
			{Text: ": 502 Bad Gateway"},
			{Text: ": 503 Service Unavailable"},
			{Text: "response completed with error", Hop: ServerLog, Source: dist + "registry/handlers/app.go:839"},
		},
		Means:   "the connection and TLS are all right; the registry could not do what was asked",
		Causes:  []Cause{{"its storage is full or may not be written", "its log has the path and the reason"}, {"502 and 503: a proxy before it has nobody to pass this on to", "the registry's own log has nothing of it"}},
		Confirm: `docker logs --tail 50 REGISTRY`,
		Mend:    Mend{Certyard: `"certyard logs registry" shows its log`, Hand: "read the registry's log of that second"},
		Source:  dist + "registry/handlers/app.go:839",
		Wraps:   true,
	},
}
