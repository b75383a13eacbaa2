package stacktest

import (
	"bytes"
	"context"
	"reflect"
	"sync"
	"testing"

	"github.com/sirupsen/logrus"
)

// logTo returns a context whose logger keeps what it is told, and shows it when
// the test has failed. It outlives the test's own context, since what is cleaned up
// after the test may still ask the registry.
func logTo(t testing.TB) logged {
	t.Helper()
	logger, out := logrus.New(), &buffer{}
	logger.SetOutput(out)
	logger.SetFormatter(&logrus.TextFormatter{DisableColors: true})
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the registry's log:\n%s", out)
		}
	})
	return logged{context.WithoutCancel(t.Context()), logrus.NewEntry(logger), out}
}

// logged is a context with a logger for distribution. The key that distribution
// looks for is of a package that nobody else may import (internal/dcontext,
// logger.go), and its default logger is one for the whole process, which belongs
// to the test's author.
type logged struct {
	context.Context
	logger *logrus.Entry
	text   *buffer // where that writes
}

func (c logged) Value(key any) any {
	of := reflect.TypeOf(key)
	if of.Name() == "loggerKey" && of.PkgPath() == "github.com/distribution/distribution/v3/internal/dcontext" {
		return c.logger
	}
	return c.Context.Value(key)
}

// buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
