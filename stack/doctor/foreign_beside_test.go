package doctor_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/certyard/certyard/stack/doctor"
)

// besides looks at what no container has to be changed for: addresses alone, and
// what docker and buildx keep.
func besides(t *testing.T, tab *table, f *foreign) {
	t.Helper()
	client := filepath.Join(f.dir, "client")
	for _, row := range []struct {
		name, want string
		also       []string
		target     doctor.Target
	}{
		{name: "addresses and certificates", target: doctor.Target{Registry: f.at(f.registry), Builder: f.at(f.builder), Certs: client}},
		{name: "addresses, wrong CA", want: "probe.untrusted", target: doctor.Target{Registry: f.at(f.registry), Certs: f.strange(t)}},
		{name: "builder's address, nothing there", want: "probe.unreachable", target: doctor.Target{Builder: f.at(freePort(t)), Certs: client}},
	} {
		deps := f.deps(t)
		deps.Engine = nil
		tab.judge(t, "foreign", row.name, row.want, row.also, examine(t, f.engine, f.name, f.dir, deps, row.target))
	}
	for _, row := range f.besideDocker(t) {
		deps := f.deps(t)
		row.fill(deps.CertsD[0], deps.DockerConfig)
		result := examine(t, f.engine, f.name, f.dir, deps, f.target())
		tab.judge(t, "foreign", row.name, row.want, nil, result)
		if row.want != "" && len(result.Findings) != 1 {
			t.Errorf("%s: want one finding%s", row.name, toldOf(result))
		}
	}
}

// strange returns a directory with a CA that has signed nothing.
func (f *foreign) strange(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", newCA+"newca Other ca")
	cmd.Dir = dir
	must(t, cmd.Run())
	return dir
}

type besideDocker struct {
	name, want string
	fill       func(certsD, config string)
}

// besideDocker are directories as docker and buildx read them. Those of buildx are
// as it writes them: buildx v0.38.2 store/nodegroup.go:16-35, and the names of the
// files util/confutil/container.go:55-130.
func (f *foreign) besideDocker(t *testing.T) []besideDocker {
	t.Helper()
	read := func(path string) []byte {
		data, err := os.ReadFile(path)
		must(t, err)
		return data
	}
	ca, other := read(filepath.Join(f.dir, "ca/ca.crt")), read(filepath.Join(f.strange(t), "ca.crt"))
	host := func(certsD, file string, data []byte) {
		dir := filepath.Join(certsD, f.at(f.registry))
		must(t, os.MkdirAll(dir, 0o755))
		must(t, os.WriteFile(filepath.Join(dir, file), data, 0o644))
	}
	instance := func(config, driver string, node map[string]any) {
		node["Name"], node["Platforms"], node["Flags"] = "mine0", nil, nil
		data, err := json.Marshal(map[string]any{"Name": "mine", "Driver": driver, "Nodes": []any{node}, "Dynamic": false})
		must(t, err)
		dir := filepath.Join(config, "buildx", "instances")
		must(t, os.MkdirAll(dir, 0o700))
		must(t, os.WriteFile(filepath.Join(dir, "mine"), data, 0o644))
	}
	remote := func(config, cacert string) {
		client := filepath.Join(f.dir, "client")
		instance(config, "remote", map[string]any{"Endpoint": "tcp://" + f.at(f.builder), "Files": nil,
			"DriverOpts": map[string]string{"cacert": cacert, "cert": filepath.Join(client, "cert.pem"), "key": filepath.Join(client, "key.pem")}})
	}
	snapshot := func(config string, ca []byte) {
		toml := "[registry]\n  [registry.\"registry:5000\"]\n    ca = [\"/etc/buildkit/certs/registry_5000/ca.crt\"]\n"
		instance(config, "docker-container", map[string]any{"Endpoint": "unix:///var/run/docker.sock", "DriverOpts": nil,
			"Files": map[string][]byte{"buildkitd.toml": []byte(toml), "certs/registry_5000/ca.crt": ca}})
	}
	otherFile := filepath.Join(t.TempDir(), "other.pem")
	must(t, os.WriteFile(otherFile, other, 0o644))
	return []besideDocker{
		{"certs.d sound", "", func(d, _ string) { host(d, "ca.crt", ca); host(d, "client.cert", ca); host(d, "client.key", nil) }},
		{"certs.d of another CA", "docker.certs-d", func(d, _ string) { host(d, "ca.crt", other) }},
		{"certs.d with a key alone", "docker.certs-d", func(d, _ string) { host(d, "ca.crt", ca); host(d, "client.key", nil) }},
		{"certs.d with a .pem", "docker.certs-d", func(d, _ string) { host(d, "ca.pem", ca) }},
		{"certs.d of another registry", "", func(d, _ string) { must(t, os.MkdirAll(filepath.Join(d, "other:5000"), 0o755)) }},
		{"buildx remote sound", "", func(_, c string) { remote(c, filepath.Join(f.dir, "client", "ca.pem")) }},
		{"buildx remote without cacert", "docker.buildx", func(_, c string) { remote(c, "") }},
		{"buildx remote, cacert gone", "docker.buildx", func(_, c string) { remote(c, "/no/such/ca.pem") }},
		{"buildx remote, another CA", "docker.buildx", func(_, c string) { remote(c, otherFile) }},
		{"buildx snapshot sound", "", func(_, c string) { snapshot(c, ca) }},
		{"buildx snapshot of another CA", "docker.buildx", func(_, c string) { snapshot(c, other) }},
	}
}
