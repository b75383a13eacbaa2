package state

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// childReadOnly works where it may not write.
func childReadOnly(top string) error {
	d := Open(filepath.Join(top, "yard"), opts)
	_, err := d.Lock(context.Background())
	var access *AccessError
	if !errors.As(err, &access) || access.Path != d.Root() || !errors.Is(err, syscall.EACCES) {
		return fmt.Errorf("got %w, want an AccessError of %s", err, d.Root())
	}
	if _, err = Open(filepath.Join(top, "closed"), opts).ReadAll(); !errors.As(err, &access) {
		return fmt.Errorf("reading: got %w, want an AccessError", err)
	}
	return nil
}

func TestNotWritable(t *testing.T) {
	top := openTemp(t)
	if err := os.Mkdir(filepath.Join(top, "closed"), 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(top, 0o555); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Chmod(top, 0o755); err != nil {
			t.Error(err)
		}
	})
	cmd, out := child(t, "read only", top)
	asNobody(t, cmd)
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestOtherUser runs all tests again as a user without root's powers. If this
// is one already, they all do that anyway.
func TestOtherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		return
	}
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	tmp := openTemp(t)
	if err := os.Chown(tmp, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	cmd, out := child(t, "", "")
	cmd.Path, cmd.Args = self, []string{"state.test", "-test.v"}
	cmd.Env = append(cmd.Env, "TMPDIR="+tmp)
	cmd.Dir = tmp
	cmd.Stdout = out
	asNobody(t, cmd)
	if err := cmd.Run(); err != nil || strings.Count(out.String(), "--- PASS") < 20 {
		t.Fatalf("%v\n%s", err, out)
	}
}
