package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
)

// This file makes what x509.CreateCertificateRequest makes, which the tests hold
// it to, and does not verify its own signature as that does: who signs the
// certificate verifies it, cfssl too, and the second time would cost a tenth of
// issuing a leaf.

// tbsRequest is the CertificationRequestInfo of RFC 2986.
type tbsRequest struct {
	Version    int
	Subject    asn1.RawValue
	PublicKey  asn1.RawValue
	Attributes []extensionRequest `asn1:"tag:0,set"`
}

// extensionRequest is the attribute that asks for extensions.
type extensionRequest struct {
	Type   asn1.ObjectIdentifier
	Values [][]pkix.Extension `asn1:"set"`
}

// signedRequest is the CertificationRequest of RFC 2986.
type signedRequest struct {
	TBS       asn1.RawValue
	Algorithm pkix.AlgorithmIdentifier
	Signature asn1.BitString
}

// oidExtensionRequest is of RFC 2985, the others of RFC 5758, 4055 and 8410.
var (
	oidExtensionRequest = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 14}
	oidECDSAWithSHA256  = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}
	oidECDSAWithSHA384  = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}
	oidSHA256WithRSA    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}
	oidEd25519          = asn1.ObjectIdentifier{1, 3, 101, 112}
)

// requestPEM returns a request for a certificate, signed by its key.
func requestPEM(subject pkix.Name, extensions []pkix.Extension, key crypto.Signer) ([]byte, error) {
	der, err := requestDER(subject, extensions, key)
	if err != nil {
		return nil, fmt.Errorf("requesting certificate: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), nil
}

func requestDER(subject pkix.Name, extensions []pkix.Extension, key crypto.Signer) ([]byte, error) {
	algorithm, hash, err := signatureAlgorithm(key.Public())
	if err != nil {
		return nil, err
	}
	tbs, err := requestInfo(subject, extensions, key.Public())
	if err != nil {
		return nil, err
	}
	signature, err := crypto.SignMessage(key, rand.Reader, tbs, hash)
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(signedRequest{
		asn1.RawValue{FullBytes: tbs}, algorithm, asn1.BitString{Bytes: signature, BitLength: len(signature) * 8},
	})
}

// requestInfo returns what is signed.
func requestInfo(subject pkix.Name, extensions []pkix.Extension, public crypto.PublicKey) ([]byte, error) {
	name, err := asn1.Marshal(subject.ToRDNSequence())
	if err != nil {
		return nil, err
	}
	key, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, err
	}
	info := tbsRequest{Subject: asn1.RawValue{FullBytes: name}, PublicKey: asn1.RawValue{FullBytes: key}}
	if len(extensions) > 0 {
		info.Attributes = []extensionRequest{{oidExtensionRequest, [][]pkix.Extension{extensions}}}
	}
	return asn1.Marshal(info)
}

// signatureAlgorithm returns how a key signs requests: as x509 would have it.
func signatureAlgorithm(public crypto.PublicKey) (pkix.AlgorithmIdentifier, crypto.Hash, error) {
	switch key := public.(type) {
	case *ecdsa.PublicKey:
		if key.Curve.Params().BitSize <= 256 {
			return pkix.AlgorithmIdentifier{Algorithm: oidECDSAWithSHA256}, crypto.SHA256, nil
		}
		return pkix.AlgorithmIdentifier{Algorithm: oidECDSAWithSHA384}, crypto.SHA384, nil
	case *rsa.PublicKey:
		return pkix.AlgorithmIdentifier{Algorithm: oidSHA256WithRSA, Parameters: asn1.NullRawValue}, crypto.SHA256, nil
	case ed25519.PublicKey:
		return pkix.AlgorithmIdentifier{Algorithm: oidEd25519}, 0, nil
	default:
		return pkix.AlgorithmIdentifier{}, 0, fmt.Errorf("a key of type %s cannot sign requests", KeyTypeOf(public))
	}
}

// sanNames returns the extension that names a server. Its names go in typed:
// given as hosts, cfssl would guess what each is, and make e-mail addresses and
// URIs of some (local.OverrideHosts).
func sanNames(s SANs) (pkix.Extension, error) {
	const dns, ip = 2, 7 // of the GeneralName of RFC 5280
	var names []asn1.RawValue
	for _, name := range s.DNS() {
		names = append(names, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: dns, Bytes: []byte(name)})
	}
	for _, addr := range s.IPs() {
		names = append(names, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: ip, Bytes: addr.AsSlice()})
	}
	value, err := asn1.Marshal(names)
	if err != nil {
		return pkix.Extension{}, fmt.Errorf("encoding names: %w", err)
	}
	return pkix.Extension{Id: oidSubjectAltName, Value: value}, nil
}
