package main

import (
	"errors"
	"io"
	"io/fs"
	"syscall"
)

// output is stdout, where what was asked for goes. It keeps the first error, so that
// run can say that something of it was lost, whoever wrote.
type output struct {
	to  io.Writer
	err error
}

func (o *output) Write(p []byte) (int, error) {
	n, err := o.to.Write(p)
	if err != nil {
		err = &outputError{err}
	}
	if o.err == nil {
		o.err = err
	}
	return n, err
}

// outputError says that what was asked for could not be written.
type outputError struct{ err error }

func (e *outputError) Error() string {
	cause := e.err
	if path, ok := errors.AsType[*fs.PathError](e.err); ok {
		cause = path.Err // which stdout it was is not known by its path
	}
	return "writing to stdout: " + cause.Error()
}

func (e *outputError) Unwrap() error { return e.err }

// unread reports whether an error is that the reader of stdout has gone.
func unread(err error) bool {
	lost, ok := errors.AsType[*outputError](err)
	return ok && errors.Is(lost, syscall.EPIPE)
}

// printing are the commands that do nothing but print. When whoever reads has gone,
// there is nothing that they would have to tell.
var printing = map[string]bool{
	"client list": true, "completion": true, "env": true, "explain": true, "list": true, "logs": true,
	"pki export": true, "pki show": true, "pki verify": true, "status": true, "version": true,
}
