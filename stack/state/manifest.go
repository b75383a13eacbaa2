package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"

	"github.com/certyard/certyard/stack"
)

const (
	commitFile = "COMMIT"
	commitTemp = "COMMIT.new"
	linkTemp   = "LINK.new"
)

// manifest is .stage/COMMIT: where each staged file belongs.
type manifest struct {
	Dirs  []dirWant    `json:"dirs"`
	Files []staged     `json:"files"` // in no role
	Roles []generation `json:"roles,omitempty"`
	Gone  []string     `json:"gone,omitempty"` // to be removed, in no role
	// Sum is the SHA-256 of all of it, with an empty Sum: what is followed must
	// be what was written. Manifests of earlier versions have none.
	Sum string `json:"sum,omitempty"`
}

// encode returns the manifest as it is written.
func (m manifest) encode() ([]byte, error) {
	var err error
	if m.Sum, err = m.sum(); err != nil {
		return nil, err
	}
	return json.Marshal(m)
}

func (m manifest) sum() (string, error) {
	m.Sum = ""
	data, err := json.Marshal(m)
	return stack.Sum(data), err
}

// staged is one file under .stage.
type staged struct {
	Name string `json:"name"` // under .stage
	Path string `json:"path"` // where it belongs
	Link bool   `json:"link"` // must not overwrite anything: a new private key
}

// pending returns the manifest of a committed write that is not yet complete,
// and nil when there is none.
func (t *tree) pending() (*manifest, error) {
	data, _, err := t.read(stageDir + "/" + commitFile)
	if data == nil {
		return nil, err
	}
	m, err := parseManifest(data)
	if err != nil {
		return nil, &ManifestError{Path: t.root.join(stageDir + "/" + commitFile), Err: err}
	}
	return &m, nil
}

// parseManifest reads COMMIT. It is followed, so it may name nothing that this
// package would not have written there.
func parseManifest(data []byte) (manifest, error) {
	var m manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return manifest{}, err
	}
	if want, err := m.sum(); err != nil || m.Sum != "" && m.Sum != want {
		return manifest{}, errors.Join(errors.New("it has changed since it was written"), err)
	}
	paths := slices.Clone(m.Gone)
	var names []string
	for _, w := range m.Dirs {
		paths = append(paths, w.Path)
	}
	for _, s := range m.Files {
		names = append(names, s.Name)
		paths = append(paths, s.Path)
	}
	for _, g := range m.Roles {
		if err := g.check(); err != nil {
			return manifest{}, err
		}
		names = append(names, g.Name)
	}
	for _, name := range names {
		if _, err := strconv.ParseUint(name, 10, 31); err != nil {
			return manifest{}, fmt.Errorf("%q is not the name of a staged file", name)
		}
	}
	for _, p := range paths {
		if !fs.ValidPath(p) || p == "." || reserved(p) {
			return manifest{}, fmt.Errorf("%q is not a path for a file below the state directory", p)
		}
	}
	return m, nil
}
