package stack

import "slices"

// Need is what has to happen for a consumer to work with new material.
type Need string

// The needs.
const (
	// NeedNothing: the consumer reads it again by itself.
	NeedNothing Need = "nothing"
	// NeedIdle: the consumer reads it again by itself, and a build that began
	// with the old one would fail. It changes while nobody builds.
	NeedIdle Need = "idle"
	// NeedBridge: the consumer keeps what it read for longer than it says.
	// Nothing as long as what it meets verifies with the old one too, through
	// a cross-signed certificate; else a restart.
	NeedBridge Need = "bridge"
	// NeedRestart: the consumer reads it at its start. It is started again
	// while nobody builds.
	NeedRestart Need = "restart"
)

// Consumer is one line of the table of what needs what.
type Consumer struct {
	Service string // "" for the tools of people
	Files   []string
	Need    Need
	Why     string
}

// Consumers returns which service needs what when a file changes. This is the
// only place that says so: labels of containers, rotation and dry runs follow
// it.
func (s Serve) Consumers() []Consumer {
	htpasswd := Consumer{Registry, []string{FileHtpasswd}, NeedIdle, "the registry reads it again when its time differs, and a build that began with the old password could not push"}
	people := Consumer{"", []string{FileClientCA, FileClientCert, FileClientKey, FileDockerConfig, FileEnv}, NeedNothing, "tools read it each time they start"}
	if s == ServeEdge {
		return []Consumer{
			{Edge, []string{FileEdgeConfig}, NeedRestart, "the edge reads it at its start"},
			{Edge, []string{FileEdgeRegistryCert, FileEdgeBridge, FileEdgeBuilderCert, FileEdgeClients, FileEdgeAccess}, NeedNothing, "the edge looks at it in every handshake"},
			{Registry, []string{FileRegistryConfig}, NeedRestart, "the registry reads it at its start"},
			htpasswd,
			{Builder, []string{FileBuilderConfig, FileRelayConfig}, NeedRestart, "buildkitd reads it at its start"},
			{Builder, []string{FileBuilderCA}, NeedBridge, "buildkitd reads it when it first meets a repository, and keeps it (P10)"},
			people,
		}
	}
	return []Consumer{
		{Registry, []string{FileRegistryConfig, FileRegistryCert}, NeedRestart, "the registry reads it at its start"},
		htpasswd,
		{Builder, []string{FileBuilderConfig, FileBuilderCert, FileBuilderCA, FileBuilderClientCA}, NeedRestart, "buildkitd reads it at its start, or when it first meets a repository, and keeps it (P10)"},
		people,
	}
}

// NeedsIdle reports whether one of the files may change only while nobody
// builds.
func (s Serve) NeedsIdle(paths []string) bool {
	return slices.ContainsFunc(s.Consumers(), func(c Consumer) bool {
		return c.Need == NeedIdle && slices.ContainsFunc(c.Files, func(f string) bool { return slices.Contains(paths, f) })
	})
}
