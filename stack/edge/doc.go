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
// Only a clean end is passed on as one (close_notify, FIN). What breaks off in
// the middle ends without close_notify, and with a reset where there is no TLS.
// Unix sockets have no such sign: a target on one sees an end of file in either
// case, and one whose process dies with nothing unread shows an end of file.
package edge
