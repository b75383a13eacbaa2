package render

// networks are the project's, where there is something to say of them: what the
// engine gives a project without being asked is its default network.
func networks(in Input) []network {
	names := in.Spec.Serve.Networks()
	if len(names) == 1 && len(in.Facts.Subnets) == 0 {
		return nil
	}
	var out []network
	for _, name := range names {
		n := network{Name: name}
		if subnet, ok := in.Facts.Subnets[name]; ok {
			n.Subnet = subnet.String()
		}
		out = append(out, n)
	}
	return out
}

// network is one of the project's; without a subnet the engine chooses it.
type network struct{ Name, Subnet string }

// OwnerLabel is the container label of an ephemeral stack. It holds
// [stack.Facts.Owner].
const OwnerLabel = "io.certyard.owner"
