package explain

// builderEntries: BuildKit's clients and buildx.
var builderEntries = []Entry{
	{
		ID: "plaintext-to-builder", Title: "the client speaks plain text, and the builder wants TLS", Hops: []Hop{ClientBuilder},
		Patterns: []Pattern{
			{Text: "error reading server preface: EOF", Hop: ClientBuilder},
		},
		Means: "the connection was taken, and closed without an answer: a TLS port does that to a client that does not begin a handshake",
		Causes: []Cause{
			{"the client was given no CA and no certificate", "no --tlscacert, no --tlsdir, no cacert= in buildx's driver options: without them buildctl speaks plain text, whatever the port is"},
			{"the builder is being stopped", "it worked a moment ago; its log says: stopping server"},
		},
		Confirm: `openssl s_client -connect {server} -servername {host} </dev/null 2>&1 | grep -E 'subject|issuer|Verify'`,
		Mend: Mend{
			Certyard: `eval "$(certyard env)" sets what clients of the builder need`,
			Hand:     "  buildctl --addr tcp://{server} --tlscacert ca.pem --tlscert cert.pem --tlskey key.pem ...\n  docker buildx create --driver remote --driver-opt cacert=/abs/ca.pem,cert=/abs/cert.pem,key=/abs/key.pem tcp://{server}",
		},
		Source: grpcGo + ":1698; buildkit v0.34.2 cmd/buildctl/common/common.go:67-72",
	},
	{
		// P22. The alert of a server that refuses a client's certificate comes after the
		// client's first bytes: whichever is first, the client reads it or fails to
		// write.
		ID: "builder-broke-off", Title: "the builder ended the connection right after the handshake, mostly over the client's certificate", Hops: []Hop{ClientBuilder},
		Patterns: []Pattern{
			{Text: "Unavailable: write tcp *-><address>: write: broken pipe", Hop: ClientBuilder},
			{Text: "Unavailable: write tcp *-><address>: write: connection reset by peer", Hop: ClientBuilder},
			{Text: `desc = "write tcp *-><address>: write: broken pipe`, Hop: ClientBuilder},
			{Text: "error reading server preface: read tcp *-><address>: read: connection reset by peer", Hop: ClientBuilder},
			{Text: "error reading server preface: connection reset by peer", Hop: ClientBuilder},
		},
		Means: "over TLS 1.3 a server refuses a client only after the client believes that TLS is up; a client that is still sending then learns that the connection is gone, and not why",
		Causes: []Cause{
			{"the builder wants a client certificate (mutual TLS), and got none or one that it refuses", "run it again: mostly the text is then: error reading server preface: remote error: tls: ..."},
			{"the client speaks plain text, and the builder TLS", "buildctl has neither --tlscacert nor --tlsdir"},
			{"the builder is being stopped", "its log says: stopping server"},
		},
		Confirm: `openssl s_client -connect {server} -servername {host} -cert cert.pem -key key.pem -alpn h2 </dev/null 2>&1 | grep -E 'alert|Acceptable|Verify'`,
		Mend: Mend{
			Certyard: `eval "$(certyard env)" hands clients certificate and key; "certyard smoke" proves them`,
			Hand:     "buildctl --tlscacert ca.pem --tlscert cert.pem --tlskey key.pem\nor take the line ca = ... out of [grpc.tls] in buildkitd.toml, on loopback only: whoever reaches that port then builds as root",
		},
		Source: grpcGo + ":1698; " + goTLS + "/handshake_client_tls13.go",
	},
	{
		ID: "curl-broke-off", Title: "the server ended curl's connection right after the handshake", Hops: []Hop{Command},
		Patterns: []Pattern{
			{Text: "curl: (55) ", Hop: Command, Source: "curl 7.88.1 lib/strerror.c"},
			{Text: "curl: (56) ", Hop: Command, Source: "curl 7.88.1 lib/strerror.c"},
			{Text: "Send failure: Connection reset by peer", Hop: Command, Source: "curl 7.88.1 lib/cf-socket.c"},
			{Text: "Send failure: Broken pipe", Hop: Command, Source: "curl 7.88.1 lib/cf-socket.c"},
		},
		Means: "over TLS 1.3 a server refuses a client only after the client believes that TLS is up; a client that is still sending then learns that the connection is gone, and not why",
		Causes: []Cause{
			{"the server wants a client certificate, and got none or one that it refuses", "run it again: mostly the text then has the alert; the registry's log says why"},
			{"the server was stopped", "its log ends in that second"},
		},
		Confirm: `openssl s_client -connect {server} -servername {host} </dev/null 2>/dev/null | sed -n '/Acceptable client/,/Shared/p'`,
		Mend:    Mend{Certyard: `certyard's registry asks nobody for a client certificate`, Hand: "curl --cacert ca.pem --cert cert.pem --key key.pem https://{server}/v2/"},
		Source:  "curl 7.88.1 lib/strerror.c",
		Wraps:   true,
	},
	{
		ID: "not-a-builder", Title: "what answers there is no BuildKit", Hops: []Hop{ClientBuilder},
		Patterns: []Pattern{
			{Text: "error reading server preface: http2: frame too large", Hop: ClientBuilder},
			{Text: "error reading server preface: http2: failed reading the frame payload", Hop: ClientBuilder},
			{Text: "received unexpected content-type", Hop: ClientBuilder},
			{Text: "unknown service moby.buildkit.v1.Control", Hop: ClientBuilder},
		},
		Means:   "a server answered, in HTTP/1 or with other services than BuildKit's",
		Causes:  []Cause{{"it is the registry's port", "\"curl -k https://{server}/v2/\" gets an answer"}, {"a proxy is in between that does not pass gRPC on", "the certificate is not buildkitd's"}},
		Confirm: `openssl s_client -connect {server} -servername {host} -alpn h2 </dev/null 2>/dev/null | grep -iE 'alpn|subject'`,
		Mend:    Mend{Certyard: `"certyard env" prints the builder's address`, Hand: "use buildkitd's own port"},
		Source:  grpcGo + ":1698",
	},
	{
		// P21: Client.Wait and buildx hide why they wait.
		ID: "builder-deadline", Title: "the builder could not be reached in time, and the reason is hidden", Hops: []Hop{ClientBuilder, BuilderRegistry, ClientRegistry},
		Patterns: []Pattern{
			{Text: "context deadline exceeded"},
			{Text: "waiting for connection", Hop: ClientBuilder, Source: buildx + "driver/remote/driver.go:51"},
			{Text: "DeadlineExceeded"},
		},
		Means: "BuildKit's client tries again as long as a builder is unavailable, and every failed TLS handshake counts as that: a wrong CA, a wrong name and a missing certificate all end like this",
		Causes: []Cause{
			{"a TLS error", "the command below shows it at once"},
			{"nothing listens", "the same command says: Connection refused"},
			{"the builder is slow to start", "its log has no \"running server on\" yet"},
		},
		Confirm: `openssl s_client -connect {server} -servername {host} -CAfile ca.pem -cert cert.pem -key key.pem -alpn h2 </dev/null 2>&1 | grep -E 'Verify|alert|error|refused'`,
		Mend: Mend{
			Certyard: `"certyard smoke" tries TLS first and says what is wrong with it`,
			Hand:     "  buildctl --addr tcp://{server} --tlsdir DIR debug info\nsays the reason; then see that message",
		},
		Source: buildkit + "client/client.go:194-218; buildx v0.38.2 driver/remote/driver.go:53",
		Wraps:  true,
	},
	{
		ID: "builder-inactive", Title: "buildx says that the builder is inactive, and not why", Hops: []Hop{ClientBuilder},
		Patterns: []Pattern{
			{Text: "Status:    inactive", Hop: ClientBuilder},
			{Text: "Status: inactive", Hop: ClientBuilder},
			{Text: "failed to initialize builder ", Hop: ClientBuilder, Source: buildx + "builder/builder.go:620"},
		},
		Means:   "buildx asked for the builder's workers and got an error, which it does not show",
		Causes:  []Cause{{"a TLS error: CA, name, or no client certificate", "\"buildctl debug info\" with the same files says which"}, {"the builder does not run", "docker ps -a"}},
		Confirm: `buildctl --addr tcp://{server} --tlscacert ca.pem --tlscert cert.pem --tlskey key.pem debug info`,
		Mend:    Mend{Certyard: `"certyard smoke" says what is wrong`, Hand: "mend what buildctl says; buildx reads the files at each connection"},
		Source:  buildx + "driver/remote/driver.go:60-71",
		Wraps:   true,
	},
	{
		ID: "buildx-driver", Title: "buildx does not know this driver", Hops: []Hop{ClientBuilder},
		Patterns: []Pattern{
			{Text: "failed to find driver <driver>", Hop: ClientBuilder},
			{Text: "no valid drivers found", Hop: ClientBuilder, Source: buildx + "driver/manager.go"},
		},
		Means:   "the name behind --driver is none of docker, docker-container, kubernetes, remote, cloud",
		Causes:  []Cause{{"a typo", "{driver}"}, {"an old buildx", "\"docker buildx version\": remote came with v0.8"}},
		Confirm: `docker buildx ls`,
		Mend:    Mend{Certyard: `"certyard env" prints what buildx needs`, Hand: "  docker buildx create --name NAME --driver remote --driver-opt cacert=/abs/ca.pem tcp://HOST:PORT"},
		Source:  buildx + "driver/manager.go:121",
	},
	{
		ID: "buildx-relative-path", Title: "buildx wants absolute paths of certificates", Hops: []Hop{ClientBuilder},
		Patterns: []Pattern{{Text: "non-absolute path '<path>' provided for <what>", Hop: ClientBuilder}},
		Means:    "the remote driver takes cacert, cert and key with a path from the root alone",
		Causes:   []Cause{{"a relative path was given", "{path}"}},
		Confirm:  `realpath {path}`,
		Mend:     Mend{Certyard: `"certyard env" prints absolute paths`, Hand: "  --driver-opt {what}=$(realpath {path})"},
		Source:   buildx + "driver/remote/factory.go:68-80",
	},
	{
		ID: "builder-socket", Title: "the builder's unix socket is not there, or not for this user", Hops: []Hop{ClientBuilder},
		Patterns: []Pattern{
			{Text: "dial unix <path>: connect: no such file or directory", Hop: ClientBuilder},
			{Text: "dial unix <path>: connect: permission denied", Hop: ClientBuilder},
			{Text: "dial unix <path>: connect: connection refused", Hop: ClientBuilder},
		},
		Means: "the client went to {path}",
		Causes: []Cause{
			{"the client was not told where the builder is", "without --addr and BUILDKIT_HOST it is the socket of this machine"},
			{"address below [grpc] has tcp:// only", "that replaces the socket; name both"},
			{"it belongs to root", "the text says: permission denied"},
		},
		Confirm: `echo "$BUILDKIT_HOST"`,
		Mend:    Mend{Certyard: `eval "$(certyard env)" sets BUILDKIT_HOST`, Hand: "  [grpc]\n    address = [\"unix:///run/buildkit/buildkitd.sock\", \"tcp://0.0.0.0:1234\"]"},
		Source:  buildkit + "cmd/buildkitd/main.go:605-676",
	},
	{
		ID: "tlsdir", Title: "buildctl cannot use this --tlsdir", Hops: []Hop{ClientBuilder},
		Patterns: []Pattern{
			{Text: "cannot specify tlsdir and tlscacert/tlscert/tlskey at the same time", Hop: ClientBuilder},
			{Text: "directory did not contain one of the needed files: <names...>", Hop: ClientBuilder},
		},
		Means: "--tlsdir stands for the three files, which have to be all there: ca.pem, cert.pem and key.pem, or ca.crt, tls.crt and tls.key",
		Causes: []Cause{
			{"the directory has no client certificate", "the text names the file; without one --tlscacert alone is the way"},
			{"a flag besides --tlsdir, and one of BUILDKIT_TLS_*", "\"env | grep BUILDKIT\""},
		},
		Confirm: `env | grep BUILDKIT`,
		Mend:    Mend{Certyard: `"certyard env" prints flags that fit together`, Hand: "leave one of both out; --tlsdir has no way without a client certificate"},
		Source:  buildkit + "cmd/buildctl/common/common.go:43-46,119-143",
	},
	{
		ID: "build-failed", Title: "the build failed; the reason is behind or above this", Hops: []Hop{ClientBuilder, BuilderRegistry},
		Patterns: []Pattern{
			{Text: "ERROR: failed to solve: "},
			{Text: "ERROR: failed to build: "},
			{Text: "failed to solve: "},
			{Text: "failed to do request: "},
			{Text: "failed to list workers: ", Source: buildkit + "client/workers.go:34"},
			{Text: "failed to dial "},
			{Text: "failed to push "},
			{Text: "error checking push permissions", Hop: ClientRegistry, Source: "kaniko v1.23.2 cmd/executor/cmd/root.go:181"},
		},
		Means:   "this part of the line only says what was being done",
		Causes:  []Cause{{"see what follows in the line", "paste the whole output: certyard explain < build.log"}},
		Confirm: `docker buildx build --progress=plain ...`,
		Mend:    Mend{Certyard: `paste the whole log`, Hand: "look for the first line with: error"},
		Source:  buildkit + "client/solve.go:358",
		Wraps:   true,
	},
}
