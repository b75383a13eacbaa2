package stack

import (
	"path"
	"slices"

	"github.com/certyard/certyard/pki"
)

// Every file of the state directory, relative to it.
const (
	FileCACert = "ca/ca.crt"
	FileCAKey  = "ca/ca.key"

	// With pki.hierarchy: two-tier, the CA that signs.
	FileIssuingCert = "ca/issuing.crt"
	FileIssuingKey  = "ca/issuing.key"

	// FileCross leads from older CAs to this one: its certificate as the CA
	// before it has signed it, then that one's, and so on.
	FileCross = "ca/cross.crt"

	// The CA of client certificates. A replaced one is kept in DirRetired
	// until the builder was seen to refuse its clients.
	FileClientCACert = "ca/client-ca.crt"
	FileClientCAKey  = "ca/client-ca.key"

	FileRegistryConfig = "registry/config.yml"
	FileHtpasswd       = "registry/auth/htpasswd"
	FileRegistryCert   = "registry/certs/registry.crt"
	FileRegistryKey    = "registry/certs/registry.key"
	// FileRegistryCert2 holds the same bytes as FileRegistryCert, under the
	// third name that the cheat sheet's layout has.
	FileRegistryCert2 = "registry/certs/registry.cert"
	FileRegistryCA    = "registry/certs/ca.crt"

	FileBuilderConfig = "buildkit/buildkitd.toml"
	FileBuilderCert   = "buildkit/certs/server.crt"
	FileBuilderKey    = "buildkit/certs/server.key"
	FileBuilderCA     = "buildkit/certs/ca.crt"
	// FileBuilderClientCA is there while clients need a certificate.
	FileBuilderClientCA = "buildkit/certs/client-ca.crt"

	// With serve: edge the servers' key pairs are in the edge's directory
	// instead, which is mounted into its container alone. What changes in
	// the two directories below is taken over without a restart.
	FileEdgeConfig       = "edge/edge.yaml"
	FileEdgeRegistryCert = "edge/registry/tls.crt"
	FileEdgeRegistryKey  = "edge/registry/tls.key"
	// FileEdgeBridge is the registry's certificate with a longer chain, for a
	// builder that has kept an older root.
	FileEdgeBridge      = "edge/registry/bridge.crt"
	FileEdgeBuilderCert = "edge/builder/tls.crt"
	FileEdgeBuilderKey  = "edge/builder/tls.key"
	// With builder.tls: mutual, whom the edge lets in.
	FileEdgeClients = "edge/builder/clients.crt"
	FileEdgeAccess  = "edge/builder/access.json"
	// FileRelayConfig makes the builder's loopback lead to the registry.
	FileRelayConfig = "buildkit/relay.yaml"

	// The client directory has the names that `buildctl --tlsdir` takes
	// (buildkit cmd/buildctl/common/common.go).
	FileClientCA     = "client/ca.pem"
	FileClientCert   = "client/cert.pem"
	FileClientKey    = "client/key.pem"
	FileDockerConfig = "client/docker/config.json"

	FileCompose = "compose.yaml"
	FileEnv     = "env"
	FileState   = "state.json"
	// FileSecrets keeps what cannot be read back from hashes: passwords and
	// the registry's HTTP secret.
	FileSecrets = "secrets.json"
)

// Directories of the state directory that are mounted, and where. Directories,
// never single files: a mounted file keeps its inode, and a rename on the host
// would not reach the container (P24).
const (
	DirRegistry   = "registry"
	DirBuilder    = "buildkit"
	DirClient     = "client"
	DirDocker     = "client/docker"
	DirClients    = "clients" // a directory for each client that was added
	DirRetired    = "ca/retired"
	DirRequests   = "csr"
	MountRegistry = "/etc/distribution" // where registry v3 looks for config.yml (P27)
	MountBuilder  = "/etc/buildkit"     // where buildkitd looks for buildkitd.toml
	DirEdge       = "edge"
	MountEdge     = "/etc/edge"
)

// IsMounted reports whether a directory of the state directory is mounted into a
// container.
func IsMounted(dir string) bool { return dir == DirRegistry || dir == DirBuilder || dir == DirEdge }

// IsRole reports whether a directory of the state directory is one of a role: it
// holds the files that one process or one person reads together, as a key and its
// certificate. All files right in it change in one step.
func IsRole(dir string) bool {
	switch dir {
	case path.Dir(FileRegistryCert), path.Dir(FileHtpasswd), path.Dir(FileBuilderCert),
		path.Dir(FileEdgeRegistryCert), path.Dir(FileEdgeBuilderCert), DirClient:
		return true
	default:
		return path.Dir(dir) == DirClients
	}
}

// RoleOf returns the directory of the role that a file belongs to, and whether it
// belongs to any.
func RoleOf(file string) (dir string, ok bool) {
	dir = path.Dir(file)
	return dir, IsRole(dir)
}

// Where the daemons keep their data, on named volumes.
const (
	DataRegistry = "/var/lib/registry"
	DataBuilder  = "/var/lib/buildkit"
)

// Where the daemons have their sockets with serve: edge, on named volumes that
// each of them shares with the edge alone.
const (
	RunRegistry    = "/run/registry"
	RunBuilder     = "/run/buildkit" // where buildctl looks for the socket
	SocketRegistry = RunRegistry + "/registry.sock"
	SocketBuilder  = RunBuilder + "/buildkitd.sock"
	// SocketAdmin is where the edge answers /healthz and /metrics.
	SocketAdmin = "/run/edge/admin.sock"
)

// Names of the leaves in a PKI plan.
const (
	LeafRegistry = "registry"
	LeafBuilder  = "buildkit"
	LeafClient   = "client"
	// LeafRemoved is a client that is removed from its beginning, for the
	// proof to see that the edge refuses such.
	LeafRemoved = "ca/removed"
)

// PairFiles names the files of one key pair.
type PairFiles struct{ Cert, Key string }

// PairOf returns which files hold a CA or a leaf, by its name in a PKI plan.
func (s Serve) PairOf(name string) PairFiles {
	switch name {
	case pki.CAName:
		return PairFiles{FileCACert, FileCAKey}
	case pki.CAIssuing:
		return PairFiles{FileIssuingCert, FileIssuingKey}
	case pki.CAClient:
		return PairFiles{FileClientCACert, FileClientCAKey}
	case LeafRegistry:
		if s == ServeEdge {
			return PairFiles{FileEdgeRegistryCert, FileEdgeRegistryKey}
		}
		return PairFiles{FileRegistryCert, FileRegistryKey}
	case LeafBuilder:
		if s == ServeEdge {
			return PairFiles{FileEdgeBuilderCert, FileEdgeBuilderKey}
		}
		return PairFiles{FileBuilderCert, FileBuilderKey}
	case LeafClient:
		return PairFiles{FileClientCert, FileClientKey}
	default:
		return ClientPair(name)
	}
}

// ClientPair returns the files of a client that was added, by its [ClientLeaf].
func ClientPair(leaf string) PairFiles { return PairFiles{leaf + "/cert.pem", leaf + "/key.pem"} }

// OwnerOf returns whom a leaf's files belong to: the process that serves with
// them. The edge runs as the same uid as the registry.
func (s Serve) OwnerOf(leaf string) Owner {
	if leaf == LeafRegistry || leaf == LeafBuilder && s == ServeEdge {
		return OwnerRegistry
	}
	return OwnerCaller
}

// RetiredPair returns where a client CA that was replaced is kept.
func RetiredPair(generation string) PairFiles {
	return PairFiles{DirRetired + "/client-ca-" + generation + ".crt", DirRetired + "/client-ca-" + generation + ".key"}
}

// RetiredClient returns where the certificate is kept that the stack's own client
// had of a client CA that was replaced.
func RetiredClient(generation string) string { return DirRetired + "/client-" + generation + ".crt" }

// A set of CAs, with the leaves that they have signed, while the CA is replaced:
// the ones that are to come, or those that were.
const (
	SetNext     = "ca/next"
	SetPrevious = "ca/previous"
)

// PairIn returns where a CA or a leaf of a set is. Leaves have no key there: it
// is the one that is in force.
func (s Serve) PairIn(set, name string) PairFiles {
	if !slices.Contains(CAs(), name) {
		return PairFiles{Cert: set + "/leaves/" + name + ".crt"}
	}
	at := s.PairOf(name)
	return PairFiles{set + "/" + path.Base(at.Cert), set + "/" + path.Base(at.Key)}
}

// CrossIn returns where [FileCross] of a set is.
func CrossIn(set string) string { return set + "/" + path.Base(FileCross) }

// CAs returns the names of all CAs that a stack can have.
func CAs() []string { return []string{pki.CAName, pki.CAIssuing, pki.CAClient} }

// Leaves returns the names of the leaves that a stack can have.
func Leaves(clients Clients) []string {
	out := []string{LeafRegistry, LeafBuilder, LeafClient, LeafRemoved}
	for _, c := range clients.Named {
		out = append(out, ClientLeaf(c.Name))
	}
	return out
}

// OptionalFiles returns the files, other than the servers' key pairs, that only
// some specs need.
func OptionalFiles() []string {
	removed := ClientPair(LeafRemoved)
	return []string{
		FileRegistryCert2, FileBuilderClientCA, FileCross,
		FileEdgeConfig, FileEdgeBridge, FileEdgeClients, FileEdgeAccess, FileRelayConfig, removed.Cert, removed.Key,
	}
}

// RequestOf returns the file of the request for a leaf that an external CA signs.
func RequestOf(leaf string) string { return DirRequests + "/" + leaf + ".csr" }

// ReaderOf returns which service reads a key pair, or "" for people's tools.
func (s Serve) ReaderOf(name string) string {
	switch name {
	case LeafRegistry:
		return s.Publisher(Registry)
	case LeafBuilder:
		return s.Publisher(Builder)
	default:
		return ""
	}
}

// HopOf returns which hop suffers when a file is not what certyard wrote, and
// whether any does.
func HopOf(path string) (Hop, bool) {
	switch path {
	case FileRegistryConfig, FileHtpasswd, FileRegistryCert, FileRegistryKey, FileRegistryCert2, FileRegistryCA,
		FileEdgeConfig, FileEdgeRegistryCert, FileEdgeRegistryKey:
		return HopHostRegistry, true
	case FileBuilderConfig, FileBuilderCA, FileRelayConfig, FileEdgeBridge:
		return HopBuilderRegistry, true
	case FileBuilderCert, FileBuilderKey, FileBuilderClientCA, FileClientCA, FileClientCert, FileClientKey, FileDockerConfig,
		FileEdgeBuilderCert, FileEdgeBuilderKey, FileEdgeClients, FileEdgeAccess:
		return HopHostBuilder, true
	default:
		return "", false
	}
}
