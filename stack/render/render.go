// Package render turns a spec and its key pairs into the files of the state
// directory. It is pure: everything that it needs is in its arguments, and it
// returns bytes. The texts are templates rather than the consumers' own structs
// marshalled, since those print empty fields that change what they mean; the
// tests decode the results strictly with the consumers' types.
package render

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
)

//go:embed templates/*.tmpl
var templates embed.FS

// Input is everything that the files are made from.
type Input struct {
	Spec     stack.Spec
	Facts    stack.Facts
	Root     string   // the state directory, absolute: clients need absolute paths
	Plan     pki.Plan // what Material was made from
	Material pki.Material
	// Retire is the client CA that Material replaces, nil for none, and
	// RetireClient what the stack's own client had of it.
	Retire, RetireClient *pki.KeyPair
	// Accepted are other CAs that peers trust too, by the role of the leaves
	// that they have signed.
	Accepted map[pki.Role]pki.TrustBundle
	// Clients are whom the builder lets in.
	Clients  stack.Clients
	Secrets  stack.Secrets
	Htpasswd []byte
}

// Files returns every file of the state directory but state.json, in a fixed
// order. The error says which file could not be rendered.
func Files(in Input) ([]stack.File, error) {
	files, err := material(in)
	if err != nil {
		return nil, err
	}
	for _, part := range []func(Input) ([]stack.File, error){registry, builder, edge, client} {
		more, err := part(in)
		if err != nil {
			return nil, err
		}
		files = append(files, more...)
	}
	compose, err := composeFile(in, files)
	if err != nil {
		return nil, err
	}
	return append(files, compose), nil
}

// material returns the files of the CAs, the key pairs and the trust bundles.
func material(in Input) ([]stack.File, error) {
	files := bundles(in)
	for _, ca := range in.Plan.CAs {
		kp := *in.Material.CAs[ca.Name]
		if ca.Keyholder != pki.KeyHere {
			kp.Key = nil // the user's, and it stays where it is
		}
		more, err := pairFiles(in.Spec.Serve, ca.Name, &kp)
		if err != nil {
			return nil, err
		}
		if ca.Name == pki.CAClient && in.Retire != nil {
			more = retire(in, more)
		}
		files = append(files, more...)
	}
	for _, leaf := range in.Plan.Leaves {
		more, err := pairFiles(in.Spec.Serve, leaf.Name, in.Material.Leaves[leaf.Name])
		if err != nil {
			return nil, err
		}
		files = append(files, more...)
	}
	if len(in.Material.Cross) > 0 {
		files = append(files, public(stack.FileCross, stack.OwnerCaller, in.Material.CrossPEM()))
	}
	if in.Spec.Serve == stack.ServeEdge {
		return files, nil
	}
	return append(files, public(stack.FileRegistryCert2, stack.OwnerRegistry, in.Material.Leaves[stack.LeafRegistry].CertPEM())), nil
}

// retire keeps the files of the client CA that new ones replace, and a client
// certificate of it to try the builder with.
func retire(in Input, files []stack.File) []stack.File {
	generation := pki.Generation(in.Retire.Cert)
	at := stack.RetiredPair(generation)
	for i := range files {
		if files[i].Once {
			files[i].Retire = at.Key
		}
	}
	files = append(files, public(at.Cert, stack.OwnerCaller, in.Retire.CertPEM()))
	if in.RetireClient == nil {
		return files
	}
	return append(files, public(stack.RetiredClient(generation), stack.OwnerCaller, in.RetireClient.CertPEM()))
}

// bundles returns what each peer trusts: the servers' roots, and for a builder
// that asks for client certificates, their CA.
func bundles(in Input) []stack.File {
	servers := in.trust(pki.RoleServer)
	files := []stack.File{
		public(stack.FileRegistryCA, stack.OwnerRegistry, servers),
		public(stack.FileBuilderCA, stack.OwnerCaller, servers),
		public(stack.FileClientCA, stack.OwnerCaller, servers),
	}
	if in.Spec.Builder.TLS == stack.TLSMutual {
		clients := in.trust(pki.RoleClient)
		if in.Spec.Serve == stack.ServeEdge {
			files = append(files, public(stack.FileEdgeClients, stack.OwnerRegistry, clients))
		} else {
			files = append(files, public(stack.FileBuilderClientCA, stack.OwnerCaller, clients))
		}
	}
	for _, leaf := range in.Plan.Leaves {
		if strings.HasPrefix(leaf.Name, stack.DirClients+"/") {
			files = append(files, public(leaf.Name+"/ca.pem", stack.OwnerCaller, servers))
		}
	}
	return files
}

// trust returns what peers of the leaves of a role trust, in PEM.
func (in Input) trust(role pki.Role) []byte {
	certs := in.Material.Trust(in.Plan, role).Certs()
	if others := in.Accepted[role].Certs(); len(others) > 0 {
		// In the same order whichever of them is in force: a daemon that has
		// read the one need not read the other.
		certs = append(certs, others...)
		slices.SortFunc(certs, func(a, b *x509.Certificate) int {
			return cmp.Or(a.NotBefore.Compare(b.NotBefore), bytes.Compare(a.Raw, b.Raw))
		})
	}
	return pki.NewTrustBundle(certs...).PEM()
}

func public(name string, owner stack.Owner, data []byte) stack.File {
	return stack.File{Path: name, Mode: 0o644, Owner: owner, Data: data}
}

// pairFiles returns the files of a key pair; without the key, if it is not here.
func pairFiles(serve stack.Serve, name string, kp *pki.KeyPair) ([]stack.File, error) {
	at, owner := serve.PairOf(name), serve.OwnerOf(name)
	files := []stack.File{public(at.Cert, owner, kp.CertPEM())}
	if kp.Key == nil {
		return files, nil
	}
	key, err := kp.KeyPEM()
	if err != nil {
		return nil, fmt.Errorf("rendering %s: %w", at.Key, err)
	}
	return append(files, stack.File{Path: at.Key, Mode: 0o600, Owner: owner, Once: true, Data: key}), nil
}

func registry(in Input) ([]stack.File, error) {
	config, err := execute("config.yml.tmpl", map[string]any{
		"Data": stack.DataRegistry, "Mount": stack.MountRegistry, "RegistryPort": stack.RegistryPort,
		"HTTPSecret": in.Secrets.HTTPSecret, "Edge": in.Spec.Serve == stack.ServeEdge, "Socket": stack.SocketRegistry,
	})
	if err != nil {
		return nil, err
	}
	return []stack.File{
		{Path: stack.FileRegistryConfig, Mode: 0o600, Owner: stack.OwnerRegistry, Data: config},
		{Path: stack.FileHtpasswd, Mode: 0o600, Owner: stack.OwnerRegistry, Data: in.Htpasswd},
	}, nil
}

func builder(in Input) ([]stack.File, error) {
	config, err := execute("buildkitd.toml.tmpl", map[string]any{
		"BuilderPort": stack.BuilderPort, "Certs": path.Join(stack.MountBuilder, "certs"),
		"Mutual":        in.Spec.Builder.TLS == stack.TLSMutual,
		"RegistryHosts": in.Spec.RegistryHosts(in.Facts),
		"Edge":          in.Spec.Serve == stack.ServeEdge, "Socket": stack.SocketBuilder, "GID": in.Facts.RegistryGID,
	})
	return []stack.File{{Path: stack.FileBuilderConfig, Mode: 0o644, Data: config}}, err
}

func client(in Input) ([]stack.File, error) {
	docker, err := dockerConfig(in)
	if err != nil {
		return nil, err
	}
	user := in.Spec.Registry.Users[0].Name
	env, err := Environment(in.Spec.Environment(in.Facts, in.Root, in.Secrets.Passwords[user]), "dotenv")
	return []stack.File{
		{Path: stack.FileDockerConfig, Mode: 0o600, Data: docker},
		{Path: stack.FileEnv, Mode: 0o600, Data: env},
	}, err
}

// dockerConfig holds the first user's password for every registry host, as the
// daemon sees it and as the host does: BuildKit asks for credentials by the
// host that the daemon dials (P11).
func dockerConfig(in Input) ([]byte, error) {
	user := in.Spec.Registry.Users[0].Name
	auth := base64.StdEncoding.EncodeToString([]byte(user + ":" + in.Secrets.Passwords[user]))
	auths := map[string]map[string]string{}
	for _, host := range in.Spec.RegistryHosts(in.Facts) {
		auths[host] = map[string]string{"auth": auth}
	}
	data, err := json.MarshalIndent(map[string]any{"auths": auths}, "", "  ")
	return append(data, '\n'), err
}

func composeFile(in Input, files []stack.File) (stack.File, error) {
	published := func(p stack.Publish) *stack.Publish {
		if !p.On() {
			return nil
		}
		return &p
	}
	_, relayed := in.Spec.Relay(in.Facts)
	material := func(service string) string { return MaterialOf(in.Spec, in.Facts, files, service) }
	data, err := execute("compose.yaml.tmpl", map[string]any{
		"Edge": in.Spec.Serve == stack.ServeEdge, "Aliases": in.Spec.Aliases(in.Facts),
		"Relayed": relayed, "RelayedIP": stack.RelayedNames().Addr().String(),
		"RegistryAliases": in.Spec.RegistryAliases(in.Facts), "EdgeImage": in.Facts.Images[stack.Edge], "EdgeMaterial": material(stack.Edge), "MountEdge": stack.MountEdge,
		"RunRegistry": stack.RunRegistry, "RunBuilder": stack.RunBuilder, "SocketBuilder": stack.SocketBuilder,
		"Name":          in.Spec.Name,
		"RegistryImage": in.Facts.Images[stack.Registry], "BuilderImage": in.Facts.Images[stack.Builder],
		"UID": in.Facts.RegistryUID, "GID": in.Facts.RegistryGID,
		"HostUserNS": in.Facts.HostUserNS, "Privileged": in.Facts.Privileges == stack.PrivilegesFull,
		"Mutual":          in.Spec.Builder.TLS == stack.TLSMutual,
		"RegistryPublish": published(in.Spec.Registry.Publish), "BuilderPublish": published(in.Spec.Builder.Publish),
		"RegistryPort": stack.RegistryPort, "BuilderPort": stack.BuilderPort,
		"MountRegistry": stack.MountRegistry, "MountBuilder": stack.MountBuilder,
		"DataRegistry": stack.DataRegistry, "DataBuilder": stack.DataBuilder,
		"RegistryMaterial": material(stack.Registry),
		"BuilderMaterial":  material(stack.Builder),
		"Owner":            in.Facts.Owner, "OwnerLabel": OwnerLabel,
		"Networks": networks(in),
	})
	return stack.File{Path: stack.FileCompose, Mode: 0o644, Data: data}, err
}

// MaterialLabel is the container label that holds [MaterialOf] its service.
const MaterialLabel = "io.certyard.material"

// MaterialOf names the content of the files that a service reads only at its
// start, by the table of [stack.Serve.Consumers], so that compose makes a new
// container when the daemon would otherwise keep what it read. Keys need no part
// in it, since a certificate changes with its key.
func MaterialOf(spec stack.Spec, facts stack.Facts, files []stack.File, service string) string {
	var all bytes.Buffer
	for _, c := range spec.Serve.Consumers() {
		if c.Service != service || c.Need != stack.NeedRestart && c.Need != stack.NeedBridge {
			continue
		}
		for _, name := range c.Files {
			for _, f := range files {
				if f.Path == name && !f.Gone {
					fmt.Fprintf(&all, "%s %s\n", name, contentOf(facts, c.Need, f))
				}
			}
		}
	}
	return stack.Sum(all.Bytes())[:16]
}

// Definition returns a rendered compose file without what [MaterialOf] names.
func Definition(composeFile []byte) string {
	var out strings.Builder
	for line := range strings.Lines(string(composeFile)) {
		if !strings.Contains(line, MaterialLabel+":") {
			out.WriteString(line)
		}
	}
	return out.String()
}

// contentOf names the content of a file. What is bridged counts as what it was
// when the service started.
func contentOf(facts stack.Facts, need stack.Need, f stack.File) string {
	if need == stack.NeedBridge && len(facts.BuilderTrust) > 0 {
		return strings.Join(facts.BuilderTrust, " ")
	}
	return stack.Sum(f.Data)
}

func execute(name string, data any) ([]byte, error) {
	funcs := template.FuncMap{"quote": quote}
	t, err := template.New(name).Option("missingkey=error").Funcs(funcs).ParseFS(templates, "templates/"+name)
	if err != nil {
		return nil, fmt.Errorf("parsing template %s: %w", name, err)
	}
	var out bytes.Buffer
	if err := t.Execute(&out, data); err != nil {
		return nil, fmt.Errorf("rendering %s: %w", name, err)
	}
	return out.Bytes(), nil
}

// quote renders a YAML string that compose does not interpolate.
func quote(s string) string {
	return strconv.Quote(strings.ReplaceAll(s, "$", "$$"))
}
