package explain

import "testing"

// daemonTexts are the patterns that no program says in TestRealTexts, and that a
// daemon or a client of one says in TestIntegrationRealTexts, which fails when it does
// not.
func daemonTexts() []string {
	return []string{
		"sslv3 alert bad certificate",
		"curl: (60) SSL certificate verification failed",
		"http: TLS handshake error from * local error: tls: bad record MAC",
		"tlsv1 alert no application protocol",
		"blob upload unknown to registry",
		"blob upload unknown",
		"BLOB_UPLOAD_UNKNOWN",
		"response completed with error",
		`UNAUTHORIZED","message":"authentication required`,
		"unexpected status from * request to https://*: 400 Bad Request",
		`failed to do request: *": EOF`,
		`Error response from daemon: *": EOF`,
		"port is already allocated",
		"received unexpected content-type",
		"cannot specify tlsdir and tlscacert/tlscert/tlskey at the same time",
		"directory did not contain one of the needed files: <names...>",
		"you must specify key and cert file if one is specified",
		"could not read certificate/key: open : no such file or directory",
		"could not add CA to pool",
		"open <path>: permission denied",
		"stat <path>: no such file or directory",
		`error mounting "<path>" to rootfs at * not a directory: unknown: Are you trying to mount a directory onto a file`,
		"could not load server key pair",
		"buildkitd: toml: <what>",
		"TLS is not enabled for <address>. enabling mutual TLS authentication is highly recommended",
		"TLS is not enabled for <address>",
		"TLS is disabled for <address>",
		"address <address> does not contain proto, you meant unix://",
		"addr <address> not supported",
		"could not lock <path>, another instance running?",
		"configuration error: ",
		"configuration path unspecified",
		"unknown minimum TLS level '<what>' specified for http.tls.minimumtls",
		"invalid ClientAuth <what> Must be one of: ",
	}
}

// daemonsSay returns their indices in the table.
func daemonsSay(t *testing.T) []int {
	t.Helper()
	all := map[string][]int{}
	for i, p := range known().patterns {
		if p.entry >= 0 {
			all[patternText(i)] = append(all[patternText(i)], i)
		}
	}
	var out []int
	for _, text := range daemonTexts() {
		if len(all[text]) == 0 {
			t.Errorf("the table has no pattern %q", text)
		}
		out = append(out, all[text]...)
	}
	return out
}
