package lint

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/moby/buildkit/cmd/buildkitd/config"
	"github.com/pelletier/go-toml/v2"
)

// TestConfigPaths: buildkitd's own decoder knows each path, and no other.
func TestConfigPaths(t *testing.T) {
	paths := configPaths()
	if len(paths) < 100 {
		t.Fatalf("there are only %d", len(paths))
	}
	for _, known := range paths {
		path := slices.Clone(known)
		for i, name := range path {
			if name == anyName {
				path[i] = "registry:5000"
			}
		}
		if configType(path) == nil {
			t.Errorf("%v has no type", path)
			continue
		}
		if err := strictly(path); err != nil {
			t.Errorf("%v: %v", path, err)
		}
		if path[len(path)-1] += "x"; configType(path) == nil && strictly(path) == nil {
			t.Errorf("%v has no type, and buildkitd knows it", path)
		}
	}
}

// strictly decodes a file with one key.
func strictly(path []string) error {
	header, dots := "", path
	if i := slices.IndexFunc(path[:len(path)-1], func(name string) bool { return name == "gcpolicy" || name == "keypair" }); i >= 0 {
		header, dots = "[["+keyPath(path[:i+1]...)+"]]\n", path[i+1:]
	}
	var c config.Config
	text := header + keyPath(dots...) + " = " + sample(configType(path)) + "\n"
	return toml.NewDecoder(strings.NewReader(text)).DisallowUnknownFields().Decode(&c)
}

// sample returns a value of a type.
func sample(t reflect.Type) string {
	switch {
	case t == nil || isLeafStruct(t):
		return `"1"`
	case t.Kind() == reflect.Slice:
		return "[]"
	case t.Kind() == reflect.String:
		return `""`
	case t.Kind() == reflect.Bool:
		return "true"
	case isNumber(t):
		return "1"
	default:
		return "{}"
	}
}

// TestAliases: each leads to a name that buildkitd has, and is none itself at a
// place where the other one is.
func TestAliases(t *testing.T) {
	paths := configPaths()
	for from, to := range aliases() {
		if from != strings.ToLower(from) {
			t.Errorf("%s is never found", from)
		}
		ends := func(p []string) bool { return p[len(p)-1] == to }
		if !slices.ContainsFunc(paths, ends) {
			t.Errorf("buildkitd has no %s, which %s is taken for", to, from)
		}
		for _, p := range paths {
			if ends(p) && configType(append(slices.Clone(p[:len(p)-1]), from)) != nil && !slices.Contains(p, anyName) && len(p) > 1 {
				t.Errorf("buildkitd has a %s beside %v", from, p)
			}
		}
	}
}

// TestPathsByHand: every path that is written in the code is one of buildkitd's. A
// variable in it is taken for a registry, and what comes after another one is not
// looked at.
func TestPathsByHand(t *testing.T) {
	takers := []string{"Line", "find", "header", "listItem", "itemLine", "isExplained", "explain", "keyPath"}
	files, err := filepath.Glob("buildkitd*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || !slices.Contains(takers, called(call)) {
				return true
			}
			path := literals(call.Args)
			if len(path) == 0 {
				return true
			}
			found++
			if configType(path) == nil {
				t.Errorf("%s: buildkitd has no %s", name, keyPath(path...))
			}
			return true
		})
	}
	if found < 40 {
		t.Errorf("only %d paths were found; the walk is wrong", found)
	}
}

func called(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.SelectorExpr:
		return f.Sel.Name
	case *ast.Ident:
		return f.Name
	default:
		return ""
	}
}

// literals returns the path in the arguments of a call, from its first literal on.
func literals(args []ast.Expr) []string {
	var out []string
	for _, a := range args {
		lit, ok := a.(*ast.BasicLit)
		switch {
		case ok && lit.Kind == token.STRING:
			text, _ := strconv.Unquote(lit.Value)
			out = append(out, text)
		case len(out) == 1 && out[0] == "registry":
			out = append(out, "registry:5000")
		case len(out) > 0:
			return out
		}
	}
	return out
}

func TestDistance(t *testing.T) {
	for pair, want := range map[string]int{"ca ca": 0, "grpc gprc": 1, "address adress": 1, "cert key": 3, "mirrors mirror": 1, "http https": 1, "abc cba": 2} {
		a, b, _ := strings.Cut(pair, " ")
		if got := distance(a, b); got != want || distance(b, a) != want {
			t.Errorf("%s: %d, want %d", pair, got, want)
		}
	}
}

// TestQuoteText: what is written as TOML is read as it was.
func TestQuoteText(t *testing.T) {
	for _, text := range []string{"", "a", `a"b\c`, "tab\tnewline\n\x00\x7f", "ü", "registry:5000", "a.b"} {
		var got map[string]string
		err := toml.NewDecoder(bytes.NewReader([]byte(quoteKey(text) + " = " + quoteText(text) + "\n"))).Decode(&got)
		if err != nil || len(got) != 1 || got[text] != text {
			t.Errorf("%q is read as %q (%v)", text, got, err)
		}
	}
}
