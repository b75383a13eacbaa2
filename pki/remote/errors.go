package remote

import "fmt"

// OptionError says which option cannot be used.
type OptionError struct{ Why string }

func (e *OptionError) Error() string { return e.Why }

// UnavailableError says that the server was not reached, or is not the one that
// was meant.
type UnavailableError struct {
	URL      string
	Attempts int
	Err      error
}

func (e *UnavailableError) Error() string {
	return fmt.Sprintf("asking %s (attempt %d): %v", e.URL, e.Attempts, e.Err)
}

// Unwrap returns the cause.
func (e *UnavailableError) Unwrap() error { return e.Err }

// RefusedError says that the server answered, and said no.
type RefusedError struct{ URL, Message string }

func (e *RefusedError) Error() string { return fmt.Sprintf("%s refuses: %s", e.URL, e.Message) }

// AnswerError says that the server's answer is none.
type AnswerError struct{ URL, Why string }

func (e *AnswerError) Error() string { return fmt.Sprintf("%s answers with %s", e.URL, e.Why) }
