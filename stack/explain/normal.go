package explain

import "bytes"

const escape = 0x1b

// normal appends the line to dst as its author meant it: without terminal escape
// sequences, and with the quotes of a text that a log has quoted.
func normal(dst, line []byte) []byte {
	if bytes.IndexByte(line, escape) < 0 && bytes.IndexByte(line, '\\') < 0 {
		return append(dst, line...)
	}
	for i := 0; i < len(line); {
		switch line[i] {
		case escape:
			i = escapeEnd(line, i)
		case '\\':
			dst, i = unquoted(dst, line, i)
		default:
			dst = append(dst, line[i])
			i++
		}
	}
	return dst
}

// unquoted appends what the backslashes at line[i] stand for. A log in a log has
// several of them, which are one.
func unquoted(dst, line []byte, i int) ([]byte, int) {
	for i < len(line) && line[i] == '\\' {
		i++
	}
	if i == len(line) {
		return dst, i
	}
	switch line[i] {
	case '"':
		return append(dst, '"'), i + 1
	case 'n', 'r', 't':
		return append(dst, ' '), i + 1
	default:
		return append(dst, '\\'), i
	}
}

// escapeEnd returns the index behind the escape sequence at text[i]: ECMA-48
// control sequences, and operating system commands up to BEL or ESC.
func escapeEnd(text []byte, i int) int {
	i++
	if i == len(text) {
		return i
	}
	switch text[i] {
	case '[':
		for i++; i < len(text) && text[i] >= 0x20 && text[i] <= 0x3f; i++ {
		}
		if i < len(text) && text[i] >= 0x40 && text[i] <= 0x7e {
			i++
		}
	case ']':
		for i++; i < len(text) && text[i] >= 0x20; i++ {
		}
		if i < len(text) && text[i] == 0x07 {
			i++
		}
	}
	return i
}
