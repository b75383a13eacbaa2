// Package stacktest gives Go tests a registry with TLS and a password, as easily as
// net/http/httptest gives them a server.
//
// [Registry] runs in the process of the test: the same registry that a stack runs
// in a container, with a certificate of a CA of its own, in memory, ready in some
// milliseconds and gone with the test. It needs neither Docker nor files outside
// the test's temporary directory, and as many as one likes may run at once.
//
//	func TestPush(t *testing.T) {
//		r := stacktest.Registry(t)
//		ref, err := name.ParseReference(r.Host() + "/app:1")
//		...
//		err = remote.Write(ref, img, remote.WithTransport(r.HTTPClient().Transport), remote.WithAuth(r.Auth()))
//	}
package stacktest
