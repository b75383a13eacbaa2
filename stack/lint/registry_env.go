package lint

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/distribution/distribution/v3/configuration"
	"go.yaml.in/yaml/v2"
)

// variableError says that a variable's value does not fit what it sets: the
// registry does not start.
type variableError struct{ name, why string }

func (e *variableError) Error() string { return e.name + ": " + e.why }

// decodeRegistry decodes a config with the registry's own types and YAML library,
// and then applies the environment given. The registry's own parser cannot be
// used: it reads the environment of the process that it runs in (distribution
// v3.1.2 configuration/parser.go:91-94). Variables that the registry passes over
// are told to ignored.
func decodeRegistry(data []byte, env map[string]string, ignored func(name, why string)) (*configuration.Configuration, error) {
	c := new(configuration.Configuration)
	if err := yaml.Unmarshal(data, c); err != nil {
		return nil, err
	}
	if c.Version != configuration.CurrentVersion {
		return nil, fmt.Errorf("version is %q, and the registry knows only 0.1", c.Version)
	}
	for _, name := range slices.Sorted(maps.Keys(env)) { // its order: REGISTRY_AUTH before REGISTRY_AUTH_HTPASSWD_REALM
		if !strings.HasPrefix(name, "REGISTRY_") {
			continue
		}
		o := override{name: name, value: env[name], ignored: ignored}
		if err := o.set(reflect.ValueOf(c), strings.Split(name, "_")[1:]); err != nil {
			return nil, &variableError{name, err.Error()}
		}
	}
	if c.Tags.MaxTags < 0 {
		return nil, errors.New("tags.maxtags is negative")
	}
	return c, nil
}

// override sets one key from one variable, with the registry's quirks
// (distribution v3.1.2 configuration/parser.go:157-317): a test compares them.
type override struct {
	name, value string
	ignored     func(name, why string)
}

func (o override) set(v reflect.Value, path []string) error {
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return errors.New("something that is not there")
		}
		v = v.Elem()
	}
	if len(path) == 0 {
		return o.end(v)
	}
	switch v.Kind() {
	case reflect.Struct:
		return o.inStruct(v, path)
	case reflect.Map:
		return o.inMap(v, path)
	case reflect.Slice:
		return o.inSlice(v, path)
	case reflect.Interface:
		return o.inInterface(v, path)
	}
	o.pass("the key above it is a plain value")
	return nil
}

// end is where a path ends inside a list. The registry leaves texts and numbers
// of lists as they are, and crashes for the rest.
func (o override) end(v reflect.Value) error {
	switch v.Kind() {
	case reflect.Struct, reflect.Map, reflect.Slice:
		return errors.New("an item of a list, which the registry crashes for")
	}
	o.pass("it adds an empty item, not this value: the registry takes items of lists only as one YAML list, as " +
		o.name[:strings.LastIndex(o.name, "_")] + `: '["..."]'`)
	return nil
}

func (o override) pass(why string) {
	if o.ignored != nil {
		o.ignored(o.name, why)
	}
}

func (o override) inStruct(v reflect.Value, path []string) error {
	field := fieldByUpper(v, path[0])
	if !field.IsValid() {
		o.pass("the registry has no such key")
		return nil
	}
	if len(path) == 1 {
		return o.decode(field)
	}
	switch {
	case field.Kind() == reflect.Map && field.IsNil():
		field.Set(reflect.MakeMap(field.Type()))
	case field.Kind() == reflect.Pointer && field.IsNil():
		field.Set(reflect.New(field.Type().Elem()))
	}
	return o.set(field, path[1:])
}

// fieldByUpper returns the field that a part of a variable's name means, also one
// of an inlined struct.
func fieldByUpper(v reflect.Value, upper string) reflect.Value {
	for i := range v.NumField() {
		sf := v.Type().Field(i)
		if strings.HasSuffix(sf.Tag.Get("yaml"), ",inline") && v.Field(i).Kind() == reflect.Struct {
			if in := fieldByUpper(v.Field(i), upper); in.IsValid() {
				return in
			}
		}
		if strings.ToUpper(sf.Name) == upper {
			return v.Field(i)
		}
	}
	return reflect.Value{}
}

// decode sets a value as a whole: the variable is YAML.
func (o override) decode(v reflect.Value) error {
	fresh := reflect.New(v.Type())
	if err := yaml.Unmarshal([]byte(o.value), fresh.Interface()); err != nil {
		return fmt.Errorf("what does not fit: %s", lastLine(err)) // the value may be a password
	}
	v.Set(fresh.Elem())
	return nil
}

func lastLine(err error) string {
	lines := strings.Split(strings.TrimSpace(err.Error()), "\n")
	_, text := yamlLine(strings.TrimSpace(lines[len(lines)-1]))
	return text
}

func (o override) inMap(m reflect.Value, path []string) error {
	if m.Type().Key().Kind() != reflect.String {
		o.pass("the registry does not reach into this part of the file from the environment")
		return nil
	}
	if len(path) > 1 {
		for _, k := range m.MapKeys() {
			if strings.ToUpper(k.String()) == path[0] {
				if old := m.MapIndex(k); !isNil(old) {
					return o.set(old, path[1:])
				}
				break
			}
		}
	}
	made := reflect.New(m.Type().Elem())
	if len(path) == 1 {
		if err := o.decode(made.Elem()); err != nil {
			return err
		}
	} else {
		if made.Elem().Kind() == reflect.Map {
			made.Elem().Set(reflect.MakeMap(m.Type().Elem()))
		}
		if err := o.set(made, path[1:]); err != nil {
			return err
		}
	}
	m.SetMapIndex(reflect.ValueOf(strings.ToLower(path[0])), made.Elem())
	return nil
}

func isNil(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Map:
		return v.IsNil()
	}
	return false
}

func (o override) inSlice(v reflect.Value, path []string) error {
	i, err := strconv.Atoi(path[0])
	if err != nil || i < 0 || i > v.Len() {
		return fmt.Errorf("item %q of a list that has %d", path[0], v.Len())
	}
	if v.Len() == i {
		if !v.CanSet() {
			return errors.New("an item of a list that the registry cannot grow")
		}
		v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
	}
	return o.set(v.Index(i), path[1:])
}

func (o override) inInterface(v reflect.Value, path []string) error {
	if !v.IsNil() {
		return o.set(v.Elem(), path)
	}
	if !v.CanSet() {
		return errors.New("below a value that is empty, which the registry crashes for")
	}
	made := reflect.MakeMap(reflect.TypeFor[map[string]any]())
	v.Set(made)
	return o.inMap(made, path)
}
