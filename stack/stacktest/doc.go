// Package stacktest gives Go tests a registry and a BuildKit builder with TLS, as
// easily as net/http/httptest gives them a server.
//
// [Registry] is for what needs a registry alone. It runs in the process of the test:
// the same registry that a stack runs in a container, with a certificate of a CA of
// its own, in memory, ready in some milliseconds and gone with the test. It needs
// neither Docker nor files outside the test's temporary directory, and as many as
// one likes may run at once.
//
//	func TestPush(t *testing.T) {
//		r := stacktest.Registry(t)
//		ref, err := name.ParseReference(r.Host() + "/app:1")
//		...
//		err = remote.Write(ref, img, remote.WithTransport(r.HTTPClient().Transport), remote.WithAuth(r.Auth()))
//	}
//
// [Start] is for what builds, or talks to the daemons that people run: a registry and
// a builder in containers, started and proven in a second or two, with a name, ports,
// a network, volumes and files of their own.
//
//	func TestBuild(t *testing.T) {
//		s := stacktest.Start(t, stacktest.Options{TLS: stack.TLSMutual})
//		builder, err := s.Builder.Client(t.Context())
//		...
//		_, err = builder.Solve(t.Context(), image, client.SolveOpt{
//			Exports: []client.ExportEntry{{Type: client.ExporterImage, Attrs: map[string]string{"name": s.Registry.NetworkHost() + "/app:1", "push": "true"}}},
//			Session: s.Builder.Session(),
//		}, nil)
//	}
//
// [Shared] is one stack for all tests of a package. Options.Proof is [Quick] where a
// test need not know that every refusal works, and starts sooner.
//
// Both kinds of registry are a [RegistryServer], and have a Fault: a certificate that
// has expired, is not valid yet, has another name or comes from another CA, for tests
// of what a client makes of it.
//
// What a test leaves that was killed, the next Start removes, or "certyard prune". A
// stack of a test that runs is never touched: it holds a lock, which the system gives
// up with the process.
package stacktest
