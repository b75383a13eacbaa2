package pki_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/certyard/certyard/pki"
)

// A plan is compared with what there is, the steps are carried out, and the
// next comparison finds nothing to do until a leaf gets old.
func Example() {
	sans, err := pki.ParseSANs("registry", "localhost", "127.0.0.1")
	if err != nil {
		log.Fatal(err)
	}
	plan := pki.Plan{
		CAs: []pki.CAPlan{{
			Name: pki.CAName, Stack: "demo", Key: pki.ECDSAP256, Validity: 10 * 365 * 24 * time.Hour,
			Constraints: pki.Constraints{DNS: []string{"registry", "localhost"}},
		}},
		Leaves: []pki.LeafPlan{
			{Name: "registry", Issuer: pki.CAName, Role: pki.RoleServer, SANs: sans, Key: pki.ECDSAP256, Validity: 90 * 24 * time.Hour},
			{Name: "client", Issuer: pki.CAName, Role: pki.RoleClient, Key: pki.ECDSAP256, Validity: 90 * 24 * time.Hour},
		},
	}

	var have pki.Material
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	for _, later := range []time.Duration{0, 24 * time.Hour, 80 * 24 * time.Hour} {
		steps, err := pki.Diff(plan, have, now.Add(later))
		if err != nil {
			log.Fatal(err)
		}
		if have, err = pki.Apply(context.Background(), plan, have, steps, nil, now.Add(later)); err != nil {
			log.Fatal(err)
		}
		for _, s := range steps {
			fmt.Printf("%s %s: %s\n", s.Action, s.Name, s.Cause)
		}
	}
	fmt.Println(have.Leaves["registry"].Cert.VerifyHostname("localhost"))
	fmt.Println(have.Leaves["registry"].Cert.VerifyHostname("build.lan"))
	// Output:
	// issue ca: there is none
	// issue registry: there is none
	// issue client: there is none
	// keep ca: valid until 2036-11-20 09:00 UTC
	// keep registry: valid until 2027-02-21 09:00 UTC
	// keep client: valid until 2027-02-21 09:00 UTC
	// keep ca: valid until 2036-11-20 09:00 UTC
	// renew registry: 10 days of 90 days left
	// renew client: 10 days of 90 days left
	// <nil>
	// x509: certificate is valid for localhost, registry, not build.lan
}

// Every host that cannot be in a certificate is named, with the reason.
func ExampleParseSANs() {
	_, err := pki.ParseSANs("build.lan", "https://build.lan", "build.lan:5000")
	fmt.Println(err)
	// Output:
	// "https://build.lan" is a URL; want a host name or an IP address
	// "build.lan:5000" has a port; want the host alone
}

// A CA that is limited to some names cannot sign for others, and an address
// list limits addresses only.
func ExampleConstraints_Uncovered() {
	c := pki.Constraints{DNS: []string{"registry", "internal"}}
	sans, err := pki.ParseSANs("registry", "cache.internal", "example.com", "192.0.2.7")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(c.Uncovered(sans))
	// Output:
	// [example.com]
}
