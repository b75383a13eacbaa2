package compose

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/distribution/reference"
	"github.com/docker/cli/cli/command"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/client"
)

const (
	// patience is how long a registry may be silent before a pull that has an
	// alternative is given up. An engine waits for minutes.
	patience = 3 * time.Second
	// silence is how long a pull may make no progress, when there is no
	// alternative or the registry is known to be there.
	silence = 60 * time.Second
)

// pulled pulls the official image.
func (f finder) pulled(ctx context.Context) (Resolved, error) {
	err := f.pull(ctx)
	if err == nil {
		var r Resolved
		if r, err = f.inspectImage(ctx, f.Ref, SourcePulled); err == nil {
			return r, nil
		}
	}
	return Resolved{}, &PullError{Image: f.Ref, Err: err}
}

func (f finder) pull(ctx context.Context) error {
	named, err := reference.ParseNormalizedNamed(f.Ref)
	if err != nil {
		return err
	}
	auth, err := command.RetrieveAuthTokenFromImage(f.cli.ConfigFile(), f.Ref)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	heard := f.watch(ctx, cancel, registryAddress(reference.Domain(named)))

	meter := f.meter("pulling", f.Ref)
	meter.set(0, 0)
	stream, err := f.api.ImagePull(ctx, f.Ref, client.ImagePullOptions{RegistryAuth: auth})
	if err != nil {
		return orCause(ctx, err)
	}
	layers := progress{}
	for message, err := range stream.JSONMessages(ctx) {
		if err != nil {
			return orCause(ctx, err)
		}
		if message.Error != nil {
			return message.Error
		}
		heard()
		meter.set(layers.add(message))
	}
	return orCause(ctx, nil)
}

// orCause returns why a context was cancelled in place of the fact that it was.
func orCause(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// watch cancels a pull that makes no progress. What it returns is to be called
// for each sign of progress. The engine is who pulls, so its silence is what
// counts; whether the registry answers from here only decides how long the
// engine is waited for.
func (f finder) watch(ctx context.Context, cancel context.CancelCauseFunc, address string) (heard func()) {
	hurried := f.policy == Auto && f.Bundled != ""
	first := silence
	if hurried {
		first = patience
	}
	giveUp := func() { cancel(fmt.Errorf("%s does not answer", address)) }
	timer := time.AfterFunc(first, giveUp)
	context.AfterFunc(ctx, func() { timer.Stop() })
	if hurried {
		go func() {
			dial, stop := context.WithTimeout(ctx, patience)
			defer stop()
			// Stop says false when it has fired, or the pull is over.
			if answers(dial, address) && timer.Stop() {
				timer.Reset(silence)
			}
		}()
	}
	return func() { timer.Reset(silence) }
}

// registryAddress returns where the engine finds a registry.
func registryAddress(domain string) string {
	if domain == "docker.io" {
		domain = "registry-1.docker.io" // as in moby's registry configuration
	}
	if _, _, err := net.SplitHostPort(domain); err == nil {
		return domain
	}
	return net.JoinHostPort(domain, "443")
}

// answers reports whether a server at the address says anything to a TLS
// client, be it that it does not speak TLS. Which certificate it has is the
// engine's business: nothing is sent.
func answers(ctx context.Context, address string) bool {
	conn, err := (&tls.Dialer{}).DialContext(ctx, "tcp", address)
	if err == nil {
		_ = conn.Close() // it was only a question
		return true
	}
	var untrusted *tls.CertificateVerificationError
	var plain tls.RecordHeaderError
	var alert tls.AlertError
	return errors.As(err, &untrusted) || errors.As(err, &plain) || errors.As(err, &alert)
}

// progress sums up the layers of a pull.
type progress map[string]jsonstream.Progress

// add takes a message and returns how many bytes of how many are there. The
// total grows while the engine finds out about layers.
func (p progress) add(m jsonstream.Message) (done, total int64) {
	switch {
	case m.Status == "Downloading" && m.Progress != nil:
		p[m.ID] = *m.Progress
	case m.Status == "Download complete" || m.Status == "Pull complete":
		l := p[m.ID]
		l.Current = l.Total
		p[m.ID] = l
	}
	for _, l := range p {
		done += l.Current
		total += l.Total
	}
	return done, total
}

// streamError reads an engine's answer to its end and returns the error in it.
func streamError(r io.ReadCloser) error {
	defer r.Close()
	for dec := json.NewDecoder(r); ; {
		var m jsonstream.Message
		if err := dec.Decode(&m); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if m.Error != nil {
			return m.Error
		}
	}
}
