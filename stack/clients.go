package stack

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Clients are the people and jobs that have a client certificate of their own,
// besides the one that is always there.
type Clients struct {
	// Generation counts the client CAs: removing a client makes a new one.
	// 0 stands for the first.
	Generation int      `json:"ca_generation,omitempty"`
	Named      []Client `json:"named,omitempty"` // by name
	// Removed are certificates that the edge refuses, though their CA still
	// is the client CA: buildkitd cannot do that. In the order of removal.
	Removed []RemovedClient `json:"removed,omitempty"`
}

// RemovedClient is one certificate that was taken back.
type RemovedClient struct {
	Name     string    `json:"name"`
	Serial   string    `json:"serial"`           // hexadecimal
	Issuer   string    `json:"issuer,omitempty"` // subject key id of the CA, hexadecimal
	NotAfter time.Time `json:"not_after"`
}

// Client is one of them.
type Client struct {
	Name     string        `json:"name"`
	Added    time.Time     `json:"added"`
	Validity time.Duration `json:"validity_ns,omitempty"` // 0: as pki.leaf_validity
}

// clientName is what may stand in a common name, a file name and on a command
// line without quoting.
var clientName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@-]*$`)

const maxClientName = 63

// ClientNameError says why a text cannot name a client.
type ClientNameError struct{ Name string }

func (e *ClientNameError) Error() string {
	return fmt.Sprintf("%q is not a client name: want letters, digits and . _ @ -, a letter or digit first, at most 63 characters", e.Name)
}

// CheckClientName returns a *[ClientNameError] for a name that no client can
// have.
func CheckClientName(name string) error {
	if len(name) > maxClientName || !clientName.MatchString(name) {
		return &ClientNameError{name}
	}
	return nil
}

// Find returns the client of a name, and whether there is one.
func (c Clients) Find(name string) (Client, bool) {
	i := slices.IndexFunc(c.Named, func(have Client) bool { return have.Name == name })
	if i < 0 {
		return Client{}, false
	}
	return c.Named[i], true
}

// With returns the clients with one more, or one of that name changed.
func (c Clients) With(client Client) Clients {
	c.Named = append(c.others(client.Name), client)
	slices.SortFunc(c.Named, func(a, b Client) int { return strings.Compare(a.Name, b.Name) })
	return c
}

// Without returns the clients without some, and the next client CA: the one
// that signed theirs accepts them as long as it is trusted.
func (c Clients) Without(names ...string) Clients {
	c.Named = c.others(names...)
	c.Generation = max(c.Generation, 1) + 1
	return c
}

// Barring returns the clients without some, whose certificates are refused from
// now on. Those that have expired by themselves are no longer listed.
func (c Clients) Barring(removed []RemovedClient, now time.Time, names ...string) Clients {
	c.Named = c.others(names...)
	c.Removed = slices.DeleteFunc(slices.Concat(c.Removed, removed), func(r RemovedClient) bool { return now.After(r.NotAfter) })
	return c
}

// Access is access.json, which the edge reads: whom it lets in among the clients
// of its CA.
type Access struct {
	Version int            `json:"version"`
	Removed []AccessRecord `json:"removed"`
	Allow   []string       `json:"allow,omitempty"` // common names; none: everybody
}

// AccessRecord is one certificate that is refused.
type AccessRecord struct {
	Name   string `json:"name"`
	Serial string `json:"serial"`
	Issuer string `json:"issuer,omitempty"`
}

func (c Clients) others(names ...string) []Client {
	return slices.DeleteFunc(slices.Clone(c.Named), func(have Client) bool { return slices.Contains(names, have.Name) })
}

// ClientLeaf returns the name of a client's leaf in a PKI plan.
func ClientLeaf(name string) string { return DirClients + "/" + name }
