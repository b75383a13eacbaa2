package doctor_test

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/stacktest"
)

func stop(service string) func(*testing.T, *ownStack) {
	return func(t *testing.T, s *ownStack) {
		t.Helper()
		s.later(func() { s.restart(t, service) })
		must(t, s.engine.Stop(t.Context(), s.Name(), []string{service}))
	}
}

func pause(service string) func(*testing.T, *ownStack) {
	return func(t *testing.T, s *ownStack) {
		t.Helper()
		must(t, s.engine.Freeze(t.Context(), s.Name(), service))
		s.later(func() { must(t, s.engine.Thaw(t.Context(), s.Name(), service)) })
	}
}

// remove removes a container, as docker rm -f does.
func remove(service string) func(*testing.T, *ownStack) {
	return func(t *testing.T, s *ownStack) {
		t.Helper()
		s.later(func() { s.Restart(t) })
		_, err := api(t).ContainerRemove(t.Context(), s.container(t, service), client.ContainerRemoveOptions{Force: true})
		must(t, err)
	}
}

// takePort has another program listen where the registry was published.
func takePort(t *testing.T, s *ownStack) {
	t.Helper()
	at := s.endpoint(t, stack.Registry)
	must(t, s.engine.Stop(t.Context(), s.Name(), []string{stack.Registry}))
	s.later(func() { s.restart(t, stack.Registry) })
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", fmt.Sprint(at.Port)))
	must(t, err)
	s.later(func() { l.Close() })
	if err := s.engine.Restart(t.Context(), s.Name(), []string{stack.Registry}); err == nil {
		t.Fatal("the registry has got a port that is taken")
	}
}

// disconnect takes the registry's name on the network away: it is on the network
// still, under that of its container alone.
func disconnect(t *testing.T, s *ownStack) {
	t.Helper()
	docker, id := api(t), s.container(t, stack.Registry)
	list, err := docker.NetworkList(t.Context(), client.NetworkListOptions{Filters: make(client.Filters).Add("label", "com.docker.compose.project="+s.Name())})
	must(t, err)
	s.later(func() { s.Restart(t) })
	s.later(func() { remove(stack.Registry)(t, s) }) // up makes it anew
	network := list.Items[0].ID
	_, err = docker.NetworkDisconnect(t.Context(), network, client.NetworkDisconnectOptions{Container: id})
	must(t, err)
	_, err = docker.NetworkConnect(t.Context(), network, client.NetworkConnectOptions{Container: id})
	must(t, err)
	s.ready(t)
}

// freezeStorage has the registry write nothing any more. Only root can reach into
// its volume.
func freezeStorage(t *testing.T, s *ownStack) {
	t.Helper()
	list, err := s.engine.Containers(t.Context(), s.Name())
	must(t, err)
	for _, c := range list {
		if c.Service != stack.Registry {
			continue
		}
		data := filepath.Join("/proc", fmt.Sprint(c.PID), "root", stack.DataRegistry)
		must(t, filepath.WalkDir(data, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.IsDir() {
				return err
			}
			info, err := d.Info()
			must(t, err)
			s.later(func() { must(t, os.Chmod(path, info.Mode())) })
			return os.Chmod(path, 0o555)
		}))
	}
}

// show has both servers show a certificate with a fault.
func show(f stacktest.Fault, then ...func(*testing.T, *ownStack, string)) func(*testing.T, *ownStack) {
	return func(t *testing.T, s *ownStack) {
		t.Helper()
		s.later(func() { s.Mend(t) })
		s.Fault(t, f)
		serve := s.recorded(t).Spec.Serve
		for _, leaf := range []string{stack.LeafRegistry, stack.LeafBuilder} {
			for _, do := range then {
				do(t, s, serve.PairOf(leaf).Cert)
			}
		}
	}
}

// rewrite changes a file of the stack where it is.
func rewrite(file string, change func(*testing.T, *ownStack, []byte) []byte, then ...func(*testing.T, *ownStack, string)) func(*testing.T, *ownStack) {
	return func(t *testing.T, s *ownStack) {
		t.Helper()
		s.write(t, file, change(t, s, s.read(t, file)))
		for _, do := range then {
			do(t, s, file)
		}
	}
}

// recorded has the record say that a file is as certyard wrote it, as it is when
// the fault is not that somebody changed it.
func recorded(t *testing.T, s *ownStack, file string) {
	t.Helper()
	state := s.recorded(t)
	state.Files[file] = stack.Sum(s.read(t, file))
	rendered, err := state.File()
	must(t, err)
	s.write(t, stack.FileState, rendered.Data)
}

// restarting has the builder start with what is there now, in vain.
func restarting(t *testing.T, s *ownStack, _ string) {
	t.Helper()
	s.undo = append([]func(){func() { s.restart(t, stack.Builder) }}, s.undo...) // when the files are back
	must(t, s.engine.Restart(t.Context(), s.Name(), []string{stack.Builder}))
	eventually(t, "the builder to end", func() bool {
		list, err := s.engine.Containers(t.Context(), s.Name())
		must(t, err)
		for _, c := range list {
			if c.Service == stack.Builder {
				return c.State != "running"
			}
		}
		return false
	})
}

// unlink removes a file of the stack.
func unlink(file string) func(*testing.T, *ownStack) {
	return func(t *testing.T, s *ownStack) {
		t.Helper()
		path, aside := filepath.Join(s.Dir(), file), filepath.Join(s.Dir(), "aside")
		must(t, os.Rename(path, aside))
		s.later(func() { must(t, os.Rename(aside, path)) })
	}
}

func (s *ownStack) read(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(s.Dir(), file))
	must(t, err)
	return data
}

// write changes a file in place, and puts it back with the time that it had.
func (s *ownStack) write(t *testing.T, file string, data []byte) {
	t.Helper()
	path := filepath.Join(s.Dir(), file)
	before := s.read(t, file)
	info, err := os.Stat(path)
	must(t, err)
	s.later(func() {
		overwrite(t, path, before)
		must(t, os.Chtimes(path, info.ModTime(), info.ModTime()))
	})
	overwrite(t, path, data)
}

// overwrite keeps the inode and the mode of a file, which may be read-only.
func overwrite(t *testing.T, path string, data []byte) {
	t.Helper()
	info, err := os.Stat(path)
	must(t, err)
	must(t, os.Chmod(path, info.Mode()|0o200))
	must(t, os.WriteFile(path, data, info.Mode()))
	must(t, os.Chmod(path, info.Mode()))
}

// reissue returns a server's certificate anew, of the same CA and for the same key.
func (s *ownStack) reissue(t *testing.T, leaf string) []byte {
	t.Helper()
	serve := s.recorded(t).Spec.Serve
	pair := func(name string) *pki.KeyPair {
		at := serve.PairOf(name)
		kp, err := pki.PEMPair{Cert: s.read(t, at.Cert), Key: s.read(t, at.Key)}.Parse()
		must(t, err)
		return kp
	}
	ca, like := pair(pki.CAName), pair(leaf)
	template := *like.Cert
	var err error
	template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	must(t, err)
	der, err := x509.CreateCertificate(rand.Reader, &template, ca.Cert, like.Cert.PublicKey, ca.Key)
	must(t, err)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	return (&pki.KeyPair{Cert: cert, Chain: like.Chain}).CertPEM()
}

// restart starts services anew, and waits until everything answers.
func (s *ownStack) restart(t *testing.T, services ...string) {
	t.Helper()
	must(t, s.engine.Restart(t.Context(), s.Name(), services))
	s.ready(t)
}

func (s *ownStack) ready(t *testing.T) {
	t.Helper()
	for _, service := range []string{stack.Registry, stack.Builder} {
		answers(t, s.endpoint(t, service).Address())
	}
}

func (s *ownStack) endpoint(t *testing.T, service string) stack.Endpoint {
	t.Helper()
	state := s.recorded(t)
	return state.Spec.HostEndpoints(service, state.Facts)[0]
}

func (s *ownStack) container(t *testing.T, service string) string {
	t.Helper()
	list, err := s.engine.Containers(t.Context(), s.Name())
	must(t, err)
	for _, c := range list {
		if c.Service == service {
			return c.ID
		}
	}
	t.Fatalf("there is no container of %s", service)
	return ""
}

// answers waits until a daemon says something, with TLS or without. The engine's
// own forwarding accepts connections before it does.
func answers(t *testing.T, address string) {
	t.Helper()
	eventually(t, address, func() bool {
		conn, err := tls.DialWithDialer(&net.Dialer{Timeout: time.Second}, "tcp", address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}})
		if err == nil {
			conn.Close()
			return true
		}
		silent := errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, os.ErrDeadlineExceeded)
		return !silent
	})
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	const limit, pause = 30 * time.Second, 20 * time.Millisecond
	for end := time.Now().Add(limit); !holds(); time.Sleep(pause) {
		if time.Now().After(end) {
			t.Fatalf("waited for %s in vain", what)
		}
	}
}

// api is the engine, for what package compose has no use for.
func api(t *testing.T) *client.Client {
	t.Helper()
	c, err := client.New(client.FromEnv)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
