package main

import (
	"cmp"
	_ "embed"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/urfave/cli/v2"
)

// exampleConfig is a config with every key, each at its default. The README
// shows it, and a test reads it.
//
//go:embed testdata/certyard.yaml
var exampleConfig string

// version is set by the linker for a release; otherwise the build information
// tells.
var version string

type versionInfo struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func readVersion() versionInfo {
	v := versionInfo{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	v.Version = cmp.Or(v.Version, info.Main.Version)
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v.Revision = s.Value
		}
	}
	return v
}

func (a *app) versionCommand() *cli.Command {
	return &cli.Command{
		Name:  "version",
		Usage: "print the version",
		Action: func(*cli.Context) error {
			v := readVersion()
			if a.global.json {
				return a.printJSON(v)
			}
			_, err := fmt.Fprintln(a.stdout, "certyard", v.Version, v.Go, v.Platform)
			return err
		},
	}
}

func (a *app) completionCommand() *cli.Command {
	return &cli.Command{
		Name:      "completion",
		Usage:     "print a shell's completion script: bash, zsh or fish",
		ArgsUsage: "bash|zsh|fish",
		Description: `bash:   source <(certyard completion bash)
zsh:    source <(certyard completion zsh)
fish:   certyard completion fish | source`,
		Action: func(c *cli.Context) error {
			script, ok := map[string]string{"bash": bashCompletion, "zsh": zshCompletion}[c.Args().First()]
			if c.Args().First() == "fish" {
				var err error
				if script, err = c.App.ToFishCompletion(); err != nil {
					return err
				}
				ok = true
			}
			if !ok || c.NArg() != 1 {
				return usagef("completion wants one of bash, zsh, fish")
			}
			_, err := fmt.Fprint(a.stdout, script)
			return err
		},
		BashComplete: func(*cli.Context) { fmt.Fprintln(a.stdout, "bash\nzsh\nfish") },
	}
}

// Both scripts ask the program itself, with the flag that urfave/cli answers.
const bashCompletion = `_certyard() {
  local cur="${COMP_WORDS[COMP_CWORD]}" words=("${COMP_WORDS[@]:0:COMP_CWORD}")
  [[ "$cur" == -* ]] && words+=("$cur")
  mapfile -t COMPREPLY < <(compgen -W "$("${words[@]}" --generate-bash-completion 2>/dev/null)" -- "$cur")
}
complete -o default -F _certyard certyard
`

const zshCompletion = `_certyard() {
  local -a found ask
  ask=("${(@)words[1,CURRENT-1]}")
  [[ "${words[CURRENT]}" == -* ]] && ask+=("${words[CURRENT]}")
  found=("${(@f)$("${ask[@]}" --generate-bash-completion 2>/dev/null)}")
  compadd -a found
}
compdef _certyard certyard
`
