package doctor

import (
	"slices"

	"github.com/certyard/certyard/stack/lint"
)

// The rules that are judged here.
const (
	ruleLoads     = "wiring.loads"
	ruleServices  = "wiring.services"
	ruleSeveral   = "wiring.several"
	ruleSource    = "wiring.source"
	ruleConfig    = "wiring.config"
	ruleSection   = "wiring.section"
	rulePort      = "wiring.port"
	ruleInside    = "wiring.localhost"
	ruleScheme    = "wiring.scheme"
	ruleKeyPair   = "wiring.keypair"
	ruleChanged   = "own.changed"
	ruleShared    = "wiring.shared-key"
	ruleUnmounted = "wiring.unmounted"
	ruleMount     = "compose.config-mount"      // lint has its row
	ruleHtpasswd  = "registry.htpasswd-missing" // lint has its row

	ruleEngine   = "docker.engine"
	ruleCertsD   = "docker.certs-d"
	ruleContext  = "docker.context"
	ruleLoopback = "docker.loopback"
	ruleBuildx   = "docker.buildx"
	ruleState    = "running.container"
	ruleFrozen   = "running.frozen"
	ruleStale    = "running.stale"
	ruleServed   = "running.served"
	ruleClock    = "running.clock"
	ruleLog      = "running.log"
	ruleOpen     = "own.rotation"
	probePrefix  = "probe."
)

// Rules returns every rule, in an order in which a cause comes before what follows
// from it.
func Rules() []lint.Rule {
	compose, open := composeRules()
	return slices.Concat(engineRules(), wiringRules(), compose, lint.BuildkitdRules(), lint.RegistryRules(), open,
		pathRules(), networkRules(), schemeRules(), certRows(), runningRules(), probeRules(), logRules())
}

// composeRules returns the rules about the compose file, and apart from them those
// about who is let in, which the daemons' configs decide and their mistakes explain.
func composeRules() (compose, open []lint.Rule) {
	builder := []string{ruleSource, ruleConfig, "compose.config-mount", "compose.builder-plain", "buildkitd.syntax", "buildkitd.type", "buildkitd.misplaced", "buildkitd.unknown-key", "buildkitd.grpc-keypair", "buildkitd.grpc-plain"}
	registry := []string{ruleSource, ruleConfig, "compose.config-mount", "registry.syntax", "registry.auth-kind", "registry.unknown-key", "registry.environment-off"}
	for _, r := range lint.ComposeRules() {
		switch r.ID {
		case "compose.published-open":
			r.Needs = append(r.Needs, builder...)
			open = append(open, r)
		case "compose.registry-open":
			r.Needs = append(r.Needs, registry...)
			open = append(open, r)
		default:
			compose = append(compose, r)
		}
	}
	return compose, open
}

// pathRules are about the paths that the configs name.
func pathRules() []lint.Rule {
	return []lint.Rule{{
		ID: ruleUnmounted, Title: "what the configs name is in the containers", Severity: lint.Error,
		Needs:  []string{ruleSource, ruleConfig, "compose.config-mount"},
		Proves: "the paths of certificates and keys lead to files of the host", Hint: "mount the directory, or name the path where it is mounted",
		Source: "docs.docker.com/engine/storage/bind-mounts: a container sees its image and what is mounted",
	}}
}

// hides returns what cannot be judged as a whole while a rule is broken, by how
// the IDs of those rules begin: what they are about is not read, or not used.
func hides() map[string][]string {
	configs := []string{"buildkitd.", "registry.", "wiring.", "certs.", "compose.published-open", "compose.registry-open"}
	builder := []string{"buildkitd.", "wiring.", "certs.", "compose.published-open"}
	registry := []string{"registry.", "wiring.", "certs.", "compose.registry-open"}
	chain := []string{"certs.trust-leaf", "certs.same-subject", "certs.not-a-ca", "certs.missing-intermediate", "certs.chain", "certs.constraints", "certs.ca-usage", "certs.ca-expired"}
	out := map[string][]string{
		ruleLoads:  append([]string{"compose."}, configs...),
		ruleSource: configs, ruleConfig: configs, "compose.config-mount": configs,
		"compose.registry-open": {"registry.htpasswd"}, "registry.no-auth": {"registry.htpasswd"}, "registry.auth-kind": {"registry.htpasswd"},
		ruleScheme: {ruleKeyPair, "certs."}, ruleKeyPair: {"certs."},
	}
	for _, id := range []string{"compose.builder-plain", "buildkitd.syntax", "buildkitd.type", "buildkitd.misplaced", "buildkitd.unquoted-host", "buildkitd.address", "buildkitd.unknown-key", "buildkitd.grpc-keypair", "buildkitd.grpc-plain", "buildkitd.host-scheme", ruleSection, rulePort} {
		out[id] = builder
	}
	for _, id := range []string{"registry.syntax", "registry.environment-value", "registry.environment-off", "registry.unknown-key", "registry.tls-pair", "registry.letsencrypt", "registry.plain-http"} {
		out[id] = registry
	}
	for _, id := range []string{ruleUnmounted, "certs.missing", "certs.unreadable", "certs.not-pem", "certs.damaged", "certs.wrong-kind", "certs.encrypted-key", "certs.order"} {
		out[id] = []string{"certs."}
	}
	for _, id := range append(chain, "certs.weak-signature") {
		out[id] = chain
	}
	return out
}

// certRows are lint's rules about certificates: with a clock that is wrong nothing
// can be said of dates.
func certRows() []lint.Rule {
	rows := lint.CertRules()
	for i, r := range rows {
		if r.ID == "certs.expired" || r.ID == "certs.not-yet-valid" || r.ID == "certs.ca-expired" {
			rows[i].Needs = append(r.Needs, ruleClock)
		}
	}
	return rows
}

func engineRules() []lint.Rule {
	return []lint.Rule{{
		ID: ruleEngine, Title: "the Docker Engine answers", Severity: lint.Error,
		Proves: "containers can be looked at", Hint: "start the Docker Engine, or name another one with --docker-host or --context",
		Source: "Docker Engine API, GET /_ping",
	}, {
		ID: ruleClock, Title: "the engine's clock and the one here agree", Severity: lint.Error, Needs: []string{ruleEngine},
		Proves: "certificates are judged at the same time on both sides", Hint: "set the clock that is wrong, best with NTP", Source: "crypto/x509, Certificate.Verify",
	}}
}

func wiringRules() []lint.Rule {
	return []lint.Rule{{
		ID: ruleChanged, Title: "files are as certyard wrote them", Severity: lint.Error,
		Proves: "what the next start reads is what was proven", Hint: `"certyard up" writes it again`, Source: "state.json of the stack",
	}, {
		ID: ruleLoads, Title: "Compose loads the compose file", Severity: lint.Error,
		Proves: "docker compose accepts it", Hint: "docker compose -f FILE config prints the same error", Source: "compose-go v2.16.2 loader",
	}, {
		ID: ruleServices, Title: "the compose file has a registry or a builder", Severity: lint.Error, Needs: []string{ruleLoads},
		Proves: "there is something to look at", Hint: "name the compose file that has them, with COMPOSE_PROFILES for those of a profile", Source: "the image, command, mounts and ports of each service",
	}, {
		ID: ruleSeveral, Title: "there is one registry and one builder", Severity: lint.Warning,
		Proves: "every daemon was looked at", Hint: "look at the others by themselves: --buildkitd-config, --registry-config and --certs name what is theirs", Source: "the image, command, mounts and ports of each service",
	}, {
		ID: ruleSource, Title: "what is mounted exists", Severity: lint.Error, Needs: []string{ruleLoads},
		Proves: "the engine mounts what was meant, and no empty directory", Hint: "make it, or correct the path",
		Source: "Docker Engine, bind mounts: a missing source becomes a directory",
	}, {
		ID: ruleConfig, Title: "the mounted configs can be read", Severity: lint.Error, Needs: []string{ruleSource},
		Proves: "the daemons read the config that was judged", Hint: "put the config where the compose file mounts it from",
		Source: "buildkit v0.34.2 cmd/buildkitd/config/load.go:22-28",
	}, {
		ID: ruleOpen, Title: "no replacement of CAs is open", Severity: lint.Warning,
		Proves: "one CA is trusted, and no old one", Hint: `"certyard rotate --ca --yes" goes on, "certyard rotate --abort" goes back`, Source: "state.json of the stack",
	}}
}

// networkRules are about what the builder finds behind the names of its sections.
func networkRules() []lint.Rule {
	return []lint.Rule{{
		ID: rulePort, Title: "sections of buildkitd.toml have the port inside of the network", Severity: lint.Error,
		Needs:  []string{"buildkitd.syntax", "buildkitd.type", "buildkitd.host-scheme"},
		Proves: "something answers the builder there", Hint: "name the container's port, not the published one", Source: "Compose file reference, networking",
	}, {
		ID: ruleSection, Title: "buildkitd.toml has a section for the registry's name on the network", Severity: lint.Error,
		Needs:  []string{ruleSource, ruleConfig, "compose.config-mount", "buildkitd.syntax", "buildkitd.type", "buildkitd.unquoted-host", "buildkitd.misplaced", "buildkitd.unknown-key", "buildkitd.host-scheme", rulePort},
		Proves: "the builder trusts the CA that was meant for it", Hint: "add the section", Source: "buildkit v0.34.2 util/resolver/resolver.go:128",
	}, {
		ID: ruleInside, Title: "no section means the host by localhost", Severity: lint.Warning, Needs: []string{"buildkitd.syntax"},
		Proves: "the names that builds use lead to the registry", Hint: "use the registry's name on the network", Source: "kind documentation, local registry: localhost inside of a container is the container",
	}, {
		ID: ruleShared, Title: "each daemon sees its own private key alone", Severity: lint.Warning,
		Proves: "who breaks out of a build step gets no other server's key", Hint: "keep each server's key in a directory of its own, and give others the certificate alone",
		Source: "buildkit v0.34.2 README.md, Expose BuildKit as a TCP service",
	}}
}

func schemeRules() []lint.Rule {
	return []lint.Rule{{
		ID: ruleScheme, Title: "builder and registry agree about TLS", Severity: lint.Error,
		Needs:  []string{"buildkitd.syntax", "buildkitd.type", "registry.syntax", "registry.environment-off", "registry.tls-pair", "registry.letsencrypt", "registry.plain-http", "registry.unknown-key"},
		Proves: "what the one speaks the other understands", Hint: "make both speak TLS", Source: "buildkit v0.34.2 util/resolver/resolver.go:38-64",
	}, {
		ID: ruleKeyPair, Title: "the builder has a certificate for a registry that asks for one", Severity: lint.Error,
		Needs:  []string{"buildkitd.syntax", "buildkitd.type", "buildkitd.unknown-key", "buildkitd.keypair", "registry.syntax"},
		Proves: "the registry lets the builder in", Hint: "give the section a keypair", Source: "distribution v3.1.2 registry/registry.go:286-317",
	}}
}

// startNeeds is what keeps a daemon from starting.
var startNeeds = []string{
	ruleEngine, ruleSource, ruleConfig, ruleHtpasswd,
	"buildkitd.syntax", "buildkitd.type", "buildkitd.value", "buildkitd.address", "buildkitd.grpc-keypair", "registry.syntax", "registry.environment-value", "registry.storage-driver", "registry.auth-kind", "registry.htpasswd-options", "registry.tls-pair", "registry.letsencrypt", "registry.minimum-tls", "registry.cipher-suite", "registry.htpasswd-line",
	"certs.missing", "certs.not-pem", "certs.damaged", "certs.wrong-kind", "certs.encrypted-key", "certs.key-reader", "certs.reader", "certs.order", "certs.key-match",
}

func runningRules() []lint.Rule {
	return []lint.Rule{{
		ID: ruleState, Title: "the containers run", Severity: lint.Error, Needs: startNeeds,
		Proves: "the daemons have started with their files", Hint: "docker logs CONTAINER says why it ended; docker compose up -d starts it", Source: "Docker Engine API, container state",
	}, {
		ID: ruleFrozen, Title: "containers see the files that are on the disk", Severity: lint.Error, Needs: []string{ruleState},
		Proves: "what is written reaches the daemons", Hint: "mount the directory instead of the file, and make the container anew (docker compose up -d --force-recreate)", Source: "moby/moby#22627: a bind mount of a file keeps its inode",
	}, {
		ID: ruleServed, Title: "the served certificate is the one in the file", Severity: lint.Error, Needs: []string{ruleState, ruleFrozen, "certs.missing", "certs.not-pem", "certs.key-match"},
		Proves: "the daemon has read the file that is there now", Hint: "restart the daemon when nobody builds: it reads its certificate once, when it starts", Source: "buildkit v0.34.2 cmd/buildkitd/main.go:820-857, distribution v3.1.2 registry/registry.go:279-283",
	}, {
		ID: ruleStale, Title: "configs and CAs are older than the containers' start", Severity: lint.Warning, Needs: []string{ruleState, ruleFrozen, ruleServed, ruleChanged},
		Proves: "the daemon goes by the config that was judged", Hint: "restart the daemon when nobody builds: it reads its config once, when it starts", Source: "buildkit v0.34.2 cmd/buildkitd/main.go:270",
	}, {
		ID: ruleCertsD, Title: "the engine's certs.d fits the registry", Severity: lint.Warning, Needs: []string{ruleEngine},
		Proves: "docker pull and push trust the registry", Hint: "put the CA into certs.d/HOST:PORT/ca.crt", Source: "moby daemon/pkg/registry/registry.go:34-106",
	}, {
		ID: ruleContext, Title: "the chosen context is the one that is used", Severity: lint.Warning,
		Proves: "docker and certyard ask the engine that was meant", Hint: "unset DOCKER_HOST, or choose the context default", Source: "docker/cli v29.8.2 cli/command/cli.go",
	}, {
		ID: ruleLoopback, Title: "docker can log in to the registry by the name that it is published as", Severity: lint.Warning,
		Proves: "nothing that only another name could do is asked of localhost", Hint: "give docker another name than localhost for the registry, with a certs.d of that name", Source: "moby daemon/pkg/registry/registry.go:36-44, config.go:143-146",
	}, {
		ID: ruleBuildx, Title: "buildx builders that point here have the CA of today", Severity: lint.Warning,
		Proves: "docker buildx build works with this builder", Hint: "make the builder of buildx anew: docker buildx rm NAME, then docker buildx create", Source: "buildx store/nodegroup.go:96-102",
	}}
}

// logRules come last: a daemon's own words add to what was found.
func logRules() []lint.Rule {
	return []lint.Rule{{
		ID: ruleLog, Title: "the log of a daemon that is not sound tells of nothing known", Severity: lint.Warning,
		Needs:  slices.Concat(startNeeds, certRules(lint.Error), []string{"registry.htpasswd-users", "registry.htpasswd-bcrypt"}),
		Proves: "nothing that certyard explain knows", Hint: `"certyard explain" takes the whole log`, Source: "the daemon's log",
	}}
}
