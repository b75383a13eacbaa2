package lint

import (
	"crypto/tls"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/distribution/distribution/v3/configuration"
)

// storageNames are the drivers of the official registry: distribution v3.1.2
// cmd/registry/main.go. v2 had swift and oss too.
func storageNames() string { return "azure, filesystem, gcs, inmemory, s3" }

// storageDrivers are the keys below storage that name a driver: distribution
// v3.1.2 configuration/configuration.go, Storage.Type, which panics for two.
func storageDrivers(s configuration.Storage) []string {
	var out []string
	for k := range s {
		if !slices.Contains([]string{"maintenance", "cache", "delete", "redirect", "tag"}, k) {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out
}

func hasTLS(c *configuration.Configuration) bool {
	return c.HTTP.TLS.Certificate != "" || c.HTTP.TLS.LetsEncrypt.CacheFile != ""
}

// hasAuth is when the registry makes an access controller: distribution v3.1.2
// registry/handlers/app.go:348-350.
func hasAuth(c *configuration.Configuration) bool {
	kind := c.Auth.Type()
	return kind != "" && !strings.EqualFold(kind, "none")
}

func certificatesRequired(c *configuration.Configuration) bool {
	t := c.HTTP.TLS
	return hasTLS(c) && len(t.ClientCAs) > 0 && (t.ClientAuth == "" || t.ClientAuth == configuration.ClientAuthRequireAndVerifyClientCert)
}

// addFunc notes a finding about a key of the config, "" when it is about none.
type addFunc = func(path, problem, mend string, edits ...Edit)

func checkStorage(r *RegistryConfig, add addFunc) {
	driver := r.Config.Storage.Type()
	if !slices.Contains([]string{"azure", "filesystem", "gcs", "inmemory", "s3", "s3aws"}, driver) {
		add("storage."+driver, fmt.Sprintf("the registry has no storage driver %q and does not start", driver), "")
	}
}

func checkAuthKind(r *RegistryConfig, add addFunc) {
	auth := r.Config.Auth
	var kinds []string
	for kind := range auth {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	if len(kinds) > 1 {
		add("auth", "there are several kinds of auth, "+strings.Join(kinds, " and ")+"; the registry takes one of them by chance", "keep one")
		return
	}
	if hasAuth(r.Config) && !slices.Contains([]string{"htpasswd", "token", "silly"}, kinds[0]) {
		add("auth."+kinds[0], fmt.Sprintf("the registry has no auth %q and does not start", kinds[0]), "")
	}
	if kinds != nil && kinds[0] == "silly" {
		add("auth.silly", "auth silly lets everybody in who sends any Authorization header: it is there for tests", "")
	}
}

func checkHtpasswdOptions(r *RegistryConfig, add addFunc) {
	if r.Config.Auth.Type() != "htpasswd" || len(r.Config.Auth) > 1 {
		return
	}
	for _, option := range []string{"realm", "path"} {
		value, there := r.Config.Auth.Parameters()[option]
		path := "auth.htpasswd." + option
		if _, text := value.(string); !there || value == nil {
			add(path, path+" is missing, and the registry does not start", "")
		} else if !text {
			add(path, fmt.Sprintf("%s is %v, which YAML takes for something else than text, and the registry does not start", path, value), fmt.Sprintf("write \"%v\", with quotes", value))
		}
	}
}

// checkTakenAway looks for what the file has and the environment takes.
func checkTakenAway(r *RegistryConfig, add addFunc) {
	if r.ownsTLS && !hasTLS(r.Config) {
		add(firstVariable(r, "http.tls.certificate", "http.tls", "http"), "the file has TLS, and this variable takes it away: the registry serves plain HTTP", "")
	}
	if r.ownsAuth && !hasAuth(r.Config) {
		add(firstVariable(r, "auth"), "the file asks for passwords, and this variable takes that away: everybody may pull and push", "")
	}
}

func firstVariable(r *RegistryConfig, paths ...string) string {
	for _, p := range paths {
		if r.has(variable(p)) {
			return p
		}
	}
	return paths[0]
}

// ignored notes variables that the registry passes over. One it reads elsewhere:
// distribution v3.1.2 registry/registry.go:476.
func (r *RegistryConfig) ignored(name, why string) {
	if name != "REGISTRY_CONFIGURATION_PATH" {
		r.Findings = append(r.Findings, Finding{Rule: "registry.environment-unknown", Subject: Registry, Object: name,
			Problem: "the registry passes over " + name + ": " + why})
	}
}

func checkPair(r *RegistryConfig, add addFunc) {
	t := r.Config.HTTP.TLS
	switch {
	case t.Certificate != "" && t.Key == "" && t.LetsEncrypt.CacheFile == "":
		add("http.tls.certificate", "there is a certificate and no key, and the registry does not start", "set http.tls.key")
	case t.Certificate == "" && t.Key != "":
		add("http.tls.key", "there is a key and no certificate: the registry takes TLS for switched off and serves plain HTTP", "set http.tls.certificate")
	case !hasTLS(r.Config) && (len(t.ClientCAs) > 0 || t.MinimumTLS != "" || len(t.CipherSuites) > 0):
		add("http.tls", "http.tls has settings and no certificate: the registry takes TLS for switched off and serves plain HTTP", "")
	}
}

func checkLetsEncrypt(r *RegistryConfig, add addFunc) {
	t := r.Config.HTTP.TLS
	l := t.LetsEncrypt
	switch {
	case l.CacheFile != "" && t.Certificate != "":
		add("http.tls.letsencrypt", "there are a certificate and letsencrypt, and the registry does not start with both", "keep one")
	case l.CacheFile == "" && (l.Email != "" || len(l.Hosts) > 0):
		add("http.tls.letsencrypt", "letsencrypt without cachefile is switched off", "set http.tls.letsencrypt.cachefile")
	case l.CacheFile != "" && len(l.Hosts) == 0:
		add("http.tls.letsencrypt", "letsencrypt names no hosts, and the registry gets certificates for none: every handshake fails", "set http.tls.letsencrypt.hosts")
	}
}

// servesPlain says whether the registry serves plain HTTP that others can reach.
func servesPlain(c *configuration.Configuration) bool {
	return !hasTLS(c) && c.HTTP.Net != "unix" && !loopbackAddress(c.HTTP.Addr)
}

func checkPlain(r *RegistryConfig, add addFunc) {
	if servesPlain(r.Config) && !strings.HasPrefix(r.Config.HTTP.Host, "https://") {
		add("http", "the registry serves plain HTTP: passwords and images travel in clear, and clients that expect TLS say \"server gave HTTP response to HTTPS client\"", "")
	}
}

func checkPlainBehind(r *RegistryConfig, add addFunc) {
	if servesPlain(r.Config) && strings.HasPrefix(r.Config.HTTP.Host, "https://") {
		add("http.host", "something before the registry speaks TLS for it, and from there on passwords and images travel in clear", "")
	}
}

func checkMinimum(r *RegistryConfig, add addFunc) {
	have := r.Config.HTTP.TLS.MinimumTLS
	if have == "" || have == "tls1.2" || have == "tls1.3" || !hasTLS(r.Config) {
		return
	}
	const path = "http.tls.minimumtls"
	want := "tls" + strings.TrimLeft(strings.ToLower(have), "tlsv ")
	if want != "tls1.3" {
		want = "tls1.2"
	}
	add(path, fmt.Sprintf("the registry does not know the TLS version %q and does not start", have), "write "+want,
		replaceOnLine(r.data, r.lines[path], have, want)...)
}

// checkCiphers compares with the names of Go, which the registry's table repeats;
// for TLS 1.3 alone it does not look at them.
func checkCiphers(r *RegistryConfig, add addFunc) {
	if r.Config.HTTP.TLS.MinimumTLS == "tls1.3" || !hasTLS(r.Config) {
		return
	}
	known := map[string]bool{}
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		known[s.Name] = true
	}
	for i, name := range r.Config.HTTP.TLS.CipherSuites {
		if !known[name] {
			add(fmt.Sprintf("http.tls.ciphersuites[%d]", i), fmt.Sprintf("the registry does not know the cipher suite %q and does not start", name), "")
		}
	}
}

func checkClientAuth(r *RegistryConfig, add addFunc) {
	if t := r.Config.HTTP.TLS; t.ClientAuth != "" && len(t.ClientCAs) == 0 {
		add("http.tls.clientauth", fmt.Sprintf("clientauth is %q without clientcas, and the registry does not look at it: nobody needs a certificate", t.ClientAuth), "")
	}
}

func checkLax(r *RegistryConfig, add addFunc) {
	t := r.Config.HTTP.TLS
	if len(t.ClientCAs) == 0 || !hasTLS(r.Config) {
		return
	}
	switch t.ClientAuth {
	case configuration.ClientAuthRequestClientCert, configuration.ClientAuthRequireAnyClientCert:
		add("http.tls.clientauth", fmt.Sprintf("clientauth %q does not verify certificates: one that somebody made for himself will do", t.ClientAuth), "")
	case configuration.ClientAuthVerifyClientCertIfGiven:
		add("http.tls.clientauth", fmt.Sprintf("clientauth %q lets in who sends no certificate", t.ClientAuth), "")
	}
}

func checkClientsNeed(r *RegistryConfig, add addFunc) {
	if certificatesRequired(r.Config) {
		add("http.tls.clientcas", "every client needs a certificate of this CA: buildkitd, docker, curl, and whatever checks the registry's health; "+
			"without one the connection ends with \"tls: certificate required\"", "")
	}
}

func checkAuth(r *RegistryConfig, add addFunc) {
	if r.Authenticates() || r.Config.HTTP.Net == "unix" || loopbackAddress(r.Config.HTTP.Addr) {
		return
	}
	also := ""
	if d, _ := r.Config.Storage["delete"]["enabled"].(bool); d {
		also = ", and delete"
	}
	add("auth", "the registry has no auth: whoever reaches it may pull and push"+also, "")
}

func checkSecret(r *RegistryConfig, add addFunc) {
	if r.Config.HTTP.Secret == "" && !r.meant["http.secret"] && r.Config.Proxy.RemoteURL == "" {
		add("http.secret", "http.secret is missing, so the registry makes a new one at each start: an upload that a restart interrupts is lost, with 404", "")
	}
}

func checkDrain(r *RegistryConfig, add addFunc) {
	const path = "http.draintimeout"
	switch d := r.Config.HTTP.DrainTimeout; {
	case d == 0 && r.meant[path]:
	case d == 0:
		add(path, "http.draintimeout is missing, so a stop or restart cuts off every upload and download at once", "", r.insertDrain()...)
	case d < time.Millisecond: // a number without a unit
		n := fmt.Sprint(int64(d))
		add(path, fmt.Sprintf("http.draintimeout is %s, which is %s nanoseconds: a number needs a unit", n, n), "write "+n+"s",
			replaceOnLine(r.data, r.lines[path], n, n+"s")...)
	}
}

// insertDrain adds a draintimeout as the first key below http, where that is
// written one key a line.
func (r *RegistryConfig) insertDrain() []Edit {
	http := r.tree.Get("http")
	if http == nil || len(http.Keys) == 0 || http.Keys[0].Line != r.lines["http"]+1 {
		return nil
	}
	first := lineOf(r.data, http.Keys[0].Line)
	indent := first[:len(first)-len(strings.TrimLeft(first, " "))]
	if indent == "" {
		return nil
	}
	return []Edit{{From: http.Keys[0].Line, To: http.Keys[0].Line - 1, New: []string{indent + "draintimeout: 60s"}}}
}

func checkDebug(r *RegistryConfig, add addFunc) {
	if addr := r.Config.HTTP.Debug.Addr; addr != "" && !loopbackAddress(addr) {
		whose := ""
		if r.tree == nil {
			whose = ", by the image's own config"
		}
		add("http.debug.addr", fmt.Sprintf("the debug server listens on %s%s: whoever reaches it reads profiles and the command line, without a password and in clear", addr, whose), "")
	}
}

func checkHost(r *RegistryConfig, add addFunc) {
	host := r.Config.HTTP.Host
	u, err := url.Parse(host)
	switch {
	case host == "":
	case err != nil:
		add("http.host", fmt.Sprintf("http.host %q is no URL, and the registry does not start", host), "")
	case u.Scheme == "" || u.Host == "":
		add("http.host", fmt.Sprintf("http.host %q has no scheme and host, and the registry does not look at it", host), "write https://"+strings.TrimPrefix(host, "//"))
	case u.Scheme == "http" && hasTLS(r.Config):
		add("http.host", fmt.Sprintf("http.host %q sends clients to plain HTTP, and the registry speaks TLS: pushes fail", host), "",
			replaceOnLine(r.data, r.lines["http.host"], host, "https"+strings.TrimPrefix(host, "http"))...)
	}
}

func checkRelative(r *RegistryConfig, add addFunc) {
	if h := r.Config.HTTP; h.Net == "unix" && !hasTLS(r.Config) && h.Host == "" && !h.RelativeURLs {
		add("http.relativeurls", "the registry does not see that something before it speaks TLS, and unless that sends X-Forwarded-Proto it sends clients on to http://", "")
	}
}

func checkProxyRoots(r *RegistryConfig, add addFunc) {
	u, err := url.Parse(r.Config.Proxy.RemoteURL)
	if err != nil || u.Scheme != "https" || r.has("SSL_CERT_FILE") || r.has("SSL_CERT_DIR") {
		return
	}
	if privateName(u.Hostname()) {
		add("proxy.remoteurl", fmt.Sprintf("%s looks like a registry with a certificate of one's own CA, and the cache trusts only the CAs of its image", u.Host), "")
	}
}
