package explain

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

const (
	quietLine = "#12 34.567 Get:17 http://deb.debian.org/debian bookworm/main amd64 libssl3 amd64 3.0.19-1 [2,027 kB]\n"
	loudLine  = `#12 ERROR: failed to push registry:5000/app: failed to do request: Head "https://registry:5000/v2/app/blobs/sha256:1": tls: failed to verify certificate: x509: certificate is valid for localhost, not registry` + "\n"
	message   = "x509: certificate signed by unknown authority"
)

func scanned(t *testing.T, r io.Reader) Result {
	t.Helper()
	got, err := Scan(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestMachine: it finds what looking for each word finds.
func TestMachine(t *testing.T) {
	words := []string{"abcab", "bcabc", "cabca", "bca", "aaaa", "abcabcabc", "b c"}
	m := newMachine(words)
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		text := make([]byte, 200)
		for i := range text {
			text[i] = "aaabbbccc d\n"[random.IntN(12)]
		}
		var want, got []string
		for i := range text {
			for _, w := range words {
				if bytes.HasSuffix(text[:i+1], []byte(w)) {
					want = append(want, fmt.Sprint(i+1, w))
				}
			}
		}
		for state, i := uint32(0), 0; ; {
			var found []int
			if found, state, i = m.find(text, state, i); found == nil {
				break
			}
			for _, w := range found {
				got = append(got, fmt.Sprint(i, words[w]))
			}
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Fatalf("%q: found %v, want %v", text, got, want)
		}
	}
}

// TestAnyReads: how a text is cut into reads changes nothing.
func TestAnyReads(t *testing.T) {
	text := strings.Repeat(quietLine, 4000) + loudLine + strings.Repeat(quietLine, 3000) + strings.TrimSuffix(loudLine, "\n")
	want := scanned(t, strings.NewReader(text))
	if len(want.Messages) != 1 || want.Messages[0].Line != 4001 || want.Messages[0].Count != 2 || want.Lines != 7002 {
		t.Fatalf("found %+v in %d lines", want.Messages, want.Lines)
	}
	for name, r := range map[string]io.Reader{
		"one byte": iotest.OneByteReader(strings.NewReader(text)), "half": iotest.HalfReader(strings.NewReader(text)), "data with EOF": iotest.DataErrReader(strings.NewReader(text)),
	} {
		if got := scanned(t, r); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

// TestLongLines: a message is found once wherever it stands in a line of any
// length, across the parts that it is looked at in.
func TestLongLines(t *testing.T) {
	for _, around := range []int{window - overlap, window, 2 * window, chunk, 2 * chunk, 3*chunk - overlap} {
		for _, shift := range []int{-len(message), -len(message) / 2, -1, 0, 1} {
			at := around + shift
			for _, end := range []string{"", "\n"} {
				text := strings.Repeat("x", at) + " " + message + strings.Repeat(" y", 2*window) + end
				got := scanned(t, strings.NewReader(text))
				if len(got.Messages) != 1 || got.Messages[0].Count != 1 || got.Messages[0].Line != 1 || got.Lines != 1 {
					t.Fatalf("at %d: found %d messages in %d lines: %+v", at, len(got.Messages), got.Lines, got.Messages)
				}
			}
		}
	}
}

// TestCutValues: a value that the end of a part cuts is taken from the next part.
func TestCutValues(t *testing.T) {
	const text = "x509: certificate is valid for localhost, not registry.example.test"
	for cut := 1; cut <= len(text); cut++ {
		got := scanned(t, strings.NewReader(strings.Repeat("x", window-cut)+text+strings.Repeat(" y", window)))
		if len(got.Messages) != 1 || got.Messages[0].Values["name"] != "registry.example.test" {
			t.Fatalf("cut after %d bytes: %+v", cut, got.Messages)
		}
	}
}

// TestCommands: what a log says becomes part of a command only when a shell takes
// it for one plain word.
func TestCommands(t *testing.T) {
	for name, want := range map[string]string{
		"reg.test": "-servername reg.test ", "$(id)": "-servername HOST ", "a|b": "-servername HOST ", "-x": "-servername HOST ", "a`b": "-servername a ", "a&b": "-servername HOST ",
	} {
		got := Match("x509: certificate is valid for localhost, not " + name)
		if len(got) != 1 || !strings.Contains(got[0].Confirm, want) {
			t.Errorf("%q: %+v", name, got)
		}
	}
}

// TestLines: what ends a line, and what is counted.
func TestLines(t *testing.T) {
	for _, c := range []struct {
		text        string
		lines, line int
	}{
		{message, 1, 1},
		{message + "\n", 1, 1},
		{"a\nb\n" + message + "\nc", 4, 3},
		{"a\r\nb\r\n" + message + "\r\nc\r\n", 4, 3},
		{"10%\r50%\r" + message + "\r100%\n", 1, 1},
		{"x509: certificate signed by\nunknown authority", 2, 0},
		{"x509: certificate signed by\runknown authority", 1, 0},
		{"", 0, 0},
	} {
		got := scanned(t, strings.NewReader(c.text))
		line := 0
		if len(got.Messages) > 0 {
			line = got.Messages[0].Line
		}
		if got.Lines != c.lines || line != c.line || got.Unknown != (c.line == 0) {
			t.Errorf("%q: %d lines, line %d, unknown %v; want %d, %d", c.text, got.Lines, line, got.Unknown, c.lines, c.line)
		}
	}
}

// TestDisguises: colours, prefixes and quoting change nothing about a message.
func TestDisguises(t *testing.T) {
	const text = `x509: certificate signed by unknown authority (possibly because of "x509: ECDSA verification failure" while trying to verify candidate authority certificate "test CA")`
	quoted := strings.ReplaceAll(text, `"`, `\"`)
	for name, line := range map[string]string{
		"plain": text, "buildkit": "#12 0.123 " + text, "compose": "buildkit-1  | " + text, "logfmt": `time="2026" level=error msg="` + quoted + `"`,
		"json": `{"log":"` + quoted + `\n","stream":"stderr"}`, "json in json": `{"log":"{\"msg\":\"` + strings.ReplaceAll(text, `"`, `\\\"`) + `\"}"}`,
		"colours":  "\x1b[31m" + strings.ReplaceAll(text, " ", "\x1b[0m \x1b[1;38;5;9m") + "\x1b[0m",
		"title":    "\x1b]0;x509: certificate\x07" + text,
		"in parts": strings.ReplaceAll(text, "certificate signed", "certi\x1b[Kficate signed"),
	} {
		got := Match(line)
		if len(got) != 1 || got[0].ID != "ca-regenerated" || got[0].Values["ca"] != "test CA" {
			t.Errorf("%s: %q: found %+v", name, line, got)
		}
		if len(got) == 1 && strings.ContainsRune(got[0].Text, escape) {
			t.Errorf("%s: the text has an escape sequence: %q", name, got[0].Text)
		}
	}
}

// TestDistinct: entry, hop and values make a message; each is there once, in the
// order of the text, and of one line the cause first.
func TestDistinct(t *testing.T) {
	text := strings.Join([]string{
		`failed to do request: Head "https://a:1/v2/": ` + message,
		`failed to do request: Head "https://b:1/v2/": ` + message,
		`failed to do request: Head "https://a:1/v2/": ` + message,
		`Error response from daemon: Get "https://a:1/v2/": ` + message,
		`dial tcp 1.2.3.4:5: connect: connection refused: while connection reset by peer`,
	}, "\n")
	var got []string
	for _, m := range scanned(t, strings.NewReader(text)).Messages {
		got = append(got, fmt.Sprint(m.ID, " ", m.Hop, " ", m.Values["server"], " ", m.Line, " ", m.Count))
	}
	want := []string{
		"unknown-authority builder to registry a:1 1 2", "unknown-authority builder to registry b:1 2 1", "unknown-authority Docker Engine to registry a:1 4 1",
		"connection-reset Docker Engine to registry 1.2.3.4:5 5 1", "connection-refused Docker Engine to registry 1.2.3.4:5 5 1",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestNear: a line before tells the hop, when it is near enough.
func TestNear(t *testing.T) {
	for lines, want := range map[int]Hop{0: BuilderRegistry, 2: BuilderRegistry, 3: "", 10: ""} {
		got := Match("#5 [internal] load metadata for reg:1/x\n" + strings.Repeat("...\n", lines) + message)
		if len(got) != 1 || got[0].Hop != want || (want == "") != (len(got[0].Hops) > 0) {
			t.Errorf("%d lines between: %+v", lines, got)
		}
	}
}

// TestMany: more distinct messages than are kept are counted.
func TestMany(t *testing.T) {
	var b strings.Builder
	for i := range MaxMessages + 50 {
		fmt.Fprintf(&b, "dial tcp 10.0.0.1:%d: connect: connection refused\n", i+1)
	}
	got := scanned(t, strings.NewReader(b.String()))
	if len(got.Messages) != MaxMessages || got.More != 50 {
		t.Errorf("kept %d, counted %d more", len(got.Messages), got.More)
	}
}

func TestReadFails(t *testing.T) {
	broken := errors.New("broken")
	got, err := Scan(t.Context(), io.MultiReader(strings.NewReader(loudLine), iotest.ErrReader(broken)))
	if !errors.Is(err, broken) || len(got.Messages) != 1 {
		t.Errorf("got %+v, %v", got, err)
	}
}

// endless is a text of so many bytes that nobody holds in memory.
func endless(unit string, size int) io.Reader {
	block := []byte(strings.Repeat(unit, 1+(1<<20)/len(unit)))
	return io.LimitReader(repeated{&block, new(int)}, int64(size))
}

type repeated struct {
	block *[]byte
	at    *int
}

func (r repeated) Read(p []byte) (int, error) {
	n := copy(p, (*r.block)[*r.at:])
	*r.at = (*r.at + n) % len(*r.block)
	return n, nil
}

// hostile are texts that cost more than others.
func hostile() map[string]string {
	return map[string]string{
		"quiet": quietLine, "loud": loudLine, "one line": strings.TrimSuffix(quietLine, "\n"), "one loud line": strings.TrimSuffix(loudLine, "\n"),
		"anchors": "dial tcp x509: certificate is valid for certificate ", "open gaps": "open ", "schemes": "://x509: unexpected EOF", "escapes": "\x1b[", "backslashes": `\`,
	}
}

// TestMemory: how long a text is, and how long its lines are, takes no memory.
func TestMemory(t *testing.T) {
	known()
	for name, unit := range hostile() {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := Scan(t.Context(), endless(unit, 8<<20)); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 6<<20 {
			t.Errorf("%s: allocated %d MiB in all", name, used>>20)
		}
	}
}

// BenchmarkScan reports MB/s, for a quiet log, for one in which every line has a
// message, and for texts that cost more than others.
func BenchmarkScan(b *testing.B) {
	known()
	for name, unit := range hostile() {
		b.Run(strings.ReplaceAll(name, " ", "-"), func(b *testing.B) {
			const size = 32 << 20
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Scan(b.Context(), endless(unit, size)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// FuzzScan: no text makes it fail, and what it finds is in the text.
func FuzzScan(f *testing.F) {
	for _, row := range typed() {
		f.Add([]byte(row.text))
	}
	f.Add([]byte("\x1b[31m\x1b]x\\\\\"\\n\r\n" + loudLine))
	f.Fuzz(func(t *testing.T, text []byte) {
		got := scanned(t, iotest.HalfReader(bytes.NewReader(text)))
		if want := bytes.Count(text, []byte("\n")); got.Lines != want && got.Lines != want+1 {
			t.Errorf("%d lines, want %d", got.Lines, want)
		}
		for _, m := range got.Messages {
			if m.Line < 1 || m.Line > got.Lines || m.Count < 1 || m.Count > got.Lines || len(m.Text) > maxText+10 || strings.ContainsAny(m.Confirm, "\n\r") {
				t.Errorf("%+v", m)
			}
			for _, v := range m.Values {
				if strings.Contains(m.Confirm, v) && !harmless(v) {
					t.Errorf("%q is in %q", v, m.Confirm)
				}
			}
		}
	})
}

// TestTable: every entry says everything, and its templates name values that its
// texts have.
func TestTable(t *testing.T) {
	ids := map[string]bool{}
	for _, e := range Entries() {
		if ids[e.ID] {
			t.Errorf("%s is there twice", e.ID)
		}
		ids[e.ID] = true
		if got, ok := Find(e.ID); !ok || got.Title != e.Title {
			t.Errorf("%s is not found", e.ID)
		}
		if e.Title == "" || e.Means == "" || e.Confirm == "" || e.Mend.Certyard == "" || e.Mend.Hand == "" || e.Source == "" || len(e.Hops) == 0 || len(e.Patterns) == 0 || len(e.Causes) == 0 {
			t.Errorf("%s does not say everything", e.ID)
		}
		m := e.General()
		for _, text := range append([]string{m.Means, m.Confirm, m.Mend.Certyard, m.Mend.Hand}, causeTexts(m)...) {
			if name := leftover.FindString(text); name != "" {
				t.Errorf("%s: %s is no value: %q", e.ID, name, text)
			}
			if first, _, _ := strings.Cut(text, " "); text == "" || strings.HasSuffix(text, ".") && !strings.Contains(text, ". ") && !strings.HasSuffix(text, "..") {
				t.Errorf("%s: %q (%s) is empty or ends with a period", e.ID, text, first)
			}
		}
		if strings.Contains(m.Confirm, "\n") {
			t.Errorf("%s: confirm is more than one command: %q", e.ID, m.Confirm)
		}
	}
}

var leftover = regexp.MustCompile(`\{[a-z]+\}`)

func causeTexts(m Message) []string {
	var out []string
	for _, c := range m.Causes {
		out = append(out, c.Cause, c.Tell)
	}
	return out
}
