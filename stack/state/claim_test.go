package state_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/certyard/certyard/stack/state"
)

// TestClaims: a name belongs to one, whoever holds it is found, and what is
// abandoned is taken by one.
func TestClaims(t *testing.T) {
	claims := state.OpenClaims(filepath.Join(t.TempDir(), "a", "b"))
	first, err := claims.Claim("one", "an engine")
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(claims.Dir()); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory: %v, %v", info.Mode(), err)
	}
	if _, err := claims.Claim("one", ""); !isLocked(err) {
		t.Errorf("a second claim: %v", err)
	}
	if found, err := claims.Abandoned(); len(found) > 0 || err != nil {
		t.Errorf("abandoned: %v, %v", found, err)
	}
	if !claims.Held("one") || claims.Held("two") {
		t.Error("Held is wrong")
	}

	if err := os.Mkdir(first.Root, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := first.End(); err == nil {
		t.Error("a claim ended while its state directory was there")
	}
	if claims.Held("one") {
		t.Error("it is held by nobody")
	}
	if _, err := claims.Claim("one", ""); !isLocked(err) {
		t.Errorf("a claim of what is abandoned: %v", err)
	}
	found, err := claims.Abandoned()
	if err != nil || len(found) != 1 || found[0].Name() != "one" || found[0].Note != "an engine" {
		t.Fatalf("abandoned: %v, %v", found, err)
	}
	if again, err := claims.Abandoned(); len(again) > 0 || err != nil {
		t.Errorf("abandoned twice: %v, %v", again, err)
	}
	if err := os.Remove(first.Root); err != nil {
		t.Fatal(err)
	}
	if err := found[0].End(); err != nil {
		t.Error(err)
	}
	if names, err := claims.Names(); len(names) > 0 || err != nil {
		t.Errorf("left: %v, %v", names, err)
	}
}

// TestClaimsGone: who removes everything while a claim is held has ended it.
func TestClaimsGone(t *testing.T) {
	claims := state.OpenClaims(filepath.Join(t.TempDir(), "claims"))
	c, err := claims.Claim("one", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.RemoveAll(claims.Dir()), c.End()); err != nil {
		t.Error(err)
	}
}

// TestClaimsRace: of many that claim, and many that look for the abandoned
// meanwhile, each claim is held by one at any time, and nothing is left.
func TestClaimsRace(t *testing.T) {
	claims := state.OpenClaims(t.TempDir())
	stop := make(chan struct{})
	var searching, claiming sync.WaitGroup
	for range 4 {
		searching.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				found, err := claims.Abandoned()
				if err != nil {
					t.Error(err)
				}
				for _, c := range found {
					if _, err := os.Stat(c.Root); err == nil {
						t.Errorf("%s was taken from a process that lives", c.Name())
					}
					if err := c.End(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	for _, name := range []string{"a", "b", "c", "d"} {
		claiming.Go(func() { claimOften(t, claims, name) })
	}
	claiming.Wait()
	close(stop)
	searching.Wait()
	if names, err := claims.Names(); len(names) > 0 || err != nil {
		t.Errorf("left: %v, %v", names, err)
	}
}

func claimOften(t *testing.T, claims *state.Claims, name string) {
	for held := 0; held < 100; {
		c, err := claims.Claim(name, "")
		if isLocked(err) { // somebody looks at it this moment
			continue
		}
		if err != nil {
			t.Error(err)
			return
		}
		held++
		if err := errors.Join(os.Mkdir(c.Root, 0o700), os.Remove(c.Root), c.End()); err != nil {
			t.Error(err)
			return
		}
	}
}

// TestClaimsRefuse: a directory of somebody else's, or one that is none, is not
// written to, and one that is open to others is closed.
func TestClaimsRefuse(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if _, err := state.OpenClaims(link).Claim("one", ""); err == nil {
		t.Error("a link was followed")
	}
	if os.Geteuid() == 0 {
		others := filepath.Join(dir, "others")
		if err := errors.Join(os.Mkdir(others, 0o777), os.Chown(others, 65534, 65534)); err != nil {
			t.Fatal(err)
		}
		if _, err := state.OpenClaims(others).Claim("one", ""); err == nil {
			t.Error("a directory of somebody else's was written to")
		}
	}
	there := state.OpenClaims(filepath.Join(dir, "there"))
	if err := os.MkdirAll(filepath.Join(there.Dir(), "one"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := there.Claim("one", ""); err == nil {
		t.Error("a directory that is there was claimed")
	}
	if names, err := there.Names(); len(names) > 0 || err != nil {
		t.Errorf("left: %v, %v", names, err)
	}
	open := filepath.Join(dir, "open")
	if err := errors.Join(os.Mkdir(open, 0o777), os.Chmod(open, 0o777)); err != nil {
		t.Fatal(err)
	}
	c, err := state.OpenClaims(open).Claim("one", "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.End()
	if info, err := os.Stat(open); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("an open directory: %v, %v", info.Mode(), err)
	}
	if names, err := state.OpenClaims(open).Names(); err != nil || !slices.Equal(names, []string{"one"}) {
		t.Errorf("names: %v, %v", names, err)
	}
}

func isLocked(err error) bool {
	_, ok := errors.AsType[*state.LockedError](err)
	return ok
}
