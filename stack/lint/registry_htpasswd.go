package lint

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
)

// HtpasswdRules returns the rules about an htpasswd file as the registry reads it.
func HtpasswdRules() []Rule {
	const source = "distribution v3.1.2 registry/auth/htpasswd/htpasswd.go:46-101, access.go:68-114"
	return []Rule{
		{ID: "registry.htpasswd-line", Title: "every line is user:hash", Severity: Error,
			Proves: "the registry takes the file", Source: source,
			Hint: "write the line again: \"htpasswd -nB USER\" prints one"},
		{ID: "registry.htpasswd-users", Title: "there is a user", Severity: Error, Needs: []string{"registry.htpasswd-line"},
			Proves: "somebody can log in", Source: source,
			Hint: "add a user: \"htpasswd -nB USER\" prints the line"},
		{ID: "registry.htpasswd-bcrypt", Title: "passwords are hashed with bcrypt", Severity: Error,
			Proves: "every user can log in", Source: source + "; golang.org/x/crypto bcrypt",
			Hint: "hash it again with \"htpasswd -nB USER\": without -B it makes another hash"},
		{ID: "registry.htpasswd-twice", Title: "a user stands once", Severity: Warning,
			Proves: "no line replaces an earlier one", Source: source,
			Hint: "leave the line that is meant"},
		{ID: "registry.htpasswd-cost", Title: "checking a password is quick", Severity: Warning,
			Proves: "requests do not wait for password hashes", Source: source + ": the hash is computed for each request",
			Hint: "hash it again with a cost of 10 or less, \"htpasswd -nB -C 10 USER\"; a long random password needs no more than 5"},
	}
}

// bcryptHash is what Go's bcrypt takes: golang.org/x/crypto bcrypt/bcrypt.go:
// $2 and any variant's letter, the cost, 22 characters of salt and 31 of hash.
const bcryptHash = `^\$2[^$]?\$(\d\d)\$[./A-Za-z0-9]{53}$`

// Htpasswd judges an htpasswd file as the registry reads it: only bcrypt counts,
// of a user's lines the last one, and one line without a colon spoils the file.
func Htpasswd(file string, data []byte) []Finding {
	h := htpasswdFile{file: file, users: map[string]int{}}
	for i, line := range bytes.Split(data, []byte("\n")) {
		if text := strings.TrimSpace(string(line)); text != "" && text[0] != '#' {
			h.line(i+1, text)
		}
	}
	if len(h.users) == 0 {
		h.add("registry.htpasswd-users", 0, "", "the file has no users: nobody can log in, and every request gets 401")
	}
	return h.findings
}

type htpasswdFile struct {
	file     string
	users    map[string]int
	findings []Finding
}

func (h *htpasswdFile) add(rule string, line int, user, problem string) {
	h.findings = append(h.findings, Finding{Rule: rule, Subject: Registry, File: h.file, Line: line, Object: user, Problem: problem})
}

// line judges one. Its text is not shown: it is a password's hash, or a password.
func (h *htpasswdFile) line(n int, text string) {
	user, hash, ok := strings.Cut(text, ":")
	switch {
	case !ok:
		h.add("registry.htpasswd-line", n, "", "the line has no colon, and the registry refuses the whole file: with 400, or by keeping the users that it had")
		return
	case user == "" || user != strings.TrimSpace(user):
		h.add("registry.htpasswd-line", n, user, fmt.Sprintf("the user is %q, and a name that is empty or ends with a space matches nobody", user))
	}
	if strings.HasPrefix(user, "$") { // it is not shown: it is a hash
		h.add("registry.htpasswd-bcrypt", n, "", "the line begins with a hash, and a line is user:hash: nobody logs in by it")
		h.users[user] = n
		return
	}
	if first := h.users[user]; first > 0 {
		h.add("registry.htpasswd-twice", n, user, fmt.Sprintf("user %q stands on line %d already; this line counts", user, first))
	}
	h.users[user] = n
	m := regexp.MustCompile(bcryptHash).FindStringSubmatch(hash)
	switch {
	case m == nil || m[1] < "04" || m[1] > "31":
		h.add("registry.htpasswd-bcrypt", n, user, fmt.Sprintf("%s of user %q is no bcrypt hash, and the user always gets 401", hashKind(hash), user))
	case m[1] > "12":
		h.add("registry.htpasswd-cost", n, user, fmt.Sprintf("the hash of user %q has a cost of %s: every request of the user waits for it, at 13 about 0.4 s and twice that for each one more", user, m[1]))
	}
}

// hashKind names what stands where a bcrypt hash should: apache's htpasswd(1).
func hashKind(hash string) string {
	switch {
	case strings.HasPrefix(hash, "$apr1$"):
		return "the MD5 hash"
	case strings.HasPrefix(hash, "{SHA}"):
		return "the SHA-1 hash"
	case strings.HasPrefix(hash, "$5$"), strings.HasPrefix(hash, "$6$"):
		return "the SHA-2 hash"
	case strings.HasPrefix(hash, "$2"):
		return "the hash, cut off or with more behind it,"
	}
	return "the password"
}
