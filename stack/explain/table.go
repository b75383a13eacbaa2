package explain

import "slices"

// entries returns the table. Of two texts of the same length at one place the
// earlier one counts.
func entries() []Entry {
	return slices.Concat(trustEntries, certificateEntries, handshakeEntries, httpEntries, accessEntries,
		networkEntries, builderEntries, fileEntries, configEntries, registryEntries)
}

// Who prints what, with the versions that were read.
const (
	goX509   = "Go 1.26.8 crypto/x509/verify.go"
	goTLS    = "Go 1.26.8 crypto/tls"
	goHTTP   = "Go 1.26.8 net/http"
	goNet    = "Go 1.26.8 net"
	grpcGo   = "grpc-go v1.84.0 internal/transport/http2_client.go"
	buildkit = "buildkit v0.34.2 "
	dist     = "distribution v3.1.2 "
	openssl  = "OpenSSL 3.0.19 crypto/x509/x509_txt.c"
	ossl     = "OpenSSL 3.0.19 ssl/ssl_err.c"
	curl     = "curl 7.88.1 lib/vtls/openssl.c"
	gnutls   = "GnuTLS 3.7.9 lib/cert-session.c"
	moby     = "Docker Engine v28.5.2 "
	buildx   = "buildx v0.38.2 "
)

// The hops over which one side verifies a certificate of the other.
func verifying() []Hop {
	return []Hop{BuilderRegistry, ClientBuilder, ClientRegistry, EngineRegistry, ClientToken, Command}
}

const (
	seeCertificate = `{run}openssl s_client -connect {server} -servername {host} -showcerts </dev/null`
	seeDates       = `{run}openssl s_client -connect {server} -servername {host} </dev/null 2>/dev/null | openssl x509 -noout -subject -issuer -dates -ext subjectAltName`
	issueAgain     = `"certyard up" issues what is due and restarts what has to read it; "certyard pki verify {server}" shows what a server presents`
	trustOnBuilder = "in buildkitd.toml, then restart buildkitd:\n" +
		"  [registry.\"{registry}\"]\n    http = false\n    ca = [\"/etc/buildkit/certs/ca.pem\"]\n"
)
