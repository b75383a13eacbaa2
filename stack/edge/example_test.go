package edge_test

import (
	"fmt"
	"strings"

	"github.com/certyard/certyard/stack/edge"
)

// All that is wrong with a config is said at once.
func ExampleReadConfig() {
	_, err := edge.ReadConfig(strings.NewReader(`version: 1
listeners:
  - name: registry
    addresses: ["5000"]
    certificate: /etc/edge/registry
    target: unix:/run/registry/registry.sock
`), "edge.yaml")
	fmt.Println(err)
	// Output:
	// edge.yaml: 3 problems
	//     line 3: listeners[0].certificates: is missing; without certificates a listener needs plain: true
	//     line 4: listeners[0].addresses[0]: "5000" is no HOST:PORT
	//     line 5: listeners[0].certificate: unknown key; known here: access_required, addresses, alpn, certificate_file, certificates, clients, drain_idle, handshake_timeout, max_connections, name, plain, target, target_timeout
}

// A list that is not understood as a whole is refused as a whole.
func ExampleParseAccess() {
	list, err := edge.ParseAccess([]byte(`{"version": 1, "removed": [{"name": "bob", "serial": "0A:FF"}], "allow": ["ci"]}`))
	fmt.Println(list.Removed[0].Serial, list.Allow, err)
	_, err = edge.ParseAccess([]byte(`{"version": 1, "allow": ["ci"], "allow": ["ci", "bob"]}`))
	fmt.Println(err)
	// Output:
	// aff [ci] <nil>
	// key "allow" is not known, or stands there twice
}
