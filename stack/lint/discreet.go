package lint

import "regexp"

// Discreet returns a finding without secrets that what was looked at may have put
// into it: passwords in URLs and the texts that Compose quotes are left out, and
// corrected lines that hold a password or the like are not offered, since they
// would be printed. A mend that a person has to make is better than a password in
// the log of a CI job.
func Discreet(f Finding) Finding {
	f.Object, f.Problem, f.Mend = withoutSecrets(f.Object), withoutSecrets(f.Problem), withoutSecrets(f.Mend)
	for _, e := range f.Edits {
		for _, line := range e.New {
			if holdsSecret(line) {
				f.Edits = nil
				return f
			}
		}
	}
	return f
}

// withoutSecrets masks the password of a URL, and cuts what Compose repeats of a
// value whose variables it cannot read (compose-go v2.16.2
// interpolation/interpolation.go:178): that may be any text of the file.
func withoutSecrets(text string) string {
	text = regexp.MustCompile(`(://[^\s/"'@]*?:)[^\s/"']*@`).ReplaceAllString(text, "$1...@")
	text = regexp.MustCompile(`(?s)unterminated quoted value .*`).ReplaceAllString(text, "a value has no closing quote") // dotenv/parser.go
	return regexp.MustCompile(`(?s)\.\nYou may need to escape any \$ with another \$\..*`).ReplaceAllString(text, ": write $$$$ for a $$ that is meant as such")
}

// holdsSecret reports whether a line of a config sets something that is secret, by
// the name of its key, or has a URL with a password. A mount, as
// ./secrets:/run/secrets, has no space behind its colon and sets nothing.
func holdsSecret(line string) bool {
	const names = `secret|passw(?:or)?d|passphrase|token|access_?key|api_?key|private_?key|authorization|credential`
	return regexp.MustCompile(`(?i)(?:`+names+`)[\w.-]*(?:["']\s*[:=]|\s*=|\s*:\s)\s*["']?[^\s"']`).MatchString(line) ||
		withoutSecrets(line) != line
}
