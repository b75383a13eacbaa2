package compose

import (
	"context"
	"debug/elf"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// Program is a program of our own that containers run: a static Linux
// executable, in an image by itself or added to another one.
type Program struct {
	// Exe is the executable that is running now. Where it is not one that the
	// engine's containers can run, <name>-linux-<arch> beside it is taken.
	Exe string
	// Version is what the image is labelled with.
	Version string
}

// ProgramError says that there is no executable that containers can run.
type ProgramError struct {
	Path string // the last file that was tried
	Arch string // of the engine
	Err  error
}

func (e *ProgramError) Error() string {
	return fmt.Sprintf("finding a static linux/%s executable for the containers: %s: %v", e.Arch, e.Path, e.Err)
}

// Unwrap returns the cause, which wraps fs.ErrNotExist when there is no file.
func (e *ProgramError) Unwrap() error { return e.Err }

// programName is the program's name inside images.
const programName = "certyard"

// find returns the executable for an architecture, and what it is.
func (p Program) find(arch string) (string, daemon, error) {
	beside := filepath.Join(filepath.Dir(p.Exe), programName+"-linux-"+arch)
	var own error
	if p.Exe != "" && runtime.GOOS == "linux" && runtime.GOARCH == arch {
		var d daemon
		if d, own = p.describe(p.Exe, arch); own == nil {
			return p.Exe, d, nil
		}
	}
	d, err := p.describe(beside, arch)
	if err != nil {
		return "", daemon{}, &ProgramError{Path: beside, Arch: arch, Err: errors.Join(err, own)}
	}
	return beside, d, nil
}

// machines are the architectures that engines have, in the words of Go and ELF.
func machines() map[string]elf.Machine {
	return map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}
}

// describe identifies an executable by the id that Go's linker gave it, which
// depends on all of its content and costs no reading of 50 MB.
func (p Program) describe(file, arch string) (daemon, error) {
	info, err := os.Stat(file)
	if err != nil {
		return daemon{}, err
	}
	f, err := elf.Open(file)
	if err != nil {
		return daemon{}, fmt.Errorf("reading %s: %w", file, err)
	}
	defer f.Close()
	if f.Machine != machines()[arch] {
		return daemon{}, fmt.Errorf("%s is for %s", file, f.Machine)
	}
	for _, s := range f.Progs {
		if s.Type == elf.PT_INTERP {
			return daemon{}, fmt.Errorf("%s needs a C library, which no scratch image has: build it with CGO_ENABLED=0", file)
		}
	}
	note := f.Section(".note.go.buildid")
	if note == nil {
		return daemon{}, fmt.Errorf("%s has no build id: it was not built by Go, or with -buildid=, or was stripped by another tool", file)
	}
	id, err := note.Data()
	if err != nil {
		return daemon{}, fmt.Errorf("reading %s: %w", file, err)
	}
	return daemon{Version: p.Version, BuildID: hex.EncodeToString(id), Size: info.Size()}, nil
}

// image describes the image of the program by itself.
func (p Program) image(arch string) (*bundled, error) {
	file, d, err := p.find(arch)
	if err != nil {
		return nil, err
	}
	r := recipes()[BundledEdge]
	out := &bundled{recipe: r, dir: filepath.Dir(file), file: filepath.Base(file), daemons: map[string]daemon{programName: d}}
	out.entries = append(append([]entry{}, system...), r.entries...)
	out.config = r.configFile(BundledEdge, arch, p.Version)
	if out.tag, err = out.contentTag(BundledEdge); err != nil {
		return nil, err
	}
	return out, nil
}

// With returns the reference of an image that is another one with the program
// in /usr/bin, and with the given words before its entry point. It is made once
// for each pair of image and program, by the engine: nothing is transferred but
// the program. The base image must be there.
func (e *Engine) With(ctx context.Context, base string, p Program, before []string) (string, error) {
	ref, err := e.with(ctx, base, p, before)
	if err != nil {
		return "", fmt.Errorf("adding %s to image %s: %w", programName, base, err)
	}
	return ref, nil
}

func (e *Engine) with(ctx context.Context, base string, p Program, before []string) (string, error) {
	have, err := e.api.ImageInspect(ctx, base)
	if err != nil {
		return "", err
	}
	file, d, err := p.find(have.Architecture)
	if err != nil {
		return "", err
	}
	id, err := json.Marshal([]any{have.ID, d, before})
	if err != nil {
		return "", err
	}
	ref := bundledRepository + "buildkit-edge:" + shortSum(id)
	if _, err := e.api.ImageInspect(ctx, ref); err == nil || !errdefs.IsNotFound(err) {
		return ref, err
	}
	var entrypoint []string
	if have.Config != nil {
		entrypoint = append(append(entrypoint, before...), have.Config.Entrypoint...)
	}
	words, err := json.Marshal(entrypoint)
	if err != nil {
		return "", err
	}
	return ref, e.commit(ctx, base, ref, file, d, "ENTRYPOINT "+string(words))
}

// commit makes an image from a container that never runs.
func (e *Engine) commit(ctx context.Context, base, ref, file string, d daemon, change string) error {
	created, err := e.api.ContainerCreate(ctx, client.ContainerCreateOptions{
		Config:     &container.Config{Image: base, Labels: map[string]string{helperLabel: helperYes}},
		HostConfig: &container.HostConfig{NetworkMode: "none"},
	})
	if err != nil {
		return err
	}
	defer e.removeHelper(ctx, created.ID)
	r, w := io.Pipe()
	defer r.Close() // ends the writer when the engine stops reading
	go func() { w.CloseWithError(writeBinary(w, programName, file, d)) }()
	if _, err := e.api.CopyToContainer(ctx, created.ID, client.CopyToContainerOptions{DestinationPath: "/usr/bin", Content: r}); err != nil {
		return err
	}
	_, err = e.api.ContainerCommit(ctx, created.ID, client.ContainerCommitOptions{
		Reference: ref, Comment: "certyard", Changes: []string{change, "LABEL " + helperLabel + "=" + helperNo}, NoPause: true,
	})
	return err
}
