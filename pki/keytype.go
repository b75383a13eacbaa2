package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"fmt"
	"slices"
	"strings"
)

// KeyType is an algorithm and a size, as written in the config.
type KeyType string

// The key types that this package issues.
const (
	ECDSAP256 KeyType = "ecdsa-p256"
	ECDSAP384 KeyType = "ecdsa-p384"
	RSA2048   KeyType = "rsa-2048"
	RSA3072   KeyType = "rsa-3072"
	RSA4096   KeyType = "rsa-4096"
	Ed25519   KeyType = "ed25519"
)

// KeyTypes returns the key types that can be issued, the default one first.
func KeyTypes() []KeyType {
	return []KeyType{ECDSAP256, ECDSAP384, RSA2048, RSA3072, RSA4096, Ed25519}
}

// ParseKeyType returns the key type with the name s. The error for any other
// text lists the names that there are.
func ParseKeyType(s string) (KeyType, error) {
	if t := KeyType(s); slices.Contains(KeyTypes(), t) {
		return t, nil
	}
	var names []string
	for _, t := range KeyTypes() {
		names = append(names, string(t))
	}
	return "", fmt.Errorf("%q is not a key type; want one of %s", s, strings.Join(names, ", "))
}

// KeyTypeOf names the type of a public key. It also names types that are not
// issued here, such as rsa-1024, so that a message can say what was found.
func KeyTypeOf(pub crypto.PublicKey) KeyType {
	switch pub := pub.(type) {
	case *ecdsa.PublicKey:
		curve := strings.ReplaceAll(pub.Params().Name, "-", "")
		return KeyType("ecdsa-" + strings.ToLower(curve))
	case *rsa.PublicKey:
		return KeyType(fmt.Sprintf("rsa-%d", pub.N.BitLen()))
	case ed25519.PublicKey:
		return Ed25519
	default:
		return KeyType(fmt.Sprintf("unknown (%T)", pub))
	}
}

func isRSA(t KeyType) bool { return strings.HasPrefix(string(t), "rsa-") }
