package lifecycle_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/htpasswd"
	"github.com/certyard/certyard/stack/lifecycle"
	"github.com/certyard/certyard/stack/render"
)

// passwordsOf returns the passwords that are recorded.
func passwordsOf(t *testing.T, d lifecycle.Deps) map[string]string {
	t.Helper()
	s, err := stack.ParseSecrets(readAt(t, d, stack.FileSecrets))
	if err != nil {
		t.Fatal(err)
	}
	return s.Passwords
}

// checkHandedOut demands that clients are told the user and the password, and no
// other one: by the environment that is printed, by the one in the file, and for
// each of the registry's hosts by Docker's config.
func checkHandedOut(t *testing.T, d lifecycle.Deps, hosts []string, user, password string) {
	t.Helper()
	vars, err := lifecycle.Environment(d)
	if err != nil {
		t.Fatal(err)
	}
	printed := map[string]string{}
	for _, v := range vars {
		printed[v.Name] = v.Value
	}
	if printed["REGISTRY_AUTH_USERNAME"] != user || printed["REGISTRY_AUTH_PASSWORD"] != password {
		t.Errorf("the environment has another password than that of %s, who is %s", user, printed["REGISTRY_AUTH_USERNAME"])
	}
	want, err := render.Environment(vars, "dotenv")
	if err != nil || !bytes.Equal(readAt(t, d, stack.FileEnv), want) {
		t.Errorf("%s is not what is printed: %v", stack.FileEnv, err)
	}
	var docker struct {
		Auths map[string]struct{ Auth string }
	}
	if err := json.Unmarshal(readAt(t, d, stack.FileDockerConfig), &docker); err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(maps.Keys(docker.Auths)); !slices.Equal(got, slices.Sorted(slices.Values(hosts))) {
		t.Errorf("%s is for %v, want %v", stack.FileDockerConfig, got, hosts)
	}
	for host, has := range docker.Auths {
		if has.Auth != base64.StdEncoding.EncodeToString([]byte(user+":"+password)) {
			t.Errorf("%s has another password for %s", stack.FileDockerConfig, host)
		}
	}
}

// TestRotateUser: of two users one gets another password, and of the other one
// everything stays. What clients are told is always the first one's.
func TestRotateUser(t *testing.T) {
	users := []stack.UserConfig{{Name: "ci"}, {Name: "dev"}}
	for i, user := range []string{"ci", "dev"} {
		t.Run(user, func(t *testing.T) {
			s := &script{proofs: []claims{sound}}
			d := rotateDeps(t, s)
			up := mustUp(t, d, stack.Config{Name: "quiet", Registry: stack.RegistryConfig{Users: users}})
			hosts, other := up.Spec.RegistryHosts(up.Facts), users[1-i].Name
			old, lines := passwordsOf(t, d), string(readAt(t, d, stack.FileHtpasswd))
			checkHandedOut(t, d, hosts, "ci", old["ci"])
			before, env := string(readAt(t, d, stack.FileDockerConfig)), string(readAt(t, d, stack.FileEnv))
			if _, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{Users: []string{user}}); err != nil {
				t.Fatal(err)
			}
			now, file := passwordsOf(t, d), readAt(t, d, stack.FileHtpasswd)
			if now[user] == old[user] || now[other] != old[other] || len(now) != 2 {
				t.Errorf("%s has another password: %v, %s: %v", user, now[user] != old[user], other, now[other] != old[other])
			}
			if !htpasswd.Match(file, user, now[user]) || htpasswd.Match(file, user, old[user]) {
				t.Errorf("the registry lets %s in with the old password", user)
			}
			if line := lineOf(lines, other); line == "" || lineOf(string(file), other) != line {
				t.Errorf("the line of %s is another one", other)
			}
			changed := s.asked[len(s.asked)-1].Registry.Changed
			if len(changed) != 1 || changed[0].User != user || changed[0].Old != old[user] || changed[0].New != now[user] {
				t.Errorf("the proof was told of %d passwords", len(changed))
			}
			checkHandedOut(t, d, hosts, "ci", now["ci"])
			same := string(readAt(t, d, stack.FileDockerConfig)) == before && string(readAt(t, d, stack.FileEnv)) == env
			if same != (user == "dev") {
				t.Errorf("what clients are told is the same: %v", same)
			}
		})
	}
}

// lineOf returns a user's line of an htpasswd file.
func lineOf(file, user string) string {
	for line := range strings.Lines(file) {
		if strings.HasPrefix(line, user+":") {
			return line
		}
	}
	return ""
}
