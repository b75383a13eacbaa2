// Package compose owns Docker: it loads compose files, brings a project up and
// down through Docker's own Compose SDK, and finds, pulls or assembles the
// images that the project needs. It knows nothing of certificates.
//
// An [Engine] is a connection to one Docker Engine, resolved as the docker CLI
// resolves it (DOCKER_HOST, DOCKER_CONTEXT, config.json). A project is
// identified by its name, through the labels that Compose puts on everything it
// makes, so that `docker compose -p NAME ps|logs|down` works on a project that
// was started here, and the other way round.
//
// What an engine refuses comes back as one of the types in errors.go. The text
// of engines is matched there and nowhere else.
//
// Images come from one of three places: the engine has them, a registry serves
// them, or they are bundled, which means assembled here from the daemons that
// scripts/daemons has built and loaded through the API (see [Bundle]).
//
// All methods of an [Engine] may be called from several goroutines, except that
// two calls of Up or Down for one project at a time work against each other:
// whoever owns the project's state directory holds its lock.
package compose
