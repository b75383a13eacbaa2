package lint

// What several rules cite.
const (
	srcKeyPair  = "go1.26 crypto/tls/tls.go X509KeyPair"
	srcVerify   = "go1.26 crypto/x509/verify.go"
	srcCheck    = "go1.26 crypto/x509/x509.go CheckSignatureFrom"
	srcBuildkit = "buildkit v0.34.2 cmd/buildkitd/main.go:820-857, util/resolver/resolver.go:94-119"
	srcRFC      = "RFC 5280"
)

// CertRules returns the rules that [Certificates] judges, causes before what comes
// of them. The slice is the caller's own.
//
// Few rules need others: a file that cannot be read, a signature that nobody
// verifies or a chain with a gap already keeps [Certificates] from judging what is
// above it, for that one file and not for the rest of its daemon.
func CertRules() []Rule {
	var out []Rule
	for _, r := range certRules {
		out = append(out, r.own())
	}
	return out
}

var certRules = []Rule{
	{ID: "certs.missing", Title: "each certificate and key that a config names is a file", Severity: Error,
		Proves: "no path leads nowhere or to a directory", Hint: "put the file there, or correct the path; mount directories, not files",
		Source: srcBuildkit + "; moby daemon: a bind mount makes a directory of a source that does not exist"},
	{ID: "certs.unreadable", Title: "each certificate and key could be looked at", Severity: Warning,
		Proves: "nothing was left out", Hint: "look again as a user that may read them", Source: "open(2): EACCES"},
	{ID: "certs.not-pem", Title: "certificates and keys are in PEM", Severity: Error,
		Proves: "the daemons find certificates and keys in the files", Hint: "convert the file with openssl", Source: "go1.26 encoding/pem/pem.go Decode"},
	{ID: "certs.damaged", Title: "each block of a file can be read", Severity: Error,
		Proves: "no certificate or key is cut off", Hint: "copy the file anew", Source: "go1.26 encoding/pem/pem.go Decode"},
	{ID: "certs.wrong-kind", Title: "certificates stand where certificates are wanted, and keys where keys are", Severity: Error,
		Proves: "no paths were swapped", Hint: "swap the paths of certificate and key", Source: srcKeyPair},
	{ID: "certs.encrypted-key", Title: "keys have no passphrase", Severity: Error,
		Proves: "the daemons can use the keys", Hint: "openssl pkey -in KEY -out plain.key", Source: srcKeyPair},
	{ID: "certs.key-reader", Title: "who needs a key may read it", Severity: Error,
		Proves: "the daemons can read their keys", Hint: "give the key to the uid of the container, mode 0400", Source: "open(2): EACCES; moby/buildkit:rootless runs as uid 1000"},
	{ID: "certs.reader", Title: "who needs a certificate may read it", Severity: Error,
		Proves: "the daemons can read their certificates", Hint: "chmod 644", Source: "open(2): EACCES"},
	{ID: "certs.order", Title: "the first certificate of a file is the leaf", Severity: Error,
		Proves: "the daemons start", Hint: "put the leaf first, then who has signed it", Source: srcKeyPair},
	{ID: "certs.key-match", Title: "the key is the certificate's", Severity: Error,
		Proves: "the daemons start", Hint: "find the key that was made with the certificate", Source: srcKeyPair},
	{ID: "certs.expired", Title: "no certificate in use has expired", Severity: Error,
		Proves: "the dates of the leaves hold now", Hint: "have it made anew", Source: srcVerify},
	{ID: "certs.not-yet-valid", Title: "each certificate in use is valid already", Severity: Error,
		Proves: "the dates of the leaves hold now", Hint: "compare the clocks", Source: srcVerify},
	{ID: "certs.ca-expired", Title: "each trusted CA is valid now", Severity: Error,
		Proves: "no CA takes its leaves with it", Hint: "make a new CA and give it to all clients", Source: srcVerify},
	{ID: "certs.weak-signature", Title: "signatures are made with SHA-256 or better", Severity: Error,
		Proves: "Go verifies the signatures", Hint: "have it signed anew with -sha256", Source: srcVerify + ": SHA-1 and MD5 are not verified"},
	{ID: "certs.refused-key", Title: "keys are of a kind that Go's TLS takes", Severity: Error,
		Proves: "the keys can be used", Hint: "make an ECDSA key on P-256", Source: "go1.26 crypto/rsa/rsa.go checkKeySize, crypto/tls/auth.go"},
	{ID: "certs.trust-leaf", Title: "what clients trust is a CA, or the server's own certificate", Severity: Error,
		Proves: "the trusted file can verify something", Hint: "put the CA there", Source: srcVerify},
	{ID: "certs.same-subject", Title: "the trusted CA is the one that has signed, not one of the same name", Severity: Error, Needs: []string{"certs.trust-leaf"},
		Proves: "nobody has a CA from before it was made anew", Hint: "give the CA that has signed to all clients", Source: srcVerify},
	{ID: "certs.not-a-ca", Title: "who has signed is a CA", Severity: Error, Needs: []string{"certs.trust-leaf"},
		Proves: "the CA may sign", Hint: "make the CA with basicConstraints=critical,CA:TRUE", Source: srcCheck},
	{ID: "certs.missing-intermediate", Title: "intermediate CAs are sent along", Severity: Error,
		Proves: "clients can find the way to the root", Hint: "append the intermediate CA to the certificate's file", Source: srcVerify},
	{ID: "certs.chain", Title: "who is shown a certificate trusts the CA that has signed it", Severity: Error, Needs: []string{"certs.trust-leaf", "certs.same-subject", "certs.missing-intermediate"},
		Proves: "each list of CAs verifies the certificates that it is there for", Hint: "put the CA that has signed into the trusted file", Source: srcVerify},
	{ID: "certs.constraints", Title: "CAs sign only the names that they may", Severity: Error,
		Proves: "no name constraint is violated", Hint: "have it made anew with permitted names", Source: srcVerify + "; RFC 5280 4.2.1.10"},
	{ID: "certs.usage", Title: "servers show certificates for servers, and clients for clients", Severity: Error,
		Proves: "extended key usages fit", Hint: "have it made anew with extendedKeyUsage=serverAuth, or clientAuth", Source: srcVerify},
	{ID: "certs.ca-usage", Title: "a CA's own usages permit what it signs", Severity: Error,
		Proves: "extended key usages nest", Hint: "make the CA without extendedKeyUsage", Source: srcVerify + " checkChainForKeyUsage"},
	{ID: "certs.no-san", Title: "servers have their names as SANs", Severity: Error,
		Proves: "clients find the names", Hint: "have it made anew with subjectAltName", Source: srcVerify + " HostnameError"},
	{ID: "certs.ip-as-dns", Title: "addresses are written as addresses", Severity: Error,
		Proves: "clients find the addresses", Hint: "write IP: in front of an address in subjectAltName, not DNS:", Source: srcVerify + " HostnameError"},
	{ID: "certs.names", Title: "servers are valid for what clients dial them by", Severity: Error, Needs: []string{"certs.no-san"},
		Proves: "no client is refused for the name", Hint: "have it made anew with all names", Source: srcVerify + " HostnameError"},
	{ID: "certs.ca-key-mounted", Title: "no container can read a CA's private key", Severity: Error,
		Proves: "who breaks into a container can sign nothing", Hint: "move the key out of the mounted directory", Source: "NIST SP 800-57 part 1, 5.3.5"},

	{ID: "certs.soon", Title: "no certificate in use expires soon", Severity: Warning,
		Proves: "there is time", Hint: "have it made anew and start who uses it anew", Source: "buildkit v0.34.2 and distribution v3.1.2 read certificates once, when they start"},
	{ID: "certs.ca-ends-first", Title: "certificates end before their CA", Severity: Warning,
		Proves: "the dates that certificates show are true", Hint: "plan for the CA's date", Source: srcVerify},
	{ID: "certs.too-long", Title: "servers' certificates live at most 825 days", Severity: Warning,
		Proves: "Apple's clients take them", Hint: "openssl -days 825", Source: "support.apple.com/en-us/103769"},
	{ID: "certs.weak-key", Title: "RSA keys have at least 2048 bits", Severity: Warning,
		Proves: "OpenSSL's clients take the keys", Hint: "make a new key", Source: "openssl 3.0 SSL_CTX_set_security_level(3): level 2"},
	{ID: "certs.key-usage", Title: "leaves may sign", Severity: Warning,
		Proves: "clients that look at key usages take them", Hint: "have it made anew with keyUsage=digitalSignature", Source: "RFC 8446 4.4.2.2; seen with GnuTLS 3.7"},
	{ID: "certs.chain-order", Title: "each certificate of a file has signed the one before it", Severity: Warning, Needs: []string{"certs.order"},
		Proves: "clients that do not sort find the way", Hint: "order the file: leaf, then who has signed it", Source: "RFC 5246 7.4.2"},
	{ID: "certs.self-signed", Title: "servers' certificates are signed by a CA", Severity: Warning,
		Proves: "what clients trust does not lie on a server", Hint: "have a CA sign it", Source: srcRFC + " 4.2.1.9"},
	{ID: "certs.ca-as-leaf", Title: "what is shown is no CA", Severity: Warning,
		Proves: "no server or client can sign certificates", Hint: "have it made anew with basicConstraints=CA:FALSE", Source: srcRFC + " 4.2.1.9"},
	{ID: "certs.server-as-client", Title: "no server's certificate is let in as a client's", Severity: Warning,
		Proves: "who has a server's key is not let in by it", Hint: "have a CA of its own sign the clients", Source: "buildkit v0.34.2 cmd/buildkitd/main.go:835-847"},
	{ID: "certs.no-aki", Title: "where two CAs have one name, certificates say which has signed them", Severity: Warning,
		Proves: "all clients find the right CA", Hint: "have it made anew with authorityKeyIdentifier=keyid", Source: srcRFC + " 4.2.1.1; seen with OpenSSL 3.0 and GnuTLS 3.7"},
	{ID: "certs.twin-cas", Title: "CAs of one name can be told apart", Severity: Warning, Needs: []string{"certs.no-aki"},
		Proves: "all clients find the right CA", Hint: "give each CA a name of its own", Source: srcRFC + " 4.2.1.2; seen with OpenSSL 3.0 and GnuTLS 3.7"},
	{ID: "certs.trust-extra", Title: "lists of CAs hold CAs", Severity: Warning, Needs: []string{"certs.not-a-ca"},
		Proves: "each entry does something", Hint: "take it out", Source: srcVerify},
	{ID: "certs.serial", Title: "a CA gives each certificate a number of its own", Severity: Warning,
		Proves: "certificates can be told apart", Hint: "let openssl choose the number", Source: srcRFC + " 4.1.2.2"},
	{ID: "certs.key-in-bundle", Title: "what clients get holds no private key", Severity: Warning,
		Proves: "no key is handed out", Hint: "keep the certificates alone", Source: "go1.26 crypto/x509/cert_pool.go AppendCertsFromPEM skips keys and says nothing"},
	{ID: "certs.key-mode", Title: "only who needs a key can read it", Severity: Warning,
		Proves: "no other user of the host has it", Hint: "chmod 600", Source: "ssh and PostgreSQL refuse such keys, the daemons do not look"},
	{ID: "certs.writable", Title: "not everybody can write the files", Severity: Warning,
		Proves: "no other user of the host replaces them", Hint: "chmod o-w", Source: "open(2)"},
	{ID: "certs.ca-key-beside", Title: "a CA's private key lies apart from what daemons read", Severity: Warning, Needs: []string{"certs.ca-key-mounted"},
		Proves: "mounting the directory hands no key out", Hint: "move the key elsewhere", Source: "NIST SP 800-57 part 1, 5.3.5"},
}
