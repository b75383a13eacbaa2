package strict_test

import (
	"strings"
	"testing"

	"github.com/certyard/certyard/stack/strict"
)

func TestParse(t *testing.T) {
	n, problems := strict.Parse([]byte("a: 1\nb: &b {c: \"x\", d: ~}\ne:\n  <<: *b\n  d: y\nf: [*b, z]\na: 2\n"))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if a := n.Get("a"); a.Text != "2" || !a.Plain || n.KeyLine("a") != 7 {
		t.Errorf("of a key that stands twice: %+v on line %d", a, n.KeyLine("a"))
	}
	if c := n.Get("b", "c"); c.Text != "x" || c.Plain || c.Kind != strict.Scalar || !n.Get("b", "d").Null {
		t.Errorf("quoted: %+v", c)
	}
	if e := n.Get("e"); e.Get("c").Text != "x" || e.KeyLine("c") != 2 || e.Get("d").Text != "y" || len(e.Keys) != 2 {
		t.Errorf("merged: %+v", e)
	}
	if f := n.Get("f"); f.Kind != strict.List || f.Items[0] != n.Get("b") || f.Items[1].Line != 6 {
		t.Errorf("a list: %+v", f)
	}
	if n.Get("a", "b") != nil || n.Get("x", "y") != nil || n.KeyLine("x") != 0 || (*strict.Node)(nil).Get("a") != nil {
		t.Error("what is not there is found")
	}
	for text, want := range map[string]string{
		"":                                "",
		"a: [":                            "line 2: did not find expected node content",
		"a: 1\n---\nb: 1\n":               "line 2: a second document begins here; want one",
		"a: &a [*a]\n":                    "",
		"&a {<<: *a, b: c}":               "",
		strings.Repeat("# long\n", 1<<18): "it is larger than 1 MiB, so it is no config",
	} {
		_, problems := strict.Parse([]byte(text))
		got := ""
		for _, p := range problems {
			got += p.String()
		}
		if got != want {
			t.Errorf("%.20q: %q, want %q", text, got, want)
		}
	}
}
