package stack

import "github.com/certyard/certyard/pki"

// Every file of the state directory, relative to it.
const (
	FileCACert = "ca/ca.crt"
	FileCAKey  = "ca/ca.key"

	// With pki.hierarchy: two-tier, the CA that signs.
	FileIssuingCert = "ca/issuing.crt"
	FileIssuingKey  = "ca/issuing.key"

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
)

// Where the daemons keep their data, on named volumes.
const (
	DataRegistry = "/var/lib/registry"
	DataBuilder  = "/var/lib/buildkit"
)

// Names of the leaves in a PKI plan.
const (
	LeafRegistry = "registry"
	LeafBuilder  = "buildkit"
	LeafClient   = "client"
)

// PairFiles names the files of one key pair.
type PairFiles struct{ Cert, Key string }

// PairOf returns which files hold a CA or a leaf, by its name in a PKI plan.
func PairOf(name string) PairFiles {
	switch name {
	case pki.CAName:
		return PairFiles{FileCACert, FileCAKey}
	case pki.CAIssuing:
		return PairFiles{FileIssuingCert, FileIssuingKey}
	case pki.CAClient:
		return PairFiles{FileClientCACert, FileClientCAKey}
	case LeafRegistry:
		return PairFiles{FileRegistryCert, FileRegistryKey}
	case LeafBuilder:
		return PairFiles{FileBuilderCert, FileBuilderKey}
	case LeafClient:
		return PairFiles{FileClientCert, FileClientKey}
	default: // a client that was added: ClientLeaf
		return PairFiles{name + "/cert.pem", name + "/key.pem"}
	}
}

// RetiredPair returns where a client CA that was replaced is kept.
func RetiredPair(generation string) PairFiles {
	return PairFiles{DirRetired + "/client-ca-" + generation + ".crt", DirRetired + "/client-ca-" + generation + ".key"}
}

// RetiredClient returns where the certificate is kept that the stack's own client
// had of a client CA that was replaced.
func RetiredClient(generation string) string { return DirRetired + "/client-" + generation + ".crt" }

// CAs returns the names of all CAs that a stack can have.
func CAs() []string { return []string{pki.CAName, pki.CAIssuing, pki.CAClient} }

// Leaves returns the names of the leaves of a stack.
func Leaves(clients Clients) []string {
	out := []string{LeafRegistry, LeafBuilder, LeafClient}
	for _, c := range clients.Named {
		out = append(out, ClientLeaf(c.Name))
	}
	return out
}

// RequestOf returns the file of the request for a leaf that an external CA signs.
func RequestOf(leaf string) string { return DirRequests + "/" + leaf + ".csr" }

// ReaderOf returns who reads a key pair: a service, or "" for people's tools.
func ReaderOf(name string) string {
	switch name {
	case LeafRegistry:
		return Registry
	case LeafBuilder:
		return Builder
	default:
		return ""
	}
}

// HopOf returns which hop suffers when a file is not what certyard wrote, and
// whether any does.
func HopOf(path string) (Hop, bool) {
	switch path {
	case FileRegistryConfig, FileHtpasswd, FileRegistryCert, FileRegistryKey, FileRegistryCert2, FileRegistryCA:
		return HopHostRegistry, true
	case FileBuilderConfig, FileBuilderCA:
		return HopBuilderRegistry, true
	case FileBuilderCert, FileBuilderKey, FileBuilderClientCA, FileClientCA, FileClientCert, FileClientKey, FileDockerConfig:
		return HopHostBuilder, true
	default:
		return "", false
	}
}
