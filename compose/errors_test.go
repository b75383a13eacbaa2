package compose

import (
	"errors"
	"fmt"
	"testing"
)

// Texts of engines, each with the engine that says so.
func TestClassify(t *testing.T) {
	privileged := failure{service: "a", asks: true}
	for name, tt := range map[string]struct {
		text string
		f    failure
		want string // type and content
	}{
		"port of a container, 20.10": {
			text: `driver failed programming external connectivity on endpoint x-a-1 (8a0d): Bind for 127.0.0.1:2222 failed: port is already allocated`,
			f:    failure{service: "a", holder: func(string) string { return "other" }},
			want: `*compose.PortError a 127.0.0.1:2222 other`,
		},
		"port of a container on every address, 20.10": {
			text: `driver failed programming external connectivity on endpoint x-a-1 (8a0d): Bind for 0.0.0.0:2222 failed: port is already allocated`,
			want: `*compose.PortError  0.0.0.0:2222 `,
		},
		"port of a container on every IPv6 address, 20.10": {
			text: `Bind for :::2222 failed: port is already allocated`,
			want: `*compose.PortError  [::]:2222 `,
		},
		"port of a process, 20.10": {
			text: `driver failed programming external connectivity on endpoint x-a-1 (8a0d): Error starting userland proxy: listen tcp4 127.0.0.1:2222: bind: address already in use`,
			want: `*compose.PortError  127.0.0.1:2222 `,
		},
		"port of a process, IPv6": {
			text: `Error starting userland proxy: listen tcp6 [::1]:2222: bind: address already in use`,
			want: `*compose.PortError  [::1]:2222 `,
		},
		"port of a process, 28": {
			text: `failed to set up container networking: driver failed programming external connectivity on endpoint x-a-1 (8a0d): failed to bind host port for 127.0.0.1:2222:172.18.0.2:5000/tcp: address already in use`,
			want: `*compose.PortError  127.0.0.1:2222 `,
		},
		"port of a process, 29": {
			text: `failed to set up container networking: driver failed programming external connectivity on endpoint x-a-1 (8a0d): failed to bind host port 127.0.0.1:2222/tcp: address already in use`,
			want: `*compose.PortError  127.0.0.1:2222 `,
		},
		"port, Docker Desktop": {
			text: `Ports are not available: exposing port TCP 127.0.0.1:2222 -> 127.0.0.1:0: listen tcp4 127.0.0.1:2222: bind: Only one usage of each socket address (protocol/network address/port) is normally permitted.`,
			want: `*compose.PortError  127.0.0.1:2222 `,
		},
		"mount, 20.10": {
			text: `invalid mount config for type "bind": bind source path does not exist: /work/a b`,
			f:    failure{service: "a"},
			want: `*compose.MountError a /work/a b`,
		},
		"name, 20.10": {
			text: `Conflict. The container name "/fixed" is already in use by container "0a1b". You have to remove (or rename) that container to be able to reuse that name.`,
			want: `*compose.NameError fixed`,
		},
		"no range left, 20.10": {
			text: `failed to create network x_default: Error response from daemon: could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network`,
			want: `*compose.SubnetError`,
		},
		"no range left, 28": {
			text: `failed to create network x_default: Error response from daemon: all predefined address pools have been fully subnetted`,
			want: `*compose.SubnetError`,
		},
		"range of another network, 20.10": {
			text: `failed to create network x_default: Error response from daemon: Pool overlaps with other one on this address space`,
			want: `*compose.SubnetError`,
		},
		"range of another network, 28": {
			text: `failed to create network x_default: Error response from daemon: invalid pool request: Pool overlaps with other one on this address space`,
			want: `*compose.SubnetError`,
		},
		"image, 20.10": {
			text: `Error response from daemon: No such image: nope:latest`,
			want: `no such image: nope:latest`,
		},
		"pull, 20.10": {
			text: `Get "https://nope.invalid/v2/": dial tcp: lookup nope.invalid: no such host`,
			f:    failure{image: "nope.invalid/x"},
			want: `*compose.PullError nope.invalid/x`,
		},
		"capabilities, 20.10 with runc 1.1": {
			text: `failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: unable to apply caps: operation not permitted: unknown`,
			f:    privileged,
			want: `*compose.PrivilegeError a`,
		},
		"privileged, a plugin": {
			text: `authorization denied by plugin opa: privileged containers are not allowed`,
			f:    privileged,
			want: `*compose.PrivilegeError a`,
		},
		"not permitted, but nothing was asked for": {
			text: `error mounting "/x": operation not permitted`,
			f:    failure{service: "a"},
			want: `error mounting "/x": operation not permitted`,
		},
		"entry point, 20.10": {
			text: `OCI runtime create failed: runc create failed: exec: "/nope": stat /nope: no such file or directory: unknown`,
			f:    privileged,
			want: `OCI runtime create failed: runc create failed: exec: "/nope": stat /nope: no such file or directory: unknown`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			cause := errors.New(tt.text)
			err := classify(cause, tt.f)
			if got := describeError(err); got != tt.want {
				t.Errorf("classify = %s\nwant       %s", got, tt.want)
			}
			if !errors.Is(err, cause) && !errors.Is(err, ErrNoImage) {
				t.Error("the engine's own error is lost")
			}
		})
	}
}

func describeError(err error) string {
	switch e := err.(type) {
	case *PortError:
		return fmt.Sprintf("%T %s %s %s", e, e.Service, e.Address, e.Container)
	case *SubnetError:
		return fmt.Sprintf("%T", e)
	case *MountError:
		return fmt.Sprintf("%T %s %s", e, e.Service, e.Path)
	case *NameError:
		return fmt.Sprintf("%T %s", e, e.Name)
	case *PullError:
		return fmt.Sprintf("%T %s", e, e.Image)
	case *PrivilegeError:
		return fmt.Sprintf("%T %s", e, e.Service)
	}
	return err.Error()
}
