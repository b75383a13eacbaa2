package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/state"
)

// stagePath is where a write prepares its files, and commitPath tells that it
// is decided: readers then take what is staged for what is there.
const (
	stagePath  = ".stage"
	commitPath = stagePath + "/COMMIT"
)

// entry is a file or directory of a state directory, through its public name.
type entry struct {
	mode  fs.FileMode
	mtime time.Time
	data  []byte
}

// tree returns everything in the state directory, links followed, except for
// what the public names lead to.
func (y *yard) tree() (map[string]entry, error) {
	out := map[string]entry{}
	root := y.state("")
	err := y.walk(root, ".", out)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return out, err
}

func (y *yard) walk(root, name string, out map[string]entry) error {
	file := filepath.Join(root, name)
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	e := entry{mode: info.Mode(), mtime: info.ModTime()}
	if !info.IsDir() {
		if e.data, err = os.ReadFile(file); err == nil {
			out[name] = e
		}
		return err
	}
	out[name] = e
	list, err := os.ReadDir(file)
	for _, l := range list {
		if strings.HasPrefix(l.Name(), "..") || l.Name() == ".lock" {
			continue
		}
		if err := y.walk(root, path.Join(name, l.Name()), out); err != nil {
			return err
		}
	}
	return err
}

// outline is what runs of the same command have in common: names, modes, and how
// many certificates and keys a file has. The chain to the CA that the builder has
// kept is one longer after each replacement.
func outline(tree map[string]entry) map[string]string {
	out := map[string]string{}
	for name, e := range tree {
		certs := fmt.Sprint(bytes.Count(e.data, []byte("-----BEGIN CERTIFICATE-----")))
		if grows := name == stack.FileCross || name == stack.FileEdgeBridge; grows && certs != "0" {
			certs = "some"
		}
		out[name] = fmt.Sprintf("%v, %s certificates, %d keys", e.mode, certs, bytes.Count(e.data, []byte("PRIVATE KEY-----"))/2)
	}
	return out
}

// differ lists how a state directory is not what it has to look like.
func differ(have, want map[string]string) []string {
	var out []string
	names := maps.Clone(want)
	maps.Copy(names, have)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if have[name] != want[name] {
			out = append(out, fmt.Sprintf("%s is (%s), want (%s)", name, have[name], want[name]))
		}
	}
	return out
}

// idle lists what a command changed that had nothing to do.
func idle(before, after map[string]entry) []string {
	var out []string
	for name, b := range before {
		if a := after[name]; a.mode != b.mode || !a.mtime.Equal(b.mtime) || !bytes.Equal(a.data, b.data) {
			out = append(out, name+" was changed with nothing to do")
		}
	}
	for name := range after {
		if _, ok := before[name]; !ok {
			out = append(out, name+" was made with nothing to do")
		}
	}
	return out
}

// broken lists what may not be at any moment of a command, with the shape that
// the directory has to have in the end.
func (y *yard) broken(tmp string, want map[string]string) []string {
	tree, err := y.tree()
	if err != nil {
		return []string{"reading the state directory: " + err.Error()}
	}
	out := modesBroken(tree, want)
	visible, err := state.Open(y.state(""), state.Options{RegistryUID: -1}).ReadAll()
	if err != nil {
		out = append(out, "reading through the stage: "+err.Error())
	}
	out = append(out, pairsBroken("for readers of certyard", visible, want)...)
	raw := map[string][]byte{}
	for name, e := range tree {
		if !strings.HasPrefix(name, stagePath+"/") {
			raw[name] = e.data
		}
	}
	if _, pending := tree[commitPath]; !pending {
		out = append(out, pairsBroken("on the disk", raw, want)...)
		out = append(out, y.dial(stack.Builder, raw)...)
	}
	out = append(out, y.dial(stack.Registry, raw)...)
	return append(out, y.strayKeys(tmp)...)
}

// modesBroken lists what is wider than it ends as, and keys where none end.
func modesBroken(tree map[string]entry, want map[string]string) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		e, staged := tree[name], strings.HasPrefix(name, stagePath+"/")
		switch key := bytes.Contains(e.data, []byte("PRIVATE KEY-----")); {
		case e.mode.IsDir() && e.mode.Perm()&0o077 != 0, key && e.mode.Perm()&0o177 != 0:
			out = append(out, fmt.Sprintf("%s has mode %v", name, e.mode))
		case want[name] == "" && key && !staged && !aside(name):
			out = append(out, name+" holds a key and is not one of the stack's")
		case want[name] != "" && wider(e.mode.String(), want[name]):
			out = append(out, fmt.Sprintf("%s has mode %v, wider than in (%s)", name, e.mode, want[name]))
		}
	}
	return out
}

// aside reports whether a file is of the CAs to come, or of those that were: they
// are there while CAs are replaced, and gone in the end.
func aside(name string) bool {
	return strings.HasPrefix(name, stack.SetNext+"/") || strings.HasPrefix(name, stack.SetPrevious+"/")
}

// wider reports whether a mode in letters has one that the other has not.
func wider(mode, than string) bool {
	for i := range mode {
		if mode[i] != '-' && mode[i] != than[i] {
			return true
		}
	}
	return false
}

// pairsBroken lists the keys and certificates that do not fit or stand alone,
// where both are to be in the end.
func pairsBroken(whose string, files map[string][]byte, want map[string]string) []string {
	var out []string
	keys := slices.Sorted(maps.Keys(want))
	for name := range files {
		if aside(name) && strings.HasSuffix(name, ".key") {
			keys = append(keys, name)
		}
	}
	for _, key := range keys {
		certificate, isKey := certificateOf(key)
		if !isKey || files[key] == nil && files[certificate] == nil {
			continue
		}
		if _, err := tls.X509KeyPair(files[certificate], files[key]); err != nil {
			out = append(out, fmt.Sprintf("%s: %s and %s are no pair: %v", whose, certificate, key, err))
		}
	}
	return out
}

// certificateOf returns where the certificate of a key is.
func certificateOf(key string) (string, bool) {
	if base, ok := strings.CutSuffix(key, "key.pem"); ok {
		return base + "cert.pem", true
	}
	base, ok := strings.CutSuffix(key, ".key")
	return base + ".crt", ok
}

// strayKeys lists the files with a key outside of the state directory.
func (y *yard) strayKeys(dirs ...string) []string {
	var out []string
	for _, dir := range append(dirs, y.dir) {
		err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
			if file == filepath.Clean(y.state("")) {
				return fs.SkipDir
			}
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			data, err := os.ReadFile(file)
			if bytes.Contains(data, []byte("PRIVATE KEY-----")) {
				out = append(out, file+" holds a key")
			}
			return err
		})
		if err != nil {
			out = append(out, err.Error())
		}
	}
	return out
}

// dial lists what keeps people's tools, with the files of the client directory,
// from a service that answers. What does not answer is not wrong.
func (y *yard) dial(service string, files map[string][]byte) []string {
	recorded, err := stack.ParseState(files[stack.FileState])
	if err != nil || files[stack.FileClientCA] == nil {
		return nil // nothing was ever started
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(files[stack.FileClientCA])
	config := &tls.Config{RootCAs: roots, ServerName: "localhost"}
	if service == stack.Builder {
		config.NextProtos = []string{"h2"}
		if pair, err := tls.X509KeyPair(files[stack.FileClientCert], files[stack.FileClientKey]); err == nil {
			config.Certificates = []tls.Certificate{pair}
		}
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(int(recorded.Spec.Published(service).Port)))
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", address, config)
	if _, distrusted := errors.AsType[*tls.CertificateVerificationError](err); distrusted {
		return []string{fmt.Sprintf("%s is not trusted with client/ca.pem: %v", service, err)}
	}
	if err != nil {
		return nil
	}
	defer conn.Close()
	// With TLS 1.3 a refusal comes with the first read.
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if service == stack.Registry {
		_, _ = conn.Write([]byte("GET /v2/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
	}
	_, err = conn.Read(make([]byte, 1))
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" {
		return []string{fmt.Sprintf("%s refuses the client: %v", service, err)}
	}
	return nil
}
