package doctor

import (
	"path/filepath"

	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lint"
)

// NewOwn returns what is known of a stack that certyard made in a directory, from
// its record. The caller adds how it is proven, and what has changed.
func NewOwn(spec stack.Spec, facts stack.Facts, dir string) *Own {
	o := &Own{Name: spec.Name, Dir: dir, Takes: spec.Serve == stack.ServeEdge}
	at := func(file string) string { return filepath.Join(dir, file) }
	server := func(subject lint.Subject, leaf, service string, uid int, trust ...string) {
		pair := spec.Serve.PairOf(leaf)
		o.Uses = append(o.Uses,
			lint.Used{Subject: subject, Use: lint.ServerCert, Path: at(pair.Cert), Pair: at(pair.Key), Names: spec.Names(service, facts), Reader: uid, Trust: trust},
			lint.Used{Subject: subject, Use: lint.ServerKey, Path: at(pair.Key), Reader: uid})
	}
	registryUID, builderUID := facts.RegistryUID, 0
	if o.Takes {
		builderUID = registryUID // the edge reads both
	}
	clients, builder := at(stack.FileClientCA), at(stack.FileBuilderCA)
	server(lint.Registry, stack.LeafRegistry, stack.Registry, registryUID, clients, builder)
	server(lint.Builder, stack.LeafBuilder, stack.Builder, builderUID, clients)
	o.Uses = append(o.Uses,
		lint.Used{Subject: lint.Registry, Use: lint.TrustCA, Path: builder, Reader: -1, Object: "the builder's CAs"},
		lint.Used{Subject: lint.Registry, Use: lint.TrustCA, Path: clients, Reader: -1, Object: "the clients' CAs"},
		lint.Used{Subject: lint.Builder, Use: lint.TrustCA, Path: clients, Reader: -1, Object: "the clients' CAs"})
	if spec.Builder.TLS == stack.TLSMutual {
		accepted := stack.FileBuilderClientCA
		if o.Takes {
			accepted = stack.FileEdgeClients
		}
		client := spec.Serve.PairOf(stack.LeafClient)
		o.Uses = append(o.Uses,
			lint.Used{Subject: lint.Builder, Use: lint.ClientCA, Path: at(accepted), Reader: builderUID},
			lint.Used{Subject: lint.Builder, Use: lint.ClientCert, Path: at(client.Cert), Pair: at(client.Key), Reader: -1, Trust: []string{at(accepted)}},
			lint.Used{Subject: lint.Builder, Use: lint.ClientKey, Path: at(client.Key), Reader: -1})
	}
	return o
}
