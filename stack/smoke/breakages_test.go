package smoke

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"

	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
)

// breakage is one thing that is wrong with a yard, and the checks that must
// fail because of it, each as "ID reason".
type breakage struct {
	name  string
	wreck func(*yard)
	fails []string
}

var registryBreakages = []breakage{
	{"nobody listens", func(y *yard) { y.noRegistry = true },
		[]string{"registry.tls:127.0.0.1 unreachable"}},
	{"plain HTTP only", func(y *yard) { y.registryConfig = nil },
		[]string{"registry.tls:127.0.0.1 plaintext", "registry.plain accepted"}},
	{"plain HTTP too", func(y *yard) { y.registry.front.both = true },
		[]string{"registry.plain accepted"}},
	{"another CA", func(y *yard) { y.serveRegistry(y.other.Server(y.t, y.options.Registry.Names...)) },
		[]string{"registry.tls:127.0.0.1 untrusted"}},
	{"a name is missing", func(y *yard) { y.serveRegistry(y.ca.Server(y.t, "127.0.0.1", "localhost", "::1")) },
		[]string{"registry.tls:registry name"}},
	{"the endpoint's name is missing", func(y *yard) { y.serveRegistry(y.ca.Server(y.t, "localhost", "::1", "registry")) },
		[]string{"registry.tls:127.0.0.1 name"}},
	{"expired", func(y *yard) { y.serveRegistry(y.ca.ExpiredServer(y.t, y.options.Registry.Names...)) },
		[]string{"registry.tls:127.0.0.1 expired"}},
	{"not yet valid", func(y *yard) { y.serveRegistry(y.ca.FutureServer(y.t, y.options.Registry.Names...)) },
		[]string{"registry.tls:127.0.0.1 expired"}},
	{"stale leaf", func(y *yard) { y.options.Registry.Leaf = y.ca.Server(y.t, "registry").Cert },
		[]string{"registry.tls:127.0.0.1 stale"}},
	{"valid for every name", func(y *yard) {
		y.serveRegistry(y.ca.Server(y.t, append(y.options.Registry.Names, "*.certyard-proof.invalid")...))
	}, []string{"registry.other-name accepted"}},
	{"TLS 1.1", func(y *yard) { y.registryConfig.MinVersion = tls.VersionTLS10 },
		[]string{"registry.tls11 accepted"}},
	{"TLS 1.1 refused for its ciphers", func(y *yard) {
		y.registryConfig.MinVersion = tls.VersionTLS10
		y.registryConfig.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
	}, []string{"registry.tls11 unexpected"}},
	{"no password demanded", func(y *yard) { y.registry.login = func(string, string) bool { return true } },
		[]string{"registry.anonymous accepted", "registry.wrong-password accepted", "build.wrong-password accepted"}},
	{"any password", func(y *yard) { y.registry.login = func(user, _ string) bool { return user == testUser } },
		[]string{"registry.wrong-password accepted", "build.wrong-password accepted"}},
	{"no password", func(y *yard) { y.registry.login = func(string, string) bool { return false } },
		[]string{"registry.tls:127.0.0.1 unauthorized"}},
	{"an error instead of 200", func(y *yard) { y.handle(http.MethodGet, "/v2/", says(http.StatusInternalServerError)) },
		[]string{"registry.tls:127.0.0.1 unexpected"}},
	{"403 instead of 401", func(y *yard) { y.refuseWith(http.StatusForbidden, "Basic") },
		[]string{"registry.anonymous unexpected", "registry.wrong-password unexpected"}},
	{"401 without a challenge", func(y *yard) { y.refuseWith(http.StatusUnauthorized, "") },
		[]string{"registry.anonymous unexpected", "registry.wrong-password unexpected"}},
	{"uploads fail", func(y *yard) { y.handle(http.MethodPut, "/blobs/uploads/", says(http.StatusInsufficientStorage)) },
		[]string{"registry.push unexpected"}},
	{"pushes are forbidden", func(y *yard) { y.handle(http.MethodPost, "/blobs/uploads/", says(http.StatusForbidden)) },
		[]string{"registry.push unauthorized"}},
	{"pushes and deletes are forbidden", func(y *yard) {
		y.registry.wrap = func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet {
					next.ServeHTTP(w, r)
				} else {
					w.WriteHeader(http.StatusForbidden)
				}
			})
		}
	}, []string{"registry.push unauthorized"}},
	{"uploads lead to plain HTTP", func(y *yard) {
		y.handle(http.MethodPost, "/blobs/uploads/", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "http://"+r.Host+r.URL.Path+"1")
			w.WriteHeader(http.StatusAccepted)
		})
	}, []string{"registry.push unexpected"}},
	{"deletes are off", func(y *yard) { y.handle(http.MethodDelete, "/manifests/", says(http.StatusMethodNotAllowed)) },
		[]string{"registry.clear unexpected"}},
}

// refuseWith changes how the registry refuses.
func (y *yard) refuseWith(code int, challenge string) {
	y.registry.wrap = func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, password, _ := r.BasicAuth(); r.URL.Path != "/v2/" || password == testPassword {
				next.ServeHTTP(w, r)
				return
			}
			if challenge != "" {
				w.Header().Set("WWW-Authenticate", challenge)
			}
			w.WriteHeader(code)
		})
	}
}

var builderBreakages = []breakage{
	{"nobody listens", func(y *yard) { y.noBuilder = true },
		[]string{"builder.tls:127.0.0.1 unreachable"}},
	{"plain TCP only", func(y *yard) { y.builderConfig = nil },
		[]string{"builder.tls:127.0.0.1 plaintext", "builder.plain accepted"}},
	{"plain TCP too", func(y *yard) { y.builderFront.both = true },
		[]string{"builder.plain accepted"}},
	{"another CA", func(y *yard) { y.serveBuilder(y.other.Server(y.t, "127.0.0.1", "buildkit")) },
		[]string{"builder.tls:127.0.0.1 untrusted"}},
	{"a name is missing", func(y *yard) { y.serveBuilder(y.ca.Server(y.t, "127.0.0.1")) },
		[]string{"builder.tls:buildkit name"}},
	{"expired", func(y *yard) { y.serveBuilder(y.ca.ExpiredServer(y.t, "127.0.0.1", "buildkit")) },
		[]string{"builder.tls:127.0.0.1 expired"}},
	{"stale leaf", func(y *yard) { y.options.Builder.Leaf = y.ca.Server(y.t, "buildkit").Cert },
		[]string{"builder.tls:127.0.0.1 stale"}},
	{"no ALPN", func(y *yard) { y.builderConfig.NextProtos = nil },
		[]string{"builder.tls:127.0.0.1 protocol"}},
	{"another protocol", func(y *yard) { y.builderConfig.NextProtos = []string{"http/1.1"} },
		[]string{"builder.tls:127.0.0.1 protocol"}},
	{"no workers", func(y *yard) { y.builder.platforms = nil },
		[]string{"builder.tls:127.0.0.1 unexpected"}},
	{"a worker without platforms", func(y *yard) { y.builder.platforms = []*pb.Platform{} },
		[]string{"builder.tls:127.0.0.1 unexpected"}},
	{"a platform without a step", func(y *yard) {
		y.builder.platforms = []*pb.Platform{{OS: "linux", Architecture: "riscv64"}}
	}, []string{"registry.push build"}},
	{"wants a certificate", func(y *yard) {
		y.builderConfig.ClientAuth = tls.RequireAndVerifyClientCert
		y.builderConfig.ClientCAs = y.ca.Trust().Pool()
	}, []string{"builder.tls:127.0.0.1 unauthorized"}},
}

var mutualBreakages = []breakage{
	{"TLS 1.2", func(y *yard) { y.builderConfig.MaxVersion = tls.VersionTLS12 }, nil},
	{"no certificate demanded", func(y *yard) { y.builderConfig.ClientAuth = tls.NoClientCert }, []string{
		"builder.no-certificate accepted", "builder.other-ca-certificate accepted", "builder.server-certificate accepted",
	}},
	{"a certificate is optional", func(y *yard) { y.builderConfig.ClientAuth = tls.VerifyClientCertIfGiven },
		[]string{"builder.no-certificate accepted"}},
	{"any certificate", func(y *yard) { y.builderConfig.ClientAuth = tls.RequireAnyClientCert },
		[]string{"builder.other-ca-certificate accepted", "builder.server-certificate accepted"}},
	{"any certificate of the CA", func(y *yard) {
		y.builderConfig.ClientAuth = tls.RequireAnyClientCert
		y.builderConfig.VerifyConnection = func(state tls.ConnectionState) error {
			_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{
				Roots: y.ca.Trust().Pool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
			})
			return err
		}
	}, []string{
		// The stranger is refused, but crypto/tls says bad certificate for
		// what VerifyConnection refuses, not unknown CA.
		"builder.other-ca-certificate unexpected", "builder.server-certificate accepted",
	}},
	{"clients of another CA", func(y *yard) { y.builderConfig.ClientCAs = y.other.Trust().Pool() },
		[]string{"builder.tls:127.0.0.1 unauthorized"}},
	{"our certificate has expired", func(y *yard) { y.options.Builder.Client = y.ca.ExpiredClient(y.t, "client") },
		[]string{"builder.tls:127.0.0.1 unauthorized"}},
	{"we have no certificate", func(y *yard) { y.options.Builder.Client = nil },
		[]string{"builder.tls:127.0.0.1 unauthorized"}},
}

var buildBreakages = []breakage{
	{"the builder trusts another CA", func(y *yard) { y.builder.trust = y.other.Trust().Pool() },
		[]string{"build.pull untrusted"}},
	{"the builder has stale trust for the old repository", func(y *yard) { y.builder.trustSeen = y.other.Trust().Pool() },
		[]string{"build.pull-again untrusted"}},
	{"the step fails", func(y *yard) {
		y.builder.run = func([]byte, []byte) ([]file, error) { return nil, errors.New("exit code: 1") }
	}, []string{"build.run build"}},
	{"the step does not run", func(y *yard) {
		y.builder.run = func(nonce, _ []byte) ([]file, error) { return []file{{"nonce", 0o644, nonce}}, nil }
	}, []string{"build.read content"}},
	{"the step writes something else", func(y *yard) {
		y.builder.run = func(nonce, _ []byte) ([]file, error) { return []file{{"proof", 0o644, nonce}}, nil }
	}, []string{"build.read content"}},
	{"the push fails", func(y *yard) { y.builder.push = func() error { return errors.New("no space left on device") } },
		[]string{"build.push build"}},
	{"the builder's password is refused", func(y *yard) {
		y.builder.login = func(user, _ string) (string, string) { return user, "another password" }
	}, []string{"build.pull unauthorized"}},
	{"the digest is another one", func(y *yard) {
		y.builder.digest = func(digest.Digest) digest.Digest { return digest.FromString("another") }
	}, []string{"build.read unexpected"}},
	{"there is no digest", func(y *yard) { y.builder.digest = func(digest.Digest) digest.Digest { return "" } },
		[]string{"build.push content"}},
	{"the builder has the password already", func(y *yard) {
		y.builder.login = func(user, _ string) (string, string) { return user, testPassword }
	}, []string{"build.wrong-password accepted"}},
	{"the push with a wrong password fails for another reason", func(y *yard) { y.builder.refuse = errors.New("out of memory") },
		[]string{"build.wrong-password unexpected"}},
	{"the push with a wrong password is cut off", func(y *yard) { y.builder.refuse = errors.New("dial tcp: connection refused") },
		[]string{"build.wrong-password unexpected"}},
	{"the registry is not asked about the password", func(y *yard) {
		y.builder.refuse, y.builder.unasked = errors.New("401 Unauthorized"), true
	}, []string{"build.wrong-password unexpected"}},
}
