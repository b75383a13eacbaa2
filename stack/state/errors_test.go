package state

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestUnreadableCommit(t *testing.T) {
	d := begin(t, 1)
	stage := filepath.Join(d.Root(), stageDir)
	for content, want := range map[string]string{
		"{":                                     "COMMIT",
		`{"files":[{"name":"0","path":"x/y"}]}`: "without its directory",
	} {
		err := errors.Join(os.MkdirAll(stage, 0o700),
			os.WriteFile(filepath.Join(stage, commitFile), []byte(content), 0o600))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Lock(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", content, err)
		}
	}
}

func TestDiskError(t *testing.T) {
	for errno, want := range map[syscall.Errno]any{
		syscall.ENOSPC: new(*FullError), syscall.EDQUOT: new(*FullError),
		syscall.EACCES: new(*AccessError), syscall.EPERM: new(*AccessError), syscall.EROFS: new(*AccessError),
	} {
		inner := &os.PathError{Op: "write", Path: "/other", Err: errno}
		err := diskError("writing", "/yard/x", inner)
		if !errors.As(err, want) || !errors.Is(err, errno) || err.Error() != "writing /yard/x: "+errno.Error() {
			t.Errorf("%v: got %T %v", errno, err, err)
		}
	}
	if err := diskError("writing", "x", syscall.EIO); !errors.Is(err, syscall.EIO) || err.Error() != "writing x: input/output error" {
		t.Errorf("got %v", err)
	}
	if err := diskError("writing", "x", nil); err != nil {
		t.Errorf("got %v", err)
	}
}
