package lint

// judged is a rule with what judges it, nil where reading the file does.
type judged struct {
	Rule
	judge func(*Buildkitd) []Finding
}

// BuildkitdRules returns the rules for a buildkitd.toml, causes before what they
// explain. The caller owns the copy.
func BuildkitdRules() []Rule {
	var out []Rule
	for _, row := range buildkitdTable {
		out = append(out, row.own())
	}
	return out
}

// Which of a file's rules hold before others are asked.
var (
	isTOML   = []string{"buildkitd.syntax"}
	readable = []string{"buildkitd.syntax", "buildkitd.type"}
)

func buildkitdRow(id string, severity Severity, needs []string, judge func(*Buildkitd) []Finding, title, proves, hint, source string) judged {
	return judged{Rule{"buildkitd." + id, title, severity, needs, proves, hint, source}, judge}
}

// buildkitdTable is the table of the rules. A finding that explains another one of
// the same section keeps it away where it is judged; Needs is for what says
// nothing at all about a file that does not decode.
var buildkitdTable = []judged{
	buildkitdRow("syntax", Error, nil, nil,
		"the file is TOML",
		"buildkitd can parse the file",
		"correct the line; names of registries with dots or colons are written in quotes",
		"buildkit v0.34.2 cmd/buildkitd/config/load.go:12-18; TOML v1.0.0, Keys and Table"),
	buildkitdRow("type", Error, isTOML, nil,
		"every value has the form that buildkitd wants",
		"buildkitd can read the file and gets past it when it starts",
		`write lists as ["..."] and single values without brackets`,
		"buildkit v0.34.2 cmd/buildkitd/config/config.go:10-60, cmd/buildkitd/config/load.go:12-18"),
	buildkitdRow("unquoted-host", Error, isTOML, nil,
		"names of registries with dots are quoted",
		"each registry section is about the registry that it names",
		`write [registry."example.com"]`,
		"TOML v1.0.0, Keys (dotted keys); buildkit v0.34.2 cmd/buildkitd/config/config.go:41"),
	buildkitdRow("misplaced", Error, isTOML, nil,
		"every key is in its table",
		"no setting that buildkitd has is lost because it stands at the wrong place",
		"move the key or table to where buildkitd reads it",
		"buildkit v0.34.2 cmd/buildkitd/config/load.go:14 (unknown keys are no error)"),
	buildkitdRow("unknown-key", Error, isTOML, nil,
		"every key is one that buildkitd has",
		"nothing in the file is ignored",
		"correct the name, or take the key out",
		"buildkit v0.34.2 cmd/buildkitd/config/load.go:14 (unknown keys are no error)"),
	buildkitdRow("value", Error, readable, judgeValues,
		"values are among those that buildkitd takes",
		"buildkitd does not stop at one of these when it starts",
		"use one of the values that buildkitd takes",
		"buildkit v0.34.2 cmd/buildkitd/main.go:294-317, 329-332, 858-862"),
	buildkitdRow("address", Error, readable, judgeAddresses,
		"addresses have a scheme that buildkitd knows",
		"buildkitd can listen on each address, as far as its form tells",
		`write "tcp://0.0.0.0:1234" or "unix:///run/buildkit/buildkitd.sock"`,
		"buildkit v0.34.2 cmd/buildkitd/main.go:767-803"),
	buildkitdRow("grpc-keypair", Error, readable, judgeGRPCKeyPair,
		"cert and key of [grpc.tls] are set together",
		"buildkitd does not stop for want of the other half",
		"set both cert and key",
		"buildkit v0.34.2 cmd/buildkitd/main.go:820-833"),
	buildkitdRow("grpc-plain", Error, append(readable, "buildkitd.grpc-keypair"), judgeGRPCPlain,
		"tcp addresses are served with TLS",
		"nobody builds over a connection that others can read, and with a ca nobody builds without a certificate",
		"set cert and key in [grpc.tls], and ca to let in only clients with a certificate",
		"buildkit v0.34.2 cmd/buildkitd/main.go:786-799, 820-826, README.md:728"),
	buildkitdRow("tls-unused", Warning, readable, judgeTLSUnused,
		"the certificate in [grpc.tls] is served somewhere",
		"there is an address that clients can reach with TLS",
		`add "tcp://0.0.0.0:1234" to address in [grpc]`,
		"buildkit v0.34.2 cmd/buildkitd/main.go:605-607, 776-783"),
	buildkitdRow("no-client-auth", Warning, append(readable, "buildkitd.grpc-plain"), judgeClientAuth,
		"clients that come from elsewhere need a certificate",
		"only holders of a certificate of the CA can build",
		"set ca in [grpc.tls], or publish the port on 127.0.0.1 alone",
		"buildkit v0.34.2 cmd/buildkitd/main.go:842-854"),
	buildkitdRow("debug-open", Error, readable, judgeDebugOpen,
		"the debug address is on loopback, or not set",
		"nobody from elsewhere reads traces and profiles of builds, or loads a cache",
		"take debugAddress out, or put it on 127.0.0.1",
		"buildkit v0.34.2 cmd/buildkitd/debug.go:33-83"),
	buildkitdRow("debug-address", Warning, append(readable, "buildkitd.debug-open"), judgeDebugAddress,
		"the debug address is not set",
		"no other process of the machine reads traces and profiles of builds, or loads a cache",
		"take debugAddress out when nobody is debugging",
		"buildkit v0.34.2 cmd/buildkitd/debug.go:33-83"),
	buildkitdRow("default-socket", Warning, readable, judgeDefaultSocket,
		"buildkitd has its default socket beside tcp addresses",
		"buildctl and health checks inside the container need no address and no certificate",
		`add "`+DefaultSocket+`" to address in [grpc]`,
		"buildkit v0.34.2 cmd/buildkitd/main.go:605-607, 674-676"),
	buildkitdRow("host-scheme", Error, readable, judgeHosts,
		"registries are named as in image references",
		"each registry section can match an image",
		`write the host and port as in the image, as [registry."registry:5000"]; example.com and example.com:443 are two registries`,
		"buildkit v0.34.2 util/resolver/resolver.go:125-131; github.com/distribution/reference v0.6.0 normalize.go"),
	buildkitdRow("mirror-scheme", Error, readable, judgeMirrorSchemes,
		"mirrors are named without a scheme",
		"the scheme that is written is not dropped",
		"take the scheme off, and give the mirror a section of its own with http = true when it has no TLS",
		"buildkit v0.34.2 util/resolver/resolver.go:174-185, util/resolver/utils.go:9-22"),
	buildkitdRow("loopback-http", Error, readable, judgeLoopback,
		"registries on loopback names say http = false or http = true",
		"buildkitd speaks to them as the file says",
		"write http = false",
		"buildkit v0.34.2 util/resolver/resolver.go:38-42, 61-65; containerd v2.4.2 core/remotes/docker/registry.go:218-252"),
	buildkitdRow("insecure", Warning, readable, judgeInsecure,
		"certificates of registries are verified",
		"nobody between buildkitd and the registry reads passwords or changes images",
		"set insecure = false, and ca to the CA of the registry; correct the names in its certificate when they are why",
		"buildkit v0.34.2 util/resolver/resolver.go:47-60"),
	buildkitdRow("http-with-ca", Warning, readable, judgeHTTPWithCA,
		"plain HTTP is not written beside certificates",
		"what is written about certificates is used",
		"set http = false when the registry speaks TLS, else take the certificates out",
		"buildkit v0.34.2 util/resolver/resolver.go:61-65"),
	buildkitdRow("keypair", Error, readable, judgeKeyPairs,
		"keypairs have both key and cert",
		"buildkitd can load them when it first needs the registry",
		"set both key and cert",
		"buildkit v0.34.2 util/resolver/resolver.go:114-120"),
	buildkitdRow("no-ca", Warning, readable, judgeNoCA,
		"registries with http = false have a CA",
		"a registry with a private CA is accepted",
		"set ca to the file with the registry's CA, unless a public CA has signed its certificate",
		"buildkit v0.34.2 util/resolver/resolver.go:93-112"),
	buildkitdRow("mirror-section", Warning, readable, judgeMirrorSections,
		"mirrors have sections of their own",
		"what is said about certificates holds for mirrors too",
		"give each mirror a section of its own, with its http and ca",
		"buildkit v0.34.2 util/resolver/resolver.go:135-141"),
	buildkitdRow("relative-path", Warning, readable, judgePaths,
		"paths of certificates and keys are absolute",
		"the files are found wherever buildkitd is started",
		"write the whole path, as it is inside the container",
		"buildkit v0.34.2 cmd/buildkitd/main.go:834, 844, util/resolver/resolver.go:75, 107, 115"),
	buildkitdRow("history", Warning, readable, judgeHistory,
		"the build history is kept",
		"running builds can be listed, by people and by what waits for them",
		"take maxEntries out, or set it to 50",
		"buildkit v0.34.2 solver/llbsolver/history/buildhistory.go:119, docs/buildkitd.toml.md:66-73"),
	buildkitdRow("entitlement", Warning, readable, judgeEntitlements,
		"builds cannot ask for all privileges",
		"no RUN step gets out of its sandbox because its author asked for it",
		"take security.insecure out of insecure-entitlements",
		"buildkit v0.34.2 util/entitlements/entitlements.go:17, docs/buildkitd.toml.md:19-20"),
	buildkitdRow("deprecated", Warning, readable, judgeDeprecated,
		"no key is one that buildkitd gives up",
		"the file will do with later versions",
		`write level = "debug" in [log]`,
		"buildkit v0.34.2 cmd/buildkitd/main.go:282-287"),
}
