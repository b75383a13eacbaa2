package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/certyard/certyard/compose"
	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/pki/remote"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/doctor"
	"github.com/certyard/certyard/stack/edge"
	"github.com/certyard/certyard/stack/htpasswd"
	"github.com/certyard/certyard/stack/lifecycle"
	"github.com/certyard/certyard/stack/local"
	"github.com/certyard/certyard/stack/smoke"
	"github.com/certyard/certyard/stack/state"
)

// This file is the only place that advises people what to run. Everything else
// says what is wrong, as a typed error or as a check's reason.

func isConfigError(err error) bool {
	var config *stack.ConfigError
	var user *htpasswd.UserError
	var password *htpasswd.PasswordError
	var source *passwordSourceError
	var client *stack.ClientNameError
	var front *edge.ConfigError
	var leaf *lifecycle.LeafNameError
	var rotated *lifecycle.UserError
	var ca *lifecycle.CANameError
	var root *lifecycle.RootTrustedError
	var lock *lockFileError
	return errors.As(err, &root) || errors.As(err, &lock) || errors.As(err, &leaf) || errors.As(err, &rotated) || errors.As(err, &ca) || errors.As(err, &front) || errors.As(err, &client) || errors.As(err, &config) || errors.As(err, &user) || errors.As(err, &password) || errors.As(err, &source)
}

// fail prints an error with its hints and returns the exit status.
func (a *app) fail(err error) int {
	status := statusOf(err)
	if child, ok := errors.AsType[*childError](err); ok {
		return child.status // it has said itself what there is to say
	}
	if errors.Is(err, errNotOK) || errors.Is(err, errNotSeen) || unread(err) && !a.changes {
		return status
	}
	hints := a.hintsFor(err)
	a.ui.error(err, hints)
	if a.global.json {
		_ = a.printFailure(failure{Error: err.Error(), ExitStatus: status, Hints: hints})
	}
	return status
}

// hintFor is one rule: whether it is about an error, and what to do then.
type hintFor func(error) []string

// on makes a rule for one type of error.
func on[E error](advise func(E) []string) hintFor {
	return func(err error) []string {
		if e, ok := errors.AsType[E](err); ok {
			return advise(e)
		}
		return nil
	}
}

// always makes a rule whose advice does not depend on the details.
func always[E error](hints ...string) hintFor {
	return on(func(E) []string { return hints })
}

// is makes a rule for one sentinel.
func is(sentinel error, hints ...string) hintFor {
	return func(err error) []string {
		if errors.Is(err, sentinel) {
			return hints
		}
		return nil
	}
}

// ownCommand is a command of this program in a hint.
var ownCommand = regexp.MustCompile(`"certyard [^"]*"`)

// here makes the commands in hints mean the stack and the engine that the flags
// name. Every hint that is shown goes through it, once.
func (a *app) here(hints []string) []string {
	var out []string
	for _, h := range hints {
		out = append(out, ownCommand.ReplaceAllStringFunc(h, func(command string) string {
			if strings.HasSuffix(command, ` --help"`) {
				return command // the same for every stack
			}
			return `"` + a.again() + strings.TrimPrefix(command, `"certyard`)
		}))
	}
	return out
}

// hintsFor returns the next steps for each problem of an error, each once.
func (a *app) hintsFor(err error) []string { return a.here(a.nextSteps(err)) }

func (a *app) nextSteps(err error) []string {
	var out []string
	for _, p := range problems(err) {
		for _, hint := range a.advice(p.err) {
			if !slices.Contains(out, hint) {
				out = append(out, hint)
			}
		}
	}
	if out == nil { // what is around the problems may say more
		return a.advice(err)
	}
	return out
}

// advice returns the next steps for an error, from the first rule that knows it.
func (a *app) advice(err error) []string {
	if errors.Is(err, context.Canceled) {
		return []string{"nothing is half-written; running the same command again goes on from here"}
	}
	for _, rules := range [][]hintFor{doctorHints(), lockHints(), a.configHints(), usageHints(), pkiHints(), authorityHints(), stateHints(), engineHints(), lifecycleHints(), a.rotationHints(), edgeHints()} {
		for _, rule := range rules {
			if hints := rule(err); hints != nil {
				return hints
			}
		}
	}
	return nil
}

// lockHints are about locks; what is wrong in one, or keeps from what it says, is
// not what it would be elsewhere.
func lockHints() []hintFor {
	return []hintFor{
		always[*stack.LockedError](`run "certyard lock" after "certyard up" to accept what is new`, "nothing was changed"),
		always[*stack.LockFormatError](`"certyard lock" writes the lock, nobody else has to: bring it back from version control, or write it anew; nothing was changed`),
		always[*lockFileError](`"certyard lock" writes one, after "certyard up"; --lock-file says where another one is`),
		always[*lifecycle.StaleError](`"certyard up" first, then "certyard lock": a lock tells what has run`),
	}
}

// configHints add to what is said of a config.
func (a *app) configHints() []hintFor {
	return []hintFor{
		on(func(e *noNameError) []string {
			return append(a.advice(e.err), "the config has the name of the stack: with --name, it is needed for new CAs alone")
		}),
	}
}

func usageHints() []hintFor {
	return []hintFor{
		always[*usageError](`"certyard --help" lists the commands, "certyard COMMAND --help" their flags`),
		on(func(e *stack.ConfigError) []string {
			if e.File == "" {
				return []string{`"certyard COMMAND --help" lists the flags and the CERTYARD_* variables`}
			}
			return []string{"nothing was changed; the README lists every key with its default"}
		}),
		always[*htpasswd.PasswordError]("bcrypt takes passwords of 1 to 72 bytes: choose another one, or leave it out to have one generated; nothing was changed"),
		always[*passwordSourceError]("password_file (relative to the config) and password_env say where the password is; with neither, one is generated"),
	}
}

// A CA alone cannot be moved away and made anew: the leaves that it signed
// would be foreign to the next one.
const newCA = `to start over with a new CA: "certyard down --purge", then "certyard up", and give client/ca.pem to every client`

// earlyCA is for a CA that is not valid yet: rarely its fault.
const earlyCA = "most likely the clock here is behind: set it, and run this again; nothing was changed"

func pkiHints() []hintFor {
	return []hintFor{
		on(givenCAHints),
		on(func(e *pki.HalfError) []string {
			restore := fmt.Sprintf("restore %s from a backup; nothing was changed", e.Missing)
			if e.Name == "CA" {
				return []string{restore, newCA}
			}
			return []string{restore, fmt.Sprintf("or remove %s as well (copy it first), and a new pair is made", e.Present)}
		}),
		on(func(e *pki.MismatchError) []string {
			if e.Name == "CA" {
				return []string{"one of the two was swapped: restore it from a backup; nothing was changed", newCA}
			}
			if e.CertFile == "" {
				return []string{"one of the two was swapped: restore it; nothing was changed"}
			}
			return []string{fmt.Sprintf("one of the two was swapped: restore it, or remove both (copy them first: %s, %s); nothing was changed", e.CertFile, e.KeyFile)}
		}),
		on(func(e *pki.ParseError) []string {
			if e.Name == "CA" {
				return []string{fmt.Sprintf("restore %s from a backup; nothing was changed", e.File), newCA}
			}
			return []string{fmt.Sprintf("restore %s from a backup, or remove it and its other half (copy them first); nothing was changed", e.File)}
		}),
		always[*pki.CAEarlyError](earlyCA, "if it is right, the CA was made while a clock was ahead: "+newCA),
		always[*pki.CAExpiredError]("an expired CA cannot sign, and nothing was changed", newCA),
		always[*pki.ConstraintError]("the CA may not sign these names, and its constraints cannot be widened: leave the names out of hosts; nothing was changed",
			`or "certyard rotate --ca --yes" makes a CA that may, for a stack that runs; then "certyard up" gives the servers the names`),
		on(func(e *pki.ForeignError) []string {
			if e.CA == "" {
				return []string{"restore ca/ca.crt and ca/ca.key from a backup; nothing was changed", newCA}
			}
			return []string{"somebody put another certificate there: restore it, or remove it and its key (copy them first) to have it issued anew; nothing was changed"}
		}),
		on(func(e *pki.KeyTypeError) []string {
			if e.Name == "CA" {
				return []string{"pki.key is for new keys, and existing ones are never overwritten: set it back; nothing was changed", newCA}
			}
			return []string{"pki.key is for new keys, and existing ones are never overwritten: remove the pair (copy it first) to have one of the new type made, or set pki.key back"}
		}),
		always[*pki.CAError]("this is no CA that can sign here: restore it (ca/ca.crt and ca/ca.key, or what pki.ca_cert and pki.ca_key name); nothing was changed", newCA),
	}
}

// givenCAHints are about the files of the user's CA: none of them is ours to
// restore.
func givenCAHints(e *lifecycle.GivenCAError) []string {
	files := "pki.ca_cert (" + e.CertFile + ")"
	if e.KeyFile != "" {
		files += " and pki.ca_key (" + e.KeyFile + ")"
	}
	if _, early := errors.AsType[*pki.CAEarlyError](e); early {
		return []string{earlyCA}
	}
	narrow, ok := errors.AsType[*pki.ConstraintError](e)
	if !ok {
		return []string{"the CA is yours: correct " + files + ", or name others; nothing was changed"}
	}
	var out, own, hosts []string
	for _, name := range narrow.Names {
		if stack.IsOwnName(name) {
			own = append(own, name)
		} else {
			hosts = append(hosts, name)
		}
	}
	if len(own) > 0 {
		out = append(out, "the stack itself needs "+strings.Join(own, ", ")+": name a CA with pki.ca_cert whose name constraints permit them, or use pki.authority: local; nothing was changed")
	}
	if len(hosts) > 0 {
		out = append(out, "leave "+strings.Join(hosts, ", ")+" out of hosts and publish, or name a CA that may sign for it; nothing was changed")
	}
	return out
}

// authorityHints are about CAs whose key is not simply here.
func authorityHints() []hintFor {
	return []hintFor{
		always[*pki.UnsignedError](`"certyard pki csr" writes the requests; give them to the CA, and what comes back to "certyard pki import"; nothing was changed`),
		on(func(e *pki.OfflineError) []string {
			if strings.HasSuffix(e.For, " leaf") {
				return []string{"set pki.hierarchy back to two-tier, where the issuing CA signs, or bring the root's key back for good: copy it to ca/ca.key, mode 0600; nothing was changed"}
			}
			return []string{"bring the root's key back for this: copy it to ca/ca.key, mode 0600, run the command again, and then \"certyard pki root export\"; nothing was changed"}
		}),
		always[*pki.LockedError]("name the passphrase with --passphrase-file or pki.passphrase_file; nothing was changed"),
		always[*remote.OptionError]("see pki.remote in the README; nothing was changed"),
		always[*remote.UnavailableError]("check pki.remote.url, that the server runs, and that pki.remote.ca has the CA of its TLS certificate; nothing was changed"),
		always[*remote.RefusedError]("check pki.remote.auth_key_file, profile and label against the server's config; nothing was changed"),
		always[*pki.FindingsError]("what the authority signed cannot be used, and nothing was changed: with pki.authority: remote its profile decides on usages, names and validity (pki.remote.profile); otherwise this is a mistake in certyard, please report it"),
		always[*remote.AnswerError]("check that pki.remote.url is a cfssl server; nothing was changed"),
		always[*pki.PassphraseError]("check the passphrase, its file, and that the key is the one it was made for; nothing was changed"),
		always[*pki.SecretNameError]("choose another one with --secret-name"),
		is(pki.ErrLockedExport, "open the key first: openssl pkcs8 -in ca.key -out open.key, then --key open.key"),
		is(pki.ErrNothing, "want certificates in PEM or DER; other formats convert: openssl pkcs12 -in FILE -nokeys"),
		always[*pki.MissingError]("restore it from a backup, or name it with pki.ca_cert; nothing was changed", newCA),
		always[*pki.UnrequestedError](`a certificate belongs to the request that it was signed for: "certyard pki csr --all" writes the requests for the keys that are here; nothing was changed`),
		always[*lifecycle.SignedFileError]("give pki import the certificate that came back from the CA, in PEM or DER; nothing was changed"),
		always[*pki.TwiceError]("give pki import the one that is to be used; nothing was changed"),
		on(func(e *smoke.FetchError) []string {
			if e.Connected {
				return []string{"something listens there that does not show a certificate: check the port, and that the server speaks TLS from the first byte (not STARTTLS, not plain HTTP)"}
			}
			return []string{"nothing was reached there: check the name and the port, and that the server runs; a FILE of that name is looked for in the working directory"}
		}),
		always[*passphraseError]("name a file of mode 0600 with --passphrase-file or pki.passphrase_file, an open descriptor with --passphrase-fd, or run certyard on a terminal; nothing was changed"),
		always[*lifecycle.OtherCAError]("put pki.ca_cert (and pki.ca_key) back to the CA that has signed; \"certyard up\" does not replace what every client trusts; nothing was changed", newCA),
		always[*lifecycle.AuthorityError]("set pki.authority back; every client would have to get other trust", newCA),
		always[*lifecycle.WrongAuthorityError](`other authorities sign by themselves: "certyard up" issues what is missing`),
		always[*lifecycle.ImportError](`have the CA sign the request again ("certyard pki csr --all" writes it), with the names and usages that it asks for; nothing was changed`),
		always[*lifecycle.NoOfflineRootError]("pki.hierarchy: two-tier makes an issuing CA below the root, and then the root's key can be moved away"),
		always[*lifecycle.UnknownClientError](`"certyard client list" shows the clients; nothing was changed`),
		always[*lifecycle.ValidityError]("choose a shorter --validity; nothing was changed"),
		always[*stack.ClientNameError]("nothing was changed"),
	}
}

func stateHints() []hintFor {
	return []hintFor{
		on(func(e *stack.DamagedError) []string {
			restore := "restore it from a backup; nothing was changed"
			if e.File == stack.FileSecrets {
				return []string{restore, `without a backup: move it away, and "certyard up" generates passwords anew`}
			}
			return []string{
				restore,
				`without a backup: move it away, with ca/next and ca/previous if they are there; "certyard up" with the same config keeps the keys, certificates and passwords that are in force and records them anew`,
				`with "serve: edge" clients that were removed are let in again then: "certyard rotate --client-ca --yes" ends that`,
			}
		}),
		always[*local.TakenError]("choose another --name; or remove what has that name, if nobody needs it"),
		always[*state.LockedError]("wait until it has finished, and run the command again"),
		on(func(e *state.ModeError) []string { return []string{e.Chmod()} }),
		on(func(e *state.KeyExistsError) []string {
			if e.Public {
				return []string{"move it away, or choose another place; nothing was written"}
			}
			return []string{"move the key away if it is not needed; keys are never overwritten"}
		}),
		on(func(e *state.KindError) []string {
			if e.Outside {
				return []string{"name a file; a passphrase that comes through a pipe is read with --passphrase-fd, as in: --passphrase-fd 3 3< <(COMMAND); nothing was changed"}
			}
			return []string{"somebody changed the state directory: put the file back, or remove it; certyard follows no links there but its own"}
		}),
		on(func(e *state.SizeError) []string {
			if e.Ours {
				return []string{fmt.Sprintf("restore %s from a backup, or remove it (copy it first); nothing was changed", e.Path)}
			}
			return []string{"check the path; nothing was changed"}
		}),
		always[*state.NoFileError]("check the path: one of the command line is relative to the working directory, one of the config to the config; nothing was changed"),
		always[*state.SameFileError]("choose another --out: the key would be gone with the one that is here; nothing was changed"),
		always[*state.NotOursError]("choose another place with --dir, or another --name"),
		on(func(e *state.ManifestError) []string {
			return []string{fmt.Sprintf("restore the state directory from a backup, or remove %s: what was placed stays, and \"certyard up\" makes the rest again", filepath.Dir(e.Path))}
		}),
		func(err error) []string {
			if _, full := errors.AsType[*state.FullError](err); !full {
				return nil
			}
			if _, unfinished := errors.AsType[*state.UnfinishedError](err); unfinished {
				return []string{"make room on the disk and run the command again: it completes what was being written"}
			}
			return []string{"make room on the disk and run the command again; the old files are whole"}
		},
		on(func(e *state.AccessError) []string {
			if !errors.Is(e, fs.ErrPermission) {
				return []string{"the disk is read-only there: choose another place with --dir"}
			}
			return []string{"run certyard as the user that owns the directory, or choose another place with --dir"}
		}),
	}
}

func engineHints() []hintFor {
	return []hintFor{
		on(func(e *compose.DaemonError) []string {
			if errors.Is(e, fs.ErrPermission) {
				return []string{`add yourself to the docker group ("sudo usermod -aG docker $USER", then log in again), or use a rootless engine`}
			}
			return []string{
				`start Docker Engine ("sudo systemctl start docker"), or name another one with --docker-host or --context`,
				`"certyard init" writes the files without an engine`,
			}
		}),
		always[*compose.VersionError]("update Docker Engine to 19.03 or later"),
		always[*compose.LeftError]("\"docker ps -a\" shows the container that uses it; when that is gone, run the same command again"),
		on(func(*compose.SubnetError) []string {
			return []string{`"docker network prune" removes the networks that nobody uses; "docker network ls" shows the others`}
		}),
		on(func(e *compose.PortError) []string {
			key := "registry.publish"
			if e.Service == stack.Builder {
				key = "builder.publish"
			}
			stop := "stop what uses it"
			if e.Container != "" {
				stop = fmt.Sprintf("stop that container (docker stop %s)", e.Container)
			}
			return []string{fmt.Sprintf("set %s in certyard.yaml, with port 0 for any free one, or %s", key, stop)}
		}),
		always[*compose.PrivilegeError]("set builder.privileges: auto or minimal"),
		on(func(e *compose.MountError) []string {
			return []string{"the engine mounts directories of its own machine: run certyard there, or choose a --dir that both share at the same path"}
		}),
		always[*compose.NameError]("another container has that name: remove it, or choose another --name"),
		on(func(e *compose.ForeignProjectError) []string {
			return []string{fmt.Sprintf("run certyard with the --dir of %s, or choose another --name", e.Dir)}
		}),
		on(func(e *compose.BundleError) []string {
			return []string{`the daemons for bundled images are missing or damaged: "make daemons" builds them; CERTYARD_DAEMONS names another directory that has them`}
		}),
		on(func(e *compose.ProgramError) []string {
			return []string{fmt.Sprintf(`the edge is certyard itself, as a static Linux executable: build it with "CGO_ENABLED=0 GOOS=linux GOARCH=%s go build -o certyard-linux-%[1]s ./cmd/certyard" and put it beside certyard`, e.Arch),
				"or set serve: daemon"}
		}),
		always[*compose.PullError]("set images: auto or bundled to use the bundled images, or load the image with docker load"),
	}
}

func lifecycleHints() []hintFor {
	return []hintFor{
		always[*lifecycle.NoStackError](`"certyard up" makes one; --dir and --name say which`),
		always[*lifecycle.LeafNameError](`"certyard status" lists the leaves`),
		always[*lifecycle.UserError]("nothing was replaced"),
		always[*lifecycle.NotSoundError](`"certyard smoke" shows what does not hold, and "certyard up" mends what it can`),
		always[*lifecycle.BusyError]("the daemons go on with what they have: run it again later, wait longer with --wait-idle, or break the builds off with --force"),
		always[*lifecycle.IdleError](`"certyard smoke" shows why the builder does not say who builds, and "certyard up" mends what it can; --force does not ask it`),
		always[*lifecycle.ChangedError]("run it again: it begins with what is there now"),
		always[*lifecycle.NotRunningError](`start it with "certyard up", with both services published`),
		always[*lifecycle.ClockError]("set the clocks: certificates would be made for another time than that of those who look at them; nothing was changed"),
		always[*lifecycle.RootlessError]("run certyard as the user whose engine it is"),
		on(func(e *lifecycle.NotReadyError) []string {
			return []string{fmt.Sprintf(`"certyard logs" shows what the daemons say, "docker compose -p %s ps" their state; "certyard up" tries again`, e.Stack)}
		}),
		always[*lifecycle.UnreachableError]("publish the ports on an address of the engine's machine that is reachable from here (registry.publish, and builder.publish with builder.tls: mutual)"),
	}
}

// rotationHints are about the replacement of CAs.
func (a *app) rotationHints() []hintFor {
	return []hintFor{
		on(func(e *lifecycle.OpenRotationError) []string { return openHints(e.Rotation) }),
		always[*lifecycle.OtherRunError](`let that one end; "certyard status" shows how far it is`),
		on(func(e *lifecycle.LostSetError) []string {
			if e.Phase.Before(stack.PhaseSwitch) {
				return []string{`nothing depends on it yet: "certyard rotate --abort" takes the replacement back, and the next one makes it anew`}
			}
			restore := "restore the file from a backup; the daemons serve what they served"
			if strings.HasSuffix(e.File, ".key") { // of the old CA
				return []string{fmt.Sprintf(`"certyard rotate%s --yes" goes on to the new CA without it`, caFlags(a.open)), restore}
			}
			return []string{restore}
		}),
		always[*lifecycle.EndedError](fmt.Sprintf(`"certyard rotate%s --yes" finishes the replacement`, caFlags(a.open))),
		always[*lifecycle.PastPhaseError]("leave --pause-after out, or name a later phase; nothing was changed"),
		on(func(e *lifecycle.CANameError) []string {
			if e.Name == pki.CAIssuing {
				return []string{"--ca replaces the CA that there is"}
			}
			return []string{"whoever has that CA replaces it; --client-ca replaces the CA of client certificates, which is made here"}
		}),
		on(func(*lifecycle.RootTrustedError) []string {
			root := `"certyard rotate --ca --compromised --yes" replaces the root as well; nothing was changed`
			if a.open != nil {
				return []string{fmt.Sprintf(`"certyard rotate%s --yes" finishes the replacement that is open`, caFlags(a.open)), "then " + root}
			}
			return []string{root}
		}),
		always[*lifecycle.NoRotationError](`"certyard rotate --ca" shows what replacing the CA would do`),
		always[*lifecycle.PastError](fmt.Sprintf(`"certyard rotate%s --yes" finishes it; another replacement makes another CA`, caFlags(a.open))),
		always[*lifecycle.ShortLifeError]("make --bake shorter; nothing was changed"),
	}
}

// openHints say how an open replacement of CAs goes on, and how back.
func openHints(open stack.Rotation) []string {
	hints := []string{fmt.Sprintf(`"certyard rotate%s --yes" goes on`, caFlags(&open))}
	if open.Phase.Before(stack.PhaseContract) {
		hints = append(hints, `"certyard rotate --abort" brings the old CA back`)
	}
	return hints
}

// caFlags returns the flags that an open replacement of CAs goes on with; without
// one they are those of a new one.
func caFlags(open *stack.Rotation) string {
	if open == nil || open.Roots() {
		return " --ca"
	}
	return " --" + strings.Join(open.CAs, " --")
}

// doctorHints are about what doctor was told to look at.
func doctorHints() []hintFor {
	return []hintFor{
		on(func(e *noPatientError) []string {
			return []string{`"certyard up" makes a stack; to look at somebody else's, name it: --compose FILE, --buildkitd-config FILE, --registry-config FILE, --certs DIR, --builder ADDRESS, --registry HOST:PORT`}
		}),
		always[*doctor.FileError]("check the path; nothing was changed"),
		always[*state.ChangedError]("run the command again: it looks at the file as it is now; nothing was changed"),
	}
}

func edgeHints() []hintFor {
	return []hintFor{
		always[*edge.ConfigError](`"certyard edge --help" shows a config with every key`),
		always[*edge.LoadError]("certificates: wants a directory with tls.crt (the certificate, then its chain) and tls.key; clients: one with clients.crt (CAs)"),
		on(func(e *edge.ListenError) []string {
			if e.Listener == "" {
				return []string{"choose another path for admin, in a directory that this user may write to"}
			}
			return []string{"stop what listens there, or choose another port or address in addresses"}
		}),
		always[*edge.UnhealthyError]("the edge's log says since when"),
	}
}

// checkHints returns the next steps for what a proof found, each once.
func (a *app) checkHints(r stack.Report) []string {
	var out []string
	for _, c := range r.Failed() {
		if hint := checkHint(c); hint != "" && !slices.Contains(out, hint) {
			out = append(out, hint)
		}
	}
	return a.here(out)
}

func checkHint(c stack.Check) string {
	switch c.Reason {
	case stack.ReasonUnreachable:
		return fmt.Sprintf(`nothing answers at %s: "certyard status" shows the containers, "certyard up" starts them`, c.Target)
	case stack.ReasonDrift:
		return `"certyard up" writes configs and certificates anew; keys and certificates that do not belong together have to be restored or removed first`
	case stack.ReasonStale:
		return `the daemon serves another certificate than its file: "certyard up", and if that keeps the container, restart it`
	case stack.ReasonUntrusted, stack.ReasonExpired:
		return `the certificate does not stand up to client/ca.pem: "certyard status" shows what is due, "certyard up" issues and restarts`
	case stack.ReasonName:
		return `add the name to registry.hosts or builder.hosts in certyard.yaml, then "certyard up"`
	case stack.ReasonUnauthorized:
		if c.Hop == stack.HopHostBuilder {
			return `the builder does not accept the certificate of client/cert.pem: "certyard up" writes what it accepts anew; with serve: edge, builder.clients and edge/builder/access.json say whom it lets in`
		}
		return `the password of secrets.json and htpasswd do not fit: "certyard up" writes htpasswd anew`
	case stack.ReasonAccepted, stack.ReasonPlaintext, stack.ReasonProtocol:
		return `the running daemon has another config than its files: "certyard up" to write them, "docker compose restart" to load them, then "certyard smoke"`
	case stack.ReasonBuild, stack.ReasonContent, stack.ReasonUnexpected:
		return fmt.Sprintf(`"certyard logs" shows what the daemons said about %s`, c.Hop)
	default:
		return ""
	}
}
