package render_test

import (
	"bytes"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/distribution/distribution/v3/configuration"
	"github.com/docker/cli/cli/config"
	dockertypes "github.com/docker/cli/cli/config/types"
	buildkitd "github.com/moby/buildkit/cmd/buildkitd/config"
	"github.com/pelletier/go-toml/v2"
	"go.yaml.in/yaml/v4"

	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/render"
)

// The files are decoded by the types of the programs that read them, and
// strictly: those programs ignore most mistakes (P8).

// buildkitConfig decodes as buildkitd's config.Load does, but for its leniency.
func buildkitConfig(t testing.TB, data []byte) buildkitd.Config {
	t.Helper()
	var c buildkitd.Config
	if err := toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields().Decode(&c); err != nil {
		t.Fatalf("buildkitd.toml: %v\n%s", err, data)
	}
	lenient, err := buildkitd.Load(bytes.NewReader(data))
	if err != nil || !reflect.DeepEqual(lenient, c) {
		t.Fatalf("buildkitd reads it in another way (%v): %+v", err, lenient)
	}
	return c
}

func TestBuildkitdConfig(t *testing.T) {
	eachServed(t, stack.ServeDaemon, func(t *testing.T, in render.Input, have map[string]stack.File) {
		c := buildkitConfig(t, have[stack.FileBuilderConfig].Data)
		if want := []string{"tcp://0.0.0.0:1234", "unix:///run/buildkit/buildkitd.sock"}; !slices.Equal(c.GRPC.Address, want) {
			t.Errorf("it listens on %v, want %v", c.GRPC.Address, want)
		}
		want := buildkitd.TLSConfig{Cert: "/etc/buildkit/certs/server.crt", Key: "/etc/buildkit/certs/server.key"}
		if in.Spec.Builder.TLS == stack.TLSMutual {
			want.CA = "/etc/buildkit/certs/client-ca.crt"
		}
		if c.GRPC.TLS != want {
			t.Errorf("TLS is %+v, want %+v", c.GRPC.TLS, want)
		}
		for _, p := range []string{c.GRPC.TLS.Cert, c.GRPC.TLS.Key, "/etc/buildkit/certs/ca.crt"} {
			checkMounted(t, have, p, stack.MountBuilder, stack.DirBuilder)
		}
		hosts := in.Spec.RegistryHosts(in.Facts)
		if len(c.Registries) != len(hosts) {
			t.Errorf("there are %d registries for %v", len(c.Registries), hosts)
		}
		for _, h := range hosts {
			r, ok := c.Registries[h]
			if !ok {
				t.Errorf("%s has no section", h)
				continue
			}
			// P1 and P3: both must be written, and be false.
			if r.PlainHTTP == nil || *r.PlainHTTP || r.Insecure == nil || *r.Insecure {
				t.Errorf("%s: http is %v, insecure is %v", h, r.PlainHTTP, r.Insecure)
			}
			if !slices.Equal(r.RootCAs, []string{"/etc/buildkit/certs/ca.crt"}) || len(r.Mirrors)+len(r.KeyPairs)+len(r.TLSConfigDir) > 0 {
				t.Errorf("%s: %+v", h, r)
			}
		}
	})
}

// checkMounted: what a config names is a file that is rendered into the mounted
// directory.
func checkMounted(t *testing.T, have map[string]stack.File, name, mount, dir string) {
	t.Helper()
	rel, ok := strings.CutPrefix(name, mount+"/")
	if _, rendered := have[path.Join(dir, rel)]; !ok || !rendered {
		t.Errorf("%s is no file of %s", name, dir)
	}
}

// TestUnknownFieldsAreSeen: the strict decoders of these tests refuse what the
// programs ignore, or the tests would prove nothing.
func TestUnknownFieldsAreSeen(t *testing.T) {
	have := files(t, cases()[0].input(t))
	typo := strings.Replace(string(have[stack.FileBuilderConfig].Data), "ca = [", "cacert = [", 1)
	if err := toml.NewDecoder(strings.NewReader(typo)).DisallowUnknownFields().Decode(&buildkitd.Config{}); err == nil {
		t.Error("buildkitd.toml: a typo is accepted")
	}
	typo = strings.Replace(string(have[stack.FileRegistryConfig].Data), "minimumtls", "minimum_tls", 1)
	if err := strictYAML(typo, &configuration.Configuration{}); err == nil {
		t.Error("config.yml: a typo is accepted")
	}
	typo = strings.Replace(string(have[stack.FileCompose].Data), "read_only", "readonly", 1)
	if _, err := tryCompose(t, []byte(typo)); err == nil {
		t.Error("compose.yaml: a typo is accepted")
	}
}

func strictYAML(text string, into any) error {
	d := yaml.NewDecoder(strings.NewReader(text))
	d.KnownFields(true)
	return d.Decode(into)
}

func TestRegistryConfig(t *testing.T) {
	for _, name := range os.Environ() {
		if strings.HasPrefix(name, "REGISTRY_") { // Parse reads overrides from these
			key, _, _ := strings.Cut(name, "=")
			t.Setenv(key, "")
			os.Unsetenv(key)
		}
	}
	eachServed(t, stack.ServeDaemon, func(t *testing.T, in render.Input, have map[string]stack.File) {
		data := have[stack.FileRegistryConfig].Data
		if err := strictYAML(string(data), &configuration.Configuration{}); err != nil {
			t.Fatalf("config.yml: %v\n%s", err, data)
		}
		c, err := configuration.Parse(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if c.Version != "0.1" || c.Log.Level != "info" {
			t.Errorf("version %s, log level %s", c.Version, c.Log.Level)
		}
		if c.Storage.Type() != "filesystem" || c.Storage.Parameters()["rootdirectory"] != "/var/lib/registry" || c.Storage["delete"]["enabled"] != true {
			t.Errorf("storage is %v", c.Storage)
		}
		if c.Auth.Type() != "htpasswd" || c.Auth.Parameters()["realm"] != "certyard" || c.Auth.Parameters()["path"] != "/etc/distribution/auth/htpasswd" {
			t.Errorf("auth is %v", c.Auth)
		}
		h := c.HTTP
		if h.Addr != ":5000" || h.Secret != in.Secrets.HTTPSecret || h.DrainTimeout != time.Minute {
			t.Errorf("http is %+v", h)
		}
		if h.TLS.Certificate != "/etc/distribution/certs/registry.crt" || h.TLS.Key != "/etc/distribution/certs/registry.key" || h.TLS.MinimumTLS != "tls1.2" || len(h.TLS.ClientCAs) > 0 {
			t.Errorf("tls is %+v", h.TLS)
		}
		for _, p := range []string{h.TLS.Certificate, h.TLS.Key, c.Auth.Parameters()["path"].(string)} {
			checkMounted(t, have, p, stack.MountRegistry, stack.DirRegistry)
		}
	})
}

// TestSecretOfAnyText: YAML would read some unquoted texts as something else,
// or as none.
func TestSecretOfAnyText(t *testing.T) {
	for _, secret := range []string{"0123456789", "1e5", "true", "-", "-x", "a: b", "a #b", "$HOME", `"quoted"`, `back\slash`, "x\ny: z"} {
		in := cases()[0].input(t)
		in.Secrets.HTTPSecret = secret
		c, err := configuration.Parse(bytes.NewReader(files(t, in)[stack.FileRegistryConfig].Data))
		if err != nil || c.HTTP.Secret != secret {
			t.Errorf("%q: got %q and %v", secret, c.HTTP.Secret, err)
		}
	}
}

// tryCompose loads a file as package compose does (compose/project.go), which
// this package must not import.
func tryCompose(t testing.TB, data []byte) (*types.Project, error) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, stack.FileCompose)
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	// Without WithName: the file has to say the name itself, for
	// docker compose -f.
	o, err := cli.NewProjectOptions([]string{file}, cli.WithWorkingDirectory(dir))
	if err != nil {
		t.Fatal(err)
	}
	return o.LoadProject(t.Context())
}

func loadCompose(t testing.TB, data []byte) *types.Project {
	t.Helper()
	p, err := tryCompose(t, data)
	if err != nil {
		t.Fatalf("compose.yaml: %v\n%s", err, data)
	}
	return p
}

func TestCompose(t *testing.T) {
	eachServed(t, stack.ServeDaemon, func(t *testing.T, in render.Input, have map[string]stack.File) {
		p := loadCompose(t, have[stack.FileCompose].Data)
		if p.Name != in.Spec.Name {
			t.Errorf("the project is %q, want %q", p.Name, in.Spec.Name)
		}
		if got := p.ServiceNames(); !slices.Equal(slices.Sorted(slices.Values(got)), []string{"buildkit", "registry"}) {
			t.Errorf("the services are %v", got)
		}
		if got := p.VolumeNames(); !slices.Equal(slices.Sorted(slices.Values(got)), []string{"buildkit-data", "registry-data"}) {
			t.Errorf("the volumes are %v", got)
		}
		for _, service := range []string{stack.Registry, stack.Builder} {
			s := p.Services[service]
			if s.Image != in.Facts.Images[service] {
				t.Errorf("%s: the image is %q, want %q", service, s.Image, in.Facts.Images[service])
			}
			checkCommon(t, in, s)
			checkPorts(t, in.Spec.Published(service), stack.NetworkEndpoint(service).Port, s)
			checkMounts(t, in, p, s)
		}
		checkRegistryService(t, in, p.Services[stack.Registry])
		checkBuilderService(t, in, have, p.Services[stack.Builder])
	})
}

func checkCommon(t *testing.T, in render.Input, s types.ServiceConfig) {
	t.Helper()
	if !s.ReadOnly || s.Restart != "unless-stopped" || s.StopGracePeriod == nil {
		t.Errorf("%s: read_only %v, restart %q, grace %v", s.Name, s.ReadOnly, s.Restart, s.StopGracePeriod)
	}
	if got := s.Labels[render.MaterialLabel]; len(got) != 16 {
		t.Errorf("%s: the label is %q", s.Name, got)
	}
	if want := map[bool]string{true: "host"}[in.Facts.HostUserNS]; s.UserNSMode != want {
		t.Errorf("%s: userns_mode is %q, want %q", s.Name, s.UserNSMode, want)
	}
	if s.NetworkMode != "" || s.Pid != "" || s.Ipc != "" || len(s.Devices) > 0 || s.ContainerName != "" {
		t.Errorf("%s: shares with the host, or has a name of its own: %+v", s.Name, s)
	}
}

func checkPorts(t *testing.T, want stack.Publish, target int, s types.ServiceConfig) {
	t.Helper()
	if !want.On() {
		if len(s.Ports) > 0 {
			t.Errorf("%s is published at %+v", s.Name, s.Ports)
		}
		return
	}
	if len(s.Ports) != 1 {
		t.Fatalf("%s: ports %+v", s.Name, s.Ports)
	}
	p := s.Ports[0]
	// Without host_ip, Docker publishes to everybody.
	if p.HostIP != want.IP.String() || p.Published != strconv.Itoa(want.Port) || int(p.Target) != target {
		t.Errorf("%s: got %+v, want %s to %d", s.Name, p, want, target)
	}
}

// checkMounts: directories of the state directory, for reading only, and one
// volume for data (P24).
func checkMounts(t *testing.T, in render.Input, p *types.Project, s types.ServiceConfig) {
	t.Helper()
	dir, mount, data := stack.DirRegistry, stack.MountRegistry, stack.DataRegistry
	want := 2
	if s.Name == stack.Builder {
		dir, mount, data = stack.DirBuilder, stack.MountBuilder, stack.DataBuilder
		if in.Facts.Privileges == stack.PrivilegesMinimal {
			want = 3
		}
	}
	if len(s.Volumes) != want {
		t.Errorf("%s: %d mounts, want %d", s.Name, len(s.Volumes), want)
	}
	for _, v := range s.Volumes {
		switch v.Target {
		case mount:
			if v.Type != "bind" || v.Source != filepath.Join(p.WorkingDir, dir) || !v.ReadOnly || v.Bind == nil || bool(v.Bind.CreateHostPath) {
				t.Errorf("%s: %+v", s.Name, v)
			}
		case data:
			if v.Type != "volume" || v.Source != s.Name+"-data" || v.ReadOnly {
				t.Errorf("%s: %+v", s.Name, v)
			}
		case "/sys/fs/cgroup":
			if v.Type != "bind" || v.Source != v.Target || want != 3 {
				t.Errorf("%s: %+v", s.Name, v)
			}
		default:
			t.Errorf("%s: a mount that nobody expects: %+v", s.Name, v)
		}
	}
	if len(s.Configs)+len(s.Secrets) > 0 {
		t.Errorf("%s: mounts single files", s.Name)
	}
}

func checkRegistryService(t *testing.T, in render.Input, s types.ServiceConfig) {
	t.Helper()
	if want := strconv.Itoa(in.Facts.RegistryUID) + ":" + strconv.Itoa(in.Facts.RegistryGID); s.User != want {
		t.Errorf("it runs as %q, want %q", s.User, want)
	}
	if s.Privileged || len(s.CapAdd) > 0 || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Equal(s.SecurityOpt, []string{"no-new-privileges:true"}) {
		t.Errorf("privileged %v, cap_add %v, cap_drop %v, security_opt %v", s.Privileged, s.CapAdd, s.CapDrop, s.SecurityOpt)
	}
	if !slices.Equal(s.Command, []string{"serve", "/etc/distribution/config.yml"}) {
		t.Errorf("the command is %q", s.Command)
	}
	if v := s.Environment["OTEL_TRACES_EXPORTER"]; v == nil || *v != "none" || len(s.Environment) != 1 { // P27
		t.Errorf("the environment is %v", s.Environment)
	}
	// The registry may drain for as long as config.yml says before it is killed.
	if time.Duration(*s.StopGracePeriod) <= time.Minute {
		t.Errorf("it is killed after %v", s.StopGracePeriod)
	}
}

func checkBuilderService(t *testing.T, in render.Input, have map[string]stack.File, s types.ServiceConfig) {
	t.Helper()
	full := in.Facts.Privileges == stack.PrivilegesFull
	caps, options := []string(nil), []string(nil)
	if !full {
		caps = []string{"SYS_ADMIN"}
		options = []string{"no-new-privileges:true", "seccomp=unconfined", "apparmor=unconfined", "systempaths=unconfined"}
	}
	if s.Privileged != full || !slices.Equal(s.CapAdd, caps) || !slices.Equal(s.SecurityOpt, options) {
		t.Errorf("privileged %v, cap_add %v, security_opt %v", s.Privileged, s.CapAdd, s.SecurityOpt)
	}
	// The command line says what buildkitd.toml says: a missing file would go
	// unnoticed (P8).
	c := buildkitConfig(t, have[stack.FileBuilderConfig].Data)
	want := []string{"--config=/etc/buildkit/buildkitd.toml", "--addr=" + c.GRPC.Address[0], "--addr=" + c.GRPC.Address[1],
		"--tlscert=" + c.GRPC.TLS.Cert, "--tlskey=" + c.GRPC.TLS.Key}
	if in.Spec.Builder.TLS == stack.TLSMutual {
		want = append(want, "--tlscacert="+c.GRPC.TLS.CA)
	}
	if !slices.Equal(s.Command, want) {
		t.Errorf("the command is\n%q, want\n%q", s.Command, want)
	}
	if s.HealthCheck == nil || !slices.Equal(s.HealthCheck.Test, []string{"CMD", "buildctl", "--addr=" + c.GRPC.Address[1], "debug", "workers"}) {
		t.Errorf("the health check is %+v", s.HealthCheck)
	}
}

// TestComposeOfAnyName: YAML reads some project names as numbers or truth.
func TestComposeOfAnyName(t *testing.T) {
	for _, name := range []string{"123", "0x10", "1e5", "true", "null", "1_000", "on", "a-", "2026-01-01"} {
		in := aCase{name: name, config: "name: '" + name + "'"}.input(t)
		if p := loadCompose(t, files(t, in)[stack.FileCompose].Data); p.Name != name {
			t.Errorf("got %q, want %q", p.Name, name)
		}
	}
}

// TestComposeDoesNotInterpolate: a dollar sign in a value stays one.
func TestComposeDoesNotInterpolate(t *testing.T) {
	in := cases()[0].input(t)
	in.Facts.Images[stack.Registry] = `r/${HOME}:$x"\`
	if got := loadCompose(t, files(t, in)[stack.FileCompose].Data).Services[stack.Registry].Image; got != in.Facts.Images[stack.Registry] {
		t.Errorf("got %s", got)
	}
}

// TestLabelIsText: a label of digits alone is text too. certyard compares it
// with what a running container has.
func TestLabelIsText(t *testing.T) {
	in := cases()[0].input(t)
	have := files(t, in)
	label := loadCompose(t, have[stack.FileCompose].Data).Services[stack.Builder].Labels[render.MaterialLabel]
	for _, odd := range []string{"12345678901234e5", "0000000000000012"} {
		data := bytes.ReplaceAll(have[stack.FileCompose].Data, []byte(label), []byte(odd))
		if got := loadCompose(t, data).Services[stack.Builder].Labels[render.MaterialLabel]; got != odd {
			t.Errorf("%s became %s", odd, got)
		}
	}
}

// TestDockerConfig reads config.json as docker, buildctl and crane do.
func TestDockerConfig(t *testing.T) {
	eachCase(t, func(t *testing.T, in render.Input, have map[string]stack.File) {
		c, err := config.LoadFromReader(bytes.NewReader(have[stack.FileDockerConfig].Data))
		if err != nil {
			t.Fatal(err)
		}
		user := in.Spec.Registry.Users[0].Name
		hosts := in.Spec.RegistryHosts(in.Facts)
		if len(c.AuthConfigs) != len(hosts) || c.CredentialsStore != "" || len(c.CredentialHelpers) > 0 {
			t.Errorf("the config is %+v for %v", c, hosts)
		}
		for _, h := range hosts {
			want := dockertypes.AuthConfig{Username: user, Password: in.Secrets.Passwords[user], ServerAddress: h}
			got, err := c.GetAuthConfig(h)
			if err != nil || got != want {
				t.Errorf("%s: got %+v and %v, want %+v", h, got, err, want)
			}
		}
		if got, _ := c.GetAuthConfig("docker.io"); got.Password != "" {
			t.Error("the password goes to docker.io")
		}
	})
}
