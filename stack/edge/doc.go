// Package edge is a TLS front: it terminates TLS, judges client certificates,
// and copies bytes to a unix socket or a TCP address. It never looks at the
// bytes.
//
// A listener takes connections on addresses and has one target. What it serves
// comes from directories: a server certificate with its key, and where clients
// need a certificate of their own, the CAs that they may come from and an access
// list. A directory is looked at before every handshake, and what has changed
// there holds from that handshake on:
//
//   - What a handshake sees is one snapshot, which never changes. A directory
//     that is, or is reached through, a symbolic link is resolved once for all
//     of its files, so that they come from one generation.
//   - What does not load is refused, logged once, and what was served before
//     goes on being served. Only at the start there is nothing before it: then
//     it is an error.
//   - While clients with certificates are connected, the access list and the CAs
//     are looked at several times a second; who may not connect any more is
//     disconnected.
//
// Every connection ends with one [Reason], the same word in the log and in the
// metrics. Lines about connections that were refused are limited, see
// [Options.Log]; the metrics count all of them.
//
// What a client has not finished sending when the target breaks off, and what
// the target has not finished sending when it fails, never looks complete to the
// other side: only a clean end is passed on as one (close_notify, FIN). A target
// whose process dies while it neither reads nor writes shows a clean end to the
// kernel; nobody can tell that apart.
package edge
