package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/edge"
)

// update reports the flag -update: rewrite what the scripts compare with. The
// flag is there already when a dependency brings gotest.tools, as Docker's do.
var update = func() func() bool {
	if flag.Lookup("update") == nil {
		flag.Bool("update", false, "rewrite what the scripts compare with")
	}
	return func() bool { return flag.Lookup("update").Value.String() == "true" }
}()

// watchedCommand runs the command of its arguments so that a test can decide
// about its system calls.
const watchedCommand = "certyard-watched"

func TestMain(m *testing.M) {
	testscript.Main(tidy{m}, map[string]func(){
		"certyard":           main,
		"certyard-as-nobody": mainAsNobody,
		watchedCommand:       mainWatched,
	})
}

// mainAsNobody is certyard for a user who may not write everywhere. When the
// tests do not run as root, their own user is one already.
func mainAsNobody() {
	const nobody = 65534
	if os.Geteuid() == 0 {
		for _, err := range []error{syscall.Setgroups(nil), syscall.Setgid(nobody), syscall.Setuid(nobody)} {
			if err != nil {
				fmt.Fprintln(os.Stderr, "becoming nobody:", err)
				os.Exit(125)
			}
		}
	}
	main()
}

// TestScript runs the real command on everything that needs no Docker Engine.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           filepath.Join("testdata", "script"),
		UpdateScripts: update(),
		Condition: func(cond string) (bool, error) {
			if cond != "root" {
				return false, fmt.Errorf("unknown condition %q", cond)
			}
			return os.Geteuid() == 0, nil
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			// A script that forgets --docker-host must not find the real engine.
			env.Setenv("DOCKER_HOST", "unix:///nonexistent.sock")
			// mainAsNobody needs to get at its working directory.
			return errors.Join(os.Chmod(filepath.Dir(env.WorkDir), 0o755), os.Chmod(env.WorkDir, 0o755))
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":      cmdExits,
			"tree":       cmdTree,
			"modes":      cmdModes,
			"keys":       cmdKeys,
			"remake":     cmdRemake,
			"rotating":   cmdRotating,
			"password":   cmdPassword,
			"oldengine":  cmdOldEngine,
			"idleengine": cmdIdleEngine,
			"stocked":    cmdStocked,
		},
	})
}

// cmdExits is "exits STATUS COMMAND...": exec with a certain exit status.
func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits status command [args...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	have := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		have = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if have != want {
		ts.Fatalf("exit status %d, want %d", have, want)
	}
}

// cmdTree is "tree DIR FILE": write down everything about every file below DIR
// that a command could change. The lock is no content.
func cmdTree(ts *testscript.TestScript, _ bool, args []string) {
	writeList(ts, args, func(path string, info fs.FileInfo, data []byte) string {
		if filepath.Base(path) == ".lock" {
			return ""
		}
		sys := info.Sys().(*syscall.Stat_t)
		line := fmt.Sprintf("%v %d:%d %s", info.Mode(), sys.Uid, sys.Gid, path)
		if info.IsDir() {
			return line
		}
		return fmt.Sprintf("%s inode %d of %d ns, %s", line, sys.Ino, info.ModTime().UnixNano(), stack.Sum(data))
	})
}

// cmdModes is "modes DIR FILE": write down the mode of every file below DIR, and
// where links lead, which have modes of the system's own.
func cmdModes(ts *testscript.TestScript, _ bool, args []string) {
	writeList(ts, args, func(path string, info fs.FileInfo, data []byte) string {
		if info.Mode()&fs.ModeSymlink != 0 {
			return fmt.Sprintf("link       %s -> %s", path, data)
		}
		return fmt.Sprintf("%v %s", info.Mode(), path)
	})
}

func writeList(ts *testscript.TestScript, args []string, line func(string, fs.FileInfo, []byte) string) {
	if len(args) != 2 {
		ts.Fatalf("want a directory and a file to write")
	}
	dir := ts.MkAbs(args[0])
	var out strings.Builder
	ts.Check(filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		var data []byte
		switch {
		case info.Mode().IsRegular():
			data, err = os.ReadFile(path)
		case info.Mode()&fs.ModeSymlink != 0:
			var target string
			target, err = os.Readlink(path)
			data = []byte(target)
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if text := line(name, info, data); text != "" {
			fmt.Fprintln(&out, text)
		}
		return err
	}))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(out.String()), 0o600))
}

// cmdKeys is "keys FILE": print the shape of the one JSON document in FILE, a
// line for each key with the type of its value.
func cmdKeys(ts *testscript.TestScript, _ bool, args []string) {
	d := json.NewDecoder(strings.NewReader(ts.ReadFile(args[0])))
	var document, more any
	ts.Check(d.Decode(&document))
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		ts.Fatalf("%s holds more than one document: %v (%v)", args[0], more, err)
	}
	lines := map[string]bool{}
	shape("", document, lines)
	var out []string
	for line := range lines {
		out = append(out, line)
	}
	slices.Sort(out)
	fmt.Fprintln(ts.Stdout(), strings.Join(out, "\n"))
}

func shape(path string, v any, lines map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		for k, value := range v {
			shape(path+"."+k, value, lines)
		}
	case []any:
		for _, value := range v {
			shape(path+"[]", value, lines)
		}
	case nil:
		lines[path+" null"] = true
	case float64:
		lines[path+" number"] = true
	default:
		lines[fmt.Sprintf("%s %T", path, v)] = true
	}
}

// cmdRemake is "remake STATEDIR AGE NAME...": issue all certificates of a stack
// again, from a CA of its own that was made AGE ago, and put the named pairs in
// the place of the stack's.
func cmdRemake(ts *testscript.TestScript, _ bool, args []string) {
	age, err := time.ParseDuration(args[1])
	ts.Check(err)
	s, err := stack.ParseState([]byte(ts.ReadFile(filepath.Join(args[0], stack.FileState))))
	ts.Check(err)
	plan, err := s.Spec.PKIPlan(s.Facts, s.Clients)
	ts.Check(err)
	then := time.Now().Add(-age)
	steps, err := pki.Diff(plan, pki.Material{}, then)
	ts.Check(err)
	made, err := pki.Apply(context.Background(), plan, pki.Material{}, steps, nil, then)
	ts.Check(err)
	for _, name := range args[2:] {
		pair := made.Leaves[name]
		if ca := made.CAs[name]; ca != nil {
			pair = ca
		}
		files := stack.ServeDaemon.PairOf(name)
		key, err := pair.KeyPEM()
		ts.Check(err)
		ts.Check(os.WriteFile(ts.MkAbs(filepath.Join(args[0], files.Cert)), pair.CertPEM(), 0o644))
		ts.Check(os.WriteFile(ts.MkAbs(filepath.Join(args[0], files.Key)), key, 0o600))
	}
}

// cmdRotating is "rotating STATEDIR PHASE CA...": have the replacement of CAs be
// open in a stack. The other CAs are copies of those in force.
func cmdRotating(ts *testscript.TestScript, _ bool, args []string) {
	s, err := stack.ParseState([]byte(ts.ReadFile(filepath.Join(args[0], stack.FileState))))
	ts.Check(err)
	s.Rotation = &stack.Rotation{Phase: stack.Phase(args[1]), CAs: args[2:], Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	record, err := s.File()
	ts.Check(err)
	files := []stack.File{record}
	for _, set := range []string{stack.SetNext, stack.SetPrevious} {
		ts.Check(os.RemoveAll(ts.MkAbs(filepath.Join(args[0], set))))
	}
	for _, name := range s.Rotation.CAs {
		from, to := s.Spec.Serve.PairOf(name), s.Spec.Serve.PairIn(s.Rotation.Set(), name)
		files = append(files,
			stack.File{Path: to.Cert, Mode: 0o644, Data: []byte(ts.ReadFile(filepath.Join(args[0], from.Cert)))},
			stack.File{Path: to.Key, Mode: 0o600, Data: []byte(ts.ReadFile(filepath.Join(args[0], from.Key)))})
	}
	for _, f := range files {
		path := ts.MkAbs(filepath.Join(args[0], f.Path))
		ts.Check(os.MkdirAll(filepath.Dir(path), 0o700))
		ts.Check(os.WriteFile(path, f.Data, f.Mode))
	}
}

// cmdPassword is "password VARIABLE STATEDIR USER": put a user's password into
// a variable of the script.
func cmdPassword(ts *testscript.TestScript, _ bool, args []string) {
	secrets, err := stack.ParseSecrets([]byte(ts.ReadFile(filepath.Join(args[1], stack.FileSecrets))))
	ts.Check(err)
	if secrets.Passwords[args[2]] == "" {
		ts.Fatalf("user %q has no password", args[2])
	}
	ts.Setenv(args[0], secrets.Passwords[args[2]])
}

// cmdOldEngine is "oldengine SOCKET": be a Docker Engine from before 19.03.
func cmdOldEngine(ts *testscript.TestScript, _ bool, args []string) {
	serveEngine(ts, args, "1.38", func(string) string { return "OK" })
}

// cmdIdleEngine is "idleengine SOCKET": be a Docker Engine that has nothing.
func cmdIdleEngine(ts *testscript.TestScript, _ bool, args []string) {
	serveEngine(ts, args, "1.51", func(path string) string {
		if strings.HasSuffix(path, "/info") || strings.HasSuffix(path, "/version") {
			return "{}" // what it is, which is no list
		}
		return "[]"
	})
}

// cmdStocked is "stocked SOCKET DIGIT": be a Docker Engine that runs nothing, and
// has every image, with a digest of that digit alone.
func cmdStocked(ts *testscript.TestScript, _ bool, args []string) {
	digest := "sha256:" + strings.Repeat(args[1], 64)
	serveEngine(ts, args, "1.51", func(path string) string {
		_, ref, image := strings.Cut(strings.TrimSuffix(path, "/json"), "/images/")
		if !image {
			return "[]"
		}
		name, _, _ := strings.Cut(ref, ":")
		return fmt.Sprintf(`{"Id":%q,"RepoDigests":["%s@%[1]s"],"Config":{"Labels":{"org.opencontainers.image.version":"v%[3]s"}}}`, digest, name, args[1])
	})
}

// serveEngine answers each request by its path.
func serveEngine(ts *testscript.TestScript, args []string, version string, answer func(path string) string) {
	l, err := net.Listen("unix", ts.MkAbs(args[0]))
	ts.Check(err)
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", version)
		w.Header().Set("Docker-Experimental", "false")
		fmt.Fprint(w, answer(r.URL.Path))
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l) // ends with Close below
	}()
	ts.Defer(func() {
		ts.Check(server.Close())
		<-done
	})
}

// TestExampleConfig: the config that "init --print-config" and the README show
// says what is the default anyway.
func TestExampleConfig(t *testing.T) {
	c, err := stack.ReadConfig(strings.NewReader(exampleConfig), "certyard.yaml")
	if err != nil {
		t.Fatal(err)
	}
	got, err := stack.NewSpec(c)
	if err != nil {
		t.Fatal(err)
	}
	want, err := stack.NewSpec(stack.Config{})
	if err != nil {
		t.Fatal(err)
	}
	a, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Errorf("the example config is not the default:\ngot  %s\nwant %s", a, b)
	}
}

// TestExampleEdge: the config that the help of edge shows is one.
func TestExampleEdge(t *testing.T) {
	c, err := edge.ReadConfig(strings.NewReader(exampleEdge), "edge.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Listeners) != 2 {
		t.Errorf("it has %d listeners", len(c.Listeners))
	}
}

// TestExitStatuses: scripts of people depend on the numbers.
func TestExitStatuses(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want int
	}{
		"failed":            {errors.New("anything"), 1},
		"usage":             {fmt.Errorf("wrapped: %w", usagef("no")), 2},
		"config":            {fmt.Errorf("wrapped: %w", &stack.ConfigError{}), 2},
		"password source":   {&passwordSourceError{fs.ErrNotExist}, 2},
		"does not hold":     {errNotOK, 3},
		"edge's config":     {&edge.ConfigError{}, 2},
		"edge's command":    {fmt.Errorf("interrupted: %w", &childError{143}), 143},
		"file is not there": {fs.ErrNotExist, 1},
	} {
		t.Run(name, func(t *testing.T) {
			if got := statusOf(c.err); got != c.want {
				t.Errorf("statusOf(%v) = %d, want %d", c.err, got, c.want)
			}
		})
	}
	if exitOK != 0 || exitFailed != 1 || exitUsage != 2 || exitNotOK != 3 {
		t.Error("exit statuses have been renumbered")
	}
}
