package stack

import (
	"io"

	"github.com/certyard/certyard/stack/strict"
)

// Config is certyard.yaml as written. Every key is optional; a nil pointer
// means that the key is absent where that differs from its zero value.
type Config struct {
	Version  int            `yaml:"version"`
	Name     string         `yaml:"name"`
	Serve    string         `yaml:"serve"`
	Registry RegistryConfig `yaml:"registry"`
	Builder  BuilderConfig  `yaml:"builder"`
	PKI      PKIConfig      `yaml:"pki"`
	Images   string         `yaml:"images"`

	// File is where the config was read from, for messages.
	File string `yaml:"-"`
	// lines tells where each key stands, by its path ("registry.publish").
	lines map[string]int
}

// RegistryConfig is the registry's part of a [Config].
type RegistryConfig struct {
	Name    string       `yaml:"name"`
	Image   string       `yaml:"image"`
	Publish *string      `yaml:"publish"`
	Hosts   []string     `yaml:"hosts"`
	Users   []UserConfig `yaml:"users"`
}

// UserConfig is one user of the registry. The password comes from a file or an
// environment variable, never from the config itself; with neither it is
// generated.
type UserConfig struct {
	Name         string `yaml:"name"`
	PasswordFile string `yaml:"password_file"`
	PasswordEnv  string `yaml:"password_env"`
}

// BuilderConfig is the builder's part of a [Config].
type BuilderConfig struct {
	Image      string   `yaml:"image"`
	Publish    *string  `yaml:"publish"`
	TLS        string   `yaml:"tls"`
	Clients    []string `yaml:"clients"`
	Hosts      []string `yaml:"hosts"`
	Privileges string   `yaml:"privileges"`
}

// PKIConfig is the part of a [Config] that says how keys and certificates are
// made.
type PKIConfig struct {
	Key            string       `yaml:"key"`
	CAValidity     string       `yaml:"ca_validity"`
	LeafValidity   string       `yaml:"leaf_validity"`
	Authority      string       `yaml:"authority"`
	Hierarchy      string       `yaml:"hierarchy"`
	CAKeys         string       `yaml:"ca_keys"`
	PassphraseFile string       `yaml:"passphrase_file"`
	CACert         string       `yaml:"ca_cert"`
	CAKey          string       `yaml:"ca_key"`
	Remote         RemoteConfig `yaml:"remote"`
}

// RemoteConfig says which cfssl server signs.
type RemoteConfig struct {
	URL         string `yaml:"url"`
	CA          string `yaml:"ca"`
	AuthKeyFile string `yaml:"auth_key_file"`
	Profile     string `yaml:"profile"`
	Label       string `yaml:"label"`
}

// Problem is one thing that is wrong with a config, and ConfigError everything.
type (
	Problem     = strict.Problem
	ConfigError = strict.Error
)

// ReadConfig reads a config strictly: a key that it does not know is an error,
// like a value of the wrong type. An empty document is the default config. The
// error is a *[ConfigError] for what is wrong with the content.
func ReadConfig(r io.Reader, file string) (Config, error) {
	c := Config{File: file}
	lines, problems, err := strict.Decode(r, file, &c)
	if err != nil {
		return c, err
	}
	if problems != nil {
		return c, &ConfigError{File: file, Problems: problems}
	}
	c.lines = lines
	return c, nil
}
