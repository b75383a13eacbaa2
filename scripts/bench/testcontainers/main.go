// Testcontainers starts a registry with testcontainers-go's module for it, waits for
// the first answer to a password, removes it, and prints how many nanoseconds both
// took. It is a peer in scripts/bench, in a module of its own, so that certyard does
// not depend on it.
//
// The registry has what the module offers: a password and plain HTTP. The image is
// one that the engine has.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/testcontainers/testcontainers-go"
	tclog "github.com/testcontainers/testcontainers-go/log"
	"github.com/testcontainers/testcontainers-go/modules/registry"
	"golang.org/x/crypto/bcrypt"
)

const (
	user, password = "testuser", "bench"

	// Where the image, as the official one, has its config by default.
	configFile = "/etc/distribution/config.yml"
	config     = `version: 0.1
storage: {filesystem: {rootdirectory: /var/lib/registry}}
auth: {htpasswd: {realm: bench, path: /htpasswd}}
http: {addr: ":5000"}
`
)

func main() {
	image := flag.String("image", "", "start the registry of `IMAGE`, which the engine has")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	ready, gone, err := measure(ctx, *image)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "testcontainers: error:", err)
		os.Exit(1)
	}
	fmt.Println(ready.Nanoseconds(), gone.Nanoseconds())
}

// measure leaves no container behind, also when ctx ends.
func measure(ctx context.Context, image string) (ready, gone time.Duration, err error) {
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		return 0, 0, err
	}
	start := time.Now()
	container, err := registry.Run(ctx, image,
		testcontainers.WithLogger(tclog.Logger(log.New(io.Discard, "", 0))),
		testcontainers.WithFiles(file(configFile, config), file("/htpasswd", user+":"+string(hash)+"\n")))
	if err == nil {
		err = ask(ctx, container.RegistryName)
	}
	ready, start = time.Since(start), time.Now()
	err = errors.Join(err, testcontainers.TerminateContainer(container))
	return ready, time.Since(start), err
}

func file(path, content string) testcontainers.ContainerFile {
	return testcontainers.ContainerFile{Reader: strings.NewReader(content), ContainerFilePath: path, FileMode: 0o644}
}

// ask makes an authenticated request.
func ask(ctx context.Context, host string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+"/v2/", nil)
	if err != nil {
		return err
	}
	request.SetBasicAuth(user, password)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("asking the registry: %s", response.Status)
	}
	return nil
}
