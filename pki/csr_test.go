package pki

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"net"
	"testing"
	"time"
)

// TestRequestDER: a request is byte for byte that of the standard library, but
// for the signature, which holds.
func TestRequestDER(t *testing.T) {
	sans, err := ParseSANs("registry", "*.build.lan", "127.0.0.1", "::1")
	if err != nil {
		t.Fatal(err)
	}
	for _, keyType := range KeyTypes() {
		for _, leaf := range []LeafPlan{
			{Name: "registry", Role: RoleServer, SANs: sans, Key: keyType},
			{Name: "client", Role: RoleClient, CommonName: "Jürgen @ yard", Key: keyType},
		} {
			key, err := newKey(keyType)
			if err != nil {
				t.Fatal(err)
			}
			request, err := NewRequest(leaf, key, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			block, rest := pem.Decode(request.CSR)
			if block == nil || len(rest) > 0 {
				t.Fatalf("%s: no PEM", keyType)
			}
			got, err := x509.ParseCertificateRequest(block.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			if err := got.CheckSignature(); err != nil {
				t.Errorf("%s: %v", keyType, err)
			}
			want := standardRequest(t, leaf, key)
			if !bytes.Equal(got.RawTBSCertificateRequest, want.RawTBSCertificateRequest) || got.SignatureAlgorithm != want.SignatureAlgorithm {
				t.Errorf("%s %s: got %x, want %x", keyType, leaf.Name, got.Raw, want.Raw)
			}
			if bare, err := requestDER(leaf.subject(), nil, key); err != nil || !sameBare(t, bare, leaf, key) {
				t.Errorf("%s: without extensions it differs (%v)", keyType, err)
			}
		}
	}
}

// standardRequest is the standard library's.
func standardRequest(t *testing.T, leaf LeafPlan, key any) *x509.CertificateRequest {
	t.Helper()
	usages, err := usageExtensions(leaf)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.CertificateRequest{Subject: leaf.subject(), DNSNames: leaf.SANs.DNS(), ExtraExtensions: usages}
	for _, ip := range leaf.SANs.IPs() {
		template.IPAddresses = append(template.IPAddresses, net.IP(ip.AsSlice()))
	}
	return created(t, template, key)
}

func created(t *testing.T, template *x509.CertificateRequest, key any) *x509.CertificateRequest {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		t.Fatal(err)
	}
	out, err := x509.ParseCertificateRequest(der)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func sameBare(t *testing.T, der []byte, leaf LeafPlan, key any) bool {
	t.Helper()
	got, err := x509.ParseCertificateRequest(der)
	if err != nil {
		t.Fatal(err)
	}
	want := created(t, &x509.CertificateRequest{Subject: leaf.subject()}, key)
	return bytes.Equal(got.RawTBSCertificateRequest, want.RawTBSCertificateRequest)
}
