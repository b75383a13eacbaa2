// Package htpasswd writes the file that the registry checks passwords against,
// and reads it as the registry does. It is pure: bytes in, bytes out. All
// functions may be called from several goroutines.
//
// The format is that of Apache's tool of the same name, of which the registry
// accepts one kind of hash only, bcrypt. No error holds a password or a hash.
package htpasswd

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

// The registry checks the hash on every request, so cost is paid over and over:
// 1.6 ms at cost 5, 50 ms at 10, 197 ms at 12 (P26).
const (
	// CostGenerated is for passwords of [Generate]. Cost adds nothing to 256
	// random bits. 5 is also what the registry spends on users that do not
	// exist, so the time of an answer does not tell which users do
	// (distribution registry/auth/htpasswd/htpasswd.go, dummyBcryptHash).
	CostGenerated = 5
	// CostChosen is for passwords that people choose: the least that OWASP
	// recommends for bcrypt.
	CostChosen = 10
)

const (
	maxName     = 255 // also keeps a line far below the registry's limit of 64 KiB
	maxPassword = 72  // bytes; bcrypt sees no more
	hashLength  = 60  // of a bcrypt hash with its prefix, cost and salt
	generated   = 32  // random bytes
	maxCost     = 16  // beyond, one request takes more than three seconds
	minCost     = bcrypt.MinCost
)

// ErrNoUsers says that a file lets nobody in.
var ErrNoUsers = errors.New("there is no user")

// User is somebody who may use the registry.
type User struct {
	Name     string
	Password string
	Cost     int // of bcrypt, as CostGenerated or CostChosen
}

// UserError says why a name cannot be a user's.
type UserError struct {
	Name string
	Why  string
}

func (e *UserError) Error() string { return fmt.Sprintf("user name %q %s", e.Name, e.Why) }

// PasswordError says why a user cannot have a password. It does not tell the
// password.
type PasswordError struct {
	User string
	Why  string
}

func (e *PasswordError) Error() string { return fmt.Sprintf("password of user %q %s", e.User, e.Why) }

// LineError says which line of a file is of no use to the registry.
type LineError struct {
	Line int // from 1
	Why  string
}

func (e *LineError) Error() string { return fmt.Sprintf("line %d %s", e.Line, e.Why) }

// Render returns the file for users, in their order. A line of the file that
// there is already is kept when it still fits its user's password and cost:
// every new hash has another salt, and nothing should change without need.
//
// All problems are returned at once, as [*UserError] and [*PasswordError]; no
// user at all is [ErrNoUsers].
func Render(users []User, have []byte) ([]byte, error) {
	if err := Check(users); err != nil {
		return nil, err
	}
	// A file that cannot be read has no line to keep.
	old, _ := parse(have)
	var out bytes.Buffer
	for _, u := range users {
		hash := old[u.Name].hash
		if !fits(hash, u) {
			fresh, err := bcrypt.GenerateFromPassword([]byte(u.Password), u.Cost)
			if err != nil {
				return nil, fmt.Errorf("hashing password of user %q: %w", u.Name, err)
			}
			hash = string(fresh)
		}
		fmt.Fprintf(&out, "%s:%s\n", u.Name, hash)
	}
	return out.Bytes(), nil
}

func fits(hash string, u User) bool {
	cost, err := bcrypt.Cost([]byte(hash))
	return err == nil && cost == u.Cost && len(hash) == hashLength && matches(hash, u.Password)
}

// Check returns what Render would refuse, without hashing anything.
func Check(users []User) error {
	if len(users) == 0 {
		return ErrNoUsers
	}
	var problems []error
	seen := map[string]bool{}
	for _, u := range users {
		if why := badName(u.Name); why != "" {
			problems = append(problems, &UserError{Name: u.Name, Why: why})
		} else if seen[u.Name] {
			problems = append(problems, &UserError{Name: u.Name, Why: "is given twice"})
		}
		seen[u.Name] = true
		if why := badPassword(u.Password); why != "" {
			problems = append(problems, &PasswordError{User: u.Name, Why: why})
		}
		if u.Cost < minCost || u.Cost > maxCost {
			problems = append(problems, fmt.Errorf("bcrypt cost %d of user %q is not in %d-%d", u.Cost, u.Name, minCost, maxCost))
		}
	}
	return errors.Join(problems...)
}

// badName says what is wrong with a name. HTTP's basic authentication splits at
// the first colon (RFC 7617), the registry cuts spaces off lines and skips those
// that begin with '#', and clients do not agree on the encoding of the rest.
func badName(name string) string {
	switch {
	case name == "":
		return "is empty"
	case len(name) > maxName:
		return fmt.Sprintf("has %d bytes, at most %d are possible", len(name), maxName)
	case strings.Contains(name, ":"):
		return "contains a colon, which ends a name in HTTP's basic authentication"
	case name[0] == '#':
		return "begins with '#', which begins a comment in an htpasswd file"
	}
	for _, r := range name {
		if r <= ' ' || r > '~' {
			return fmt.Sprintf("contains %q, only visible ASCII characters are possible", r)
		}
	}
	return ""
}

func badPassword(password string) string {
	switch {
	case password == "":
		return "is empty"
	case len(password) > maxPassword:
		return fmt.Sprintf("has %d bytes, bcrypt takes at most %d", len(password), maxPassword)
	case strings.ContainsAny(password, "\r\n"):
		return "contains a line break"
	case strings.IndexFunc(password, func(r rune) bool { return r < ' ' || r == 0x7f }) >= 0:
		return "contains a control character, which HTTP's basic authentication forbids"
	default:
		return ""
	}
}

// Match reports whether the registry would let a user in with a password, given
// a file. It errs where the registry errs: a file with one line that it cannot
// read lets nobody in, and of a password only the first 72 bytes count.
func Match(file []byte, user, password string) bool {
	lines, err := parse(file)
	if err != nil {
		return false
	}
	l, ok := lines[user]
	return ok && matches(l.hash, password)
}

func matches(hash, password string) bool {
	return bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) == nil
}

// Valid returns what in a file is of no use to the registry: a line that it
// cannot read, for which it refuses the whole file, or a hash that no password
// will ever match. Those are [*LineError]. A file without any user is
// [ErrNoUsers].
func Valid(file []byte) error {
	lines, err := parse(file)
	if err != nil {
		return err
	}
	if len(lines) == 0 {
		return ErrNoUsers
	}
	var problems []error
	for _, l := range lines {
		if _, err := bcrypt.Cost([]byte(l.hash)); err != nil {
			problems = append(problems, &LineError{Line: l.number, Why: "does not hold a bcrypt hash"})
		}
	}
	return errors.Join(problems...)
}

// line is one user's line.
type line struct {
	number int
	hash   string
}

// parse reads a file as the registry does, down to the line length of the
// scanner (distribution registry/auth/htpasswd/htpasswd.go, parseHTPasswd). Of
// two lines for one user the later counts.
func parse(file []byte) (map[string]line, error) {
	lines := map[string]line{}
	scanner := bufio.NewScanner(bytes.NewReader(file))
	number := 0
	for scanner.Scan() {
		number++
		text := strings.TrimSpace(scanner.Text())
		if text == "" || text[0] == '#' {
			continue
		}
		name, hash, found := strings.Cut(text, ":")
		if !found {
			return nil, &LineError{Line: number, Why: "has no colon"}
		}
		lines[name] = line{number: number, hash: hash}
	}
	if scanner.Err() != nil {
		return nil, &LineError{Line: number + 1, Why: "is too long"}
	}
	return lines, nil
}

// Generate returns a new password of 32 random bytes, in characters that need
// no quoting in a URL or a shell.
func Generate(rand io.Reader) (string, error) {
	secret := make([]byte, generated)
	if _, err := io.ReadFull(rand, secret); err != nil {
		return "", fmt.Errorf("generating a password: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(secret), nil
}
