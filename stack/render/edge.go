package render

import (
	"encoding/json"
	"fmt"
	"net"
	"strconv"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
)

// edge returns the files of the front, and none where the daemons end TLS
// themselves.
func edge(in Input) ([]stack.File, error) {
	if in.Spec.Serve != stack.ServeEdge {
		return nil, nil
	}
	mutual := in.Spec.Builder.TLS == stack.TLSMutual
	relayed, ok := in.Spec.Relay(in.Facts)
	config, err := execute("edge.yaml.tmpl", map[string]any{
		"Admin": stack.SocketAdmin, "Mount": stack.MountEdge, "Mutual": mutual,
		"RegistryAddresses": registryAddresses(in), "BuilderPort": stack.BuilderPort, "Relayed": ok, "BridgePort": stack.BridgePort,
		"SocketRegistry": stack.SocketRegistry, "SocketBuilder": stack.SocketBuilder,
	})
	if err != nil {
		return nil, err
	}
	files := []stack.File{{Path: stack.FileEdgeConfig, Mode: 0o644, Owner: stack.OwnerRegistry, Data: config}}
	if ok {
		addresses := []string{relayed.String()}
		if network := stack.RelayedNames(); network != relayed {
			addresses = append(addresses, network.String())
		}
		config, err := execute("relay.yaml.tmpl", map[string]any{
			"Addresses": addresses, "Target": net.JoinHostPort(stack.Edge, strconv.Itoa(stack.BridgePort)),
		})
		if err != nil {
			return nil, err
		}
		bridge := in.Material.Bridge(stack.LeafRegistry).CertPEM()
		files = append(files, stack.File{Path: stack.FileRelayConfig, Mode: 0o644, Data: config}, public(stack.FileEdgeBridge, stack.OwnerRegistry, bridge))
	}
	if !mutual {
		return files, nil
	}
	list, err := json.MarshalIndent(access(in), "", "  ")
	if err != nil {
		return nil, fmt.Errorf("rendering %s: %w", stack.FileEdgeAccess, err)
	}
	return append(files, stack.File{Path: stack.FileEdgeAccess, Mode: 0o644, Owner: stack.OwnerRegistry, Data: append(list, '\n')}), nil
}

// registryAddresses returns where the edge listens for the registry: on the
// port of the network, and where the registry's one name is a name on the
// network too, on the port of that.
func registryAddresses(in Input) []string {
	out := []string{":" + strconv.Itoa(stack.RegistryPort)}
	e := in.Spec.RegistryEndpoint(in.Facts)
	if _, relayed := in.Spec.Relay(in.Facts); relayed || e.Port == stack.RegistryPort {
		return out
	}
	return append(out, net.JoinHostPort("", strconv.Itoa(e.Port)))
}

// access returns who is let in: the clients that the spec names, if it names
// any, and always the stack's own; and never who was removed.
func access(in Input) stack.Access {
	out := stack.Access{Version: 1, Removed: []stack.AccessRecord{}}
	tried := in.Material.Leaves[stack.LeafRemoved]
	if tried != nil {
		out.Removed = append(out.Removed, stack.AccessRecord{Name: tried.Cert.Subject.CommonName, Serial: tried.Serial(), Issuer: issuerOf(in)})
	}
	for _, r := range in.Clients.Removed {
		out.Removed = append(out.Removed, stack.AccessRecord{Name: r.Name, Serial: r.Serial, Issuer: r.Issuer})
	}
	if len(in.Spec.Builder.Clients) > 0 {
		own := in.Material.Leaves[stack.LeafClient].Cert.Subject.CommonName
		out.Allow = append([]string{own}, in.Spec.Builder.Clients...)
		if tried != nil { // so that it is refused for being removed, and not for its name
			out.Allow = append(out.Allow, tried.Cert.Subject.CommonName)
		}
	}
	return out
}

func issuerOf(in Input) string {
	return fmt.Sprintf("%x", in.Material.CAs[pki.CAClient].Cert.SubjectKeyId)
}
