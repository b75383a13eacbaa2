// Package local has package lifecycle use this machine: its disk, its clock, its
// network, and real connections for the proof. It also knows the ephemeral stacks
// of this account, which end with the process that started them.
package local

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
	"github.com/certyard/certyard/stack/smoke"
	"github.com/certyard/certyard/stack/state"
)

// Deps returns what a stack needs whose state directory is root, an absolute path.
// What depends on the caller is left open: the engine, where the daemons for
// bundled images are, and who is asked for passwords and passphrases. Observe is
// told nothing.
func Deps(root string) lifecycle.Deps {
	account := lifecycle.Account{UID: os.Geteuid(), GID: os.Getegid()}
	d := Look()
	d.Store = state.Open(root, state.Options{RegistryUID: lifecycle.RegistryUID(account)})
	d.Account, d.Rand, d.Prover = account, rand.Reader, prover{}
	d.FreePort, d.Subnet = freePort, subnet
	d.Observe = func(lifecycle.Progress) {}
	return d
}

// Look returns what it takes to look at the certificates of anybody.
func Look() lifecycle.Deps {
	return lifecycle.Deps{Now: time.Now, Given: given, Find: state.FindCertificates, Fetch: fetch}
}

// given reads a file of the user's, by its absolute path.
func given(path string, secret bool) ([]byte, error) {
	if secret {
		return state.ReadPrivate(path)
	}
	return state.ReadPublic(path)
}

func fetch(ctx context.Context, address, name string, trust pki.TrustBundle) ([]*x509.Certificate, error) {
	shown, err := smoke.Fetch(ctx, address, name, trust)
	return shown.Certs, err
}

// Ports that certyard chooses are below those that Linux gives to connections by
// itself (net.ipv4.ip_local_port_range), where a port that is free now is often
// taken a moment later.
const firstPort, lastPort = 20000, 32767

// freePort returns a port that nobody uses on an address. Who asks at the same time
// hardly gets the same one.
func freePort(ip netip.Addr) (int, error) {
	for range 50 {
		n, err := random(lastPort - firstPort + 1)
		if err != nil {
			return 0, err
		}
		if port, err := listen(ip, firstPort+n); err == nil {
			return port, nil
		}
	}
	return listen(ip, 0)
}

// listen finds out whether a port is free; 0 stands for any.
func listen(ip netip.Addr, port int) (int, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(ip.String(), strconv.Itoa(port)))
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// subnets is where the networks of ephemeral stacks are: set aside for tests of
// network devices (RFC 2544, appendix C.2.2), so that hardly any machine has a
// route there.
var subnets = netip.MustParsePrefix("198.18.0.0/15")

// subnetBits leaves 13 addresses for containers.
const subnetBits = 28

// subnet returns one of 8192 address ranges.
func subnet() netip.Prefix {
	n, err := random(1 << (subnetBits - subnets.Bits()))
	if err != nil {
		n = 0 // the first one then: whether it is free is seen when it is used
	}
	at := subnets.Addr().As4()
	n <<= 32 - subnetBits
	at[1], at[2], at[3] = at[1]|byte(n>>16), byte(n>>8), byte(n)
	return netip.PrefixFrom(netip.AddrFrom4(at), subnetBits)
}

func random(below int) (int, error) {
	n, err := rand.Int(rand.Reader, big.NewInt(int64(below)))
	if err != nil {
		return 0, fmt.Errorf("asking for a random number: %w", err)
	}
	return int(n.Int64()), nil
}

// prover is package smoke.
type prover struct{}

func (prover) Prove(ctx context.Context, o smoke.Options) stack.Report { return smoke.Prove(ctx, o) }

func (prover) WatchIdle(ctx context.Context, o smoke.Options, say func([]smoke.Build)) (*smoke.Idle, error) {
	return smoke.WatchIdle(ctx, o, say)
}

func (prover) Ready(ctx context.Context, o smoke.Options, alive func(context.Context) error) error {
	return smoke.Ready(ctx, o, alive)
}

// DockerConfigDir returns where the docker command keeps its contexts, from the value
// of DOCKER_CONFIG: "certyard env" points that at the passwords of a stack, and in
// such an environment the engine must still be found. "" is for docker's own default.
func DockerConfigDir(dir string) string {
	root, ok := strings.CutSuffix(filepath.Clean(dir), filepath.FromSlash("/"+stack.DirDocker))
	if _, err := os.Stat(filepath.Join(root, stack.FileState)); dir == "" || !ok || err != nil {
		return dir
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return dir
	}
	return filepath.Join(home, ".docker")
}
