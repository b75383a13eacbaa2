// Idle is the program of the containers in this package's tests: it says who it
// is and, if asked, how it was called, tries to write where it is told to, and runs until it is stopped.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, os.Interrupt)
	fmt.Println("uid", os.Getuid())
	if os.Getenv("ARGS") != "" {
		fmt.Println("args", os.Args)
	}
	if file := os.Getenv("WRITE"); file != "" {
		fmt.Println("write", os.WriteFile(file, []byte("x"), 0o600))
	}
	fmt.Println("ready")
	<-stop
}
