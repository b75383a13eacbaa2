package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// clean shows what a terminal would obey. Certificates and servers are written
// by others: a line end in a name must not begin a line that we seem to have
// said, nor an escape sequence colour, move or hide one.
func clean(text string) string {
	if strings.IndexFunc(text, obeyed) < 0 {
		return text
	}
	var b strings.Builder
	for i, r := range text {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(text[i:], string(utf8.RuneError)):
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case obeyed(r):
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// obeyed reports whether a terminal does something else with a rune than to
// show it: control characters, those that turn the direction of writing or
// have no width, separators of lines, and bytes that are no text at all.
func obeyed(r rune) bool {
	return r == utf8.RuneError || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
}

// painted is text that is cleaned already, with our own colours.
type painted string

// cleaned returns the arguments of a format, with every text among them clean.
func cleaned(args []any) []any {
	out := slices.Clone(args)
	for i, arg := range out {
		switch arg := arg.(type) {
		case painted, int, int64, bool:
		case string:
			out[i] = clean(arg)
		default:
			out[i] = clean(fmt.Sprint(arg))
		}
	}
	return out
}
