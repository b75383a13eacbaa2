package lifecycle

import (
	"maps"

	"github.com/certyard/certyard/pki"
)

// generation returns which one the CA in force is.
func (dr *draft) generation(name string) int {
	if name == pki.CAClient {
		return max(1, dr.clients.Generation)
	}
	if dr.prior.state == nil {
		return 1
	}
	return max(1, dr.prior.state.CAGenerations[name])
}

// clientGeneration counts the client CA when the leaves are switched.
func (dr *draft) clientGeneration() int {
	if !dr.prior.rotation().Clients() {
		return dr.clients.Generation
	}
	return dr.generation(pki.CAClient) + 1
}

// generations counts the CAs of the servers.
func (dr *draft) generations() map[string]int {
	if dr.prior.state == nil {
		return nil
	}
	out := maps.Clone(dr.prior.state.CAGenerations)
	if dr.exchanged == nil || dr.back {
		return out
	}
	for _, name := range dr.prior.rotation().CAs {
		if name == pki.CAClient {
			continue
		}
		if out == nil {
			out = map[string]int{}
		}
		out[name] = dr.generation(name) + 1
	}
	return out
}
