package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"text/tabwriter"
	"time"
)

// What is sent through both ways to serve.
const (
	blobSize    = 1 << 30
	smallSize   = 1 << 10
	workers     = 16
	loadTime    = 5 * time.Second
	quietProbes = 1000
)

// served is a stack that serves in one way, with what was measured of it.
type served struct {
	serve string
	yard  *yard

	up         []time.Duration // from nothing, with all proofs
	push, pull []float64       // MB/s of one blob of 1 GiB
	rate       []float64       // requests of 1 KiB per second
	quiet      []time.Duration // latencies of such requests, one at a time
	cpu        []float64       // seconds of processor per GB that is pulled
}

// runEdge measures TLS in the daemons and in the edge beside each other, in
// turns: what a front costs.
func runEdge(ctx context.Context, binary string, runs int) (err error) {
	tmp, err := os.MkdirTemp("", "certyard-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	var both []*served
	for _, serve := range []string{"daemon", "edge"} {
		dir := filepath.Join(tmp, serve)
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
		y, err := newYard(ctx, binary, dir)
		if err != nil {
			return err
		}
		y.name += "-" + serve
		y.upFlags = []string{"--serve", serve}
		both = append(both, &served{serve: serve, yard: y})
		defer func() {
			if e := y.remove(context.WithoutCancel(ctx)); e != nil && err == nil {
				err = e
			}
		}()
	}
	for i := range runs + 1 {
		progress("run %d of %d", i, runs)
		for _, s := range both {
			if err := s.cold(ctx, i > 0); err != nil {
				return err
			}
		}
	}
	blob, small := newBlob(blobSize), newBlob(smallSize)
	for i := range runs + 1 {
		for _, s := range both {
			progress("traffic %d of %d, TLS in the %s", i, runs, s.serve)
			if err := s.traffic(ctx, blob, small, i > 0); err != nil {
				return fmt.Errorf("TLS in the %s: %w", s.serve, err)
			}
		}
	}
	return printEdge(ctx, os.Stdout, runs, both[0], both[1])
}

// cold starts the stack from nothing.
func (s *served) cold(ctx context.Context, counts bool) error {
	if err := s.yard.remove(ctx); err != nil {
		return err
	}
	sample, _, err := s.yard.up(ctx)
	if counts {
		s.up = append(s.up, sample.took)
	}
	return err
}

// blob is content and its digest.
type blob struct {
	data   []byte
	digest string
}

func newBlob(size int) blob {
	data := bytes.Repeat([]byte("certyard"), size/8)
	// Another one each time, or the registry would know it.
	copy(data, fmt.Sprint(time.Now().UnixNano()))
	sum := sha256.Sum256(data)
	return blob{data, "sha256:" + hex.EncodeToString(sum[:])}
}

// registry is a client of the stack's registry.
type registry struct {
	http           *http.Client
	base           string
	user, password string
}

func (s *served) registry(ctx context.Context) (*registry, error) {
	_, out, err := s.yard.certyard(ctx, s.yard.args("env", "--format", "json")...)
	if err != nil {
		return nil, err
	}
	var env map[string]string
	if err := json.Unmarshal(out, &env); err != nil {
		return nil, err
	}
	ca, err := os.ReadFile(env["REGISTRY_CERT"])
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	return &registry{
		http: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, MaxIdleConnsPerHost: workers}},
		base: "https://" + env["DOCKER_REGISTRY_ON_HOST"], user: env["REGISTRY_AUTH_USERNAME"], password: env["REGISTRY_AUTH_PASSWORD"],
	}, nil
}

// do sends a request, reads the whole answer, and returns its header.
func (r *registry) do(ctx context.Context, method, url string, body []byte, want int) (http.Header, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.SetBasicAuth(r.user, r.password)
	response, err := r.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != want {
		return nil, fmt.Errorf("%s %s: %s, want %d", method, url, response.Status, want)
	}
	_, err = io.Copy(io.Discard, response.Body)
	return response.Header, err
}

func (r *registry) push(ctx context.Context, b blob) error {
	header, err := r.do(ctx, http.MethodPost, r.base+"/v2/bench/blobs/uploads/", nil, http.StatusAccepted)
	if err != nil {
		return err
	}
	at := header.Get("Location")
	if at != "" && at[0] == '/' {
		at = r.base + at
	}
	_, err = r.do(ctx, http.MethodPut, at+"&digest="+b.digest, b.data, http.StatusCreated)
	return err
}

func (r *registry) pull(ctx context.Context, b blob) error {
	_, err := r.do(ctx, http.MethodGet, r.base+"/v2/bench/blobs/"+b.digest, nil, http.StatusOK)
	return err
}

func (r *registry) remove(ctx context.Context, b blob) error {
	_, err := r.do(ctx, http.MethodDelete, r.base+"/v2/bench/blobs/"+b.digest, nil, http.StatusAccepted)
	return err
}

// traffic measures one turn.
func (s *served) traffic(ctx context.Context, big, small blob, counts bool) error {
	r, err := s.registry(ctx)
	if err != nil {
		return err
	}
	defer r.http.CloseIdleConnections()
	start := time.Now()
	if err := r.push(ctx, big); err != nil {
		return err
	}
	push := mbps(start)
	before, err := s.processorTime(ctx)
	if err != nil {
		return err
	}
	start = time.Now()
	if err := r.pull(ctx, big); err != nil {
		return err
	}
	pull := mbps(start)
	after, err := s.processorTime(ctx)
	if err != nil {
		return err
	}
	if err := r.push(ctx, small); err != nil {
		return err
	}
	rate, err := r.rate(ctx, small)
	if err != nil {
		return err
	}
	quiet, err := r.quiet(ctx, small)
	if err != nil {
		return err
	}
	if counts {
		s.push, s.pull, s.rate = append(s.push, push), append(s.pull, pull), append(s.rate, rate)
		s.quiet = append(s.quiet, quiet...)
		s.cpu = append(s.cpu, (after-before).Seconds()/(blobSize/1e9))
	}
	return r.remove(ctx, big)
}

func mbps(start time.Time) float64 { return blobSize / 1e6 / time.Since(start).Seconds() }

// rate returns how many small blobs can be pulled per second.
func (r *registry) rate(ctx context.Context, b blob) (float64, error) {
	var all sync.WaitGroup
	counts, errs := make([]int, workers), make([]error, workers)
	start := time.Now()
	for i := range workers {
		all.Go(func() {
			for time.Since(start) < loadTime && errs[i] == nil {
				errs[i] = r.pull(ctx, b)
				counts[i]++
			}
		})
	}
	all.Wait()
	total := 0
	for i, n := range counts {
		if errs[i] != nil {
			return 0, errs[i]
		}
		total += n
	}
	return float64(total) / time.Since(start).Seconds(), nil
}

// quiet returns what single requests take.
func (r *registry) quiet(ctx context.Context, b blob) ([]time.Duration, error) {
	var out []time.Duration
	for range quietProbes {
		start := time.Now()
		if err := r.pull(ctx, b); err != nil {
			return nil, err
		}
		out = append(out, time.Since(start))
	}
	return out, nil
}

func printEdge(ctx context.Context, w io.Writer, runs int, daemon, edge *served) error {
	memory, err := edge.memory(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "\nTLS in the daemons and in the edge, medians of %d runs in turns%s\n\n", runs, load())
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "\tdaemon\tedge\t\tlimit\tholds")
	ratio := func(name, unit string, a, b []float64) {
		x, y := middle(a), middle(b)
		fmt.Fprintf(t, "%s\t%.0f %s\t%.0f %s\t%.2f times\t0.90\t%s\n", name, x, unit, y, unit, y/x, yes(y >= 0.9*x))
	}
	ratio("push of 1 GiB", "MB/s", daemon.push, edge.push)
	ratio("pull of 1 GiB", "MB/s", daemon.pull, edge.pull)
	ratio("requests of 1 KiB, 16 at once", "/s", daemon.rate, edge.rate)
	added := func(name string, a, b, limit time.Duration) {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s more\t%s\t%s\n", name, duration(a), duration(b), duration(b-a), duration(limit), yes(b-a <= limit))
	}
	added("a request of 1 KiB alone, 99th of 100", percentile(daemon.quiet, 99), percentile(edge.quiet, 99), time.Millisecond)
	added("first up", median(daemon.up), median(edge.up), 300*time.Millisecond)
	fmt.Fprintf(t, "processor time per GB pulled\t%.2f s\t%.2f s\n", middle(daemon.cpu), middle(edge.cpu))
	fmt.Fprintf(t, "memory of the edge at rest\t\t%s\t\t%s\t%s\n", megabytes(memory), megabytes(24<<20), yes(memory <= 24<<20))
	return t.Flush()
}

func middle(values []float64) float64 {
	s := slices.Sorted(slices.Values(values))
	return s[len(s)/2]
}

func percentile(d []time.Duration, n int) time.Duration {
	s := slices.Sorted(slices.Values(d))
	return s[min(len(s)-1, len(s)*n/100)]
}
