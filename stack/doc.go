// Package stack is the domain of certyard: what a stack is, without any way to
// make one. It reads no disk, dials nothing and knows neither Docker nor
// BuildKit; the packages below it do, one each.
//
// A stack is a registry and a builder that trust one CA. Everything flows one
// way:
//
//	certyard.yaml -> Config -> Spec -> pki.Plan -> pki.Diff -> steps with causes
//	  -> key pairs, verified -> rendered files -> state directory
//	  -> compose project -> Docker -> probes and smoke build -> Report
//
// A [Config] is what somebody wrote, a [Spec] is that with every default filled
// in and every value checked. [Spec.PKIPlan] says which certificates the spec
// needs, and for which names: the names come from [Spec.Endpoints] and
// [Spec.Names], so that no address is ever printed that a certificate does not
// hold. A [File] is one file of the state directory, whose names are all in
// layout.go. A [Report] is what a proof found.
//
// A [Lock] is what of a spec and its images is the same on every machine; what
// differs from it is refused before anything is written.
//
// Values of this package are not changed after they are made, so they may be
// read from several goroutines at once.
package stack
