package state_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/state"
)

func Example() {
	if err := run(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// created [ca/ca.crt ca/ca.key]
	// again: nothing to do
}

func run() error {
	tmp, err := os.MkdirTemp("", "certyard-example-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)

	dir := state.Open(filepath.Join(tmp, ".certyard", "demo"), state.Options{RegistryUID: 64999})
	release, err := dir.Lock(context.Background())
	if err != nil {
		return err
	}
	defer release()

	files := []stack.File{
		{Path: "ca/ca.crt", Mode: 0o644, Data: []byte("certificate")},
		{Path: "ca/ca.key", Mode: 0o600, Once: true, Data: []byte("key")},
	}
	changes, err := dir.Write(files)
	if err != nil {
		return err
	}
	fmt.Println("created", changes.Created)
	if changes, err = dir.Write(files); err == nil && changes.Empty() {
		fmt.Println("again: nothing to do")
	}
	return err
}
