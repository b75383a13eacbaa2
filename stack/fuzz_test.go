package stack_test

import (
	"strings"
	"testing"

	"github.com/certyard/certyard/stack"
)

// FuzzParseState: a record is read or refused, and what is read can be used.
func FuzzParseState(f *testing.F) {
	s := stack.State{Version: 1, Spec: mustRead(f, ""), Files: map[string]string{"x": "y"}}
	file, err := s.File()
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{string(file.Data), "", "null", "{}", `{"version":1}`, `{"version":1,"spec":{"registry":{"publish":{"ip":"::"}}}}`, strings.Repeat("[", 10000)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 16<<10 {
			return // longer ones only take longer
		}
		s, err := stack.ParseState([]byte(text))
		if err != nil {
			return
		}
		_, _ = s.Spec.PKIPlan(s.Facts, s.Clients)
		if _, err := s.File(); err != nil {
			t.Errorf("it cannot be written: %v", err)
		}
	})
}

// FuzzParseSecrets: no part of what is damaged is in the error.
func FuzzParseSecrets(f *testing.F) {
	for _, seed := range []string{`{"passwords":{"a":"hunter2"}}`, `{"passwords":{"a":"hunter2"`, `"hunter2"`, `{"passwords":"hunter2"}`, ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := stack.ParseSecrets([]byte(text)); err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error quotes it: %v", err)
		}
	})
}
