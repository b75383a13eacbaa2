package doctor_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/certyard/certyard/compose"
	"github.com/certyard/certyard/compose/composetest"
	"github.com/certyard/certyard/stack/doctor"
)

// foreign is a stack as people write it themselves.
type foreign struct {
	engine            *compose.Engine
	name, dir         string
	registry, builder int // ports of this machine
	imageR, imageB    string
	sound             map[string][]byte // all files, as they were at first
	clean             bool              // the daemons run with these
}

const foreignCompose = `name: %NAME%
services:
  registry:
    image: %REGISTRY%
    ports:
      - "127.0.0.1:%PORT%:5000"
    volumes:
      - ./registry:/etc/distribution:ro
      - registry-data:/var/lib/registry
    stop_grace_period: 65s
  buildkit:
    image: %BUILDKIT%
    ports:
      - "127.0.0.1:%BUILDER%:1234"
    cap_add: [SYS_ADMIN, NET_ADMIN]
    security_opt: ["seccomp=unconfined", "apparmor=unconfined", "systempaths=unconfined"]
    volumes:
      - ./buildkit:/etc/buildkit:ro
      - buildkit-data:/var/lib/buildkit
      - /sys/fs/cgroup:/sys/fs/cgroup
    stop_grace_period: 1m
volumes:
  registry-data: {}
  buildkit-data: {}
`

const foreignRegistry = `version: 0.1
storage:
  filesystem:
    rootdirectory: /var/lib/registry
auth:
  htpasswd:
    realm: registry
    path: /etc/distribution/auth/htpasswd
http:
  addr: :5000
  secret: not-a-secret-of-anybody
  draintimeout: 2s
  tls:
    certificate: /etc/distribution/certs/registry.crt
    key: /etc/distribution/certs/registry.key
`

const foreignBuildkit = `[grpc]
address = ["tcp://0.0.0.0:1234", "unix:///run/buildkit/buildkitd.sock"]

[grpc.tls]
cert = "/etc/buildkit/certs/server.crt"
key = "/etc/buildkit/certs/server.key"
ca = "/etc/buildkit/certs/clients.crt"

[registry."registry:5000"]
http = false
ca = ["/etc/buildkit/certs/registry-ca.crt"]
`

// foreignCerts makes two CAs, and what they sign. The function leaf is for what is
// made anew, too.
const foreignCerts = `set -e
mkdir -p ca registry/certs registry/auth buildkit/certs client
` + newCA + leafScript + `
newca "My CA" ca/ca
newca "Clients" ca/clients
leaf ca/ca registry/certs/registry serverAuth DNS:registry,DNS:localhost 365
leaf ca/ca buildkit/certs/server serverAuth DNS:buildkit,DNS:localhost 365
leaf ca/clients client/cert clientAuth "" 365
mv client/cert.crt client/cert.pem; mv client/cert.key client/key.pem
cp ca/ca.crt client/ca.pem; cp ca/ca.crt buildkit/certs/registry-ca.crt; cp ca/clients.crt buildkit/certs/clients.crt
`

const newCA = `
newca() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$1" -days 3650 \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign -keyout $2.key -out $2.crt 2>/dev/null
}
`

const leafScript = `
leaf() {
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$(basename $2)" -keyout $2.key.new -out $2.csr 2>/dev/null
  printf "basicConstraints=CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=$3\nauthorityKeyIdentifier=keyid\n" > $2.ext
  [ -z "$4" ] || printf "subjectAltName=$4\n" >> $2.ext
  openssl x509 -req -in $2.csr -CA $1.crt -CAkey $1.key -set_serial 0x1$(openssl rand -hex 15) -days $5 -extfile $2.ext -out $2.crt.new 2>/dev/null
  rm $2.csr $2.ext
  mv $2.crt.new $2.crt; mv $2.key.new $2.key
}
`

// lastYear takes the place of what signs in leaf: with OpenSSL 3.0 only this can
// choose dates.
const lastYear = `mkdir -p db && : > db/index && echo 1234 > db/serial
  printf "[ca]\ndefault_ca=d\n[d]\ndatabase=db/index\nnew_certs_dir=db\nserial=db/serial\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n" > db/config
  openssl ca -batch -notext -config db/config -startdate 20250101000000Z -enddate 20250201000000Z -cert $1.crt -keyfile $1.key -in $2.csr -extfile $2.ext -out $2.crt.new 2>/dev/null
  rm -r db; :`

func newForeign(t *testing.T, engine *compose.Engine) *foreign {
	t.Helper()
	images, err := engine.Images(t.Context(), []compose.Image{
		{Service: "registry", Bundled: compose.BundledRegistry}, {Service: "buildkit", Bundled: compose.BundledBuildkit},
	}, compose.Bundled, compose.Bundle{Dir: os.Getenv("CERTYARD_DAEMONS")}, nil)
	must(t, err)
	f := &foreign{engine: engine, name: "cy-doctor-" + strings.ToLower(rand.Text()[:8]), dir: t.TempDir(), imageR: images[0].Ref, imageB: images[1].Ref}
	f.registry, f.builder = freePort(t), freePort(t)
	t.Cleanup(func() {
		if _, err := engine.Down(context.WithoutCancel(t.Context()), f.name, compose.DownOptions{Volumes: true}); err != nil {
			t.Errorf("cleaning up: %v", err)
		}
	})
	return f
}

// fill makes the files, and starts the stack with them.
func (f *foreign) fill(t *testing.T, mutual bool) {
	t.Helper()
	f.shell(t, foreignCerts)
	f.write(t, "registry/auth/htpasswd", somebody)
	f.write(t, "registry/config.yml", foreignRegistry)
	f.write(t, "buildkit/buildkitd.toml", foreignBuildkit)
	f.write(t, "docker-compose.yml", f.fillIn(foreignCompose))
	if !mutual {
		f.change(t, "buildkit/buildkitd.toml", `ca = "/etc/buildkit/certs/clients.crt"`+"\n", "")
	}
	f.sound = f.files(t)
	f.start(t)
	f.clean = true
}

func (f *foreign) fillIn(text string) string {
	return strings.NewReplacer("%NAME%", f.name, "%REGISTRY%", f.imageR, "%BUILDKIT%", f.imageB,
		"%PORT%", fmt.Sprint(f.registry), "%BUILDER%", fmt.Sprint(f.builder)).Replace(text)
}

func (f *foreign) shell(t *testing.T, script string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", script)
	cmd.Dir = f.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// sign makes a certificate anew, as people do: beside the old one, and then moved
// over it.
func (f *foreign) sign(t *testing.T, ca, to, usage, names string, days int) {
	t.Helper()
	f.shell(t, "set -e"+newCA+leafScript+fmt.Sprintf("leaf %s %s %s %q %d", ca, to, usage, names, days))
}

func (f *foreign) write(t *testing.T, file, text string) {
	t.Helper()
	path := filepath.Join(f.dir, file)
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(text), 0o644))
}

// change replaces a text in a file, which has to be there.
func (f *foreign) change(t *testing.T, file, from, to string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(f.dir, file))
	must(t, err)
	if !strings.Contains(string(data), from) {
		t.Fatalf("%s has no %q", file, from)
	}
	f.write(t, file, strings.Replace(string(data), from, to, 1))
}

func (f *foreign) files(t *testing.T) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	must(t, filepath.WalkDir(f.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			out[path], err = os.ReadFile(path)
		}
		return err
	}))
	return out
}

// restore puts all files back, and has the daemons start with them.
func (f *foreign) restore(t *testing.T) {
	t.Helper()
	for path := range f.files(t) {
		if _, ok := f.sound[path]; !ok {
			must(t, os.Remove(path))
		}
	}
	for path, data := range f.sound {
		if now, err := os.ReadFile(path); err != nil || string(now) != string(data) {
			must(t, os.WriteFile(path, data, 0o644))
		}
	}
	f.start(t)
	must(t, f.engine.Restart(t.Context(), f.name, []string{"registry", "buildkit"}))
	f.ready(t)
}

// start brings up what the compose file says now.
func (f *foreign) start(t *testing.T) {
	t.Helper()
	f.up(t)
	f.ready(t)
}

func (f *foreign) up(t *testing.T) {
	t.Helper()
	p, err := compose.Load(t.Context(), compose.Source{Name: f.name, Dir: f.dir, Files: []string{filepath.Join(f.dir, "docker-compose.yml")}})
	must(t, err)
	_, err = f.engine.Up(t.Context(), p, compose.UpOptions{})
	must(t, err)
}

func (f *foreign) ready(t *testing.T) {
	t.Helper()
	answers(t, f.at(f.registry))
	answers(t, f.at(f.builder))
}

func (f *foreign) at(port int) string { return fmt.Sprintf("localhost:%d", port) }

func (f *foreign) deps(t *testing.T) doctor.Deps {
	return doctor.Deps{Now: time.Now, Load: compose.LoadFile, Engine: f.engine, DockerConfig: t.TempDir(), CertsD: []string{t.TempDir()}}
}

func (f *foreign) target() doctor.Target {
	return doctor.Target{Compose: filepath.Join(f.dir, "docker-compose.yml"), Certs: filepath.Join(f.dir, "client")}
}

func (f *foreign) examine(t *testing.T, target doctor.Target) doctor.Result {
	t.Helper()
	return examine(t, f.engine, f.name, f.dir, f.deps(t), target)
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// TestIntegrationForeign: a stack that people wrote themselves has nothing that is
// an error, with and without client certificates. What is done to it is named first.
func TestIntegrationForeign(t *testing.T) {
	t.Parallel()
	engine := composetest.Connect(t)
	tab := &table{}
	t.Cleanup(func() { tab.print(t) })
	f := newForeign(t, engine)
	f.fill(t, false)
	result := f.examine(t, doctor.Target{Compose: f.target().Compose})
	tab.judge(t, "foreign-server", "none", "", nil, result)
	judgedAll(t, "foreign-server", result)
	f.change(t, "buildkit/buildkitd.toml", "\n[registry", `ca = "/etc/buildkit/certs/clients.crt"`+"\n\n[registry")
	f.sound = f.files(t)
	f.restore(t)
	for _, target := range []doctor.Target{f.target(), {Compose: f.target().Compose}} {
		result := f.examine(t, target)
		tab.judge(t, "foreign-mutual", "none", "", nil, result)
		judgedAll(t, "foreign-mutual", result)
	}
	for _, fault := range foreignFaults() {
		f.suffer(t, tab, fault)
	}
	begun := time.Now()
	result = f.examine(t, f.target())
	t.Logf("an examination takes %s", time.Since(begun).Round(time.Millisecond))
	tab.judge(t, "foreign-mutual", "none, after all", "", nil, result)
	besides(t, tab, f)
}
