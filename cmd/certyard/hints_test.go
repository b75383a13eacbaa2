package main

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/certyard/certyard/compose"
	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/pki/remote"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/doctor"
	"github.com/certyard/certyard/stack/edge"
	"github.com/certyard/certyard/stack/htpasswd"
	"github.com/certyard/certyard/stack/lifecycle"
	"github.com/certyard/certyard/stack/local"
	"github.com/certyard/certyard/stack/smoke"
	"github.com/certyard/certyard/stack/state"
)

// advised has an example of every error that people get a next step for, and a
// part of that step.
var advised = []struct {
	name string
	err  error
	want string
}{
	{"stack.LockedError", &stack.LockedError{File: "certyard.lock"}, `run "certyard lock" after "certyard up"`},
	{"stack.LockedError", &stack.LockedError{File: "certyard.lock", Err: &compose.PullError{Image: "x", Err: context.DeadlineExceeded}}, `run "certyard lock"`},
	{"stack.LockFormatError", &stack.LockFormatError{Err: &stack.ConfigError{File: "certyard.lock"}}, "write it anew"},
	{"stack/lifecycle.StaleError", &lifecycle.StaleError{Dir: "x"}, `"certyard up" first`},
	{"cmd/certyard.lockFileError", &lockFileError{fs.ErrNotExist}, "--lock-file"},
	{"stack.ConfigError", &stack.ConfigError{}, "--help"},
	{"stack.ConfigError", &stack.ConfigError{File: "certyard.yaml"}, "README"},
	{"stack/htpasswd.PasswordError", &htpasswd.PasswordError{User: "bob", Why: "is empty"}, "1 to 72 bytes"},

	{"stack.DamagedError", &stack.DamagedError{File: stack.FileState}, "records them anew"},
	{"stack.DamagedError", &stack.DamagedError{File: stack.FileSecrets}, "generates passwords anew"},

	{"pki.HalfError", &pki.HalfError{Name: "CA", Half: "key", Missing: "ca.key", Present: "ca.crt"}, "down --purge"},
	{"pki.HalfError", &pki.HalfError{Name: "client leaf", Half: "key", Missing: "key.pem", Present: "cert.pem"}, "remove cert.pem as well (copy it first)"},
	{"pki.MismatchError", &pki.MismatchError{Name: "CA", CertFile: "ca.crt", KeyFile: "ca.key"}, "down --purge"},
	{"pki.MismatchError", &pki.MismatchError{Name: "client leaf", CertFile: "cert.pem", KeyFile: "key.pem"}, "cert.pem, key.pem"},
	{"pki.MismatchError", &pki.MismatchError{Name: "client"}, "restore it; nothing"},
	{"pki.ParseError", &pki.ParseError{Name: "CA", File: "ca.crt", Err: errors.New("no PEM")}, "down --purge"},
	{"pki.ParseError", &pki.ParseError{Name: "client leaf", File: "cert.pem", Err: errors.New("no PEM")}, "its other half"},
	{"pki.CAEarlyError", &pki.CAEarlyError{Generation: "G1"}, "most likely the clock here is behind"},
	{"pki.CAExpiredError", &pki.CAExpiredError{Generation: "G1"}, "down --purge"},
	{"pki.CAError", &pki.CAError{Generation: "G1", Problem: "is not a CA"}, "down --purge"},
	{"pki.ConstraintError", &pki.ConstraintError{CA: "G1", Leaf: "registry"}, "out of hosts"},
	{"pki.ForeignError", &pki.ForeignError{Leaf: "client", CA: "G1"}, "issued anew"},
	{"pki.ForeignError", &pki.ForeignError{Leaf: "client"}, "restore ca/ca.crt and ca/ca.key"},
	{"pki.KeyTypeError", &pki.KeyTypeError{Name: "CA"}, "set it back"},
	{"pki.KeyTypeError", &pki.KeyTypeError{Name: "client leaf"}, "remove the pair (copy it first)"},

	{"stack/lifecycle.GivenCAError", &lifecycle.GivenCAError{CertFile: "root.pem", KeyFile: "root.key", Err: &pki.CAError{}}, "pki.ca_cert (root.pem) and pki.ca_key (root.key)"},
	{"stack/lifecycle.GivenCAError", &lifecycle.GivenCAError{Err: &pki.CAEarlyError{}}, "most likely the clock here is behind"},
	{"stack/lifecycle.GivenCAError", &lifecycle.GivenCAError{Err: &pki.ConstraintError{Names: []string{"registry", "x-buildkit-1", "::1"}}}, "needs registry, x-buildkit-1, ::1: name a CA"},
	{"stack/lifecycle.GivenCAError", &lifecycle.GivenCAError{Err: &pki.ConstraintError{Names: []string{"build.lan"}}}, "leave build.lan out of hosts"},
	{"pki.UnsignedError", &pki.UnsignedError{Leaf: "registry server leaf", Why: "there is none"}, "pki csr"},
	{"pki.OfflineError", &pki.OfflineError{CA: "CA", Generation: "G1", For: "issuing CA"}, "ca/ca.key"},
	{"pki.OfflineError", &pki.OfflineError{CA: "CA", Generation: "G1", For: "registry server leaf"}, "back to two-tier"},
	{"pki.LockedError", &pki.LockedError{CA: "CA"}, "--passphrase-file"},
	{"pki.PassphraseError", &pki.PassphraseError{Name: "CA"}, "check the passphrase"},
	{"pki.FindingsError", &pki.FindingsError{}, "pki.remote.profile"},
	{"pki/remote.OptionError", &remote.OptionError{Why: "no"}, "pki.remote"},
	{"pki/remote.UnavailableError", &remote.UnavailableError{URL: "https://ca", Err: fs.ErrNotExist}, "pki.remote.url"},
	{"pki/remote.RefusedError", &remote.RefusedError{URL: "https://ca", Message: "invalid token"}, "auth_key_file"},
	{"pki/remote.AnswerError", &remote.AnswerError{URL: "https://ca", Why: "nothing"}, "pki.remote.url"},
	{"pki.SecretNameError", &pki.SecretNameError{Name: "X"}, "--secret-name"},
	{"pki.ErrLockedExport", pki.ErrLockedExport, "openssl pkcs8"},
	{"pki.ErrNothing", pki.ErrNothing, "PEM"},
	{"pki.MissingError", &pki.MissingError{Name: "CA"}, "pki.ca_cert"},
	{"pki.UnrequestedError", &pki.UnrequestedError{File: "x.pem"}, "csr --all"},
	{"stack/lifecycle.SignedFileError", &lifecycle.SignedFileError{File: "x", Err: errors.New("it is empty")}, "PEM or DER"},
	{"pki.TwiceError", &pki.TwiceError{Leaf: "registry server leaf", File: "x", Other: "y"}, "the one"},
	{"stack/smoke.FetchError", &smoke.FetchError{Err: syscall.ECONNREFUSED}, "that the server runs"},
	{"stack/smoke.FetchError", &smoke.FetchError{Connected: true, Err: context.DeadlineExceeded}, "STARTTLS"},
	{"cmd/certyard.passphraseError", &passphraseError{"there is no terminal to ask for it"}, "--passphrase-fd"},
	{"stack/lifecycle.AuthorityError", &lifecycle.AuthorityError{Have: "local", Want: "files"}, "set pki.authority back"},
	{"stack/lifecycle.OtherCAError", &lifecycle.OtherCAError{Have: "G1", Want: "G2", File: "ca.pem"}, "put pki.ca_cert"},
	{"stack/lifecycle.WrongAuthorityError", &lifecycle.WrongAuthorityError{What: "requests are written", Have: "local", Want: "external"}, "certyard up"},
	{"stack/lifecycle.ImportError", &lifecycle.ImportError{File: "x.pem", Leaf: "registry server leaf"}, "sign the request again"},
	{"stack/lifecycle.NoOfflineRootError", &lifecycle.NoOfflineRootError{}, "two-tier"},
	{"stack/lifecycle.UnknownClientError", &lifecycle.UnknownClientError{Name: "bob", Stack: "x"}, "client list"},
	{"stack/lifecycle.ValidityError", &lifecycle.ValidityError{Want: time.Hour}, "--validity"},
	{"stack.ClientNameError", &stack.ClientNameError{Name: "../x"}, "nothing was changed"},
	{"stack/state.SizeError", &state.SizeError{Path: "x", Most: 1}, "check the path"},
	{"stack/state.SizeError", &state.SizeError{Path: "x", Most: 1, Ours: true}, "remove it (copy it first)"},

	{"stack/state.LockedError", &state.LockedError{Path: "x"}, "wait"},
	{"stack/state.ModeError", &state.ModeError{Path: "key.pem", Have: 0o644, Want: 0o600}, `chmod 0600 "key.pem"`},
	{"stack/state.KeyExistsError", &state.KeyExistsError{Path: "key.pem"}, "move the key away"},
	{"stack/state.KindError", &state.KindError{Path: "key.pem"}, "follows no links"},
	{"stack/state.NoFileError", &state.NoFileError{Path: "x"}, "check the path"},
	{"stack/state.SameFileError", &state.SameFileError{Path: "x", Original: "y"}, "another --out"},
	{"stack/state.KindError", &state.KindError{Path: "/dev/fd/63", Outside: true}, "--passphrase-fd"},
	{"stack/state.KeyExistsError", &state.KeyExistsError{Path: "cert.pem", Public: true}, "another place"},
	{"stack/state.NotOursError", &state.NotOursError{Path: "x"}, "--dir"},
	{"stack/state.ManifestError", &state.ManifestError{Path: ".certyard/x/.stage/COMMIT", Err: fs.ErrInvalid}, "remove .certyard/x/.stage"},
	{"stack/state.FullError", &state.FullError{Op: "writing", Path: "x", Err: syscall.ENOSPC}, "make room on the disk and run the command again; the old files are whole"},
	{"stack/state.UnfinishedError", &state.UnfinishedError{Err: &state.FullError{Op: "placing", Path: "x", Err: syscall.ENOSPC}}, "make room on the disk and run the command again: it completes what was being written"},
	{"stack/state.AccessError", &state.AccessError{Op: "creating", Path: "x", Err: syscall.EACCES}, "user that owns the directory"},
	{"stack/state.AccessError", &state.AccessError{Op: "creating", Path: "x", Err: syscall.EROFS}, "read-only"},

	{"compose.DaemonError", &compose.DaemonError{Err: fs.ErrPermission}, "docker group"},
	{"compose.DaemonError", &compose.DaemonError{Err: fs.ErrNotExist}, "start Docker Engine"},
	{"compose.VersionError", &compose.VersionError{Have: "1.38", Want: "1.40"}, "19.03"},
	{"stack/local.TakenError", &local.TakenError{Stack: "eph-a", Has: []string{"volume eph-a_data"}}, "another --name"},
	{"compose.LeftError", &compose.LeftError{Project: "a", Left: []string{"volume a_data"}}, "docker ps -a"},
	{"compose.SubnetError", &compose.SubnetError{Err: errors.New("no range")}, "docker network prune"},
	{"compose.PortError", &compose.PortError{Service: stack.Registry, Address: "127.0.0.1:5005"}, "set registry.publish"},
	{"compose.PortError", &compose.PortError{Service: stack.Builder, Address: "127.0.0.1:1234", Container: "kind"}, "docker stop kind"},
	{"compose.PrivilegeError", &compose.PrivilegeError{Service: stack.Builder}, "builder.privileges"},
	{"compose.MountError", &compose.MountError{Service: stack.Registry, Path: "/x"}, "--dir"},
	{"compose.NameError", &compose.NameError{Name: "x"}, "--name"},
	{"compose.ForeignProjectError", &compose.ForeignProjectError{Name: "x", Dir: "/elsewhere"}, "/elsewhere"},
	{"compose.PullError", &compose.PullError{Image: "x", Err: context.DeadlineExceeded}, "images: auto"},
	{"compose.ProgramError", &compose.ProgramError{Path: "certyard-linux-arm64", Arch: "arm64", Err: fs.ErrNotExist}, "GOARCH=arm64 go build"},
	{"compose.BundleError", &compose.BundleError{Path: "x", Err: fs.ErrNotExist}, "make daemons"},

	{"stack/edge.ConfigError", &edge.ConfigError{File: "edge.yaml"}, "certyard edge --help"},
	{"stack/edge.LoadError", &edge.LoadError{Listener: "registry", Dir: "x", Err: fs.ErrNotExist}, "tls.crt"},
	{"stack/edge.ListenError", &edge.ListenError{Listener: "registry", Address: ":5000", Err: syscall.EADDRINUSE}, "addresses"},
	{"stack/edge.ListenError", &edge.ListenError{Address: "admin.sock", Err: syscall.EACCES}, "admin"},
	{"stack/edge.UnhealthyError", &edge.UnhealthyError{Why: "stopping"}, "log"},

	{"stack/lifecycle.NoStackError", &lifecycle.NoStackError{Dir: "x"}, "certyard up"},
	{"stack/lifecycle.LeafNameError", &lifecycle.LeafNameError{Name: "x"}, "certyard status"},
	{"stack/lifecycle.UserError", &lifecycle.UserError{Name: "x"}, "nothing was replaced"},
	{"stack/lifecycle.ChangedError", &lifecycle.ChangedError{}, "run it again"},
	{"stack/lifecycle.NotSoundError", &lifecycle.NotSoundError{}, "certyard smoke"},
	{"stack/lifecycle.BusyError", &lifecycle.BusyError{}, "--wait-idle"},
	{"stack/lifecycle.OpenRotationError", &lifecycle.OpenRotationError{Rotation: stack.Rotation{CAs: stack.CAs(), Phase: stack.PhaseSwitch}}, "rotate --abort"},
	{"stack/lifecycle.OpenRotationError", &lifecycle.OpenRotationError{Rotation: stack.Rotation{CAs: []string{pki.CAIssuing, pki.CAClient}}}, `"certyard rotate --issuing-ca --client-ca --yes" goes on`},
	{"stack/lifecycle.OtherRunError", &lifecycle.OtherRunError{}, "let that one end"},
	{"stack/lifecycle.LostSetError", &lifecycle.LostSetError{File: "ca/next/ca.crt", Phase: stack.PhaseExpand}, "--abort"},
	{"stack/lifecycle.LostSetError", &lifecycle.LostSetError{File: "ca/previous/ca.crt", Phase: stack.PhaseSwitch}, "from a backup"},
	{"stack/lifecycle.LostSetError", &lifecycle.LostSetError{File: "ca/previous/ca.key", Phase: stack.PhaseSwitch}, "goes on to the new CA without it"},
	{"stack/lifecycle.EndedError", &lifecycle.EndedError{}, "finishes the replacement"},
	{"stack/lifecycle.PastPhaseError", &lifecycle.PastPhaseError{}, "a later phase"},
	{"stack/lifecycle.IdleError", &lifecycle.IdleError{Err: errors.New("no answer")}, "--force does not ask"},
	{"stack/lifecycle.RootTrustedError", &lifecycle.RootTrustedError{}, "--ca --compromised"},
	{"stack/lifecycle.CANameError", &lifecycle.CANameError{Name: pki.CAIssuing}, "--ca replaces"},
	{"stack/lifecycle.CANameError", &lifecycle.CANameError{Name: pki.CAName}, "--client-ca"},
	{"stack/lifecycle.NotRunningError", &lifecycle.NotRunningError{}, "certyard up"},
	{"stack/lifecycle.ClockError", &lifecycle.ClockError{}, "set the clocks"},
	{"stack/lifecycle.NoRotationError", &lifecycle.NoRotationError{}, "rotate --ca"},
	{"stack/lifecycle.PastError", &lifecycle.PastError{}, "finishes it"},
	{"stack/lifecycle.ShortLifeError", &lifecycle.ShortLifeError{}, "--bake shorter"},
	{"stack/lifecycle.RootlessError", &lifecycle.RootlessError{}, "whose engine it is"},
	{"stack/lifecycle.UnreachableError", &lifecycle.UnreachableError{Host: "h", Service: "s"}, "registry.publish"},
	{"stack/lifecycle.NotReadyError", &lifecycle.NotReadyError{Stack: "x", Err: &smoke.NotReadyError{Err: context.DeadlineExceeded}}, "certyard logs"},

	{"stack/doctor.FileError", &doctor.FileError{Flag: "--compose", File: "x", Err: fs.ErrNotExist}, "check the path"},
	{"stack/state.ChangedError", &state.ChangedError{Path: "x"}, "as it is now"},
	{"cmd/certyard.noPatientError", &noPatientError{&lifecycle.NoStackError{Dir: "x"}}, "--compose FILE"},
	{"cmd/certyard.noNameError", &noNameError{&stack.ConfigError{File: "certyard.yaml"}}, "with --name"},
	{"cmd/certyard.noNameError", &noNameError{&stack.ConfigError{File: "certyard.yaml"}}, "README"},
	{"cmd/certyard.usageError", usagef("no"), "certyard --help"},
	{"cmd/certyard.passwordSourceError", &passwordSourceError{fs.ErrNotExist}, "password_env"},
	{"interrupted", fmt.Errorf("interrupted: %w", context.Canceled), "goes on from here"},
}

// unadvised are the errors without a next step, and why that is right.
var unadvised = map[string]string{
	"pki.SANError":                 "the config's check reports it, with the line; it never comes here by itself",
	"pki.PlanError":                "a mistake in certyard: the spec is checked before it becomes a plan",
	"stack/htpasswd.UserError":     "the config's check reports user names, with the line, before",
	"stack/htpasswd.LineError":     "Render writes a damaged htpasswd anew; only readers of others' files see it",
	"stack/lifecycle.PutBackError": "its cause has the advice, or says all that there is",
	"stack/lifecycle.FileError":    "its cause has the advice, or says all that there is",
	"stack/lifecycle.DeadError":    "comes inside a NotReadyError, which has the advice",
	"stack/smoke.NotReadyError":    "comes inside lifecycle's NotReadyError, which has the advice",
	"stack/state.ErrNotLocked":     "a mistake in certyard",
	"stack/htpasswd.ErrNoUsers":    "a mistake in certyard: without users the spec has the default one",
	"compose.ErrNoImage":           "up gets the images before; only one that is removed meanwhile is missing",
}

// TestHints: the advice for each error, also when it is wrapped and joined.
func TestHints(t *testing.T) {
	for _, c := range advised {
		t.Run(c.name, func(t *testing.T) {
			for _, err := range []error{c.err, fmt.Errorf("doing it: %w", c.err), errors.Join(errors.New("first"), c.err)} {
				hints := (&app{program: "certyard"}).hintsFor(err)
				if !strings.Contains(strings.Join(hints, "\n"), c.want) {
					t.Errorf("hints for %v: %q, want one with %q", err, hints, c.want)
				}
				wellFormed(t, hints)
			}
		})
	}
	if hints := (&app{program: "certyard"}).hintsFor(errors.New("anything")); hints != nil {
		t.Errorf("hints for an unknown error: %q", hints)
	}
}

// TestHintsNameTheStack: advice to rotate is about the stack of the flags, and names
// the flag of the CAs that are open.
func TestHintsNameTheStack(t *testing.T) {
	open := &stack.Rotation{CAs: []string{pki.CAClient}, Phase: stack.PhaseContract}
	a := &app{program: "certyard", global: globals{dir: "yards", name: "two", nameByFlag: true}, open: open}
	for _, c := range []struct {
		err  error
		want string
	}{
		{&pki.ConstraintError{}, "rotate --ca --yes"},
		{&pki.ConstraintError{}, "up"},
		{&lifecycle.OpenRotationError{Rotation: *open}, "rotate --client-ca --yes"},
		{&lifecycle.OtherRunError{}, "status"},
		{&lifecycle.NoRotationError{}, "rotate --ca"},
		{&lifecycle.PastError{}, "rotate --client-ca --yes"},
		{&lifecycle.NoStackError{}, "up"},
		{&lifecycle.NotSoundError{}, "smoke"},
		{&stack.LockedError{}, "lock"},
	} {
		want := `"certyard --dir yards --name two ` + c.want + `"`
		if hints := a.hintsFor(c.err); !strings.Contains(strings.Join(hints, "\n"), want) {
			t.Errorf("hints for %T: %q, want one with %s", c.err, hints, want)
		}
	}
}

// wellFormed: a hint continues "certyard: hint: ", on one line.
func wellFormed(t *testing.T, hints []string) {
	t.Helper()
	for _, h := range hints {
		if h == "" || strings.HasSuffix(h, ".") || strings.Contains(h, "\n") {
			t.Errorf("hint %q is empty, has more than one line or ends with a period", h)
		}
	}
}

// TestEveryErrorHasAHint: whoever adds an error type decides what people are
// told to do about it.
func TestEveryErrorHasAHint(t *testing.T) {
	known := map[string]bool{}
	for _, c := range advised {
		known[c.name] = true
	}
	declared := declaredErrors(t, "pki", "pki/remote", "stack", "stack/doctor", "stack/edge", "stack/explain", "stack/htpasswd", "stack/lint", "stack/render", "stack/state", "stack/smoke", "stack/lifecycle", "stack/local", "compose")
	if len(declared) < 35 {
		t.Fatalf("found only %d errors: %q", len(declared), declared)
	}
	for _, name := range declared {
		_, excused := unadvised[name]
		switch {
		case !known[name] && !excused:
			t.Errorf("%s has no hint: add a rule to hints.go and an example to advised, or a reason to unadvised", name)
		case known[name] && excused:
			t.Errorf("%s is in advised and in unadvised", name)
		}
	}
	for name := range unadvised {
		if !slices.Contains(declared, name) {
			t.Errorf("%s is in unadvised and does not exist any more", name)
		}
	}
}

// declaredErrors finds the exported types with a method Error, and the exported
// sentinels, as "directory.Name".
func declaredErrors(t *testing.T, dirs ...string) []string {
	t.Helper()
	var out []string
	for _, dir := range dirs {
		for _, file := range goFiles(t, dir) {
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range errorsIn(parsed) {
				if ast.IsExported(name) {
					out = append(out, dir+"."+name)
				}
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func goFiles(t *testing.T, dir string) []string {
	t.Helper()
	root := filepath.Join("..", "..", filepath.FromSlash(dir))
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".go") && !strings.HasSuffix(e.Name(), "_test.go") {
			out = append(out, filepath.Join(root, e.Name()))
		}
	}
	return out
}

func errorsIn(file *ast.File) []string {
	var out []string
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Name.Name == "Error" && d.Recv != nil {
				out = append(out, receiver(d.Recv.List[0].Type))
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				if v, ok := spec.(*ast.ValueSpec); ok && d.Tok == token.VAR && strings.HasPrefix(v.Names[0].Name, "Err") {
					out = append(out, v.Names[0].Name)
				}
			}
		}
	}
	return out
}

func receiver(e ast.Expr) string {
	if star, ok := e.(*ast.StarExpr); ok {
		e = star.X
	}
	if id, ok := e.(*ast.Ident); ok {
		return id.Name
	}
	return ""
}

// TestCheckHints: every reason for which a check can fail has a next step.
func TestCheckHints(t *testing.T) {
	reasons := declaredReasons(t)
	if len(reasons) < 10 {
		t.Fatalf("found only %d reasons: %q", len(reasons), reasons)
	}
	for _, reason := range reasons {
		if reason == stack.ReasonNotApplicable {
			continue // of skipped checks, which are not in the list of failures
		}
		check := stack.Check{Hop: stack.HopHostRegistry, Target: "localhost:5005", Outcome: stack.Fails, Reason: reason}
		hints := (&app{program: "certyard"}).checkHints(stack.Report{Checks: []stack.Check{check, check}})
		if len(hints) != 1 {
			t.Errorf("reason %q: hints %q, want one, and once", reason, hints)
		}
		wellFormed(t, hints)
	}
	held := stack.Check{Outcome: stack.Holds, Took: time.Second}
	if hints := (&app{program: "certyard"}).checkHints(stack.Report{Checks: []stack.Check{held}}); len(hints) != 0 {
		t.Errorf("hints where nothing fails: %q", hints)
	}
}

func declaredReasons(t *testing.T) []stack.Reason {
	t.Helper()
	var out []stack.Reason
	for _, file := range goFiles(t, "stack") {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			v, ok := n.(*ast.ValueSpec)
			if !ok || len(v.Values) != 1 {
				return true
			}
			if typ, ok := v.Type.(*ast.Ident); ok && typ.Name == "Reason" {
				if value, ok := v.Values[0].(*ast.BasicLit); ok {
					out = append(out, stack.Reason(strings.Trim(value.Value, `"`)))
				}
			}
			return true
		})
	}
	return out
}
