package pki_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/certyard/certyard/pki"
)

// BenchmarkCA issues and verifies a CA of each key type.
func BenchmarkCA(b *testing.B) {
	for _, keyType := range pki.KeyTypes() {
		b.Run(string(keyType), func(b *testing.B) {
			plan := yardPlan(b)
			plan.CAs[0].Key, plan.Leaves = keyType, nil
			for b.Loop() {
				issued(b, plan, now)
			}
		})
	}
}

// BenchmarkLeaf issues and verifies a server leaf of each key type, under a CA
// of the default one.
func BenchmarkLeaf(b *testing.B) {
	for _, keyType := range pki.KeyTypes() {
		b.Run(string(keyType), func(b *testing.B) {
			plan := yardPlan(b)
			plan.Leaves = plan.Leaves[:1]
			plan.Leaves[0].Key = keyType
			have := pki.Material{CAs: issued(b, pki.Plan{CAs: plan.CAs[:1]}, now).CAs}
			steps := []pki.Step{{Action: pki.Issue, Name: "registry"}}
			for b.Loop() {
				if _, err := pki.Apply(b.Context(), plan, have, steps, nil, now); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkDiff compares a plan with material that is all there, as every
// status does.
func BenchmarkDiff(b *testing.B) {
	plan := yardPlan(b)
	have := issued(b, plan, now)
	for b.Loop() {
		if _, err := pki.Diff(plan, have, now); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkIssueEach issues 10,000 leaves on all cores. The heap is what is
// live at the end of it, which does not depend on how many there were.
func BenchmarkIssueEach(b *testing.B) {
	for _, n := range []int{1_000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			ca := issued(b, pki.Plan{CAs: yardPlan(b).CAs}, now).CAs["ca"]
			var peak uint64
			for b.Loop() {
				count := 0
				err := pki.IssueEach(b.Context(), ca, many(b, n), now, func(pki.LeafPlan, *pki.KeyPair) error {
					if count++; count%500 == 0 {
						runtime.GC()
						var m runtime.MemStats
						runtime.ReadMemStats(&m)
						peak = max(peak, m.HeapAlloc)
					}
					return nil
				})
				if err != nil || count != n {
					b.Fatal(count, err)
				}
			}
			b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "leaves/s")
			b.ReportMetric(float64(peak)/(1<<20), "MiB-live")
		})
	}
}

// BenchmarkVerify10000 parses and verifies 10,000 leaves.
func BenchmarkVerify10000(b *testing.B) {
	ca := issued(b, pki.Plan{CAs: yardPlan(b).CAs}, now).CAs["ca"]
	var pairs []pki.PEMPair
	var leaf pki.LeafPlan
	err := pki.IssueEach(b.Context(), ca, many(b, 10_000), now, func(l pki.LeafPlan, kp *pki.KeyPair) error {
		key, err := kp.KeyPEM()
		leaf, pairs = l, append(pairs, pki.PEMPair{Cert: kp.CertPEM(), Key: key})
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	trust := pki.NewTrustBundle(ca.Cert)
	for b.Loop() {
		for _, pair := range pairs {
			kp, err := pair.Parse()
			if err != nil || len(pki.Verify(kp, trust, pki.Want{Role: leaf.Role, SANs: leaf.SANs}, now)) > 0 {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(len(pairs)*b.N)/b.Elapsed().Seconds(), "leaves/s")
}

// BenchmarkIssueP256 measures issuing beside what nobody can leave out: making
// the key, signing the request, signing the certificate, verifying it once, each
// by the standard library, in turns and in the same run.
func BenchmarkIssueP256(b *testing.B) {
	ca := issued(b, pki.Plan{CAs: yardPlan(b).CAs}, now).CAs["ca"]
	authority, trust := pki.Local(ca), pki.NewTrustBundle(ca.Cert)
	var leaf pki.LeafPlan
	for leaf = range many(b, 1) {
		break
	}
	var ours, least time.Duration
	for b.Loop() {
		start := time.Now()
		kp, request, err := pki.Prepare(leaf, nil, now)
		if err != nil {
			b.Fatal(err)
		}
		chain, err := authority.Sign(b.Context(), request)
		if err != nil {
			b.Fatal(err)
		}
		kp.Cert = chain[0]
		if len(pki.Verify(kp, trust, pki.Want{Role: leaf.Role, SANs: leaf.SANs}, now)) > 0 {
			b.Fatal("it does not verify")
		}
		ours += time.Since(start)
		start = time.Now()
		unavoidable(b, ca, kp.Cert)
		least += time.Since(start)
	}
	b.ReportMetric(float64(ours.Microseconds())/float64(b.N), "us-issuing")
	b.ReportMetric(float64(least.Microseconds())/float64(b.N), "us-unavoidable")
	b.ReportMetric(float64(ours)/float64(least), "times")
}

func unavoidable(b *testing.B, ca *pki.KeyPair, like *x509.Certificate) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	request := &x509.CertificateRequest{Subject: like.Subject, DNSNames: like.DNSNames, IPAddresses: like.IPAddresses}
	if _, err := x509.CreateCertificateRequest(rand.Reader, request, key); err != nil {
		b.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, like, ca.Cert, key.Public(), ca.Key)
	if err != nil {
		b.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		b.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.Cert)
	if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, DNSName: like.DNSNames[0]}); err != nil {
		b.Fatal(err)
	}
}
