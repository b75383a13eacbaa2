// Package doctor looks at a registry and a buildkitd, ours or somebody else's, and
// says what is wrong with them, the cause before what follows from it. It reads
// files, asks the engine, and makes the connections of a proof. It changes nothing.
//
// What must hold is a list of rules ([Rules]): those of package lint about files
// and certificates, and those here, about how files, containers and connections
// fit together. [Examine] gathers what there is to see, once and from the outside
// to the inside: the compose file, the configs that it mounts, the certificates
// that the configs name, the containers, what they serve. Each step adds findings,
// and the rules that it could judge. In the end lint.Causes leaves the findings
// that no other one explains.
package doctor
