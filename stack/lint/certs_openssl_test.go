package lint_test

import (
	"slices"
	"testing"
	"time"

	"github.com/certyard/certyard/stack/lint"
)

// tutorials are sets of files as people make them, with what is said of them: the
// rules that are broken, and the names that clients dial.
func tutorials() []struct {
	name, script string
	names        []string
	want         []string
} {
	const leaf = `openssl req -newkey rsa:2048 -nodes -keyout server.key -subj /CN=registry -out server.csr 2>/dev/null
`
	const ca = `openssl req -x509 -newkey rsa:2048 -nodes -keyout ca/ca.key -subj "/CN=My CA" -days 3650 -out ca/ca.crt 2>/dev/null
`
	return []struct {
		name, script string
		names        []string
		want         []string
	}{
		{"self-signed with names", `openssl req -x509 -newkey rsa:4096 -nodes -sha256 -keyout registry.key -out registry.crt -days 365 -subj /CN=registry -addext "subjectAltName=DNS:registry,DNS:localhost,IP:127.0.0.1" 2>/dev/null`,
			[]string{"registry", "localhost", "127.0.0.1"}, []string{"certs.self-signed"}},
		{"self-signed without names", `openssl req -x509 -newkey rsa:2048 -nodes -keyout domain.key -out domain.crt -days 365 -subj /CN=registry 2>/dev/null`,
			[]string{"registry"}, []string{"certs.no-san", "certs.self-signed"}},
		{"self-signed for ten years", `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout server.key -out server.crt -days 3650 -subj /CN=registry -addext "subjectAltName=DNS:registry" 2>/dev/null`,
			[]string{"registry"}, []string{"certs.self-signed", "certs.too-long"}},
		{"CA and leaf with a file of extensions", "mkdir ca\n" + ca + leaf + `printf "subjectAltName=DNS:registry,IP:127.0.0.1\nextendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\nkeyUsage=digitalSignature,keyEncipherment\n" > ext
openssl x509 -req -in server.csr -CA ca/ca.crt -CAkey ca/ca.key -CAcreateserial -days 365 -sha256 -extfile ext -out server.crt 2>/dev/null`,
			[]string{"registry", "127.0.0.1"}, nil},
		{"CA and leaf, the extensions forgotten", "mkdir ca\n" + ca + leaf + `openssl x509 -req -in server.csr -CA ca/ca.crt -CAkey ca/ca.key -CAcreateserial -days 365 -out server.crt 2>/dev/null`,
			[]string{"registry"}, []string{"certs.no-san"}},
		{"all in one directory", "mkdir ca\n" + ca + leaf + `printf "subjectAltName=DNS:registry\n" > ext
openssl x509 -req -in server.csr -CA ca/ca.crt -CAkey ca/ca.key -CAcreateserial -days 365 -extfile ext -out server.crt 2>/dev/null
mv ca/* . && rmdir ca`,
			[]string{"registry"}, []string{"certs.ca-key-beside"}},
	}
}

func TestCertificatesOfTutorials(t *testing.T) {
	for _, c := range tutorials() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			y := &yard{files: shell(t, c.script), now: time.Now().Add(time.Minute)}
			y.uses = lint.Guess(y.files, map[lint.Subject][]string{lint.Registry: c.names})
			got := ids(y.causes(t))
			slices.Sort(got)
			slices.Sort(c.want)
			if !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v; uses %+v%s", got, c.want, y.uses, show(y.findings()))
			}
		})
	}
}
