package runstep

import (
	"bytes"
	"crypto/rand"
	"debug/elf"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// machines are the platforms that have an executable, with what its header
// must say and the emulator that can run it elsewhere.
var machines = []struct {
	arch     string
	machine  elf.Machine
	emulator string
}{
	{"amd64", elf.EM_X86_64, "qemu-x86_64-static"},
	{"arm64", elf.EM_AARCH64, "qemu-aarch64-static"},
}

func TestForIsSmallAndStatic(t *testing.T) {
	for _, m := range machines {
		t.Run(m.arch, func(t *testing.T) {
			step, err := For("linux", m.arch)
			if err != nil {
				t.Fatal(err)
			}
			if len(step) > 1024 {
				t.Errorf("%d bytes, want at most 1024", len(step))
			}
			file, err := elf.NewFile(bytes.NewReader(step))
			if err != nil {
				t.Fatal(err)
			}
			if file.Class != elf.ELFCLASS64 || file.Type != elf.ET_EXEC || file.Machine != m.machine {
				t.Errorf("header is %v %v %v, want a 64-bit executable for %v", file.Class, file.Type, file.Machine, m.machine)
			}
			entry := false
			for _, p := range file.Progs {
				switch p.Type {
				case elf.PT_INTERP, elf.PT_DYNAMIC:
					t.Errorf("has a %v segment, want a static executable", p.Type)
				case elf.PT_LOAD:
					entry = entry || p.Flags&elf.PF_X != 0 && file.Entry >= p.Vaddr && file.Entry < p.Vaddr+p.Memsz
					if p.Flags&elf.PF_W != 0 {
						t.Errorf("segment at %#x is writable", p.Vaddr)
					}
					// Kernels map whole pages, of 64 KiB at most.
					if (p.Vaddr-p.Off)%(64<<10) != 0 {
						t.Errorf("address %#x and offset %#x do not agree modulo a page", p.Vaddr, p.Off)
					}
				}
			}
			if !entry {
				t.Errorf("entry %#x is in no executable segment", file.Entry)
			}
		})
	}
}

func TestForUnknownPlatform(t *testing.T) {
	for _, p := range [][2]string{{"linux", "riscv64"}, {"windows", "amd64"}, {"", ""}} {
		if step, err := For(p[0], p[1]); err == nil {
			t.Errorf("For(%q, %q) = %d bytes, want an error", p[0], p[1], len(step))
		}
	}
}

func TestForReturnsACopy(t *testing.T) {
	first, err := For("linux", "amd64")
	if err != nil {
		t.Fatal(err)
	}
	first[0] = 0
	second, err := For("linux", "amd64")
	if err != nil {
		t.Fatal(err)
	}
	if second[0] != 0x7f {
		t.Error("writing to one slice changes the next")
	}
}

// TestRun runs the step for this machine, and those for others where an
// emulator is installed.
func TestRun(t *testing.T) {
	if runtime.GOOS != "linux" {
		return // nothing here can run it, and nothing else is claimed
	}
	ran := 0
	for _, m := range machines {
		command := []string{}
		if m.arch != runtime.GOARCH {
			emulator, err := exec.LookPath(m.emulator)
			if err != nil {
				continue
			}
			command = append(command, emulator)
		}
		ran++
		t.Run(m.arch, func(t *testing.T) { testRun(t, m.arch, command) })
	}
	if ran == 0 {
		t.Errorf("no step ran on %s", runtime.GOARCH)
	}
}

func testRun(t *testing.T, arch string, command []string) {
	step, err := For("linux", arch)
	if err != nil {
		t.Fatal(err)
	}
	executable := filepath.Join(t.TempDir(), "step")
	write(t, executable, step)
	command = append(command, executable)
	nonce, seen := random(), random()
	tests := []struct {
		name   string
		files  map[string][]byte
		status int
	}{
		{"both files", map[string][]byte{Nonce: nonce, Seen: seen}, 0},
		{"longer files", map[string][]byte{Nonce: append(nonce[:Size:Size], 1), Seen: append(seen[:Size:Size], 2)}, 0},
		{"no nonce", map[string][]byte{Seen: seen}, 1},
		{"short nonce", map[string][]byte{Nonce: nonce[:Size-1], Seen: seen}, 1},
		{"no seen", map[string][]byte{Nonce: nonce}, 2},
		{"empty seen", map[string][]byte{Nonce: nonce, Seen: {}}, 2},
		{"proof exists", map[string][]byte{Nonce: nonce, Seen: seen, Proof: {}}, 3},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, data := range test.files {
				write(t, filepath.Join(dir, name), data)
			}
			if got := run(t, dir, command); got != test.status {
				t.Fatalf("exit status %d, want %d", got, test.status)
			}
			if test.status != 0 {
				return
			}
			proof, err := os.ReadFile(filepath.Join(dir, Proof))
			if err != nil {
				t.Fatal(err)
			}
			if want := Answer(nonce, seen); !bytes.Equal(proof, want) {
				t.Errorf("proof is %x, want %x", proof, want)
			}
		})
	}
}

func run(t *testing.T, dir string, command []string) int {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
	cmd.Dir = dir
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode()
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o755); err != nil {
		t.Fatal(err)
	}
}

func random() []byte {
	data := make([]byte, Size)
	rand.Read(data) // never fails
	return data
}
