// Command certyard sets up a TLS registry and a TLS BuildKit builder on a
// Docker Engine and proves that they work.
package main

import (
	"context"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	// Libraries below BuildKit's client write to the standard logger when a
	// connection ends; what matters of it comes back as an error.
	log.SetOutput(io.Discard)
	// A reader that has gone is an error for who writes, and must not end what is half
	// done. Caught and not ignored: commands that are run here would inherit that.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	// But not a second SIGHUP: when a terminal is closed, the shell and the kernel both
	// send one. nohup has it ignored.
	if !signal.Ignored(syscall.SIGHUP) {
		var forget context.CancelFunc
		ctx, forget = signal.NotifyContext(ctx, syscall.SIGHUP)
		defer forget()
	}
	os.Exit(run(ctx, os.Args, os.Stdin, os.Stdout, os.Stderr))
}
