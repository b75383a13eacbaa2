package stack

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// State is state.json: what was made, when, and from which spec. It holds no
// secret.
type State struct {
	Version int       `json:"version"` // of this format: 1
	Made    time.Time `json:"made"`    // when the stack was first written
	Spec    Spec      `json:"spec"`    // with the ports that were chosen
	Facts   Facts     `json:"facts"`
	// Files holds the SHA-256 of every written file whose content matters
	// to a daemon or a client, so that a later change is seen.
	Files map[string]string `json:"files"`
	// Issued records every certificate of this state directory, also those
	// that were replaced.
	Issued []Issued `json:"issued"`
	// Clients are the clients that were added.
	Clients Clients `json:"clients,omitzero"`
	// Retired are the client CAs that were replaced, by generation, until the
	// builder was seen to refuse their clients.
	Retired []string `json:"retired,omitempty"`
	// Rotation is the open replacement of CAs, nil for none.
	Rotation *Rotation `json:"rotation,omitempty"`
	// CAGenerations counts the CAs of the servers that there were, by name; 0
	// stands for the first. Clients.Generation has that of the client CA.
	CAGenerations map[string]int `json:"ca_generations,omitempty"`
	// Unproven is set by a rotation with what it writes, and where the CAs before
	// are put in force again, until that has passed the proof.
	Unproven bool `json:"unproven,omitempty"`
}

// Issued is the record of one certificate. Issuer key and serial say which one
// it is to somebody who sees it: RFC 5280 lets no CA use a serial number twice.
// Records of earlier versions have neither times nor issuer keys.
type Issued struct {
	Name        string    `json:"name"`                 // of a CA or a leaf
	Issuer      string    `json:"issuer,omitempty"`     // generation of the CA
	IssuerKey   string    `json:"issuer_key,omitempty"` // the CA's whole subject key id
	Serial      string    `json:"serial"`
	Fingerprint string    `json:"fingerprint,omitempty"` // SHA-256
	Cause       string    `json:"cause"`
	Made        time.Time `json:"made,omitzero"` // or taken over
	NotAfter    time.Time `json:"not_after"`
	// Removed is since when the certificate is not in force any more: another
	// one has taken its place, or its client was removed.
	Removed time.Time `json:"removed,omitzero"`
}

// Same reports whether two records are of one certificate.
func (i Issued) Same(other Issued) bool { return i.Name == other.Name && i.Serial == other.Serial }

// Secrets is secrets.json.
type Secrets struct {
	// HTTPSecret signs the registry's upload state: with a fixed one an
	// upload survives a restart of the registry (P27).
	HTTPSecret string `json:"registry_http_secret"`
	// Passwords holds each user's password in clear.
	Passwords map[string]string `json:"passwords"`
}

// DamagedError says that a file is not as certyard has written it.
type DamagedError struct {
	File string
	Why  string
}

func (e *DamagedError) Error() string { return fmt.Sprintf("reading %s: %s", e.File, e.Why) }

// summed is state.json: the record, and the SHA-256 of the whole file with noSum in
// its place. That a file was torn or a bit of it has flipped is seen by that; it is
// no secret, and keeps nobody from writing another one. It is of the bytes, since
// another version of certyard may know other fields.
type summed struct {
	State
	Sum string `json:"sum,omitempty"` // none in records of earlier versions
}

var noSum = strings.Repeat("0", sha256.Size*2)

// ParseState reads state.json.
func ParseState(data []byte) (State, error) {
	var format struct{ Version int }
	if err := json.Unmarshal(data, &format); err == nil && format.Version != 1 {
		return State{}, fmt.Errorf("reading %s: format version %d is not known, this certyard reads 1", FileState, format.Version)
	}
	var s summed
	if err := json.Unmarshal(data, &s); err != nil {
		return State{}, &DamagedError{File: FileState, Why: err.Error()}
	}
	if s.Sum != "" && Sum(bytes.Replace(data, []byte(s.Sum), []byte(noSum), 1)) != s.Sum {
		return State{}, &DamagedError{File: FileState, Why: "its content was changed since it was written"}
	}
	s.Spec.PKI = s.Spec.PKI.withDefaults()
	s.Spec.Serve = Serve(or(string(s.Spec.Serve), string(ServeDaemon)))
	return s.State, nil
}

// File returns state.json.
func (s State) File() (File, error) {
	file, err := JSONFile(FileState, summed{State: s, Sum: noSum})
	if err != nil {
		return File{}, err
	}
	// It is the last of the fields: what looks like it before is something else.
	at := bytes.LastIndex(file.Data, []byte(noSum))
	copy(file.Data[at:], Sum(file.Data))
	return file, nil
}

// ParseSecrets reads secrets.json. No part of the content is in the error.
func ParseSecrets(data []byte) (Secrets, error) {
	var s Secrets
	if err := json.Unmarshal(data, &s); err != nil {
		return Secrets{}, &DamagedError{File: FileSecrets, Why: "not the JSON that certyard writes there"}
	}
	return s, nil
}

// JSONFile renders a value as a file of the state directory.
func JSONFile(path string, v any) (File, error) {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return File{}, fmt.Errorf("rendering %s: %w", path, err)
	}
	return File{Path: path, Mode: 0o600, Data: append(data, '\n')}, nil
}

// Sum returns the SHA-256 of a file's content in hexadecimal.
func Sum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
