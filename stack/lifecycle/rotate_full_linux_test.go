package lifecycle_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
	"github.com/certyard/certyard/stack/state"
)

// smallDisk is a stack whose state directory is on a file system of its own that
// can be filled.
func smallDisk(t *testing.T) (lifecycle.Deps, string) {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CERTYARD_REQUIRE_DOCKER") == "1" {
			t.Fatal("only root can mount a small file system, and the tests must run whole")
		}
		t.Skip("only root can mount a small file system")
	}
	at := t.TempDir()
	if err := syscall.Mount("small", at, "tmpfs", 0, "size=1m,mode=755"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(at, 0); err != nil {
			t.Error(err)
		}
	})
	v := &verifier{now: time.Now}
	d := rotateDeps(t, v)
	d.Store = state.Open(filepath.Join(at, "yard", "quiet"), state.Options{RegistryUID: lifecycle.RegistryUID(d.Account)})
	v.dir = d.Store.Root()
	config := caConfigs()["edge"]
	config.Name = "quiet"
	mustUp(t, d, config)
	return d, at
}

// fill leaves so many bytes free in a directory's file system.
func fill(t *testing.T, dir string, free int64) {
	t.Helper()
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		t.Fatal(err)
	}
	size := max(0, int64(fs.Bavail)*fs.Bsize-free)
	if err := os.WriteFile(filepath.Join(dir, "filler"), make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestIntegrationRotateDiskFull: wherever the disk gets full, a rotation stops and
// says so. Every key belongs to its certificate then, and with room again the same
// command finishes.
func TestIntegrationRotateDiskFull(t *testing.T) {
	const page = 4096
	for name, opts := range map[string]lifecycle.RotateOptions{"leaves": {All: true}, "passwords": {Passwords: true}, "CA": {AllCAs: true}} {
		step := int64(3 * page)
		if opts.AllCAs {
			step = 11 * page // of all its files
		}
		t.Run(name, func(t *testing.T) {
			d, disk := smallDisk(t)
			stopped := 0
			for free := int64(0); ; free += step {
				fill(t, disk, free)
				_, err := lifecycle.Rotate(t.Context(), d, opts)
				if err == nil {
					break
				}
				stopped++
				if !errors.Is(err, syscall.ENOSPC) {
					t.Errorf("with %d bytes free: %v", free, err)
				}
				if err := os.Remove(filepath.Join(disk, "filler")); err != nil {
					t.Fatal(err)
				}
				pairsBelong(t, d, fmt.Sprintf("with %d bytes free", free))
				mustRotate(t, d, opts)
			}
			if stopped == 0 {
				t.Error("the disk was never full")
			}
			t.Logf("stopped %d times", stopped)
		})
	}
}

// pairsBelong checks that every key of a stack belongs to its certificate.
func pairsBelong(t *testing.T, d lifecycle.Deps, when string) {
	t.Helper()
	for _, name := range append(stack.CAs(), stack.LeafRegistry, stack.LeafBuilder, stack.LeafClient) {
		files := stack.ServeEdge.PairOf(name)
		pair := pki.PEMPair{Name: name, Cert: readAt(t, d, files.Cert), Key: readAt(t, d, files.Key)}
		if pair.Cert == nil && name == pki.CAIssuing {
			continue
		}
		if _, err := pair.Parse(); err != nil || pair.Cert == nil {
			t.Errorf("%s, %s: %v", when, name, err)
		}
	}
}
