package main

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// flagsFirst moves the flags of a command line before the arguments of its
// command, so that "client add bob --out DIR" means what everybody expects: the
// library takes what follows the first argument for arguments.
func flagsFirst(root *cli.App, args []string) []string {
	flags, commands := root.Flags, root.Commands
	i := 1
	for i < len(args) {
		if isFlag(args[i]) {
			i += width(flags, args, i)
			continue
		}
		at := slices.IndexFunc(commands, func(c *cli.Command) bool { return c.HasName(args[i]) })
		if at < 0 {
			break
		}
		flags, commands = commands[at].Flags, commands[at].Subcommands
		i++
		if len(commands) == 0 {
			break
		}
	}
	i = min(i, len(args))
	return append(slices.Clone(args[:i]), sorted(flags, args[i:])...)
}

// sorted returns flags with their values, and then the arguments.
func sorted(flags []cli.Flag, args []string) []string {
	var first, rest []string
	for i := 0; i < len(args); {
		if args[i] == "--" {
			rest = append(rest, args[i+1:]...)
			break
		}
		if !isFlag(args[i]) {
			rest = append(rest, args[i])
			i++
			continue
		}
		n := width(flags, args, i)
		first = append(first, args[i:i+n]...)
		i += n
	}
	if len(rest) == 0 {
		return first
	}
	// What follows is an argument, whatever it looks like.
	return append(append(first, "--"), rest...)
}

func isFlag(arg string) bool { return len(arg) > 1 && arg[0] == '-' && arg != "--" }

// width returns how many words a flag is: two, when its value is a word of its
// own.
func width(flags []cli.Flag, args []string, i int) int {
	name, _, hasValue := strings.Cut(strings.TrimLeft(args[i], "-"), "=")
	for _, f := range flags {
		if !slices.Contains(f.Names(), name) {
			continue
		}
		if _, toggle := f.(*cli.BoolFlag); !toggle && !hasValue && i+1 < len(args) {
			return 2
		}
	}
	return 1
}
