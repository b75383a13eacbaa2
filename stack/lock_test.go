package stack_test

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/certyard/certyard/stack"
)

const (
	digestA = "registry@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	digestB = "registry@sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	imageID = "sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
	bundled = "certyard/bundled-buildkit:v0.34.2-0123456789ab"
)

func lockOf(t *testing.T, c stack.Config) stack.Lock {
	t.Helper()
	spec, err := stack.NewSpec(c)
	if err != nil {
		t.Fatal(err)
	}
	return stack.Lock{
		Version: 1, Certyard: "v1", Spec: spec.Locked("/repo"),
		Services: stack.LockedServices{
			Registry: stack.LockedImage{Image: spec.Registry.Image, Source: stack.ImagePulled, Digests: []string{digestA}, Version: "v3.1.2"},
			Builder:  stack.LockedImage{Image: bundled, Source: stack.ImageBundled, Version: "v0.34.2"},
		},
	}
}

// fullConfig sets every key of a config that a lock has.
func fullConfig() stack.Config {
	free := "127.0.0.1:0"
	return stack.Config{
		Name: "mine", Serve: "edge", Images: "pull",
		Registry: stack.RegistryConfig{
			Name: "reg.lan", Image: "registry:3.1", Publish: &free, Hosts: []string{"a.lan"},
			Users: []stack.UserConfig{{Name: "ann"}, {Name: "bob", PasswordFile: "secrets/bob"}, {Name: "cy", PasswordFile: "/home/cy/pw"}, {Name: "di", PasswordEnv: "DI"}},
		},
		Builder: stack.BuilderConfig{Image: "moby/buildkit:v1", Publish: &free, TLS: "mutual", Clients: []string{"ci"}, Hosts: []string{"b.lan"}, Privileges: "minimal"},
		PKI: stack.PKIConfig{
			Key: "ed25519", CAValidity: "100d", LeafValidity: "36h", Authority: "remote", CAKeys: "encrypted", PassphraseFile: "/repo/pass", CACert: "/repo/ca/root.pem",
			Remote: stack.RemoteConfig{URL: "https://ca.lan:8888", CA: "/etc/ssl/ca.pem", AuthKeyFile: "/repo/../key", Profile: "p", Label: "l"},
		},
	}
}

// TestLockJSON: the file as it is written, which reads back as the same lock.
func TestLockJSON(t *testing.T) {
	data, err := lockOf(t, fullConfig()).JSON()
	if err != nil {
		t.Fatal(err)
	}
	const want = `{
  "version": 1,
  "certyard": "v1",
  "spec": {
    "serve": "edge",
    "registry": {
      "name": "reg.lan",
      "image": "registry:3.1",
      "publish": "127.0.0.1:0",
      "hosts": [
        "a.lan"
      ],
      "users": [
        {
          "name": "ann",
          "password": "generated"
        },
        {
          "name": "bob",
          "password": "file",
          "from": "secrets/bob"
        },
        {
          "name": "cy",
          "password": "file"
        },
        {
          "name": "di",
          "password": "env",
          "from": "DI"
        }
      ]
    },
    "builder": {
      "image": "moby/buildkit:v1",
      "publish": "127.0.0.1:0",
      "tls": "mutual",
      "clients": [
        "ci"
      ],
      "hosts": [
        "b.lan"
      ],
      "privileges": "minimal"
    },
    "pki": {
      "key": "ed25519",
      "ca_validity": "100d",
      "leaf_validity": "36h0m0s",
      "authority": "remote",
      "hierarchy": "single",
      "ca_keys": "encrypted",
      "passphrase_file": "pass",
      "ca_cert": "ca/root.pem",
      "remote": {
        "url": "https://ca.lan:8888",
        "profile": "p",
        "label": "l"
      }
    },
    "images": "pull"
  },
  "services": {
    "registry": {
      "image": "registry:3.1",
      "source": "pulled",
      "digests": [
        "` + digestA + `"
      ],
      "version": "v3.1.2"
    },
    "buildkit": {
      "image": "certyard/bundled-buildkit:v0.34.2-0123456789ab",
      "source": "bundled",
      "version": "v0.34.2"
    }
  }
}
`
	if string(data) != want {
		t.Errorf("got %s", data)
	}
	back, err := stack.ParseLock(data, "x.lock")
	if err != nil {
		t.Fatal(err)
	}
	again, err := back.JSON()
	if err != nil || !bytes.Equal(again, data) || back.File != "x.lock" {
		t.Errorf("read back and written again: %v\n%s", err, again)
	}
}

// TestParseLock: what is no lock is refused, with the line.
func TestParseLock(t *testing.T) {
	data, err := lockOf(t, stack.Config{}).JSON()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ old, new, want string }{
		"empty":              {string(data), "", "version: 0 is not known"},
		"version":            {`"version": 1`, `"version": 2`, "line 2: version: 2 is not known; this certyard reads version 1"},
		"not JSON":           {`"spec": {`, `<<<<<<< HEAD`, "line "},
		"unknown key":        {`"serve"`, `"server"`, "spec.server: unknown key"},
		"key twice":          {`"certyard": "v1",`, `"certyard": "v1", "certyard": "v1",`, "stands on line 3 already"},
		"wrong type":         {`"tls": "server"`, `"tls": []`, "spec.builder.tls: want text, have a list"},
		"unknown service":    {`"buildkit": {`, `"edge": {}, "buildkit": {`, "services.edge: unknown key"},
		"no image":           {`"image": "` + bundled + `"`, `"image": ""`, "services.buildkit.image: is missing"},
		"unknown source":     {`"source": "pulled"`, `"source": "found"`, `"found" is not known; want pulled, present, bundled`},
		"no digest":          {digestA, "registry:3", `"registry:3" is not a digest`},
		"no digests":         {`"` + digestA + `"`, "", "services.registry.digests: are missing"},
		"no ID":              {`"source": "pulled"`, `"source": "present"`, "is not an ID"},
		"image of no config": {`"image": "registry:3",` + "\n      \"source\"", `"image": "other:3",` + "\n      \"source\"", `"other:3" is not the spec's, which is "registry:3"`},
	} {
		t.Run(name, func(t *testing.T) {
			changed := strings.Replace(string(data), c.old, c.new, 1)
			if changed == string(data) {
				t.Fatalf("there is no %s in the lock", c.old)
			}
			_, err := stack.ParseLock([]byte(changed), "x.lock")
			var format *stack.LockFormatError
			if !errors.As(err, &format) || !strings.HasPrefix(err.Error(), "x.lock: ") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("ParseLock = %v, want %s", err, c.want)
			}
		})
	}
}

// TestLockEveryKey: another value of any key of the lock's spec is a difference,
// under the key's own name.
func TestLockEveryKey(t *testing.T) {
	want := lockOf(t, fullConfig())
	// No one config has all of them.
	want.Spec.Registry.Name, want.Spec.PKI.CAKey, want.Spec.PKI.Remote.CA, want.Spec.PKI.Remote.AuthKeyFile = "n", "a", "b", "c"
	full := want.Spec
	tried := 0
	var each func(v reflect.Value, path string)
	each = func(v reflect.Value, path string) {
		for i := range v.NumField() {
			field := v.Field(i)
			at := strings.TrimPrefix(path+"."+v.Type().Field(i).Tag.Get("yaml"), ".")
			if field.Kind() == reflect.Struct {
				each(field, at)
				continue
			}
			before := reflect.ValueOf(field.Interface())
			field.SetZero()
			got := want.CheckSpec(full, "")
			has := len(got) == 1 && got[0].What == at
			field.Set(before)
			if tried++; !has {
				t.Errorf("without %s: %v", at, got)
			}
		}
	}
	each(reflect.ValueOf(&want.Spec).Elem(), "")
	if tried != 27 {
		t.Errorf("tried %d keys", tried)
	}
}

// TestLockSpec: what is somebody's own is not compared, the rest is.
func TestLockSpec(t *testing.T) {
	taken := "127.0.0.1:5999"
	for name, c := range map[string]struct {
		change func(*stack.Config)
		want   string
	}{
		"the same":        {func(*stack.Config) {}, ""},
		"the name":        {func(c *stack.Config) { c.Name = "other" }, ""},
		"a file of mine":  {func(c *stack.Config) { c.Registry.Users[2].PasswordFile = "/home/ann/pw" }, ""},
		"a generated one": {func(c *stack.Config) { c.Registry.Users[1].PasswordFile = "" }, "registry.users: have "},
		"a port":          {func(c *stack.Config) { c.Registry.Publish, c.Registry.Name = &taken, "" }, `registry.publish: have "127.0.0.1:5999", want "127.0.0.1:0"`},
		"several":         {func(c *stack.Config) { c.Images, c.Builder.Hosts = "auto", nil }, "2 differences\n    builder.hosts: have nothing, want [\"b.lan\"]\n    images: have \"auto\", want \"pull\""},
	} {
		t.Run(name, func(t *testing.T) {
			config := fullConfig()
			c.change(&config)
			got := lockOf(t, fullConfig()).CheckSpec(lockOf(t, config).Spec, "")
			if c.want == "" && got != nil || c.want != "" && !strings.Contains(got.String(), c.want) {
				t.Errorf("CheckSpec = %v, want %q", got, c.want)
			}
		})
	}
	got := lockOf(t, fullConfig()).CheckSpec(lockOf(t, fullConfig()).Spec, "abc")
	if got.String() != "compose_override: have abc, want nothing" {
		t.Errorf("with an override: %v", got)
	}
}

// TestLockImages: images are one by what names their content.
func TestLockImages(t *testing.T) {
	pulled := func(digests ...string) stack.LockedImage {
		return stack.LockedImage{Image: "registry:3", Source: stack.ImagePulled, Digests: digests}
	}
	present := stack.LockedImage{Image: "registry:3", Source: stack.ImagePresent, ID: imageID}
	own := stack.LockedImage{Image: bundled, Source: stack.ImageBundled}
	older := stack.LockedImage{Image: bundled + "0", Source: stack.ImageBundled}
	labelled := pulled(digestA)
	labelled.Version = "v3"
	for name, c := range map[string]struct {
		want, have stack.LockedImage
		says       string
	}{
		"one digest":        {pulled(digestA), pulled(digestA), ""},
		"one in common":     {pulled(digestA, digestB), pulled(digestB), ""},
		"another digest":    {pulled(digestA), pulled(digestB), "services.registry: have " + digestB + ", want " + digestA},
		"no digest":         {pulled(digestA), present, "services.registry: have registry:3 " + imageID + ", want " + digestA},
		"one ID":            {present, present, ""},
		"a digest, no ID":   {present, pulled(digestA), "have " + digestA},
		"one tag":           {own, own, ""},
		"another tag":       {own, older, "have " + bundled + "0, want " + bundled},
		"the official one":  {own, pulled(digestA), "have " + digestA + ", want " + bundled},
		"the bundled one":   {pulled(digestA), own, "have " + bundled},
		"none":              {pulled(digestA), stack.LockedImage{}, "have nothing, want " + digestA},
		"an edited version": {pulled(digestA), labelled, "services.registry.version: have v3, want nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			lock := stack.Lock{Services: stack.LockedServices{Registry: c.want, Builder: own}}
			got := lock.CheckImages(stack.LockedServices{Registry: c.have, Builder: own})
			if c.says == "" && got != nil || c.says != "" && (len(got) != 1 || !strings.Contains(got.String(), c.says)) {
				t.Errorf("CheckImages = %v, want %q", got, c.says)
			}
		})
	}
	for exact, i := range map[string]stack.LockedImage{
		"registry:3" + digestA[len("registry"):]: pulled(digestA, digestB),
		digestA:                                  {Image: digestA, Source: stack.ImagePulled, Digests: []string{digestA}},
		bundled:                                  own,
		"":                                       present,
	} {
		if i.Exact() != exact {
			t.Errorf("Exact of %+v = %q, want %q", i, i.Exact(), exact)
		}
	}
}

func TestLockedError(t *testing.T) {
	err := &stack.LockedError{File: "x.lock", Differences: stack.Differences{{What: "a", Have: "b", Want: "c"}}}
	if err.Error() != "x.lock: a: have b, want c" {
		t.Errorf("%v", err)
	}
	if err.Err = errors.New("pulling: no"); err.Error() != "x.lock: a: have b, want c\n    pulling: no" || !errors.Is(err, err.Err) {
		t.Errorf("%v", err)
	}
}
