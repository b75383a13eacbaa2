package compose

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"

	"github.com/containerd/errdefs"
)

// DaemonError says that no engine answers.
type DaemonError struct {
	Host string // as in DOCKER_HOST
	Err  error  // wraps fs.ErrPermission or fs.ErrNotExist where the system says so
}

func (e *DaemonError) Error() string { return fmt.Sprintf("no answer at %s: %v", e.Host, e.Err) }

// Unwrap returns the cause.
func (e *DaemonError) Unwrap() error { return e.Err }

// VersionError says that the engine is too old.
type VersionError struct {
	Have, Want string // versions of the API, as "1.38"
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("the engine speaks API version %s, at least %s is needed (Docker Engine 19.03)", e.Have, e.Want)
}

// PortError says that a published port is taken.
type PortError struct {
	Service   string // whose port it is; empty if the engine did not say
	Address   string // host:port
	Container string // that holds it; empty when it is no container
	Err       error  // the engine's words
}

func (e *PortError) Error() string {
	if e.Container != "" {
		return fmt.Sprintf("%s is in use by container %s", e.Address, e.Container)
	}
	return fmt.Sprintf("%s is in use by another process", e.Address)
}

// Unwrap returns the engine's error.
func (e *PortError) Unwrap() error { return e.Err }

// PrivilegeError says that the engine refuses the capabilities or the
// privileged mode that a service asks for.
type PrivilegeError struct {
	Service string
	Err     error
}

func (e *PrivilegeError) Error() string {
	return fmt.Sprintf("the engine refuses the privileges of service %s: %v", e.Service, e.Err)
}

// Unwrap returns the engine's error.
func (e *PrivilegeError) Unwrap() error { return e.Err }

// MountError says that a directory to mount is not on the engine's machine
// (facts P24).
type MountError struct {
	Service, Path string
	Err           error
}

func (e *MountError) Error() string {
	return fmt.Sprintf("the engine has no %s to mount into service %s", e.Path, e.Service)
}

// Unwrap returns the engine's error.
func (e *MountError) Unwrap() error { return e.Err }

// NameError says that a container's name is taken by a container that is not
// of the project.
type NameError struct {
	Name string
	Err  error
}

func (e *NameError) Error() string { return fmt.Sprintf("the container name %s is in use", e.Name) }

// Unwrap returns the engine's error.
func (e *NameError) Unwrap() error { return e.Err }

// SubnetError says that a network of the project cannot have an address range:
// the one that it asks for is another network's, or the engine has none left to
// choose from.
type SubnetError struct{ Err error }

func (e *SubnetError) Error() string {
	return fmt.Sprintf("no address range for a network: %v", e.Err)
}

// Unwrap returns the engine's error.
func (e *SubnetError) Unwrap() error { return e.Err }

// ForeignProjectError says that a project of this name belongs to another
// directory.
type ForeignProjectError struct {
	Name string
	Dir  string // the project directory that its containers were started from
}

func (e *ForeignProjectError) Error() string {
	return fmt.Sprintf("the compose project %q belongs to %s", e.Name, e.Dir)
}

// ErrNoImage says that a service's image is not there.
var ErrNoImage = errors.New("no such image")

// PullError says that an image cannot be pulled.
type PullError struct {
	Image string
	Err   error
}

func (e *PullError) Error() string { return fmt.Sprintf("pulling %s: %v", e.Image, e.Err) }

// Unwrap returns the cause.
func (e *PullError) Unwrap() error { return e.Err }

// BundleError says that a bundled image cannot be made.
type BundleError struct {
	Path string // the file or directory that is missing or wrong; empty if none is known
	Err  error  // wraps fs.ErrNotExist when the daemons have not been built
}

func (e *BundleError) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("assembling a bundled image: %v", e.Err)
	}
	return fmt.Sprintf("assembling a bundled image from %s: %v", e.Path, e.Err)
}

// Unwrap returns the cause.
func (e *BundleError) Unwrap() error { return e.Err }

// The engine has no codes for these, and answers 400, 409 or 500 with a text.
// errors_test.go has the texts, and which engine says them.
var (
	portTaken = regexp.MustCompile(`(?:Bind for |listen tcp[46]? |failed to bind host port (?:for )?)` +
		`(\[[^\]]*\]|[0-9a-fA-F.:]*?):(\d+)\b.*?(?:already allocated|already in use|Only one usage)`)
	mountMissing = regexp.MustCompile(`bind source path does not exist: ([^\n"]+)`)
	nameTaken    = regexp.MustCompile(`[Cc]ontainer name "/?([^"]+)" is already in use`)
	noImage      = regexp.MustCompile(`No such image: (\S+)`)
	noSubnet     = regexp.MustCompile(`(?i)non-overlapping IPv4 address pool|pools have been fully subnetted|pool overlaps with other one|networks have overlapping IPv4`)
	privileges   = regexp.MustCompile(`unable to apply caps|(?i:operation not permitted|privileged|authorization denied)`)
)

// failure is what is known about where an error comes from. The zero value is
// nothing.
type failure struct {
	service string
	// asks says that the service asks for more than an engine gives unasked
	// (privileged, capabilities, security options).
	asks bool
	// image is the one that could not be pulled.
	image string
	// holder returns the container that publishes a port.
	holder func(address string) string
}

// classify gives an engine's error its type. An error that it does not know
// comes back as it is.
func classify(err error, f failure) error {
	text := err.Error()
	if m := portTaken.FindStringSubmatch(text); m != nil {
		e := &PortError{Service: f.service, Address: hostPort(m[1], m[2]), Err: err}
		if f.holder != nil {
			e.Container = f.holder(e.Address)
		}
		return e
	}
	if m := mountMissing.FindStringSubmatch(text); m != nil {
		return &MountError{Service: f.service, Path: strings.TrimSpace(m[1]), Err: err}
	}
	if m := nameTaken.FindStringSubmatch(text); m != nil {
		return &NameError{Name: m[1], Err: err}
	}
	if noSubnet.MatchString(text) {
		return &SubnetError{Err: err}
	}
	if m := noImage.FindStringSubmatch(text); m != nil {
		return fmt.Errorf("%w: %s", ErrNoImage, m[1])
	}
	if f.image != "" {
		return &PullError{Image: f.image, Err: err}
	}
	if f.asks && (privileges.MatchString(text) || errdefs.IsPermissionDenied(err)) {
		return &PrivilegeError{Service: f.service, Err: err}
	}
	return err
}

// hostPort writes an address as people do. An engine may leave out the host
// when it means every address, and the brackets of an IPv6 address.
func hostPort(host, port string) string {
	host = strings.Trim(host, "[]")
	if host == "" {
		host = "0.0.0.0"
	}
	return net.JoinHostPort(host, port)
}
