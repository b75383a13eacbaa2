package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/certyard/certyard/stack/stacktest"
)

// What is pushed and pulled in one turn, one image after the other.
const (
	imageSize  = 64 << 10
	imageCount = 40
)

// pushed is a registry, and what it has managed per second.
type pushed struct {
	registry   *stacktest.RegistryServer
	push, pull []float64
}

// traffic measures a registry in the process beside one in a container.
func (b *stackBench) traffic(ctx context.Context) error {
	t := newTB(ctx, b.tmp)
	var inside, container pushed
	t.run(func() {
		inside.registry = stacktest.Registry(t)
		container.registry = stacktest.Start(t, stacktest.Options{Proof: stacktest.Quick}).Registry
	})
	if !t.Failed() {
		t.run(func() {
			err := b.turns(ctx, "pushes and pulls", func(counts bool) error {
				return inTurns(ctx, counts, &inside, &container)
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
	if err := t.end(); err != nil {
		return err
	}
	return b.table("an image of 64 KiB, one after the other", b.runs, func(t io.Writer) {
		fmt.Fprintln(t, "\tin the process\tin a container")
		row := func(name string, x, y []float64) {
			fmt.Fprintf(t, "%s\t%.0f /s\t%.0f /s\t%.1f times\n", name, middle(x), middle(y), middle(x)/middle(y))
		}
		row("pushes", inside.push, container.push)
		row("pulls", inside.pull, container.pull)
	})
}

// inTurns has each registry take and give the same images.
func inTurns(ctx context.Context, counts bool, all ...*pushed) error {
	var images []v1.Image
	for range imageCount {
		image, err := random.Image(imageSize, 1)
		if err != nil {
			return err
		}
		images = append(images, image)
	}
	for _, p := range all {
		push, err := perSecond(images, func(i v1.Image) error { return p.give(ctx, i) })
		if err != nil {
			return err
		}
		pull, err := perSecond(images, func(i v1.Image) error { return p.take(ctx, i) })
		if err != nil {
			return err
		}
		if counts {
			p.push, p.pull = append(p.push, push), append(p.pull, pull)
		}
	}
	return nil
}

func perSecond(images []v1.Image, do func(v1.Image) error) (float64, error) {
	start := time.Now()
	for _, image := range images {
		if err := do(image); err != nil {
			return 0, err
		}
	}
	return float64(len(images)) / time.Since(start).Seconds(), nil
}

func (p *pushed) give(ctx context.Context, image v1.Image) error {
	ref, err := p.ref(image)
	if err != nil {
		return err
	}
	return remote.Write(ref, image, p.options(ctx)...)
}

// take pulls an image with its content.
func (p *pushed) take(ctx context.Context, image v1.Image) error {
	ref, err := p.ref(image)
	if err != nil {
		return err
	}
	back, err := remote.Image(ref, p.options(ctx)...)
	if err != nil {
		return err
	}
	layers, err := back.Layers()
	if err != nil {
		return err
	}
	for _, layer := range layers {
		content, err := layer.Compressed()
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, content); err != nil {
			return err
		}
		if err := content.Close(); err != nil {
			return err
		}
	}
	return nil
}

func (p *pushed) ref(image v1.Image) (name.Reference, error) {
	digest, err := image.Digest()
	if err != nil {
		return nil, err
	}
	return name.ParseReference(p.registry.Host() + "/bench@" + digest.String())
}

func (p *pushed) options(ctx context.Context) []remote.Option {
	return []remote.Option{remote.WithContext(ctx), remote.WithTransport(p.registry.HTTPClient().Transport), remote.WithAuth(p.registry.Auth())}
}
