package pki

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"maps"
	"math/big"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"

	zx509 "github.com/zmap/zcrypto/x509"
	"github.com/zmap/zlint/v3"
	"github.com/zmap/zlint/v3/lint"
)

// reviewed are the findings of zlint's other sources on what is issued, with the
// reason why each is right for a private CA.
var reviewed = map[string]string{
	"e_rsa_allowed_ku_no_encipherment_ca":                           "self-signed RSA servers: GnuTLS wants a CA, and NSS keyEncipherment",
	"e_algorithm_identifier_improper_encoding":                      "Mozilla's store policy knows no Ed25519",
	"e_ca_country_name_missing":                                     "a private CA is in no country; the Baseline Requirements are for public ones",
	"e_ca_crl_sign_not_set":                                         "of self-signed servers, which sign no revocation lists",
	"e_dnsname_bad_character_in_label":                              "the underscore of compose's own names, as my_stack-registry-1",
	"e_dnsname_not_valid_tld":                                       "private names are in no public zone, on purpose",
	"e_ext_nc_intersects_reserved_ip":                               "private networks are what a private CA is for",
	"e_ext_san_contains_reserved_ip":                                "private addresses are where the servers are",
	"e_signature_algorithm_not_supported":                           "the Baseline Requirements know no Ed25519",
	"e_sub_ca_certificate_policies_missing":                         "a private CA has no certification practice statement",
	"e_sub_ca_crl_distribution_points_missing":                      "no revocation lists are published; leaves are short-lived and replaced",
	"e_sub_cert_aia_does_not_contain_ocsp_url":                      "there is no OCSP responder; leaves are short-lived and replaced",
	"e_sub_cert_aia_missing":                                        "servers send their chain, so there is nothing to fetch",
	"e_sub_cert_cert_policy_empty":                                  "a private CA has no certification practice statement",
	"e_sub_cert_certificate_policies_missing":                       "a private CA has no certification practice statement",
	"e_sub_cert_country_name_must_appear":                           "the organisation says which tool made it, and is in no country",
	"e_sub_cert_locality_name_must_appear":                          "the organisation says which tool made it, and is in no place",
	"e_sub_cert_province_must_appear":                               "the organisation says which tool made it, and is in no province",
	"e_subject_common_name_not_exactly_from_san":                    "common names are for people; no verifier relies on them",
	"e_underscore_not_permissible_in_dnsname":                       "the underscore of compose's own names, as my_stack-registry-1",
	"n_ca_digital_signature_not_set":                                "a CA signs certificates, and nothing else",
	"n_mp_allowed_eku":                                              "no extended key usage on a CA: it would bind every leaf (facts P33)",
	"n_san_iana_pub_suffix_empty":                                   "single names, as registry, are names on the project's network",
	"n_sub_ca_eku_missing":                                          "no extended key usage on a CA: it would bind every leaf (facts P33)",
	"n_subject_common_name_included":                                "common names are for people; no verifier relies on them",
	"w_ct_sct_policy_count_unsatisfied":                             "private certificates are in no public log, on purpose",
	"w_root_ca_basic_constraints_path_len_constraint_field_present": "the path length bounds what a stolen CA key can make",
	"w_sub_ca_aia_does_not_contain_issuing_ca_url":                  "servers send their chain, so there is nothing to fetch",
	"w_sub_ca_aia_missing":                                          "servers send their chain, so there is nothing to fetch",
	"w_sub_cert_aia_does_not_contain_issuing_ca_url":                "servers send their chain, so there is nothing to fetch",
}

// linted makes everything that can be issued: both roles, every key type, and
// each kind of CA.
func linted(t *testing.T) []*x509.Certificate {
	t.Helper()
	now := time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)
	sans, err := ParseSANs("registry", "my_stack-registry-1", "build.lan", "*.build.lan", "localhost", "10.1.2.3", "127.0.0.1", "::1")
	if err != nil {
		t.Fatal(err)
	}
	constraints := Constraints{DNS: []string{"registry", "my_stack-registry-1", "lan", "localhost"}, IPs: []netip.Prefix{
		netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}}
	var out []*x509.Certificate
	for _, key := range KeyTypes() {
		ca := CAPlan{Name: CAName, Stack: "yard", Key: key, Validity: 3650 * 24 * time.Hour, Constraints: constraints}
		issuing, clients := ca, ca
		issuing.Name, issuing.Issuer = CAIssuing, CAName
		clients.Name, clients.Constraints = CAClient, PermitNothing()
		leaf := func(name string, role Role, issuer string, sans SANs) LeafPlan {
			return LeafPlan{Name: name, Role: role, Issuer: issuer, CommonName: "yard " + name, SANs: sans, Key: key, Validity: 90 * 24 * time.Hour}
		}
		plan := Plan{CAs: []CAPlan{ca, issuing, clients}, Leaves: []LeafPlan{
			leaf("direct", RoleServer, CAName, sans), leaf("below", RoleServer, CAIssuing, sans),
			leaf("alone", RoleServer, "", sans), leaf("client", RoleClient, CAClient, SANs{}),
		}}
		steps, err := Diff(plan, Material{}, now)
		if err != nil {
			t.Fatal(err)
		}
		m, err := Apply(t.Context(), plan, Material{}, steps, nil, now)
		if err != nil {
			t.Fatal(err)
		}
		for _, pairs := range []map[string]*KeyPair{m.CAs, m.Leaves} {
			for _, kp := range pairs {
				out = append(out, kp.Cert)
			}
		}
	}
	return out
}

// TestLints: nothing that is issued has a finding of any level from RFC 5280,
// and every finding of the other sources is reviewed.
func TestLints(t *testing.T) {
	seen := map[string]string{}
	for _, cert := range linted(t) {
		for _, f := range Lint(cert) {
			t.Errorf("RFC 5280: %s", f)
		}
		parsed, err := zx509.ParseCertificate(cert.Raw)
		if err != nil {
			t.Fatal(err)
		}
		for name, result := range zlint.LintCertificate(parsed).Results {
			if result.Status > lint.Pass {
				seen[name] = cert.Subject.CommonName + ": " + result.Status.String() + " " + result.Details
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(seen)) {
		if reviewed[name] == "" {
			t.Errorf("%s is not reviewed (%s)", name, seen[name])
		}
	}
	for name := range reviewed {
		if seen[name] == "" {
			t.Errorf("%s is reviewed, and nothing has it any more: take it out", name)
		}
	}
}

// TestLintRefuses: what a lint objects to is not issued.
func TestLintRefuses(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		// A CA without a subject: RFC 5280, section 4.1.2.6.
		SerialNumber: big.NewInt(7), Subject: pkix.Name{}, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	findings := Lint(cert)
	if len(findings) == 0 || !strings.Contains(findings[0].Problem, "lint e_") {
		t.Errorf("a CA without a subject: %v", findings)
	}
	// Through the door that everything goes through: a leaf whose common name
	// is empty after all of our own checks.
	ca := CAPlan{Name: CAName, Stack: "x", Key: ECDSAP256, Validity: time.Hour}
	root, err := newCA(ca, nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	sans, err := ParseSANs("registry")
	if err != nil {
		t.Fatal(err)
	}
	request, err := NewRequest(LeafPlan{Name: strings.Repeat("x", 65), Role: RoleServer, SANs: sans, Key: ECDSAP256, Validity: time.Hour}, key, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	_, err = Local(root).Sign(t.Context(), request)
	if err == nil || !strings.Contains(err.Error(), "linting what was signed") || !strings.Contains(err.Error(), "common_name") {
		t.Errorf("a common name of 65 characters: %v", err)
	}
}
