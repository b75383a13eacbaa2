package explain

// handshakeHops is where these messages come from, the usual place first.
var handshakeHops = []Hop{ClientBuilder, ClientRegistry, BuilderRegistry, EngineRegistry, ServerLog, Command}

// handshakeEntries: what the sides of a TLS connection refuse each other.
var handshakeEntries = []Entry{
	{
		// P22, facts A4: Go answers with no certificate at all when its own does not
		// fit the CAs that the server names.
		ID: "client-certificate-required", Title: "the server wants a client certificate and got none", Hops: handshakeHops,
		Patterns: []Pattern{
			{Text: "error reading server preface: remote error: tls: certificate required", Hop: ClientBuilder, Source: goTLS + "/alert.go:96, grpc-go v1.84.0 internal/transport/http2_client.go:1698"},
			{Text: "remote error: tls: certificate required"},
			{Text: "tls: certificate required"},
			{Text: "tlsv13 alert certificate required", Source: ossl},
			{Text: "http: TLS handshake error from * tls: client didn't provide a certificate", Hop: ServerLog, Source: goTLS + "/handshake_server.go:970"},
			{Text: "certificate required"},
		},
		Means: "the server asks every client for a certificate (mutual TLS), and the client did not send one",
		Causes: []Cause{
			{"the client has no certificate", "no --tlscert and --tlskey, no --tlsdir, no cert= in buildx's driver options; for a registry, no keypair below [registry.\"{registry}\"]"},
			{"its certificate is of another CA than the server accepts", "the client was given one: a Go program does not even send it when its issuer is not among the CAs that the server names; the command below lists those, and \"openssl x509 -noout -issuer -in cert.pem\" says which issued it"},
			{"the server has mutual TLS by mistake", "ca below [grpc.tls] in buildkitd.toml, or clientcas below http.tls of the registry, is what switches it on"},
			{"the server still has an older client CA", "the issuer is right and new: buildkitd and the registry read theirs at their start; restart it"},
		},
		Confirm: `{run}openssl s_client -connect {server} -servername {host} </dev/null 2>/dev/null | sed -n '/Acceptable client/,/Shared/p'`,
		Mend: Mend{
			Certyard: `eval "$(certyard env)" hands clients certificate and key; "certyard client add NAME" makes one for somebody else; builder.tls: server asks for none`,
			Hand:     "buildctl --tlscacert ca.pem --tlscert cert.pem --tlskey key.pem\nor take the line ca = ... out of [grpc.tls] in buildkitd.toml, on loopback only: whoever reaches that port then builds as root",
		},
		Source: goTLS + "/alert.go:96",
	},
	{
		ID: "handshake-failure", Title: "the server ended the handshake, mostly for want of a client certificate", Hops: handshakeHops,
		Patterns: []Pattern{
			{Text: "remote error: tls: handshake failure"},
			{Text: "sslv3 alert handshake failure", Source: ossl},
			{Text: "ssl/tls alert handshake failure", Source: "OpenSSL 3.2 ssl/ssl_err.c"},
		},
		Means: "with TLS 1.2 this is all that a server says that wants a client certificate; with TLS 1.3 it is about ciphers",
		Causes: []Cause{
			{"no client certificate, over TLS 1.2", "with TLS 1.3 (-tls1_3) the answer is: certificate required"},
			{"no cipher or curve in common", "the server is no Go program, or has http.tls.ciphersuites; -tls1_3 fails as well"},
		},
		Confirm: `{run}openssl s_client -connect {server} -servername {host} -tls1_3 </dev/null`,
		Mend:    Mend{Certyard: `eval "$(certyard env)" hands clients their certificate`, Hand: "give the client a certificate that the server's client CA has signed (--tlscert, --tlskey)"},
		Source:  goTLS + "/alert.go:71",
	},
	{
		ID: "client-certificate-unknown-ca", Title: "the server does not trust the CA of the client's certificate", Hops: handshakeHops,
		Patterns: []Pattern{
			{Text: "error reading server preface: remote error: tls: unknown certificate authority", Hop: ClientBuilder},
			{Text: "remote error: tls: unknown certificate authority"},
			{Text: "tlsv1 alert unknown ca", Source: ossl},
			{Text: "http: TLS handshake error from * tls: failed to verify certificate: x509: certificate signed by unknown authority", Hop: ServerLog, Source: goTLS + "/handshake_server.go"},
			{Text: `http: TLS handshake error from * tls: failed to verify certificate: x509: certificate signed by unknown authority (possibly because of * while trying to verify candidate authority certificate "<ca...>"`, Hop: ServerLog, Source: goTLS + "/handshake_server.go"},
			{Text: "tls: failed to verify client certificate: x509: certificate signed by unknown authority", Hop: ServerLog, Source: goTLS + "/handshake_server.go"},
		},
		Means: "the client did send a certificate, and the server's client CA did not sign it",
		Causes: []Cause{
			{"the client CA was made again under the same name", "the issuer of the client's certificate reads as the server wants it, and its fingerprint is another: a certificate of a CA with another name would not even be sent"},
			{"the client is not a Go program, and sends whatever it has", "curl and openssl do"},
			{"the server was not restarted since its client CA changed", "its file has the right CA"},
		},
		Confirm: `openssl verify -purpose sslclient -CAfile client-ca.pem cert.pem`,
		Mend: Mend{
			Certyard: `"certyard up" issues client certificates of the present CA; "certyard pki verify client/cert.pem" shows whether it holds`,
			Hand:     "issue the client's certificate again, or add its CA to the file (ca of [grpc.tls], clientcas of the registry), which may hold several, and restart the server",
		},
		Source: goTLS + "/alert.go:78",
	},
	{
		ID: "client-certificate-refused", Title: "the server refuses the client's certificate", Hops: handshakeHops,
		Patterns: []Pattern{
			{Text: "error reading server preface: remote error: tls: bad certificate", Hop: ClientBuilder},
			{Text: "remote error: tls: bad certificate"},
			{Text: "remote error: tls: unsupported certificate"},
			{Text: "remote error: tls: unknown certificate"},
			{Text: "sslv3 alert bad certificate", Source: ossl},
			{Text: "ssl/tls alert bad certificate", Source: "OpenSSL 3.2 ssl/ssl_err.c"},
			{Text: "http: TLS handshake error from * tls: failed to verify certificate: x509: certificate specifies an incompatible key usage", Hop: ServerLog},
		},
		Means: "the certificate was sent, is of the right CA, and is not good for a client",
		Causes: []Cause{
			{"it is a server's certificate", `"openssl x509 -noout -ext extendedKeyUsage -in cert.pem" shows serverAuth and no clientAuth`},
			{"its chain does not hold otherwise: names outside of constraints, an issuing CA that was not sent", "the command below says what"},
			{"the text is in a server's log", "then it is the client that refuses the server's certificate"},
		},
		Confirm: `openssl verify -purpose sslclient -CAfile client-ca.pem cert.pem`,
		Mend: Mend{
			Certyard: `"certyard client add NAME" makes a client's certificate; "certyard pki verify FILE --role client" says what is wrong with another`,
			Hand:     "issue it with\n  extendedKeyUsage = clientAuth",
		},
		Source: goTLS + "/alert.go:72-76",
	},
	{
		ID: "client-certificate-expired", Title: "the client's certificate has expired", Hops: handshakeHops,
		Patterns: []Pattern{
			{Text: "remote error: tls: expired certificate"},
			{Text: "sslv3 alert certificate expired", Source: ossl},
			// curl says this of the server's alert alone: of a server's certificate it
			// says "SSL certificate problem".
			{Text: "curl: (60) SSL certificate verification failed", Hop: Command, Source: curl},
			{Text: "http: TLS handshake error from * tls: failed to verify certificate: x509: certificate has expired or is not yet valid", Hop: ServerLog},
		},
		Means:   "the server verified the client's certificate, and its clock is outside of the certificate's dates",
		Causes:  []Cause{{"it ran out", `"openssl x509 -noout -dates -in cert.pem"`}, {"the server's clock is wrong", `"docker exec CONTAINER date -u"`}},
		Confirm: `openssl x509 -noout -subject -dates -in cert.pem`,
		Mend:    Mend{Certyard: `"certyard rotate" issues it again; "certyard client list" shows when each expires`, Hand: "issue it again; the client reads it at its next run"},
		Source:  goTLS + "/alert.go:75",
	},
	{
		ID: "client-refuses-server", Title: "a client does not accept this server's certificate", Hops: []Hop{ServerLog},
		Patterns: []Pattern{
			{Text: "http: TLS handshake error from * remote error: tls: bad certificate", Hop: ServerLog},
			{Text: "http: TLS handshake error from * remote error: tls: unknown certificate authority", Hop: ServerLog},
			{Text: "http: TLS handshake error from * remote error: tls: unknown certificate", Hop: ServerLog},
			{Text: "http: TLS handshake error from * remote error: tls: expired certificate", Hop: ServerLog},
			// OpenSSL sends the alert without the encryption that the server expects by
			// then, over TLS 1.3.
			{Text: "http: TLS handshake error from * local error: tls: bad record MAC", Hop: ServerLog, Source: goTLS + "/alert.go:70"},
			{Text: "http: TLS handshake error from * remote error: tls: error decrypting message", Hop: ServerLog},
			{Text: "http: TLS handshake error from * remote error: tls: ", Hop: ServerLog},
		},
		Means: "the server is all right with the connection; it is the client that broke it off over the certificate that it was shown",
		Causes: []Cause{
			{"the client does not trust the CA", "the client's own message says: unknown authority"},
			{"it asked for a name that the certificate does not have", "the client's own message says: certificate is valid for ..., not ..."},
			{"the certificate has expired", "\"certyard pki verify HOST:PORT\" shows until when"},
			{"the key does not belong to the certificate", "the text ends with: error decrypting message"},
		},
		Confirm: `openssl s_client -connect HOST:PORT -CAfile ca.pem -verify_return_error </dev/null`,
		Mend:    Mend{Certyard: `"certyard smoke" tries every path with the stack's own trust`, Hand: "look at the client's message: it says why"},
		Source:  goHTTP + "/server.go:1933, " + goTLS + "/alert.go:72-78",
	},
	{
		ID: "tls-version", Title: "the two sides have no TLS version in common", Hops: handshakeHops,
		Patterns: []Pattern{
			{Text: "remote error: tls: protocol version not supported"},
			{Text: "tlsv1 alert protocol version", Source: ossl},
			{Text: "tls: client offered only unsupported versions: <what>", Source: goTLS + "/handshake_server.go:193"},
			{Text: "tls: server selected unsupported protocol version <what>", Source: goTLS + "/handshake_client.go:520"},
			{Text: "error:0A000102:SSL routines::unsupported protocol", Hop: Command, Source: ossl},
		},
		Means:   "buildkitd and the registry speak TLS 1.2 and 1.3; one with minimumtls: tls1.3 speaks 1.3 alone",
		Causes:  []Cause{{"the server has a minimum that the client does not reach", "http.tls.minimumtls of the registry; -tls1_3 works and -tls1_2 does not"}, {"the client is very old, or limited to one version", "it offers TLS 1.1 or less"}},
		Confirm: `{run}openssl s_client -connect {server} -servername {host} -tls1_2 </dev/null 2>&1 | grep -E 'Protocol|alert'`,
		Mend:    Mend{Certyard: `certyard's registry takes TLS 1.2 and 1.3`, Hand: "  http:\n    tls:\n      minimumtls: tls1.2"},
		Source:  goTLS + "/alert.go:83",
	},
	{
		ID: "no-cipher", Title: "the two sides have no cipher in common", Hops: handshakeHops,
		Patterns: []Pattern{
			{Text: "tls: no cipher suite supported by both client and server"},
			{Text: "no shared cipher", Source: ossl},
			{Text: "peer doesn't support any of the certificate's signature algorithms", Source: goTLS + "/auth.go:268"},
		},
		Means:   "every cipher that one side offers is one that the other refuses",
		Causes:  []Cause{{"the key's type is one that the client cannot verify", "Ed25519 with an old client"}, {"http.tls.ciphersuites of the registry names too few", "they count for TLS 1.2 only"}},
		Confirm: `{run}openssl s_client -connect {server} -servername {host} </dev/null 2>&1 | grep -E 'Cipher|Peer signature'`,
		Mend:    Mend{Certyard: `pki.key: ecdsa-p256 is understood by all; "certyard rotate" issues again`, Hand: "leave ciphersuites out, and use ECDSA P-256 or RSA keys"},
		Source:  goTLS + "/handshake_server.go:404",
	},
	{
		ID: "no-alpn", Title: "the other side does not speak HTTP/2 over TLS", Hops: []Hop{ClientBuilder, EngineRegistry, Command},
		Patterns: []Pattern{
			{Text: "remote error: tls: no application protocol"},
			{Text: "tlsv1 alert no application protocol", Source: ossl},
			{Text: "missing selected ALPN property", Hop: ClientBuilder, Source: "grpc-go v1.84.0 credentials/tls.go:151"},
			{Text: "tls: client requested unsupported application protocols", Hop: ServerLog, Source: goTLS + "/handshake_server.go:360"},
		},
		Means: "gRPC wants the protocol h2, agreed upon in the handshake; what answers there has something else, or a proxy took it away",
		Causes: []Cause{
			{"it is not the builder's port", "it is the registry's, or another HTTPS server's"},
			{"a proxy ends TLS in between, without HTTP/2", "the certificate that s_client shows is not buildkitd's"},
		},
		Confirm: `openssl s_client -connect {server} -servername {host} -alpn h2 </dev/null 2>/dev/null | grep -i alpn`,
		Mend:    Mend{Certyard: `"certyard env" prints the builder's address; the edge of certyard (serve: edge) agrees on h2`, Hand: "connect to buildkitd's own port, or have the proxy pass TCP through"},
		Source:  goTLS + "/alert.go:97",
	},
	{
		ID: "not-tls", Title: "TLS was spoken to a port that answers in plain text", Hops: []Hop{ClientBuilder, ClientRegistry, BuilderRegistry, EngineRegistry, ServerLog, Command},
		Patterns: []Pattern{
			{Text: "transport: authentication handshake failed: tls: first record does not look like a TLS handshake", Hop: ClientBuilder, Source: goTLS + "/conn.go:669, " + grpcGo + ":297"},
			{Text: "tls: first record does not look like a TLS handshake", Source: goTLS + "/conn.go:669"},
			{Text: "first record does not look like a TLS handshake", Source: goTLS + "/conn.go:669"},
			{Text: "tls: oversized record received with length ", Source: goTLS + "/conn.go:674"},
			{Text: "wrong version number", Source: ossl},
			{Text: "packet length too long", Source: ossl},
			{Text: "SSL routines::http request", Source: ossl},
			{Text: "An unexpected TLS packet was received", Hop: Command, Source: "GnuTLS 3.7.9 lib/errors.c"},
		},
		Means: "the first bytes of the answer were no TLS: that port has plain HTTP, plain gRPC or something else",
		Causes: []Cause{
			{"the builder has no TLS at all", "its log says: TLS is not enabled for ...; cert and key are missing below [grpc.tls], or misspelt, which buildkitd ignores"},
			{"the config file was not read", "--config names a path that does not exist: buildkitd then starts with defaults and says nothing"},
			{"it is the port of another service", "\"curl http://{server}/\" gets an answer"},
			{"in a server's log: a client came that does not speak TLS", "the time and the client's address say which"},
		},
		Confirm: `curl -sv --max-time 5 http://{server}/v2/ 2>&1 | grep -E '^[<*]'`,
		Mend: Mend{
			Certyard: `"certyard up" writes buildkitd.toml with TLS and restarts the builder; "certyard smoke" proves that plain text is refused`,
			Hand:     "  [grpc.tls]\n    cert = \"/certs/server.crt\"\n    key  = \"/certs/server.key\"\nand restart buildkitd; or connect without TLS (leave --tlscacert out), on loopback only",
		},
		Source: goTLS + "/conn.go:669",
	},
	{
		ID: "unrecognized-name", Title: "the server has no certificate for the name that was asked for", Hops: handshakeHops,
		Patterns: []Pattern{
			{Text: "remote error: tls: unrecognized name"},
			{Text: "tlsv1 unrecognized name", Source: ossl},
			{Text: "remote error: tls: internal error", Source: goTLS + "/alert.go:85"},
			{Text: "tlsv1 alert internal error", Source: ossl},
		},
		Means:   "the server chooses a certificate by name, and has none for this one",
		Causes:  []Cause{{"the name is not one of the server's", "another -servername in the command below works"}, {"the server could not load its certificate", "its log says why"}},
		Confirm: `{run}openssl s_client -connect {server} -servername {host} </dev/null 2>&1 | grep -E 'alert|subject'`,
		Mend:    Mend{Certyard: `add the name to the hosts in certyard.yaml, then "certyard up"`, Hand: "use a name that the server has, or give it a certificate for this one"},
		Source:  goTLS + "/alert.go:92",
	},
	{
		ID: "handshake-broken-off", Title: "a connection ended before TLS was up", Hops: []Hop{ServerLog, Command},
		Patterns: []Pattern{
			{Text: "http: TLS handshake error from <client>: EOF", Hop: ServerLog},
			{Text: "http: TLS handshake error from * read: connection reset by peer", Hop: ServerLog},
			{Text: "http: TLS handshake error from * i/o timeout", Hop: ServerLog},
			{Text: "curl: (35) ", Hop: Command, Source: "curl 7.88.1 lib/strerror.c"},
			{Text: "SSL_ERROR_SYSCALL", Hop: Command, Source: curl},
			{Text: "gnutls_handshake() failed: ", Hop: Command, Source: "curl 7.88.1 lib/vtls/gtls.c"},
		},
		Means: "one side connected and hung up without finishing the handshake; in a server's log that is mostly a health check or a scan of ports, and harmless",
		Causes: []Cause{
			{"a check that only opens the port", "it comes at regular times, from the same address"},
			{"a client that gave up waiting", "its own message says: timeout"},
		},
		Confirm: `openssl s_client -connect {server} </dev/null`,
		Mend:    Mend{Certyard: `nothing has to be done about checks of ports`, Hand: "have a health check ask https://HOST:PORT/ with the CA, instead of opening the port"},
		Source:  goHTTP + "/server.go:1933",
		Wraps:   true,
	},
}
