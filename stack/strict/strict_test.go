package strict_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/certyard/certyard/stack/strict"
)

type config struct {
	Name  string   `yaml:"name"`
	Count *int     `yaml:"count"`
	On    bool     `yaml:"on"`
	Hosts []string `yaml:"hosts"`
	Parts []part   `yaml:"parts"`
}

type part struct {
	Name string `yaml:"name"`
}

func Example() {
	var c config
	_, problems, err := strict.Decode(strings.NewReader("name: yard\nhost: [a]\non: maybe\n"), "yard.yaml", &c)
	if err != nil {
		fmt.Println(err)
	}
	fmt.Println(&strict.Error{File: "yard.yaml", Problems: problems})
	// Output:
	// yard.yaml: 2 problems
	//     line 2: host: unknown key; known here: count, hosts, name, on, parts
	//     line 3: on: want true or false, have "maybe"
}

// TestDecode: what fits is decoded beside what does not, and each problem has
// its line.
func TestDecode(t *testing.T) {
	for text, want := range map[string]string{
		"":                                   "",
		"---\n":                              "",
		"name: x\ncount: 3\non: true\n":      "",
		"name: x\nname: y\n":                 "line 2: name: stands on line 1 already",
		"parts:\n- name: a\n- nam: b\n":      "line 3: parts[1].nam: unknown key; known here: name",
		"hosts: [a, ]\nparts: [~]\n":         "line 2: parts[0]: is empty",
		"count: three\nhosts: a\n":           `line 1: count: want a number, have "three"; line 2: hosts: want a list, have "a"`,
		"name: [a]\n":                        "line 1: name: want text, have a list",
		"internal: 1\n":                      "line 1: internal: unknown key; known here: count, hosts, name, on, parts",
		"[a, b]\n":                           "line 1: want keys and values, have a list",
		"name: a\n---\nname: b\n":            "line 2: a second document begins here; want one",
		"name: &x a\nhosts: [*x, *x]\n":      "",
		strings.Repeat("# long\n", 1<<18):    "it is larger than 1 MiB, so it is no config",
		"name: " + strings.Repeat("a", 1000): "",
	} {
		var c config
		lines, problems, err := strict.Decode(strings.NewReader(text), "x", &c)
		if err != nil || lines == nil {
			t.Errorf("%.40q: %v, lines %v", text, err, lines)
		}
		var got []string
		for _, p := range problems {
			got = append(got, p.String())
		}
		if strings.Join(got, "; ") != want {
			t.Errorf("%.40q: got %s, want %s", text, strings.Join(got, "; "), want)
		}
		if strings.HasPrefix(text, "name: x\ncount") && c.Name == "" {
			t.Errorf("%q: what fits was not decoded", text)
		}
	}
	broken := errors.New("broken")
	if _, _, err := strict.Decode(iotest.ErrReader(broken), "x", &config{}); !errors.Is(err, broken) {
		t.Errorf("a reader that fails: %v", err)
	}
}
