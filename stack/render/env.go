package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/certyard/certyard/stack"
)

// EnvFormats lists the formats of [Environment], the default one first.
func EnvFormats() []string {
	return []string{"sh", "fish", "powershell", "dotenv", "json", "github"}
}

// Environment renders variables for a shell or a file: sh, fish and powershell
// are commands to evaluate, dotenv is a line each, json is one object, github is
// what a workflow appends to $GITHUB_ENV. Values are quoted so that no
// character of them is interpreted.
func Environment(vars []stack.Variable, format string) ([]byte, error) {
	if format == "json" {
		object := map[string]string{}
		for _, v := range vars {
			object[v.Name] = v.Value
		}
		data, err := json.MarshalIndent(object, "", "  ")
		return append(data, '\n'), err
	}
	for _, v := range vars {
		if problem := unfit(v.Value, format); problem != "" {
			// Never the value: it may be a password.
			return nil, fmt.Errorf("rendering the environment: %s holds %s", v.Name, problem)
		}
	}
	line, ok := map[string]func(name, value string) string{
		"sh":         func(n, v string) string { return "export " + n + "=" + ShellQuote(v) },
		"fish":       func(n, v string) string { return "set -gx " + n + " " + fishQuote(v) + ";" },
		"powershell": func(n, v string) string { return "$Env:" + n + " = " + powershellQuote(v) },
		"dotenv":     func(n, v string) string { return n + "=" + dotenvQuote(v) },
		"github":     func(n, v string) string { return n + "=" + v },
	}[format]
	if !ok {
		return nil, fmt.Errorf("rendering the environment: format %q is not known; want %s", format, strings.Join(EnvFormats(), ", "))
	}
	var out bytes.Buffer
	for _, v := range vars {
		out.WriteString(line(v.Name, v.Value) + "\n")
	}
	return out.Bytes(), nil
}

// Unset renders the commands that take the variables away again, for the
// formats that a shell evaluates.
func Unset(vars []stack.Variable, format string) ([]byte, error) {
	command := map[string]string{"sh": "unset %s\n", "fish": "set -e %s;\n", "powershell": "Remove-Item Env:\\%s\n"}[format]
	if command == "" {
		return nil, fmt.Errorf("rendering the environment: format %q cannot unset variables; sh, fish and powershell can", format)
	}
	var out bytes.Buffer
	for _, v := range vars {
		fmt.Fprintf(&out, command, v.Name)
	}
	return out.Bytes(), nil
}

// unfit says what in a value cannot be rendered, "" when all of it can.
func unfit(v, format string) string {
	switch {
	case strings.Contains(v, "\x00"):
		return "a NUL byte, which no environment can hold"
	case (format == "dotenv" || format == "github") && strings.ContainsAny(v, "\r\n"):
		return "a line break, which the format " + format + " cannot hold"
	default:
		return ""
	}
}

// plain values mean the same in every format. A "=" is none: at the start of a
// value zsh takes it for the path of a command.
var plain = regexp.MustCompile(`^[A-Za-z0-9_./:@%+,-]+$`)

// ShellQuote returns v as one word of POSIX shells: as it is where nothing in it
// is special, else in single quotes, inside which nothing is.
func ShellQuote(v string) string {
	if plain.MatchString(v) {
		return v
	}
	return "'" + strings.ReplaceAll(v, "'", `'\''`) + "'"
}

// fishQuote quotes for fish, where \ and ' are special inside single quotes.
func fishQuote(v string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(v) + "'"
}

// powershellQuote doubles what PowerShell takes for a single quote: the
// typographic ones too (about_Quoting_Rules).
func powershellQuote(v string) string {
	return "'" + strings.NewReplacer("'", "''", "\u2018", "\u2018\u2018", "\u2019", "\u2019\u2019",
		"\u201a", "\u201a\u201a", "\u201b", "\u201b\u201b").Replace(v) + "'"
}

// dotenvQuote quotes as the common readers of .env files agree on: single
// quotes keep everything but a single quote itself, and a backslash before it.
func dotenvQuote(v string) string {
	if plain.MatchString(v) {
		return v
	}
	if !strings.Contains(v, "'") && !strings.HasSuffix(v, `\`) {
		return "'" + v + "'"
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`).Replace(v) + `"`
}
