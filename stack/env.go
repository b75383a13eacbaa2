package stack

import "path"

// Variable is one environment variable.
type Variable struct{ Name, Value string }

// Environment returns the variables that clients of the stack use: those of the
// cheat sheet, with absolute paths, and where Docker's clients find the
// password. root is the state directory, absolute.
func (s Spec) Environment(f Facts, root, password string) []Variable {
	file := func(name string) string { return path.Join(root, name) }
	vars := []Variable{
		// The name that builds use: what the builder pushes to.
		{"DOCKER_REGISTRY", s.RegistryEndpoint(f).Address()},
	}
	if e := s.HostEndpoints(Registry, f); len(e) > 0 {
		vars = append(vars, Variable{"DOCKER_REGISTRY_ON_HOST", e[0].Address()})
	}
	vars = append(vars,
		Variable{"REGISTRY_TLS_VERIFY", "true"},
		Variable{"REGISTRY_CERT", file(FileClientCA)},
		Variable{"REGISTRY_AUTH_TYPE", "basic"},
		Variable{"REGISTRY_AUTH_USERNAME", s.Registry.Users[0].Name},
		Variable{"REGISTRY_AUTH_PASSWORD", password},
	)
	if e := s.HostEndpoints(Builder, f); len(e) > 0 {
		vars = append(vars, Variable{"BUILDKIT_HOST", e[0].String()})
	}
	vars = append(vars, Variable{"BUILDKIT_TLS_CA", file(FileClientCA)})
	if s.Builder.TLS == TLSMutual {
		vars = append(vars,
			Variable{"BUILDKIT_TLS_CERT", file(FileClientCert)},
			Variable{"BUILDKIT_TLS_KEY", file(FileClientKey)},
			Variable{"BUILDKIT_TLS_DIR", file(DirClient)},
		)
	}
	return append(vars, Variable{"DOCKER_CONFIG", file(DirDocker)})
}
