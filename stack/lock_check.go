package stack

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Difference is one thing that is not as it is to be.
type Difference struct {
	What string `json:"what"` // the key in the lock
	Have string `json:"have"`
	Want string `json:"want"`
}

// nothing stands in a [Difference] for what is not there.
const nothing = "nothing"

func (d Difference) String() string {
	return fmt.Sprintf("%s: have %s, want %s", d.What, d.Have, d.Want)
}

// Differences are several, in the order of the lock.
type Differences []Difference

// String lists the differences, one a line when there are several.
func (d Differences) String() string {
	if len(d) == 1 {
		return d[0].String()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d differences", len(d))
	for _, one := range d {
		b.WriteString("\n    " + one.String())
	}
	return b.String()
}

// LockedError says what is not as the lock has it, at once.
type LockedError struct {
	File        string
	Differences Differences
	Err         error // why an image of the lock could not be had, nil if none was missed
}

func (e *LockedError) Error() string {
	text := e.File + ": " + e.Differences.String()
	if e.Err != nil {
		text += "\n    " + strings.ReplaceAll(e.Err.Error(), "\n", "\n    ")
	}
	return text
}

// Unwrap returns why an image could not be had.
func (e *LockedError) Unwrap() error { return e.Err }

// Check compares everything with another lock, which is what there is now.
func (l Lock) Check(now Lock) Differences {
	return append(l.CheckSpec(now.Spec, now.Override), l.CheckImages(now.Services)...)
}

// CheckSpec compares what does not need an engine. override is as in [Lock].
func (l Lock) CheckSpec(have LockedSpec, override string) Differences {
	out := have.Diff(l.Spec)
	if override != l.Override {
		out = append(out, Difference{"compose_override", or(override, nothing), or(l.Override, nothing)})
	}
	return out
}

// Diff returns what is different in the spec that is wanted, by the config's keys.
func (s LockedSpec) Diff(want LockedSpec) Differences {
	var out Differences
	a, b := leaves(s), leaves(want)
	all := maps.Clone(a)
	maps.Copy(all, b)
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if a[key] != b[key] {
			out = append(out, Difference{key, or(a[key], nothing), or(b[key], nothing)})
		}
	}
	return out
}

// leaves returns every value of a spec by its key, as JSON has it. So no key can
// be forgotten here.
func leaves(s LockedSpec) map[string]string {
	out := map[string]string{}
	var walk func(path string, value json.RawMessage)
	walk = func(path string, value json.RawMessage) {
		var keys map[string]json.RawMessage
		if json.Unmarshal(value, &keys) != nil { // a value or a list
			out[path] = string(value)
		}
		for key, inner := range keys {
			walk(strings.TrimPrefix(path+"."+key, "."), inner)
		}
	}
	data, _ := json.Marshal(s) // cannot fail: it is made of strings
	walk("", data)
	return out
}

// CheckImages compares the images, by what names their content.
func (l Lock) CheckImages(have LockedServices) Differences {
	var out Differences
	for _, service := range []string{Registry, Builder} {
		a, b := *have.Of(service), *l.Services.Of(service)
		switch {
		case !b.sameContent(a):
			out = append(out, Difference{"services." + service, a.String(), b.String()})
		case a.Version != b.Version: // somebody has edited the lock
			out = append(out, Difference{"services." + service + ".version", or(a.Version, nothing), or(b.Version, nothing)})
		}
	}
	return out
}

// String names the image and its content.
func (i LockedImage) String() string {
	switch {
	case i.Image == "":
		return nothing
	case i.Source == ImagePulled:
		return strings.Join(i.Digests, ", ")
	case i.Source == ImagePresent:
		return i.Image + " " + i.ID
	default:
		return i.Image
	}
}
