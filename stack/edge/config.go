package edge

import (
	"io"
	"strings"

	"github.com/certyard/certyard/stack/strict"
)

// Config is edge.yaml as written. Paths are relative to the working directory.
type Config struct {
	Version      int              `yaml:"version"`
	Admin        string           `yaml:"admin"` // unix socket for health and metrics; "" = none
	Listeners    []ListenerConfig `yaml:"listeners"`
	DrainTimeout string           `yaml:"drain_timeout"`

	// File is where the config was read from, for messages.
	File string `yaml:"-"`
	// lines tells where each key stands, by its path ("listeners[0].name").
	lines map[string]int
}

// ListenerConfig is one listener of a [Config].
type ListenerConfig struct {
	Name            string   `yaml:"name"`
	Plain           bool     `yaml:"plain"` // copy TCP as it is, without TLS
	Addresses       []string `yaml:"addresses"`
	Certificates    string   `yaml:"certificates"`     // directory with tls.crt and tls.key
	CertificateFile string   `yaml:"certificate_file"` // the certificate's file there; "" = tls.crt
	Clients         string   `yaml:"clients"`          // directory with clients.crt and access.json; "" = nobody is asked
	// AccessRequired makes an access.json that is missing an error, so that
	// nobody is let in for want of a list.
	AccessRequired bool     `yaml:"access_required"`
	ALPN           []string `yaml:"alpn"`
	Target         string   `yaml:"target"` // unix:PATH or tcp:HOST:PORT

	MaxConnections   *int   `yaml:"max_connections"`
	HandshakeTimeout string `yaml:"handshake_timeout"`
	TargetTimeout    string `yaml:"target_timeout"`
	DrainIdle        string `yaml:"drain_idle"` // once it stops, ends connections that are silent for so long
}

// Problem is one thing that is wrong with a config.
type Problem = strict.Problem

// ConfigError is everything that is wrong with a config, at once.
type ConfigError strict.Error

func (e *ConfigError) Error() string { return (*strict.Error)(e).Error() }

func configError(file string, problems []Problem) error {
	strict.Sort(problems)
	return &ConfigError{File: file, Problems: problems}
}

// ReadConfig reads a config strictly: a key that it does not know is an error,
// like a value of the wrong type or one that cannot be used. The error is a
// *[ConfigError] for what is wrong with the content.
func ReadConfig(r io.Reader, file string) (Config, error) {
	c := Config{File: file}
	lines, problems, err := strict.Decode(r, file, &c)
	if err != nil {
		return c, err
	}
	c.lines = lines
	// What a value means is only looked at where its type is right.
	_, values := c.plan()
	for _, p := range values {
		if !covered(problems, p.Path) {
			problems = append(problems, p)
		}
	}
	if problems != nil {
		return c, configError(file, problems)
	}
	return c, nil
}

// covered reports whether one of the problems is about a key, about what the key
// is a part of, or about an item of the key's list.
func covered(problems []Problem, path string) bool {
	for _, p := range problems {
		if p.Path == "" || path == p.Path || strings.HasPrefix(p.Path, path+"[") || strings.HasPrefix(path, p.Path+".") || strings.HasPrefix(path, p.Path+"[") {
			return true
		}
	}
	return false
}
