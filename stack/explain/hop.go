package explain

// cue is a text that tells between whom something went wrong.
type cue struct {
	text string
	hop  Hop
}

// cues returns what tells a hop. Where a line has several, the first of this list
// counts: an engine and a builder use the same libraries towards a registry, and a
// builder's client repeats what the builder said.
func cues() []cue {
	return []cue{
		{"http: TLS handshake error from ", ServerLog}, // net/http/server.go
		{"error checking authorization: ", ServerLog},  // registry
		{"curl: (", Command},
		{"verify error:num=", Command}, // openssl s_client
		{"Verification error: ", Command},
		{"Verify return code: ", Command},
		{"error:0A000", Command},                               // OpenSSL 3
		{"unable to access ", Command},                         // git
		{"CERTIFICATE_VERIFY_FAILED", Command},                 // Python
		{"error checking push permissions", ClientRegistry},    // kaniko
		{"creating push check transport for ", ClientRegistry}, // go-containerregistry
		{"Error response from daemon: ", EngineRegistry},       // docker
		{"The push refers to repository [", EngineRegistry},
		{"failed to fetch oauth token", ClientToken}, // buildkit, containerd
		{"failed to fetch anonymous token", ClientToken},
		{"failed to authorize", ClientToken},
		{"failed to do request: ", BuilderRegistry}, // containerd core/remotes/docker
		{"failed to push ", BuilderRegistry},
		{"failed to resolve source metadata for ", BuilderRegistry},
		{"failed to resolve reference ", BuilderRegistry},
		{"unexpected status from ", BuilderRegistry},
		{"failed to copy: ", BuilderRegistry},
		{"pushing layers", BuilderRegistry},
		{"pushing manifest for ", BuilderRegistry},
		{"load metadata for ", BuilderRegistry},
		{"failed to list workers", ClientBuilder},
		// buildctl; buildkitd has the cause before it, on a line of its own.
		{"could not read ca certificate: ", ClientBuilder},
		{"could not read certificate/key: ", ClientBuilder},
		{"listing workers for Build", ClientBuilder},
		{"error reading server preface", ClientBuilder},
		{"transport: authentication handshake failed", ClientBuilder},
		{"transport: Error while dialing", ClientBuilder},
		{"make sure buildkitd is running", ClientBuilder},
		{"connection error: desc = ", ClientBuilder},
		{"failed to get status", ClientBuilder},
		{"waiting for connection", ClientBuilder}, // buildx
		{"could not read certificate/key", ClientBuilder},
		{"failed to load keypair for ", BuilderRegistry},
		{"could not load server key pair", DaemonStart},
		{"buildkitd: ", DaemonStart},
		{"configuration error: ", DaemonStart}, // registry
		{"level=fatal msg=", DaemonStart},      // registry
	}
}

// nearLines is how many lines before a message may tell its hop.
const nearLines = 3

// hopOf returns the hop of a message: what its own text says, else the words of
// its line, else the only hop that there is, else the words of a line before.
func hopOf(e *Entry, p *pattern, here, near Hop) Hop {
	switch {
	case p.hop != "":
		return p.hop
	case here != "":
		return here
	case len(e.Hops) == 1:
		return e.Hops[0]
	default:
		return near
	}
}
