package lint

// ComposeRules returns the rules about a compose file, causes first.
func ComposeRules() []Rule {
	return []Rule{
		{ID: "compose.config-mount", Title: "the config is mounted where the daemon reads it", Severity: Error,
			Proves: "the daemon reads the config that the compose file gives it",
			Hint:   "mount it where the daemon looks, or name its path in the command",
			Source: "buildkit v0.34.2 cmd/buildkitd/main.go:554-559 and config/load.go:20-30; distribution v3.1.2 Dockerfile, and v2.8.3 Dockerfile"},
		{ID: "compose.builder-plain", Title: "buildkitd listens on TCP with TLS", Severity: Error, Needs: []string{"compose.config-mount"},
			Proves: "the command alone does not open the builder to everybody",
			Hint:   "give buildkitd --tlscert, --tlskey and --tlscacert, or a config that has them",
			Source: "buildkit v0.34.2 cmd/buildkitd/main.go:786-798, 820-826"},
		{ID: "compose.published-open", Title: "a builder that knows no clients stays on loopback", Severity: Error,
			Proves: "nobody reaches the builder who may not",
			Hint:   "publish the port on 127.0.0.1, or let the builder ask for client certificates (ca in [grpc.tls], or --tlscacert)",
			Source: "buildkit v0.34.2 cmd/buildkitd/main.go:842-853 and README.md, \"Expose BuildKit as a TCP service\"; a port without an address is published on every one: docs.docker.com/engine/network/port-publishing"},
		{ID: "compose.registry-open", Title: "a registry without auth stays on loopback", Severity: Error,
			Proves: "nobody pushes who may not",
			Hint:   "publish the port on 127.0.0.1, or set auth.htpasswd",
			Source: "distribution v3.1.2 registry/handlers/app.go:348-357"},
		{ID: "compose.host-network", Title: "the daemon has a network of its own", Severity: Warning,
			Proves: "only published ports are reached from outside",
			Hint:   "take network_mode: host out and publish the port on 127.0.0.1",
			Source: "docs.docker.com/engine/network/drivers/host: ports are not mapped, a listener is the host's"},
		{ID: "compose.privileged", Title: "the container has no more privileges than it needs", Severity: Warning,
			Proves: "privileges of the host are not handed on",
			Hint: "a registry needs none. A builder runs with the default capabilities and SYS_ADMIN, seccomp=unconfined and apparmor=unconfined, " +
				"and /sys/fs/cgroup writable; or as moby/buildkit:rootless",
			Source: "buildkit v0.34.2 util/entitlements/entitlements.go and docs/rootless.md"},
		{ID: "compose.file-mount", Title: "directories are mounted, not single files", Severity: Warning,
			Proves: "a file that is replaced on the host is replaced in the container",
			Hint:   "mount the directory that the file is in",
			Source: "docs.docker.com/engine/storage/bind-mounts: a bind mount is of the file that was there at the start, not of its name (moby issue 22627)"},
		{ID: "compose.writable-mount", Title: "certificates and configs are mounted read-only", Severity: Warning,
			Proves: "the container cannot change them",
			Hint:   "add :ro, or read_only: true",
			Source: "docs.docker.com/reference/compose-file/services, volumes"},
		{ID: "compose.file-options", Title: "secrets and configs have options that are in force", Severity: Warning,
			Proves: "owner and mode of secrets and configs are as written",
			Hint:   "set owner and mode of the file on the host, to the uid that reads it",
			Source: "docker/compose v5.6.0 pkg/compose/secrets.go:50-83: only contents and variables are copied in; a file is mounted as it is"},
		{ID: "compose.secret-in-environment", Title: "passwords are in files, not in the environment", Severity: Warning,
			Proves: "\"docker inspect\" shows no password",
			Hint:   "write it into the registry's config file, and give that mode 0400 and the owner that reads it",
			Source: "moby/moby api/types/container Config.Env, which \"docker inspect\" prints"},
		{ID: "compose.registry-data", Title: "what is pushed is on a volume", Severity: Warning,
			Proves: "images outlive the container",
			Hint:   "mount a named volume there",
			Source: "distribution v3.1.2 Dockerfile: VOLUME /var/lib/registry makes a volume without a name, which \"docker compose down\" leaves behind unused"},
		{ID: "compose.stop-grace", Title: "a stop waits for what runs", Severity: Warning,
			Proves: "builds and uploads may end when the container is stopped",
			Hint:   "set stop_grace_period",
			Source: "docs.docker.com/reference/compose-file/services, stop_grace_period: 10 seconds; buildkit v0.34.2 cmd/buildkitd/main.go:459-472 waits for builds; distribution v3.1.2 registry/registry.go:333-347"},
		{ID: "compose.old-registry", Title: "the registry is version 3", Severity: Warning,
			Proves: "the config is read as the version 3 reference has it",
			Hint:   "use registry:3; its config is at /etc/distribution/config.yml, and it takes the same storage",
			Source: "distribution v2.8.3 registry/registry.go:223-289 and Dockerfile"},
	}
}

// composeChecks judge a service that is the builder or the registry.
func composeChecks() []func(c *Compose, s Service, subject Subject) {
	return []func(*Compose, Service, Subject){
		checkBuilderConfig, checkBuilderPlain, checkRegistryConfig, checkHostNetwork, checkPrivileged,
		checkFileMounts, checkWritable, checkFileOptions, checkSecrets, checkGrace, checkOld,
	}
}
