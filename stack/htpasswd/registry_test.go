package htpasswd

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/distribution/distribution/v3/registry/auth"
	_ "github.com/distribution/distribution/v3/registry/auth/htpasswd" // registers itself
)

// registryAccepts asks the registry's own code.
func registryAccepts(t *testing.T, file []byte, user, password string) bool {
	t.Helper()
	path := filepath.Join(t.TempDir(), "htpasswd")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	controller, err := auth.GetAccessController("htpasswd", map[string]any{"realm": "certyard", "path": path})
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/v2/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth(user, password)
	_, err = controller.Authorized(r)
	return err == nil
}

// TestAgreesWithRegistry compares Match with the code that it imitates.
func TestAgreesWithRegistry(t *testing.T) {
	long := strings.Repeat("p", 72)
	good := string(render(t, []User{{"u", "pw", 4}, {"long", long, 4}}, nil))
	other := string(render(t, []User{{"u", "other", 4}}, nil))
	for name, c := range map[string]struct {
		file, user, password string
		want                 bool
	}{
		"right":                   {good, "u", "pw", true},
		"wrong password":          {good, "u", "wp", false},
		"unknown user":            {good, "v", "pw", false},
		"second user":             {good, "long", long, true},
		"longer than bcrypt sees": {good, "long", long + "more", true},
		"later line wins":         {good + other, "u", "other", true},
		"earlier line loses":      {good + other, "u", "pw", false},
		"comment":                 {"#u:x\n" + good, "u", "pw", true},
		"indented":                {"   " + good, "u", "pw", true},
		"CRLF":                    {strings.ReplaceAll(good, "\n", "\r\n"), "u", "pw", true},
		"2y":                      {strings.ReplaceAll(good, "$2a$", "$2y$"), "u", "pw", true},
		"one bad line":            {good + "bad\n", "u", "pw", false},
		"line too long":           {good + strings.Repeat("x", 70000), "u", "pw", false},
		"something behind":        {strings.TrimSpace(other) + "junk", "u", "other", true},
		"md5":                     {"u:$apr1$abc$0123456789012345678901", "u", "pw", false},
		"empty file":              {"", "u", "pw", false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := registryAccepts(t, []byte(c.file), c.user, c.password); got != c.want {
				t.Errorf("the registry accepts: %v, want %v", got, c.want)
			}
			if got := Match([]byte(c.file), c.user, c.password); got != c.want {
				t.Errorf("Match says %v, want %v", got, c.want)
			}
		})
	}
}

// FuzzAgreesWithRegistry looks for files on which Match and the registry do not
// agree. The hash is a real one, so that both can say yes.
func FuzzAgreesWithRegistry(f *testing.F) {
	out, err := Render([]User{{"u", "pw", 4}}, nil)
	if err != nil {
		f.Fatal(err)
	}
	hash := strings.TrimSpace(strings.TrimPrefix(string(out), "u:"))
	for _, seed := range []string{"u:HASH", "#\nu:HASH\n", "u:HASH\nu:x", " u : HASH", "u:HASH\n\x00", "a\u00a0\nu:HASH", "u::HASH", "u:HASH:x"} {
		f.Add(seed, "u", "pw")
	}
	f.Fuzz(func(t *testing.T, file, user, password string) {
		// The cost is not the fuzzer's to choose: 31 takes weeks. HASH grows.
		if strings.Contains(file, "$") || len(file) > 4<<10 {
			return
		}
		data := []byte(strings.ReplaceAll(file, "HASH", hash))
		// A colon in the name cannot be sent: the header splits there.
		if strings.Contains(user, ":") {
			return
		}
		if got, want := Match(data, user, password), registryAccepts(t, data, user, password); got != want {
			t.Errorf("Match says %v, the registry %v, for %q", got, want, data)
		}
	})
}

// FuzzValid reads any file, also one with hashes of any cost: none is computed
// for it. What it finds wrong is in a line that there is.
func FuzzValid(f *testing.F) {
	good, err := Render([]User{{"u", "pw", 4}}, nil)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{string(good), "u:$2a$31$" + strings.Repeat("x", 53), "u:$2a$99$x", "u:$2a$", "u:", ":", "#u", "", "u", strings.Repeat("x", 70000)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		if len(file) > 128<<10 {
			return
		}
		err := Valid(file)
		lines := bytes.Count(file, []byte("\n")) + 1
		if line, ok := errors.AsType[*LineError](err); ok && (line.Line < 1 || line.Line > lines) {
			t.Errorf("line %d of %d %s", line.Line, lines, line.Why)
		}
		if err == nil && !bytes.Contains(file, []byte(":")) {
			t.Error("a file without users is valid")
		}
	})
}
