package explain

// fileHops is where these messages come from, the usual place first.
var fileHops = []Hop{DaemonStart, ClientBuilder, BuilderRegistry, EngineRegistry}

// fileEntries: certificate and key files that cannot be used.
var fileEntries = []Entry{
	{
		ID: "half-a-pair", Title: "cert without key, or key without cert", Hops: []Hop{DaemonStart, ClientBuilder},
		Patterns: []Pattern{
			{Text: "you must specify key and cert file if one is specified", Hop: DaemonStart},
			{Text: "could not read certificate/key: open : no such file or directory", Hop: ClientBuilder, Source: buildkit + "client/client.go:334"},
		},
		Means:   "below [grpc.tls], or of --tlscert and --tlskey, only one is there",
		Causes:  []Cause{{"the other is missing or misspelt", "buildkitd ignores keys that it does not know"}},
		Confirm: `grep -nA4 'grpc.tls' buildkitd.toml`,
		Mend:    Mend{Certyard: `"certyard init" writes a buildkitd.toml that fits`, Hand: "  [grpc.tls]\n    cert = \"/certs/server.crt\"\n    key  = \"/certs/server.key\""},
		Source:  buildkit + "cmd/buildkitd/main.go:827-832",
	},
	{
		ID: "key-mismatch", Title: "the key does not belong to the certificate", Hops: fileHops,
		Patterns: []Pattern{
			{Text: "tls: private key does not match public key"},
			{Text: "tls: private key type does not match public key type"},
			{Text: "tls: invalid signature by the server certificate", Source: goTLS + "/handshake_client.go"},
			{Text: "key values mismatch", Source: "OpenSSL 3.0.19 crypto/x509/x509_err.c"},
		},
		Means:   "the certificate was made for another key than the one that is used with it",
		Causes:  []Cause{{"only one of both was replaced", "their dates differ"}, {"the file has a chain in the wrong order", "the first certificate is a CA: the leaf has to come first"}},
		Confirm: `diff <(openssl x509 -in server.crt -noout -pubkey) <(openssl pkey -in server.key -pubout) && echo same`,
		Mend:    Mend{Certyard: `"certyard pki verify FILE" says which belongs to which; "certyard up" issues a pair`, Hand: "restore the key, or issue the certificate again for the key that there is"},
		Source:  goTLS + "/tls.go:338-354",
	},
	{
		ID: "pem-swapped", Title: "certificate and key files were exchanged", Hops: fileHops,
		Patterns: []Pattern{
			{Text: "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been switched"},
			{Text: "tls: found a certificate rather than a key in the PEM for the private key"},
		},
		Means:   "the one is where the other belongs",
		Causes:  []Cause{{"cert and key were exchanged in the config or on the command line", "\"head -1\" of both"}},
		Confirm: `head -1 server.crt server.key`,
		Mend:    Mend{Certyard: `"certyard up" writes configs with the right paths`, Hand: "exchange the two paths"},
		Source:  goTLS + "/tls.go:289-303",
	},
	{
		ID: "pem-missing", Title: "a file has no PEM in it", Hops: fileHops,
		Patterns: []Pattern{
			{Text: "tls: failed to find any PEM data in certificate input"},
			{Text: "tls: failed to find any PEM data in key input"},
			{Text: "tls: failed to find PEM block with type ending in", Source: goTLS + "/tls.go"},
			{Text: "tls: failed to parse private key", Source: goTLS + "/tls.go"},
			{Text: "x509: malformed certificate", Source: "Go 1.26.8 crypto/x509/parser.go"},
			{Text: "PEM routines::no start line", Hop: Command, Source: "OpenSSL 3.0.19 crypto/pem/pem_err.c"},
		},
		Means:   "what was read is no PEM, or not of the right kind",
		Causes:  []Cause{{"the file is empty or half written", "\"ls -l\""}, {"it is DER", "\"file FILE\" says data"}, {"the key is encrypted", "it says ENCRYPTED PRIVATE KEY: no daemon here asks for a passphrase"}},
		Confirm: `head -1 FILE`,
		Mend:    Mend{Certyard: `"certyard pki show FILE" says what a file has; "certyard pki export" writes PEM`, Hand: "  openssl x509 -inform der -in FILE -out FILE.pem"},
		Source:  goTLS + "/tls.go:286-300",
	},
	{
		ID: "ca-unreadable", Title: "the CA file has no certificate in it", Hops: fileHops,
		Patterns: []Pattern{
			{Text: "failed to append ca certs", Hop: ClientBuilder, Source: buildkit + "client/client.go:322"},
			{Text: "failed to append ca cert", Hop: DaemonStart, Source: buildkit + "cmd/buildkitd/main.go:850"},
			{Text: "could not add CA to pool", Hop: DaemonStart, Source: dist + "registry/registry.go:296"},
		},
		Means:   "the file was read, and nothing in it is a PEM certificate",
		Causes:  []Cause{{"it is empty, DER, or a key", "\"head -1\" is not -----BEGIN CERTIFICATE-----"}},
		Confirm: `openssl x509 -noout -subject -in ca.pem`,
		Mend:    Mend{Certyard: `"certyard up" writes the CA files`, Hand: "put the CA's certificate there, as PEM. For a registry's ca buildkitd says nothing of the kind: it ignores such a file"},
		Source:  buildkit + "cmd/buildkitd/main.go:850",
	},
	{
		ID: "permission-denied", Title: "a file may not be read by the user that the program runs as", Hops: fileHops,
		Patterns: []Pattern{
			{Text: "open <path>: permission denied"},
		},
		Means: "{path} is there and belongs to somebody else",
		Causes: []Cause{
			{"a rootless container, and a key of root with mode 0600", "moby/buildkit:rootless runs as 1000; \"ls -ln\" shows 0"},
			{"SELinux", "the mode is good; the mount needs :z"},
			{"a directory above may not be entered", "\"namei -l {path}\""},
		},
		Confirm: `docker exec CONTAINER sh -c 'id; ls -ln {path}'`,
		Mend:    Mend{Certyard: `"certyard up" writes each file for the user of the container that reads it`, Hand: "chown 1000 {path}; chmod 0400 {path}     (the number that id says)"},
		Source:  "Go 1.26.8 os, syscall EACCES",
	},
	{
		// P24.
		ID: "no-such-file", Title: "a file is not where the config says", Hops: fileHops,
		Patterns: []Pattern{
			{Text: "open <path>: no such file or directory"},
			{Text: "stat <path>: no such file or directory"},
		},
		Means: "{path} does not exist for the process that wants it",
		Causes: []Cause{
			{"the config has the host's path", "inside of the container the directory is mounted elsewhere"},
			{"the mount is missing", "\"docker inspect\" shows Mounts without it"},
			{"a wrong path of a registry's ca", "buildkitd reads those at the first build, and not at its start: it comes up without a word"},
		},
		Confirm: `docker exec CONTAINER ls -l {path}`,
		Mend:    Mend{Certyard: `"certyard up" mounts the directories that its configs name`, Hand: "correct the path or the mount; mount a directory, not single files"},
		Source:  "Go 1.26.8 os, syscall ENOENT",
	},
	{
		ID: "is-a-directory", Title: "there is a directory where a file should be", Hops: fileHops,
		Patterns: []Pattern{
			{Text: "read <path>: is a directory"},
			{Text: `error mounting "<path>" to rootfs at * not a directory: unknown: Are you trying to mount a directory onto a file`, Hop: DaemonStart, Source: "runc v1.1.5 libcontainer/rootfs_linux.go, " + moby + "daemon/errors.go"},
		},
		Means:   "{path} was mounted when it did not exist on the engine's machine: docker then makes an empty directory of that name",
		Causes:  []Cause{{"the file was not there at the first start", "on the host it is an empty directory now"}, {"the engine is on another machine", "paths of mounts are those of the engine's machine"}},
		Confirm: `ls -ld {path}`,
		Mend:    Mend{Certyard: `"certyard up" writes the files before anything is mounted`, Hand: "remove the empty directory, make the file, start again; mount the directory above it"},
		Source:  "Go 1.26.8 os, syscall EISDIR",
	},
	{
		ID: "certs-d", Title: "Docker's certs.d has one half of a client's pair", Hops: []Hop{EngineRegistry},
		Patterns: []Pattern{
			{Text: "missing key <path> for client certificate <what>", Hop: EngineRegistry},
			{Text: "missing client certificate <path> for key <what>", Hop: EngineRegistry},
		},
		Means:   "in certs.d a file .cert is a client's certificate and needs a .key of the same name; a CA has to be called .crt",
		Causes:  []Cause{{"a CA was copied as .cert", "{what}: rename it to ca.crt"}, {"the other half is missing", "{path}"}},
		Confirm: `ls -l /etc/docker/certs.d/*/`,
		Mend:    Mend{Certyard: `"certyard pki export" writes the names that certs.d wants`, Hand: "/etc/docker/certs.d/{registry}/ca.crt, client.cert, client.key     (read at the next request, no restart)"},
		Source:  moby + "registry/registry.go:92-112",
	},
	{
		ID: "key-pair", Title: "a pair of certificate and key could not be loaded", Hops: fileHops,
		Patterns: []Pattern{
			// buildkitd prints the cause first, and this alone on a line below it.
			{Text: "could not load server key pair", Hop: DaemonStart, Below: true, Source: buildkit + "cmd/buildkitd/main.go:836, 491"},
			{Text: "could not read ca certificate", Below: true, Source: buildkit + "cmd/buildkitd/main.go:846, client/client.go:315"},
			{Text: "could not read certificate/key", Hop: ClientBuilder, Source: buildkit + "client/client.go:334"},
			{Text: "failed to load keypair for <path>", Hop: BuilderRegistry, Source: buildkit + "util/resolver/resolver.go:117"},
			{Text: "failed to load x509 key pair"},
		},
		Means:   "what follows in the line says why",
		Causes:  []Cause{{"one of the files is not there, not readable, or no PEM", "see the end of the line"}},
		Confirm: `openssl x509 -noout -subject -in FILE`,
		Mend:    Mend{Certyard: `"certyard pki verify FILE" says what is wrong with a pair`, Hand: "see the end of the line"},
		Source:  buildkit + "cmd/buildkitd/main.go:836",
		Wraps:   true,
	},
}
