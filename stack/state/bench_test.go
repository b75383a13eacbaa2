package state

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certyard/certyard/stack"
)

// wholeYard returns as many files as a real stack has, of their usual size.
func wholeYard() []stack.File {
	var files []stack.File
	for _, d := range []string{"ca", "registry/certs", "buildkit/certs", "client"} {
		files = append(files, key(d+"/key.pem", strings.Repeat("k", 300)))
		for i := range 4 {
			files = append(files, file(fmt.Sprintf("%s/%d", d, i), strings.Repeat("x", 1000)))
		}
	}
	return files
}

func BenchmarkWrite(b *testing.B) {
	files := wholeYard()
	b.Run("first", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			d := Open(filepath.Join(b.TempDir(), parentName, "yard"), opts)
			lockAndBench(b, d, files)
		}
	})
	b.Run("again", func(b *testing.B) {
		d := Open(filepath.Join(b.TempDir(), parentName, "yard"), opts)
		lockAndBench(b, d, files)
		for b.Loop() {
			lockAndBench(b, d, files)
		}
	})
}

func lockAndBench(b *testing.B, d *Dir, files []stack.File) {
	release, err := d.Lock(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	if _, err := d.Write(files); err != nil {
		b.Fatal(err)
	}
	if err := release(); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkReadAll(b *testing.B) {
	d := Open(filepath.Join(b.TempDir(), parentName, "yard"), opts)
	lockAndBench(b, d, wholeYard())
	for b.Loop() {
		if _, err := d.ReadAll(); err != nil {
			b.Fatal(err)
		}
	}
}
