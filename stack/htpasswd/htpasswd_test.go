package htpasswd

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

func render(t *testing.T, users []User, have []byte) []byte {
	t.Helper()
	out, err := Render(users, have)
	if err != nil {
		t.Fatal(err)
	}
	if err := Valid(out); err != nil {
		t.Fatalf("rendered file is not valid: %v", err)
	}
	return out
}

func TestRender(t *testing.T) {
	users := []User{
		{"zoe", "correct horse", CostGenerated},
		{"adam", "päßword", CostGenerated + 1},
	}
	out := render(t, users, nil)
	lines := strings.Split(string(out), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[0], "zoe:$2a$05$") ||
		!strings.HasPrefix(lines[1], "adam:$2a$06$") || lines[2] != "" {
		t.Fatalf("got\n%s", out)
	}
	for _, u := range users {
		if !Match(out, u.Name, u.Password) {
			t.Errorf("%s is not let in", u.Name)
		}
		if Match(out, u.Name, u.Password+"x") || Match(out, u.Name, "") {
			t.Errorf("%s is let in with a wrong password", u.Name)
		}
	}
	if Match(out, "eve", "correct horse") {
		t.Error("an unknown user is let in")
	}
}

// TestRenderKeeps checks which lines survive a change of the users.
func TestRenderKeeps(t *testing.T) {
	was := []User{{"a", "pw-a", 5}, {"b", "pw-b", 5}}
	have := render(t, was, nil)
	line := func(file []byte, user string) string {
		for l := range strings.Lines(string(file)) {
			if strings.HasPrefix(l, user+":") {
				return l
			}
		}
		return ""
	}
	for name, c := range map[string]struct {
		users []User
		have  []byte
		keeps map[string]bool
	}{
		"nothing changed":   {was, have, map[string]bool{"a": true, "b": true}},
		"other order":       {[]User{was[1], was[0]}, have, map[string]bool{"a": true, "b": true}},
		"one user less":     {was[:1], have, map[string]bool{"a": true}},
		"one user more":     {append(was[:2:2], User{"c", "pw-c", 5}), have, map[string]bool{"a": true, "b": true, "c": false}},
		"other password":    {[]User{{"a", "new", 5}, was[1]}, have, map[string]bool{"a": false, "b": true}},
		"other cost":        {[]User{{"a", "pw-a", 6}, was[1]}, have, map[string]bool{"a": false, "b": true}},
		"unreadable file":   {was, append(bytes.Clone(have), "no colon\n"...), map[string]bool{"a": false, "b": false}},
		"something behind":  {was[:1], bytes.Replace(have, []byte("\n"), []byte("junk\n"), 1), map[string]bool{"a": false}},
		"an old other hash": {was[:1], []byte("a:$apr1$x$yyyyyyyyyyyyyyyyyyyyyy\n"), map[string]bool{"a": false}},
	} {
		t.Run(name, func(t *testing.T) {
			out := render(t, c.users, c.have)
			for user, want := range c.keeps {
				if got := line(out, user) == line(c.have, user); got != want {
					t.Errorf("line of %s kept: %v, want %v", user, got, want)
				}
			}
			for _, u := range c.users {
				if !Match(out, u.Name, u.Password) {
					t.Errorf("%s is not let in", u.Name)
				}
			}
			if got := bytes.Count(out, []byte("\n")); got != len(c.users) {
				t.Errorf("%d lines for %d users", got, len(c.users))
			}
		})
	}
	if again := render(t, was, have); !bytes.Equal(again, have) {
		t.Errorf("a second run changes the file:\n%s\n%s", have, again)
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]string{
		"testuser":               "",
		"a":                      "",
		"ci-bot_1@example.org":   "",
		"#":                      "begins with '#'",
		"a#b":                    "",
		`"quoted"`:               "",
		strings.Repeat("n", 255): "",
		strings.Repeat("n", 256): "has 256 bytes",
		"":                       "is empty",
		"a:b":                    "contains a colon",
		":":                      "contains a colon",
		"#root":                  "begins with '#'",
		" a":                     `contains ' '`,
		"a b":                    `contains ' '`,
		"a\tb":                   `contains '\t'`,
		"a\nb":                   `contains '\n'`,
		"a\x00":                  `contains '\x00'`,
		"a\x7f":                  `contains '\x7f'`,
		"jörg":                   `contains 'ö'`,
		"a\xff":                  "contains '\ufffd'",
	} {
		_, err := Render([]User{{name, "pw", 5}}, nil)
		var got *UserError
		switch {
		case want == "" && err != nil:
			t.Errorf("%q: %v", name, err)
		case want != "" && (!errors.As(err, &got) || got.Name != name || !strings.Contains(got.Why, want)):
			t.Errorf("%q: got %v, want %q", name, err, want)
		}
	}
}

func TestPasswords(t *testing.T) {
	for password, want := range map[string]string{
		"x":                             "",
		"with spaces, : and \"quotes\"": "",
		"pässwörd":                      "",
		strings.Repeat("p", 72):         "",
		strings.Repeat("p", 73):         "has 73 bytes",
		strings.Repeat("ä", 36):         "",
		strings.Repeat("ä", 37):         "has 74 bytes",
		"":                              "is empty",
		"secret\n":                      "line break",
		"sec\rret":                      "line break",
		"sec\x00ret":                    "control character",
		"sec\tret":                      "control character",
		"sec\x7fret":                    "control character",
	} {
		_, err := Render([]User{{"u", password, 5}}, nil)
		var got *PasswordError
		switch {
		case want == "" && err != nil:
			t.Errorf("%q: %v", password, err)
		case want != "" && (!errors.As(err, &got) || got.User != "u" || !strings.Contains(got.Why, want)):
			t.Errorf("%q: got %v, want %q", password, err, want)
		}
		if err != nil && len(password) > 3 && strings.Contains(err.Error(), password[:3]) {
			t.Errorf("error tells the password: %v", err)
		}
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	err := Check([]User{{"a:b", "", 5}, {"u", "pw", 5}, {"u", "pw", 99}})
	want := []string{`user name "a:b"`, `password of user "a:b" is empty`, `user name "u" is given twice`, `bcrypt cost 99 of user "u"`}
	for _, w := range want {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("%q is missing in: %v", w, err)
		}
	}
	if _, err := Render(nil, nil); !errors.Is(err, ErrNoUsers) {
		t.Errorf("no users: got %v", err)
	}
	// x/crypto's bcrypt silently takes 10 for a cost that is too low.
	if err := Check([]User{{"u", "pw", 0}}); err == nil {
		t.Error("cost 0 is accepted")
	}
}

func TestValid(t *testing.T) {
	good := string(render(t, []User{{"u", "pw", 5}}, nil))
	for name, c := range map[string]struct {
		file string
		line int // of the problem; 0: none, -1: ErrNoUsers
	}{
		"good":           {good, 0},
		"no end of line": {strings.TrimSpace(good), 0},
		"comments":       {"# people\n\n  \n" + good, 0},
		"other prefix":   {strings.Replace(good, "$2a$", "$2y$", 1), 0},
		"empty":          {"", -1},
		"only comments":  {"# nobody\n", -1},
		"no colon":       {good + "nonsense\n", 2},
		"half a hash":    {good[:len(good)-20], 1},
		"md5":            {good + "\nv:$apr1$abc$0123456789012345678901\n", 3},
		"no hash":        {"u:\n", 1},
		"cost of 40":     {strings.Replace(good, "$05$", "$40$", 1), 1},
		"long line":      {good + "v:" + strings.Repeat("x", 70000), 2},
	} {
		t.Run(name, func(t *testing.T) {
			err := Valid([]byte(c.file))
			var line *LineError
			switch {
			case c.line == 0 && err != nil:
				t.Errorf("got %v", err)
			case c.line == -1 && !errors.Is(err, ErrNoUsers):
				t.Errorf("got %v, want %v", err, ErrNoUsers)
			case c.line > 0 && (!errors.As(err, &line) || line.Line != c.line):
				t.Errorf("got %v, want line %d", err, c.line)
			}
		})
	}
}

func TestGenerate(t *testing.T) {
	got, err := Generate(bytes.NewReader(bytes.Repeat([]byte{0xff}, 32)))
	if want := strings.Repeat("_", 42) + "8"; err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if _, err := Generate(bytes.NewReader(make([]byte, 31))); err == nil {
		t.Error("31 random bytes are enough")
	}
	a, errA := Generate(rand.Reader)
	b, errB := Generate(rand.Reader)
	if err := errors.Join(errA, errB); err != nil || a == b {
		t.Errorf("got %q and %q, %v", a, b, err)
	}
	if err := Check([]User{{"u", a, CostGenerated}}); err != nil {
		t.Errorf("a generated password is refused: %v", err)
	}
}

// TestPrefixAndCost pins what the registry needs from the library.
func TestPrefixAndCost(t *testing.T) {
	out := render(t, []User{{"u", "pw", CostChosen}}, nil)
	hash := strings.TrimSpace(strings.TrimPrefix(string(out), "u:"))
	cost, err := bcrypt.Cost([]byte(hash))
	if err != nil || cost != CostChosen || len(hash) != hashLength || !strings.HasPrefix(hash, "$2a$") {
		t.Errorf("hash %q has cost %d, %v", hash, cost, err)
	}
}

func Example() {
	users := []User{{Name: "testuser", Password: "testpassword", Cost: CostChosen}}
	file, err := Render(users, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(Match(file, "testuser", "testpassword"), Match(file, "testuser", "guess"))
	// Output: true false
}

func BenchmarkRender(b *testing.B) {
	for _, cost := range []int{CostGenerated, CostChosen} {
		users := []User{{"testuser", "testpassword", cost}}
		have, err := Render(users, nil)
		if err != nil {
			b.Fatal(err)
		}
		for name, file := range map[string][]byte{"new": nil, "kept": have} {
			b.Run(fmt.Sprintf("cost=%d/%s", cost, name), func(b *testing.B) {
				for b.Loop() {
					if _, err := Render(users, file); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
