package explain

import (
	"regexp"
	"strings"
)

// MaxMessages is how many distinct messages are kept; of more, the lines are
// counted.
const MaxMessages = 200

// maxText is how much of a line is shown, in bytes.
const maxText = 400

// collector keeps distinct messages.
type collector struct {
	seen     map[string]int // index in messages, by what makes them distinct
	messages []Message
	last     []int // the line that each was found in last
	more     int
	key      []byte
}

// keep keeps what was found in a line, or counts it.
func (c *collector) keep(f *finder, m match, hop Hop, number int) {
	p, line := &f.patterns[m.pattern], f.line
	server := f.serverOf(m, hop)
	c.key = append(append(c.key[:0], byte(p.entry), 0), hop...)
	c.key = append(append(c.key, 0), line[server.from:server.to]...)
	for i, g := range p.gaps {
		if g.name != "" {
			c.key = append(append(c.key, 0), g.name...)
			c.key = append(append(c.key, '='), line[m.gaps[i].from:m.gaps[i].to]...)
		}
	}
	at, ok := c.seen[string(c.key)]
	switch {
	case ok && c.last[at] == number:
	case ok:
		c.messages[at].Count++
		c.last[at] = number
	case len(c.messages) == MaxMessages:
		c.more++
	default:
		c.seen[string(c.key)] = len(c.messages)
		c.messages = append(c.messages, newMessage(f.table, line, m, hop, server, number))
		c.last = append(c.last, number)
	}
}

func newMessage(t *table, line []byte, m match, hop Hop, server span, number int) Message {
	p := &t.patterns[m.pattern]
	values := map[string]string{}
	set := func(name string, s span) {
		if text := strings.ToValidUTF8(string(line[s.from:s.to]), "?"); text != "" {
			values[name] = text
		}
	}
	set("server", server)
	for i, g := range p.gaps {
		if g.name != "" {
			set(g.name, m.gaps[i])
		}
	}
	out := t.entries[p.entry].message(hop, values, p.source)
	out.Line, out.Count, out.Text = number, 1, excerpt(line, m.span)
	return out
}

// secrets are what logs and command lines say of passwords: the registry logs that
// of the user which it makes (distribution v3.1.2
// registry/auth/htpasswd/access.go:160-164).
var secrets = regexp.MustCompile(`(?i)((?:password|passwd|secret|token)(?:=|": *)"?|authorization: *(?:basic|bearer) +)[^\s",}]+|(://[^/\s:@]*:)[^\s/@]+@`)

// excerpt returns the line, or of a long one what is around the message.
func excerpt(line []byte, s span) string {
	from, to := 0, len(line)
	if to > maxText {
		from = max(0, min(s.from-maxText/4, to-maxText))
		to = from + maxText
	}
	text := strings.TrimSpace(strings.ToValidUTF8(string(line[from:to]), ""))
	text = secrets.ReplaceAllString(text, "${1}${2}***")
	if from > 0 {
		text = "..." + text
	}
	if to < len(line) {
		text += "..."
	}
	return text
}

// result returns what was kept.
func (c *collector) result(lines int) Result {
	return Result{Messages: append([]Message{}, c.messages...), Lines: lines, Unknown: len(c.messages) == 0, More: c.more}
}
