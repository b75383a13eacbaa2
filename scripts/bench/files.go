package main

import (
	"context"
	"crypto/x509"
	_ "embed"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// The scripts make the files of "certyard init" that other tools can make: CA,
// leaves with the same names, and htpasswd. They make no config.
var (
	//go:embed mkcert.sh
	mkcertScript string
	//go:embed openssl.sh
	opensslScript string
)

// fileMaker makes the files with other tools.
type fileMaker struct {
	row, tool, script string
	env               []string
	missing           string // what has to be installed first
}

func newFileMakers(tmp, mkcert string) []fileMaker {
	// Without TRUST_STORES mkcert looks for browsers' stores.
	env := []string{"MKCERT=" + mkcert, "TRUST_STORES=none", "HOME=" + tmp}
	makers := []fileMaker{
		{row: rowMkcert, tool: "mkcert", script: mkcertScript, env: env},
		{row: rowOpenSSL, tool: "openssl", script: opensslScript},
	}
	for i := range makers {
		makers[i].missing = firstMissing(makers[i].tool)
	}
	return makers
}

func firstMissing(tool string) string {
	if _, err := exec.LookPath("htpasswd"); err != nil {
		return "htpasswd, which Debian has in apache2-utils"
	}
	if _, err := exec.LookPath("openssl"); err != nil && tool == "openssl" {
		return "openssl"
	}
	return ""
}

// run makes the files in dir.
func (m fileMaker) run(ctx context.Context, dir string, n names) (sample, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return sample{}, err
	}
	env := append([]string{
		"REGISTRY_NAMES=" + strings.Join(n.registry, " "),
		"BUILDKIT_NAMES=" + strings.Join(n.buildkit, " "),
		"PASSWORD=gDfGxZFsSI1XWcYl2gLYqWv0v5rKS3ZcZ4RzWGfKf0M", // as long as a generated one
	}, m.env...)
	s, _, err := command(ctx, dir, env, "sh", "-euc", m.script, m.tool+".sh")
	return s, err
}

// names are the names of the server leaves.
type names struct{ registry, buildkit []string }

func readNames(dir string) (n names, err error) {
	if n.registry, err = leafNames(filepath.Join(dir, "registry", "certs", "registry.crt")); err != nil {
		return n, err
	}
	n.buildkit, err = leafNames(filepath.Join(dir, "buildkit", "certs", "server.crt"))
	return n, err
}

func leafNames(file string) ([]string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("reading %s: no PEM block", file)
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	out := leaf.DNSNames
	for _, ip := range leaf.IPAddresses {
		out = append(out, ip.String())
	}
	return out, nil
}
