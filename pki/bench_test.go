package pki_test

import (
	"testing"

	"github.com/certyard/certyard/pki"
)

// BenchmarkCA issues and verifies a CA of each key type.
func BenchmarkCA(b *testing.B) {
	for _, keyType := range pki.KeyTypes() {
		b.Run(string(keyType), func(b *testing.B) {
			plan := yardPlan(b)
			plan.CA.Key, plan.Leaves = keyType, nil
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
			have := pki.Material{CA: issued(b, pki.Plan{CA: plan.CA}, now).CA}
			steps := []pki.Step{{Action: pki.Issue, Name: "registry"}}
			for b.Loop() {
				if _, err := pki.Apply(plan, have, steps, now); err != nil {
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
