package compose

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/docker/cli/cli/config"
)

// fakeEngine answers pings on a unix socket, and what it is asked by the other
// paths, and returns its address.
func fakeEngine(t *testing.T, apiVersion string, answers map[string]string) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "docker.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", apiVersion)
		_, _ = io.WriteString(w, answers[strings.TrimPrefix(r.URL.Path, "/v"+apiVersion)])
	}))
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	return "unix://" + socket
}

func TestConnectRefusesAnOldEngine(t *testing.T) {
	_, err := Connect(t.Context(), Options{Host: fakeEngine(t, "1.39", nil)})
	var version *VersionError
	if !errors.As(err, &version) || *version != (VersionError{Have: "1.39", Want: "1.40"}) {
		t.Errorf("Connect = %v, want a VersionError of 1.39", err)
	}
	e, err := Connect(t.Context(), Options{Host: fakeEngine(t, "1.40", nil)})
	if err != nil {
		t.Fatalf("Connect to an engine of API 1.40: %v", err)
	}
	_ = e.Close()
}

func TestConnectSaysWhyThereIsNoEngine(t *testing.T) {
	dir := t.TempDir()
	missing := "unix://" + filepath.Join(dir, "none.sock")
	_, err := Connect(t.Context(), Options{Host: missing})
	var daemon *DaemonError
	if !errors.As(err, &daemon) || daemon.Host != missing {
		t.Errorf("Connect = %v, want a DaemonError for %s", err, missing)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Connect = %v, want fs.ErrNotExist in it", err)
	}

	// A socket that a dead engine has left behind. The client library drops
	// this cause, as it does a missing permission.
	left := filepath.Join(dir, "left.sock")
	u, err := net.ListenUnix("unix", &net.UnixAddr{Name: left, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	u.SetUnlinkOnClose(false)
	_ = u.Close()
	if _, err := Connect(t.Context(), Options{Host: "unix://" + left}); !errors.As(err, &daemon) || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("Connect = %v, want ECONNREFUSED in it", err)
	}

	// A port of 127.0.0.1 that was free a moment ago.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	closed := "tcp://" + l.Addr().String()
	if _, err := Connect(t.Context(), Options{Host: closed}); !errors.As(err, &daemon) || daemon.Host != closed {
		t.Errorf("Connect = %v, want a DaemonError for %s", err, closed)
	}
}

// An engine that accepts a connection and says nothing is no engine.
func TestConnectGivesUp(t *testing.T) {
	t.Parallel() // it waits
	_, err := Connect(t.Context(), Options{Host: "tcp://" + silentServer(t)})
	var daemon *DaemonError
	if !errors.As(err, &daemon) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Connect = %v, want a DaemonError that says it took too long", err)
	}
}

// Running out of the caller's time is not the engine's fault.
func TestConnectInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Connect(ctx, Options{Host: "tcp://" + silentServer(t)})
	var daemon *DaemonError
	if errors.As(err, &daemon) || !errors.Is(err, context.Canceled) {
		t.Errorf("Connect = %v, want context.Canceled alone", err)
	}
}

func TestConnectRefusesWhatCannotBeResolved(t *testing.T) {
	t.Setenv("DOCKER_HOST", "")
	for name, o := range map[string]Options{
		"host and context": {Host: "unix:///a.sock", Context: "b"},
		"unknown context":  {Context: "no-such-context"},
		"bad host":         {Host: "nonsense://x"},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := Connect(t.Context(), o)
			if err == nil {
				_ = e.Close()
				t.Fatal("Connect succeeded")
			}
			var daemon *DaemonError
			if errors.As(err, &daemon) {
				t.Errorf("Connect = %v, but no engine was asked", err)
			}
		})
	}
}

// A context of the docker CLI decides where to connect to, and DOCKER_HOST goes
// before it.
func TestConnectResolvesContexts(t *testing.T) {
	dir := t.TempDir()
	socket := fakeEngine(t, "1.44", nil)
	// The directory of a context is named by the hash of its name.
	meta := filepath.Join(dir, "contexts", "meta", "7ae4b7c7678e3e292739a846d935aeaece6c47f3ffcadd88936f1d75f6d6b764")
	writeContext(t, meta, "yard", socket)
	t.Setenv("DOCKER_HOST", "")
	t.Setenv("DOCKER_CONTEXT", "")

	e, err := Connect(t.Context(), Options{ConfigDir: dir, Context: "yard"})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if e.host != socket {
		t.Errorf("connected to %s, want the context's %s", e.host, socket)
	}
	other := fakeEngine(t, "1.44", nil)
	t.Setenv("DOCKER_HOST", other)
	e2, err := Connect(t.Context(), Options{ConfigDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer e2.Close()
	if e2.host != other {
		t.Errorf("connected to %s, want DOCKER_HOST's %s", e2.host, other)
	}
}

func writeContext(t *testing.T, meta, name, host string) {
	t.Helper()
	// docker's library keeps the directory for the rest of the process.
	before := config.Dir()
	t.Cleanup(func() { config.SetDir(before) })
	if err := os.MkdirAll(meta, 0o700); err != nil {
		t.Fatal(err)
	}
	data := `{"Name":"` + name + `","Metadata":{},"Endpoints":{"docker":{"Host":"` + host + `","SkipTLSVerify":false}}}`
	if err := os.WriteFile(filepath.Join(meta, "meta.json"), []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestRemoteHost(t *testing.T) {
	for address, want := range map[string]string{
		"unix:///var/run/docker.sock":    "",
		"npipe:////./pipe/docker_engine": "",
		"tcp://localhost:2375":           "",
		"tcp://127.0.0.1:2375":           "",
		"tcp://[::1]:2375":               "",
		"tcp://10.1.2.3:2376":            "10.1.2.3",
		"tcp://[2001:db8::1]:2376":       "2001:db8::1",
		"ssh://me@build.example.com:22":  "build.example.com",
		"ssh://build.example.com":        "build.example.com",
	} {
		if got := remoteHost(address); got != want {
			t.Errorf("remoteHost(%q) = %q, want %q", address, got, want)
		}
	}
}

func TestInfo(t *testing.T) {
	version := `{"Version":"29.0.1","ApiVersion":"1.52","Os":"linux","Arch":"arm64"}`
	for options, want := range map[string]Info{
		`"name=seccomp,profile=builtin","name=cgroupns"`: {},
		`"name=seccomp","name=rootless"`:                 {Rootless: true},
		`"name=userns"`:                                  {UserNS: true},
		`"name=apparmor,rootless"`:                       {},
	} {
		e, err := Connect(t.Context(), Options{Host: fakeEngine(t, "1.44", map[string]string{
			"/version": version, "/info": `{"SecurityOptions":[` + options + `]}`,
		})})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		want.Version, want.APIVersion, want.OS, want.Arch = "29.0.1", "1.52", "linux", "arm64"
		if got, err := e.Info(t.Context()); err != nil || got != want {
			t.Errorf("Info with %s = %+v, %v, want %+v", options, got, err, want)
		}
	}
}

func TestIntegrationInfo(t *testing.T) {
	info, err := dockerEngine(t).Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if info.Version == "" || info.APIVersion == "" || info.OS != "linux" || info.Arch == "" {
		t.Errorf("Info = %+v, want a version and linux", info)
	}
}
