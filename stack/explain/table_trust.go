package explain

// trustEntries: whoever verifies a certificate does not know who signed it.
var trustEntries = []Entry{
	{
		ID: "unknown-authority", Title: "the certificate was signed by a CA that this side does not trust", Hops: verifying(),
		Patterns: []Pattern{
			{Text: "x509: certificate signed by unknown authority"},
			{Text: "certificate signed by unknown authority"},
			{Text: "self-signed certificate in certificate chain", Source: openssl},
			{Text: "self signed certificate in certificate chain", Source: "OpenSSL 1.1.1 crypto/x509/x509_txt.c, Node.js"},
			{Text: "unable to get local issuer certificate", Source: openssl},
			{Text: "curl: (60) SSL certificate problem: unable to get local issuer certificate", Hop: Command, Source: curl},
			{Text: "curl: (60) SSL certificate problem: self-signed certificate", Hop: Command, Source: curl},
			{Text: "verify error:num=18:self-signed certificate", Hop: Command, Source: openssl},
			{Text: "verify error:num=19:self-signed certificate in certificate chain", Hop: Command, Source: openssl},
			{Text: "verify error:num=20:unable to get local issuer certificate", Hop: Command, Source: openssl},
			{Text: "The certificate issuer is unknown", Hop: Command, Source: gnutls},
			{Text: "server certificate verification failed. CAfile: <path> CRLfile: ", Hop: Command, Source: "git 2.39.5 with libcurl-gnutls 7.88.1 lib/vtls/gtls.c"},
			{Text: "CERTIFICATE_VERIFY_FAILED] certificate verify failed: ", Source: "Python 3.11 Modules/_ssl.c"},
			{Text: "UNABLE_TO_VERIFY_LEAF_SIGNATURE", Hop: Command, Source: "Node.js 22 src/crypto/crypto_common.cc"},
			{Text: "PKIX path building failed: ", Hop: Command, Source: "OpenJDK 17 sun/security/validator/PKIXValidator.java"},
		},
		Means: "the TLS connection came up as far as the server's certificate; nothing in the trust of the side that connects leads to it",
		Causes: []Cause{
			{"the CA is not configured at all", `the builder: buildkitd.toml has no ca below [registry."{registry}"]; a client: no --tlscacert, no ca.crt in /etc/docker/certs.d/{registry}/`},
			{"the section is of another name than the reference's", `the key has to be exactly {registry}, with the port and without https://; buildkitd ignores a section of any other name and says nothing`},
			{"the CA file is no PEM, or has no certificate", `"openssl x509 -noout -subject -in FILE" fails on it; buildkitd ignores such a file and says nothing`},
			{"the CA was made again, with the same name and another key", `the text often goes on with "ECDSA verification failure" or "crypto/rsa: verification error"; the fingerprints of the CA on both sides differ ("openssl x509 -noout -fingerprint -sha256")`},
			{"the builder keeps the trust that it had when it first pulled this repository", `another repository of the same registry, and a push, work: restart buildkitd, or wait some ten minutes without builds`},
			{"a mirror has no section of its own", `the host in the text is that of a mirror, which needs its own [registry."HOST"] with ca`},
			{"a client certificate was given without a CA", `buildctl was called with --tlscert and --tlskey, and without --tlscacert: it then trusts nobody`},
			{"the system's trust was changed while the program ran", `the program was started before update-ca-certificates: it reads the system's trust once; restart it`},
		},
		Confirm: seeCertificate + ` | grep -E '^ *(depth|i:|s:)|Verify return'`,
		Mend: Mend{
			Certyard: `"certyard up" writes the CA, "http = false" and the name that the network uses into buildkitd.toml and restarts the builder; eval "$(certyard env)" hands clients the same CA; "certyard smoke" proves every path`,
			Hand:     trustOnBuilder + "for buildctl:      --tlscacert ca.pem\nfor Docker Engine: cp ca.pem /etc/docker/certs.d/{registry}/ca.crt   (no restart)\nfor curl:          --cacert ca.pem",
		},
		Source: goX509 + ":157; buildkit v0.34.2 util/resolver/resolver.go:94-112",
	},
	{
		// P10, and facts 4.5: the candidate that Go names has the subject of the CA.
		ID: "ca-regenerated", Title: "the CA was made again: same name, another key", Hops: verifying(),
		Patterns: []Pattern{
			{Text: `certificate signed by unknown authority (possibly because of "x509: ECDSA verification failure" while trying to verify candidate authority certificate "<ca...>"`},
			{Text: `certificate signed by unknown authority (possibly because of "x509: Ed25519 verification failure" while trying to verify candidate authority certificate "<ca...>"`},
			{Text: `certificate signed by unknown authority (possibly because of "crypto/rsa: verification error" while trying to verify candidate authority certificate "<ca...>"`},
			{Text: "verify error:num=7:certificate signature failure", Hop: Command, Source: openssl},
			{Text: "certificate signature failure", Source: openssl},
		},
		Means: "this side trusts a CA named as the certificate says, and that CA's key did not sign it: it is an older or newer one of the same name",
		Causes: []Cause{
			{"the certificates were made anew, and this side still has the old CA file", `the file's date is before that of the server's certificate, or its fingerprint is another than that of the CA that signs now`},
			{"the file is right, and the process still has the old one in memory", `the fingerprint of the file is the right one: a builder reads the CA of its own port at its start, and that of a registry once per repository; restart it`},
			{"the file was replaced on the host and is mounted as a single file", `inside the container it is still the old one: a mount of one file keeps the file that there was; mount its directory`},
			{"the server still serves the old certificate", `"certyard pki verify {server}" or s_client shows one from before: neither the registry nor buildkitd reads certificates again; restart it`},
		},
		Confirm: seeCertificate + ` 2>/dev/null | openssl x509 -noout -issuer -dates -ext authorityKeyIdentifier`,
		Mend: Mend{
			Certyard: `"certyard up" hands the present CA to everybody and restarts what reads it at its start; "certyard rotate --ca --yes" replaces a CA in phases in which both are trusted`,
			Hand:     "copy the CA that signs now to every side that verifies, restart buildkitd, then compare\n  openssl x509 -noout -fingerprint -sha256 -in ca.pem\non the way from one CA to the next a ca file may hold both",
		},
		Source: goX509 + ":156-175",
	},
	{
		ID: "incomplete-chain", Title: "the server does not send the certificates between its own and the root", Hops: verifying(),
		Patterns: []Pattern{
			{Text: "verify error:num=21:unable to verify the first certificate", Hop: Command, Source: openssl},
			{Text: "unable to verify the first certificate", Source: openssl},
		},
		Means: "the server sent one certificate, and this side does not know its issuer: either the CA is not trusted, or an issuing CA in between was not sent",
		Causes: []Cause{
			{"the certificate file has the leaf alone, and an issuing CA signed it", `"openssl s_client -showcerts" shows one certificate, whose issuer is not the root that you trust`},
			{"this side trusts another CA", `the issuer that s_client shows is the root itself, and not the one that was given`},
		},
		Confirm: seeCertificate + ` | grep -E '^ *(i:|s:)'`,
		Mend: Mend{
			Certyard: `"certyard up" writes chains into the certificate files of a two-tier hierarchy; "certyard pki export" writes a chain for others`,
			Hand:     "cat leaf.pem issuing-ca.pem > server.crt     (the leaf first, without the root), then restart the server",
		},
		Source: openssl,
	},
	{
		ID: "no-roots", Title: "the program found no trusted certificates at all", Hops: verifying(),
		Patterns: []Pattern{
			{Text: "x509: failed to load system roots and no roots provided"},
			{Text: "curl: (77) ", Hop: Command, Source: "curl 7.88.1 lib/strerror.c"},
			{Text: "the trustAnchors parameter must be non-empty", Hop: Command, Source: "OpenJDK 17 java/security/cert/PKIXParameters.java"},
		},
		Means:   "no CA file was given, and the system's own trust is empty or cannot be read",
		Causes:  []Cause{{"the image has no CA certificates", "there is no /etc/ssl/certs/ca-certificates.crt in it"}, {"SSL_CERT_FILE or --cacert names a file that is not there", "the path is in the environment, or behind the flag"}},
		Confirm: `ls -l /etc/ssl/certs/ca-certificates.crt "$SSL_CERT_FILE"`,
		Mend: Mend{
			Certyard: `"certyard env" prints where the stack's CA is`,
			Hand:     "RUN apk add --no-cache ca-certificates     (or apt-get install ca-certificates), or name a CA file",
		},
		Source: goX509 + ":178",
	},
}
