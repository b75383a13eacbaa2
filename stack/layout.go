package stack

// Every file of the state directory, relative to it.
const (
	FileCACert = "ca/ca.crt"
	FileCAKey  = "ca/ca.key"

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

// Pairs returns which files hold the CA ("ca") and each leaf.
func Pairs() map[string]PairFiles {
	return map[string]PairFiles{
		"ca":         {FileCACert, FileCAKey},
		LeafRegistry: {FileRegistryCert, FileRegistryKey},
		LeafBuilder:  {FileBuilderCert, FileBuilderKey},
		LeafClient:   {FileClientCert, FileClientKey},
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
	case FileBuilderCert, FileBuilderKey, FileClientCA, FileClientCert, FileClientKey, FileDockerConfig:
		return HopHostBuilder, true
	default:
		return "", false
	}
}
