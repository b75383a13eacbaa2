package explain

// certificateEntries: the certificate itself does not fit.
func certificateEntries() []Entry {
	return []Entry{
		{
			ID: "wrong-name", Title: "the certificate is for other names than the one that was asked for", Hops: verifying(),
			Patterns: []Pattern{
				{Text: "x509: certificate is valid for <names...>, not <name>"},
				{Text: "x509: certificate is not valid for any names, but wanted to match <name>", Source: goX509 + ":140"},
				{Text: "x509: certificate is valid for * names, but none matched <name>", Source: goX509 + ":134"},
				{Text: "certificate is valid for <names...>, not <name>"},
				{Text: "certificate valid for <names...>, not <name>"},
				{Text: "curl: (60) SSL: no alternative certificate subject name matches target host name '<name>'", Hop: Command, Source: curl},
				{Text: "no alternative certificate subject name matches target host name '<name>'", Hop: Command, Source: curl},
				{Text: "curl: (51) ", Hop: Command, Source: "curl before 7.62, which said 51 for what is 60 now"},
				{Text: "verify error:num=62:hostname mismatch", Hop: Command, Source: openssl},
				{Text: "verify error:num=64:IP address mismatch", Hop: Command, Source: openssl},
				{Text: "Hostname mismatch", Source: "OpenSSL 1.1.1 crypto/x509/x509_txt.c"},
				{Text: "hostname mismatch", Source: openssl},
				{Text: "The name in the certificate does not match the expected", Hop: Command, Source: gnutls},
				{Text: "certificate subject name (<names...>) does not match target host name '<name>'", Hop: Command, Source: "curl 7.88.1 lib/vtls/gtls.c"},
			},
			Means: "the certificate is good for {names}; {name} was asked for, and that has to be among them, as it is written",
			Causes: []Cause{
				{"the server has several names, and the certificate has only some", `"{name}" is a right name of this server: a name of the network (registry) and one of the host (localhost, 127.0.0.1) both have to be in it`},
				{"the wrong server answers", `the names in the text are those of something else: look at what is published on {server}`},
				{"the client derives the name from the address", `buildctl asks for the host of --addr; --tlsservername and, in Go, client.WithServerConfig say another one`},
				{"the running server has an older certificate", `the file has the name, and s_client shows one that has not: restart the server`},
			},
			Confirm: seeDates,
			Mend: Mend{
				Certyard: `add "{name}" to registry.hosts or builder.hosts in certyard.yaml, then "certyard up"`,
				Hand:     "issue the certificate again with every name, as subjectAltName:\n  subjectAltName = DNS:{name},DNS:localhost,IP:127.0.0.1\nand restart the server. \"insecure = true\" would make it work and verify nobody.",
			},
			Source: goX509 + ":142",
		},
		{
			ID: "no-ip-san", Title: "an IP address was asked for, and the certificate has none", Hops: verifying(),
			Patterns: []Pattern{
				{Text: "x509: cannot validate certificate for <name> because it doesn't contain any IP SANs"},
				{Text: "x509: certificate is valid for * IP SANs, but none matched <name>", Source: goX509 + ":124"},
			},
			Means: "clients compare an address with the IP addresses of a certificate alone, and not with its names",
			Causes: []Cause{
				{"the certificate has names only", "the command below shows DNS: entries and no IP Address:"},
				{"the address was written as a name", "the command below shows DNS:{name}: it has to be IP Address:{name}"},
			},
			Confirm: seeDates,
			Mend: Mend{
				Certyard: `add {name} to registry.hosts or builder.hosts in certyard.yaml, then "certyard up": it writes addresses as addresses`,
				Hand:     "  subjectAltName = IP:{name},DNS:localhost     (IP:, not DNS:)\nor use one of the names that the certificate has",
			},
			Source: goX509 + ":121",
		},
		{
			ID: "legacy-common-name", Title: "the certificate has its name only in the common name", Hops: verifying(),
			Patterns: []Pattern{
				{Text: "x509: certificate relies on legacy Common Name field, use SANs"},
				{Text: "certificate relies on legacy Common Name field"},
			},
			Means:   "the certificate has no subjectAltName; Go has not looked at the common name since 1.15",
			Causes:  []Cause{{"it was made with openssl and without an extension file", `"openssl req -x509 -subj /CN=..." writes none unless -addext subjectAltName=... is given`}},
			Confirm: seeDates,
			Mend: Mend{
				Certyard: `"certyard init" makes certificates with every name as a SAN; for your own ones "certyard pki verify FILE" says what they lack`,
				Hand:     "  openssl req ... -addext 'subjectAltName=DNS:{host},DNS:localhost,IP:127.0.0.1'",
			},
			Source: goX509 + ":113-114",
		},
		{
			ID: "expired", Title: "the certificate has expired", Hops: verifying(),
			Patterns: []Pattern{
				{Text: "certificate has expired or is not yet valid: current time * is after <after>"},
				{Text: "certificate has expired or is not yet valid"},
				{Text: "curl: (60) SSL certificate problem: certificate has expired", Hop: Command, Source: curl},
				{Text: "verify error:num=10:certificate has expired", Hop: Command, Source: openssl},
				{Text: "certificate has expired", Source: openssl},
				{Text: "The certificate chain uses expired certificate", Hop: Command, Source: gnutls},
			},
			Means: "a certificate of the chain was valid until {after}, and the clock of the side that verifies is behind that",
			Causes: []Cause{
				{"the server's certificate ran out", "the command below shows notAfter in the past; both daemons start with such a certificate and say nothing"},
				{"it was renewed, and the server still has the old one", "the file's notAfter is in the future, and what s_client shows is not: restart the server"},
				{"the CA ran out", "the leaf's dates are good, and those of the CA file are not"},
				{"this machine's clock is wrong", `"date -u" is off; virtual machines wake up with an old clock`},
			},
			Confirm: seeDates,
			Mend: Mend{
				Certyard: `"certyard rotate" issues new leaves and restarts the daemons; "certyard status" says what is due`,
				Hand:     "issue the certificate again and restart the server: neither the registry nor buildkitd reads one again while it runs",
			},
			Source: goX509 + ":77; distribution v3.1.2 registry/registry.go:281, buildkit v0.34.2 cmd/buildkitd/main.go:834",
		},
		{
			ID: "not-yet-valid", Title: "the certificate is not valid yet", Hops: verifying(),
			Patterns: []Pattern{
				{Text: "certificate has expired or is not yet valid: current time * is before <before>"},
				{Text: "verify error:num=9:certificate is not yet valid", Hop: Command, Source: openssl},
				{Text: "certificate is not yet valid", Source: openssl},
			},
			Means:   "the certificate is valid from {before}, and the clock of the side that verifies is not there yet",
			Causes:  []Cause{{"one of two clocks is wrong", `compare "date -u" here and in the container: {run}date -u`}, {"it was issued for later", "notBefore is in the future on every clock"}},
			Confirm: seeDates,
			Mend:    Mend{Certyard: `set the clock; "certyard rotate" issues leaves that begin some minutes before now`, Hand: "set the clock (timedatectl set-ntp true), or issue the certificate again"},
			Source:  goX509 + ":77",
		},
		{
			ID: "wrong-usage", Title: "the certificate is not meant for this side of a connection", Hops: verifying(),
			Patterns: []Pattern{
				{Text: "x509: certificate specifies an incompatible key usage"},
				{Text: "certificate specifies an incompatible key usage"},
				{Text: "verify error:num=26:unsuitable certificate purpose", Hop: Command, Source: openssl},
				{Text: "verify error:num=26:unsupported certificate purpose", Hop: Command, Source: "OpenSSL 1.1.1 crypto/x509/x509_txt.c"},
				{Text: "unsuitable certificate purpose", Source: openssl},
				{Text: "unsupported certificate purpose", Source: "OpenSSL 1.1.1 crypto/x509/x509_txt.c"},
				{Text: "not authorized for an extended key usage", Source: goX509 + ":81"},
			},
			Means: "its extended key usage has not what this side needs: a server shows one with serverAuth, a client one with clientAuth",
			Causes: []Cause{
				{"a client's certificate is served, or a server's used as a client's", "the command below shows which usages it has"},
				{"the CA has an extended key usage itself", "every CA of the chain that names usages has to name this one too"},
			},
			Confirm: `{run}openssl s_client -connect {server} -servername {host} </dev/null 2>/dev/null | openssl x509 -noout -subject -ext extendedKeyUsage`,
			Mend: Mend{
				Certyard: `"certyard up" issues both kinds; "certyard client add NAME" makes one for a client`,
				Hand:     "  extendedKeyUsage = serverAuth     (a server's)\n  extendedKeyUsage = clientAuth     (a client's)",
			},
			Source: goX509 + ":85",
		},
		{
			// P32.
			ID: "name-not-permitted", Title: "the CA may not sign this name", Hops: verifying(),
			Patterns: []Pattern{
				{Text: "a root or intermediate certificate is not authorized to sign for this name: <what...> is not permitted by any constraint"},
				{Text: "not authorized to sign for this name: <what...> is excluded by constraint"},
				{Text: "a root or intermediate certificate is not authorized to sign for this name"},
				{Text: "verify error:num=47:permitted subtree violation", Hop: Command, Source: openssl},
				{Text: "permitted subtree violation", Source: openssl},
			},
			Means:   "the CA has name constraints, and one name of the certificate is outside of them; Go looks at all names, not only at the one that was asked for",
			Causes:  []Cause{{"a name was added after the CA was made", `"openssl x509 -noout -ext nameConstraints -in ca.pem" does not list it`}},
			Confirm: seeDates,
			Mend:    Mend{Certyard: `"certyard rotate --ca --yes" makes a CA for the names that certyard.yaml has now`, Hand: "leave the name out, or make a CA whose constraints permit it"},
			Source:  goX509 + ":79, constraints.go",
		},
		{
			ID: "not-a-ca", Title: "a certificate of the chain may not sign others", Hops: verifying(),
			Patterns: []Pattern{
				{Text: "x509: certificate is not authorized to sign other certificates"},
				{Text: `certificate signed by unknown authority (possibly because of "x509: invalid signature: parent certificate cannot sign this kind of certificate" while trying to verify candidate authority certificate "<ca...>"`, Source: goX509 + ":156-175"},
				{Text: "x509: too many intermediates for path length constraint", Source: goX509 + ":83"},
				{Text: "invalid CA certificate", Source: openssl},
				{Text: "path length constraint exceeded", Source: openssl},
			},
			Means:   "the issuer is no CA, or may have fewer CAs below it than there are",
			Causes:  []Cause{{"a server's certificate was used to sign", `its "X509v3 Basic Constraints" says CA:FALSE`}, {"the root has pathlen:0, and there is an issuing CA below it", `it says "CA:TRUE, pathlen:0"`}},
			Confirm: seeCertificate + ` 2>/dev/null | openssl x509 -noout -issuer -ext basicConstraints`,
			Mend:    Mend{Certyard: `"certyard pki show FILE..." draws who signed whom; pki.hierarchy: two-tier makes a root and an issuing CA that fit`, Hand: "  basicConstraints = critical,CA:TRUE     (a CA; pathlen:1 for a root above one more)"},
			Source:  goX509 + ":75-83",
		},
		{
			ID: "weak-signature", Title: "the certificate's key or signature is too weak for this side", Hops: verifying(),
			Patterns: []Pattern{
				{Text: "x509: cannot verify signature: insecure algorithm <what>", Source: "Go 1.26.8 crypto/x509/x509.go"},
				{Text: "ee key too small", Source: ossl},
				{Text: "ca md too weak", Source: ossl},
				{Text: "certificate key too weak", Source: openssl},
			},
			Means:   "it was signed with SHA-1 or MD5, or has a short RSA key",
			Causes:  []Cause{{"the CA is an old one", "the command below shows sha1WithRSAEncryption, or a key below 2048 bit"}},
			Confirm: seeCertificate + ` 2>/dev/null | openssl x509 -noout -text | grep -E 'Signature Algorithm|Public-Key'`,
			Mend:    Mend{Certyard: `"certyard init" makes ecdsa-p256 keys and SHA-256 signatures`, Hand: "issue again: openssl req ... -newkey ec -pkeyopt ec_paramgen_curve:P-256 -sha256"},
			Source:  "Go 1.26.8 crypto/x509/x509.go",
		},
	}
}
