package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
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
	line, ok := map[string]func(name, value string) string{
		"sh":         func(n, v string) string { return "export " + n + "=" + shQuote(v) },
		"fish":       func(n, v string) string { return "set -gx " + n + " " + fishQuote(v) + ";" },
		"powershell": func(n, v string) string { return "$Env:" + n + " = '" + strings.ReplaceAll(v, "'", "''") + "'" },
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

var plain = regexp.MustCompile(`^[A-Za-z0-9_./:@%+,=-]+$`)

// shQuote quotes for POSIX shells: inside single quotes nothing is special.
func shQuote(v string) string {
	if plain.MatchString(v) {
		return v
	}
	return "'" + strings.ReplaceAll(v, "'", `'\''`) + "'"
}

// fishQuote quotes for fish, where \ and ' are special inside single quotes.
func fishQuote(v string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(v) + "'"
}

// dotenvQuote quotes as the common readers of .env files agree on: single
// quotes keep everything but a single quote itself.
func dotenvQuote(v string) string {
	if plain.MatchString(v) {
		return v
	}
	if !strings.Contains(v, "'") {
		return "'" + v + "'"
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "`", "\\`").Replace(v) + `"`
}

// Names returns the variables' names, sorted.
func Names(vars []stack.Variable) []string {
	var out []string
	for _, v := range vars {
		out = append(out, v.Name)
	}
	slices.Sort(out)
	return out
}
