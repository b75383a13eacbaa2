package render_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/dotenv"

	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/render"
)

// nasty are values that shells and readers of .env files make something else
// of when they are not quoted.
func nasty() []stack.Variable {
	values := map[string]string{
		"EMPTY": "", "PLAIN": "tcp://localhost:1234", "SPACES": "  two  spaces  ", "SINGLE": "it's", "SINGLES": "''", "ONE_QUOTE": "'",
		"DOUBLE": `say "hi"`, "BOTH": `'"'"`, "DOLLAR": "$HOME ${HOME} $(id) $$ $1", "BACKTICK": "`id`", "BACKSLASH": `C:\dir\n\t`,
		"TRAILING": `ends\`, "TRAILING_TWO": `ends\\`, "QUOTE_AND_SLASH": `it's \ here\`, "HASH": "a # b", "HASH_FIRST": "#x", "SEMICOLON": "a; echo b & c | d > e",
		"GLOB": "* ? [a-z] {a,b}", "TILDE": "~root", "TILDES": "a:~/b", "BANG": "!! !$", "EQUALS": "=ls", "MORE_EQUALS": "a=b=c", "DASH": "-n", "PERCENT": "100%s%PATH%",
		"TAB": "a\tb", "UNICODE": "schön ☃", "TYPOGRAPHIC": "‘a’ ‚b‛ “c”", "QUOTE_DOLLAR": `'$HOME'`, "QUOTE_BACKTICK": "it's `id`", "QUOTE_N": `it's\nnot a line`,
		"BASE64": "dGVzdA==", "URL_SAFE": "-_aZ09", "HISTORY": "^a^b", "CONTROL": "\x01\x7f",
	}
	for c := ' '; c <= '~'; c++ { // each alone, first and inside: no other character hides what it does
		values[fmt.Sprintf("X%x", c)], values[fmt.Sprintf("X%x_IN", c)] = string(c)+"HOME", "a"+string(c)+"b"
	}
	var out []stack.Variable
	for _, name := range slices.Sorted(maps.Keys(values)) {
		out = append(out, stack.Variable{Name: "CY_" + name, Value: values[name]})
	}
	return out
}

func withLines() []stack.Variable {
	return append(nasty(), stack.Variable{Name: "CY_LINES", Value: "a\nb\n"}, stack.Variable{Name: "CY_CR", Value: "a\r\nb"}, stack.Variable{Name: "CY_LINE_QUOTE", Value: "a'\nb\\\n'"})
}

func environment(t testing.TB, vars []stack.Variable, format string) []byte {
	t.Helper()
	out, err := render.Environment(vars, format)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// compare holds what a reader understood against what was meant.
func compare(t *testing.T, got map[string]string, vars []stack.Variable) {
	t.Helper()
	for _, v := range vars {
		if value, ok := got[v.Name]; !ok || value != v.Value {
			t.Errorf("%s: got %q (%v), want %q", v.Name, value, ok, v.Value)
		}
	}
}

// runShell evaluates commands as eval "$(certyard env)" does, and returns the
// environment of a program that is started then.
func runShell(t *testing.T, shell string, commands []byte) map[string]string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "commands")
	if err := os.WriteFile(file, commands, 0o600); err != nil {
		t.Fatal(err)
	}
	// "$(cat)" cuts line ends off, as eval "$(certyard env)" does.
	cmd := exec.CommandContext(t.Context(), shell, "-c", `eval "$(cat "$1")" && exec env -0`, "sh", file)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=/nowhere"}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("%s: %v\n%s", shell, err, &stderr)
	}
	got := map[string]string{}
	for _, entry := range strings.Split(string(out), "\x00") {
		name, value, _ := strings.Cut(entry, "=")
		got[name] = value
	}
	return got
}

func TestShells(t *testing.T) {
	ran := 0
	for _, shell := range []string{"sh", "dash", "bash", "busybox", "ksh", "zsh"} {
		if _, err := exec.LookPath(shell); err != nil || shell == "busybox" {
			continue
		}
		ran++
		t.Run(shell, func(t *testing.T) {
			compare(t, runShell(t, shell, environment(t, withLines(), "sh")), withLines())
			unset, err := render.Unset(withLines(), "sh")
			if err != nil {
				t.Fatal(err)
			}
			for name := range runShell(t, shell, slices.Concat(environment(t, withLines(), "sh"), unset)) {
				if strings.HasPrefix(name, "CY_") {
					t.Errorf("%s is still set", name)
				}
			}
		})
	}
	if ran == 0 {
		t.Fatal("there is no shell")
	}
}

// TestFish has fish read the values; its quoting is in TestFormats too.
func TestFish(t *testing.T) {
	if _, err := exec.LookPath("fish"); err != nil {
		if os.Getenv("CERTYARD_REQUIRE_DOCKER") == "1" {
			t.Fatalf("fish is required (scripts/setup test installs it): %v", err)
		}
		t.Skipf("needs fish: %v", err)
	}
	cmd := exec.CommandContext(t.Context(), "fish", "--no-config", "-c", "source; env -0")
	cmd.Stdin = bytes.NewReader(environment(t, withLines(), "fish"))
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, entry := range strings.Split(string(out), "\x00") {
		name, value, _ := strings.Cut(entry, "=")
		got[name] = value
	}
	compare(t, got, withLines())
}

// TestDotenv has Compose's reader of .env files read the values.
func TestDotenv(t *testing.T) {
	got, err := dotenv.UnmarshalBytesWithLookup(environment(t, nasty(), "dotenv"), func(string) (string, bool) { return "INTERPOLATED", true })
	if err != nil {
		t.Fatal(err)
	}
	compare(t, got, nasty())
	if len(got) != len(nasty()) {
		t.Errorf("there are %d variables, want %d", len(got), len(nasty()))
	}
}

// TestDotenvOfOthers has other readers: a shell, which reads the same quotes and
// would also run what is in backquotes, and Node where there is one. Node knows
// no escapes.
func TestDotenvOfOthers(t *testing.T) {
	t.Run("sh", func(t *testing.T) {
		vars := slices.DeleteFunc(nasty(), func(v stack.Variable) bool {
			return strings.Contains(v.Value, "'") && strings.Contains(v.Value, "`")
		})
		commands := slices.Concat([]byte("set -a\n"), environment(t, vars, "dotenv"))
		compare(t, runShell(t, "sh", commands), vars)
	})
	node, err := exec.LookPath("node")
	if err != nil || exec.CommandContext(t.Context(), node, "--env-file="+os.DevNull, "-e", "").Run() != nil {
		return // none, or one that reads no .env files
	}
	t.Run("node", func(t *testing.T) {
		vars := slices.DeleteFunc(nasty(), func(v stack.Variable) bool {
			return strings.Contains(v.Value, "'") || strings.HasSuffix(v.Value, `\`)
		})
		file := filepath.Join(t.TempDir(), "env")
		if err := os.WriteFile(file, environment(t, vars, "dotenv"), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), node, "--env-file="+file, "-e", "console.log(JSON.stringify(process.env))").Output()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatal(err)
		}
		compare(t, got, vars)
	})
}

// TestEnvFile: the file in the state directory is a .env file: every reader of
// such files finds the variables of certyard env in it.
func TestEnvFile(t *testing.T) {
	eachCase(t, func(t *testing.T, in render.Input, have map[string]stack.File) {
		user := in.Spec.Registry.Users[0].Name
		vars := in.Spec.Environment(in.Facts, in.Root, in.Secrets.Passwords[user])
		data := have[stack.FileEnv].Data
		if bytes.Contains(data, []byte("export")) {
			t.Errorf("it is no .env file:\n%s", data)
		}
		got, err := dotenv.UnmarshalBytesWithLookup(data, nil)
		if err != nil {
			t.Fatal(err)
		}
		compare(t, got, vars)
		if len(got) != len(vars) {
			t.Errorf("there are %d variables, want %d", len(got), len(vars))
		}
	})
	in := cases()[0].input(t)
	in.Root = "/home/me/a b's $dir"
	got, err := dotenv.UnmarshalBytesWithLookup(files(t, in)[stack.FileEnv].Data, nil)
	if err != nil || got["DOCKER_CONFIG"] != in.Root+"/client/docker" {
		t.Errorf("got %v and %v", got, err)
	}
	in.Root = "/home/me/two\nlines"
	if _, err := render.Files(in); err == nil {
		t.Error("a state directory with a line break in its name is accepted")
	}
}

// TestGitHub reads as the runner does: a line each, cut at the first "=".
func TestGitHub(t *testing.T) {
	got := map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(environment(t, nasty(), "github")))
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), "=")
		if !ok || strings.Contains(name, "<<") {
			t.Errorf("%q is no assignment", lines.Text())
		}
		got[name] = value
	}
	compare(t, got, nasty())
}

func TestJSON(t *testing.T) {
	got := map[string]string{}
	if err := json.Unmarshal(environment(t, withLines(), "json"), &got); err != nil {
		t.Fatal(err)
	}
	compare(t, got, withLines())
	if len(got) != len(withLines()) {
		t.Errorf("there are %d variables, want %d", len(got), len(withLines()))
	}
}

// TestLineBreaks: in a format of lines, a value with a line break would set a
// variable of its own choice.
func TestLineBreaks(t *testing.T) {
	for _, value := range []string{"a\nPATH=/evil", "a\r", "\n", "a\x00b"} {
		for _, format := range render.EnvFormats() {
			vars := []stack.Variable{{Name: "GOOD", Value: "s3cret-1"}, {Name: "BAD", Value: "s3cret-2" + value}}
			out, err := render.Environment(vars, format)
			refused := strings.Contains(value, "\x00") && format != "json" || format == "dotenv" || format == "github"
			if (err != nil) != refused {
				t.Errorf("%s of %q: got %v", format, value, err)
			}
			if err == nil {
				continue
			}
			if len(out) > 0 || !strings.Contains(err.Error(), "BAD") || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%s of %q: got %q and %v", format, value, out, err)
			}
		}
	}
}

// TestFormats writes each format's quoting out.
func TestFormats(t *testing.T) {
	for _, c := range []struct{ format, value, want string }{
		{"sh", "tcp://[::1]:1234", "export V='tcp://[::1]:1234'\n"},
		{"sh", "registry:5000", "export V=registry:5000\n"},
		{"sh", "it's", "export V='it'\\''s'\n"},
		{"sh", "", "export V=''\n"},
		{"sh", "=ls", "export V='=ls'\n"},
		{"fish", "a", "set -gx V 'a';\n"},
		{"fish", `it's $HOME (id) \n "x"`, `set -gx V 'it\'s $HOME (id) \\n "x"';` + "\n"},
		{"fish", `\`, `set -gx V '\\';` + "\n"},
		{"fish", "", "set -gx V '';\n"},
		{"fish", "a\nb", "set -gx V 'a\nb';\n"},
		{"powershell", "a", "$Env:V = 'a'\n"},
		{"powershell", "it's $Env:X `n \"x\" \\", "$Env:V = 'it''s $Env:X `n \"x\" \\'\n"},
		{"powershell", "‘a’ ‚b‛ “c”", "$Env:V = '‘‘a’’ ‚‚b‛‛ “c”'\n"},
		{"powershell", "a\nb", "$Env:V = 'a\nb'\n"},
		{"dotenv", "a", "V=a\n"},
		{"dotenv", "", "V=''\n"},
		{"dotenv", "a b $c `d` \"e\"", "V='a b $c `d` \"e\"'\n"},
		{"dotenv", `it's "$x" \`, `V="it's \"\$x\" \\"` + "\n"},
		{"dotenv", `C:\`, `V="C:\\"` + "\n"},
		{"json", `"<&>`, "{\n  \"V\": \"\\\"\\u003c\\u0026\\u003e\"\n}\n"},
		{"github", `it's "$x" \`, `V=it's "$x" \` + "\n"},
	} {
		if got := string(environment(t, []stack.Variable{{Name: "V", Value: c.value}}, c.format)); got != c.want {
			t.Errorf("%s of %q: got %s, want %s", c.format, c.value, got, c.want)
		}
	}
}

func TestUnset(t *testing.T) {
	vars := []stack.Variable{{Name: "B"}, {Name: "A"}}
	for format, want := range map[string]string{
		"sh": "unset B\nunset A\n", "fish": "set -e B;\nset -e A;\n", "powershell": "Remove-Item Env:\\B\nRemove-Item Env:\\A\n",
	} {
		if got, err := render.Unset(vars, format); err != nil || string(got) != want {
			t.Errorf("%s: got %q and %v, want %q", format, got, err, want)
		}
	}
	for _, format := range []string{"dotenv", "json", "github", "", "csh"} {
		if got, err := render.Unset(vars, format); err == nil {
			t.Errorf("%s: got %q", format, got)
		}
	}
}

func TestEnvFormats(t *testing.T) {
	if got := render.EnvFormats(); !slices.Equal(got, []string{"sh", "fish", "powershell", "dotenv", "json", "github"}) {
		t.Errorf("got %v", got)
	}
	for _, format := range []string{"", "SH", "csh"} {
		_, err := render.Environment(nil, format)
		if err == nil || !strings.Contains(err.Error(), "sh, fish, powershell, dotenv, json, github") {
			t.Errorf("%q: got %v", format, err)
		}
	}
	if got := string(environment(t, nil, "json")); got != "{}\n" {
		t.Errorf("no variables are %q", got)
	}
}
