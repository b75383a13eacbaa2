package lint

import (
	"errors"
	"regexp"
	"strconv"
	"strings"

	"github.com/distribution/distribution/v3/configuration"

	"github.com/certyard/certyard/stack/strict"
)

// RegistryConfig is a registry's config.yml as the registry reads it.
type RegistryConfig struct {
	File     string                       // as it was named
	Config   *configuration.Configuration // with what the environment says; nil when the registry would not start with it
	Findings []Finding                    // by line

	data     []byte
	env      map[string]string
	tree     *strict.Node
	lines    map[string]int
	meant    map[string]bool // keys that a misspelt one stands for
	ownsTLS  bool            // the file has TLS, whatever the environment says
	ownsAuth bool            // the file has auth
}

// imageConfig is what the image's own config says, as far as rules look at it;
// it is what the registry reads when nobody gives it a file: distribution v3.1.2
// Dockerfile and cmd/registry/config-dev.yml.
const imageConfig = `version: 0.1
storage:
  delete: {enabled: true}
  cache: {blobdescriptor: inmemory}
  filesystem: {rootdirectory: /var/lib/registry}
http:
  addr: :5000
  debug:
    addr: :5001
    prometheus: {enabled: true, path: /metrics}
`

// ParseRegistry judges a registry's config.yml. Without data it judges the config
// that the image brings. env is the container's environment: its REGISTRY_
// variables override the file, as in the registry.
func ParseRegistry(file string, data []byte, env map[string]string) RegistryConfig {
	r := RegistryConfig{File: file, data: data, env: env, lines: map[string]int{}, meant: map[string]bool{}}
	given := data != nil
	if !given {
		data = []byte(imageConfig)
	}
	tree, problems := strict.Parse(data)
	for _, p := range problems {
		r.found("registry.syntax", p.Line, "", "the registry does not start with this file: "+withoutValue(p.Why), "")
	}
	if len(problems) > 0 {
		return r
	}
	if given {
		r.tree = tree
		r.keys(tree)
	}
	r.Config = r.read(data)
	if r.Config == nil {
		sortFindings(r.Findings)
		return r
	}
	for _, rule := range registryRules {
		if rule.check != nil {
			rule.check(&r, func(path, problem, mend string, edits ...Edit) {
				r.add(rule.ID, path, problem, mend, edits...)
			})
		}
	}
	sortFindings(r.Findings)
	return r
}

// Line returns the line of a key by its path, as "http.tls.key", or of the
// section that it would stand in; 0 when the file has neither.
func (r RegistryConfig) Line(path string) int {
	for ; path != ""; path, _, _ = cutLast(path) {
		if line := r.lines[path]; line > 0 {
			return line
		}
	}
	return 0
}

// Root returns the directory that the registry keeps its data in, "" when it
// keeps it somewhere else than in files, or when there is no config.
func (r RegistryConfig) Root() string {
	if r.Config == nil || r.Config.Storage.Type() != "filesystem" {
		return ""
	}
	if root, ok := r.Config.Storage.Parameters()["rootdirectory"].(string); ok {
		return root
	}
	return "/var/lib/registry" // distribution v3.1.2 registry/storage/driver/filesystem/driver.go:23
}

// Authenticates says whether clients have to show who they are: with a password
// or token, or with a certificate that is verified.
func (r RegistryConfig) Authenticates() bool {
	return r.Config != nil && (hasAuth(r.Config) || certificatesRequired(r.Config))
}

// add notes a finding about a key. What an environment variable sets is of no
// line, and the variable's.
func (r *RegistryConfig) add(rule, path, problem, mend string, edits ...Edit) {
	if name := variable(path); path != "" && r.has(name) {
		r.Findings = append(r.Findings, Finding{Rule: rule, Subject: Registry, Object: name, Problem: problem, Mend: mend})
		return
	}
	r.found(rule, r.Line(path), path, problem, mend, edits...)
}

func (r *RegistryConfig) found(rule string, line int, object, problem, mend string, edits ...Edit) {
	r.Findings = append(r.Findings, Finding{Rule: rule, Subject: Registry, File: r.File, Line: line, Object: object, Problem: problem, Mend: mend, Edits: edits})
}

func (r *RegistryConfig) has(name string) bool {
	_, ok := r.env[name]
	return ok
}

// variable returns the variable that overrides a key: distribution v3.1.2
// configuration/parser.go:133-143.
func variable(path string) string {
	return "REGISTRY_" + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

// read decodes the config as the registry does; nil when it would not start, with
// findings that say why.
func (r *RegistryConfig) read(data []byte) *configuration.Configuration {
	plain, err := decodeRegistry(data, nil, nil)
	if err != nil {
		r.unreadable(err)
		return nil
	}
	r.ownsTLS, r.ownsAuth = r.tree != nil && hasTLS(plain), r.tree != nil && hasAuth(plain)
	config, err := decodeRegistry(data, r.env, r.ignored)
	var wrong *variableError
	if errors.As(err, &wrong) {
		r.Findings = append(r.Findings, Finding{Rule: "registry.environment-value", Subject: Registry, Object: wrong.name,
			Problem: "the registry does not start: " + wrong.name + " sets " + wrong.why})
		return nil
	}
	if err != nil {
		r.unreadable(err)
		return nil
	}
	if !r.startable(config) {
		return nil
	}
	return config
}

// startable looks for what the registry's own methods panic about.
func (r *RegistryConfig) startable(c *configuration.Configuration) bool {
	drivers := storageDrivers(c.Storage)
	switch {
	case len(drivers) > 1:
		r.add("registry.storage-driver", "storage", "the registry does not start: it has several storage drivers, "+strings.Join(drivers, " and ")+
			"; a REGISTRY_STORAGE_ variable of another driver adds one to the file's",
			"keep one; REGISTRY_STORAGE="+drivers[len(drivers)-1]+" in the environment drops the file's")
	case len(drivers) == 0:
		r.add("registry.storage-driver", "storage", "the registry does not start: no storage driver is named", "")
	}
	return len(drivers) == 1
}

// unreadable tells what the decoder says, unless the walk over the keys has found
// it already, with its line.
func (r *RegistryConfig) unreadable(err error) {
	for _, f := range r.Findings {
		if f.Rule == "registry.syntax" {
			return
		}
	}
	for _, why := range strings.Split(err.Error(), "\n") {
		if why = strings.TrimSpace(why); why != "yaml: unmarshal errors:" {
			line, text := yamlLine(why)
			r.found("registry.syntax", line, "", "the registry does not start with this file: "+text, "")
		}
	}
}

// yamlLine takes the line out of a message of the YAML library, which tells it
// nowhere else.
func yamlLine(message string) (line int, text string) {
	message = withoutValue(message)
	m := regexp.MustCompile(`^(?:yaml: )?line (\d+): (.*)$`).FindStringSubmatch(message)
	if m == nil {
		return 0, message
	}
	line, _ = strconv.Atoi(m[1])
	return line, m[2]
}

// withoutValue leaves out what the YAML library repeats of a value, which may be a
// password (go.yaml.in/yaml/v2 decode.go, terror and alias).
func withoutValue(message string) string {
	message = regexp.MustCompile("(cannot unmarshal !!\\w+) `.*` into").ReplaceAllString(message, "$1 into")
	return regexp.MustCompile("unknown anchor '.*' referenced").ReplaceAllString(message, "a text that begins with * needs quotes, or else names an anchor that is not there")
}

// cutLast cuts the last part off a path.
func cutLast(path string) (before, last string, found bool) {
	i := strings.LastIndex(path, ".")
	if i < 0 {
		return "", path, false
	}
	return path[:i], path[i+1:], true
}
