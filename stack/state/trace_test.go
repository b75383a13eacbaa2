package state

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/certyard/certyard/stack"
)

// TestOrder pins the order of all operations of a write. Kills cannot show what
// a loss of power does, because the system's cache survives them. What saves
// the files then is that everything a step relies on is synced before it:
// the staged files before COMMIT, COMMIT before the first file is placed, a
// generation before the pointer leads to it, the pointer before the generation
// is removed that it led to, and all of that before COMMIT is removed.
func TestOrder(t *testing.T) {
	d := testDir(t)
	lock(t, d)
	files := []stack.File{file("client/cert.pem", "1"), key("client/key.pem", "1"), {Path: "env", Mode: 0o640, Data: []byte("1")}}
	const first = `
creating client
syncing .
creating .stage
creating .stage/0
changing the mode of .stage/0
writing .stage/0
syncing .stage/0
creating .stage/1
creating .stage/1/cert.pem
writing .stage/1/cert.pem
syncing .stage/1/cert.pem
creating .stage/1/key.pem
writing .stage/1/key.pem
syncing .stage/1/key.pem
syncing .stage/1
creating .stage/COMMIT.new
writing .stage/COMMIT.new
syncing .stage/COMMIT.new
syncing .stage
syncing .
placing .stage/COMMIT
syncing .stage
placing env
placing client/..0001
placing client/cert.pem
placing client/key.pem
placing .stage/LINK.new
placing client/..data
syncing client
syncing .
removing .stage/COMMIT
removing .stage
syncing .
`
	if got := trace(t, d, files); got != strings.TrimSpace(first) {
		t.Errorf("first write:\n%s", got)
	}
	if got := trace(t, d, files); got != "" {
		t.Errorf("nothing to write:\n%s", got)
	}
	const second = `
creating .stage
creating .stage/0
creating .stage/0/cert.pem
writing .stage/0/cert.pem
syncing .stage/0/cert.pem
placing .stage/0/key.pem
syncing .stage/0
creating .stage/COMMIT.new
writing .stage/COMMIT.new
syncing .stage/COMMIT.new
syncing .stage
syncing .
placing .stage/COMMIT
syncing .stage
placing client/..0002
syncing client
placing .stage/LINK.new
placing client/..data
syncing client
removing client/..0001/cert.pem
removing client/..0001/key.pem
removing client/..0001
syncing client
removing .stage/COMMIT
removing .stage
syncing .
`
	files[0] = file("client/cert.pem", "2")
	if got := strings.Replace(trace(t, d, files), "dating .stage/0/cert.pem\n", "", 1); got != strings.TrimSpace(second) {
		t.Errorf("second write:\n%s", got)
	}
}

// trace writes and returns the operations.
func trace(t *testing.T, d *Dir, files []stack.File) string {
	t.Helper()
	var ops []string
	d.hook = func(op, path string) error {
		rel, err := filepath.Rel(d.Root(), path)
		ops = append(ops, op+" "+rel)
		return err
	}
	write(t, d, files)
	d.hook = nil
	return strings.Join(ops, "\n")
}
