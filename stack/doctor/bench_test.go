package doctor_test

import (
	"testing"
	"time"

	"github.com/certyard/certyard/stack/doctor"
)

// maxExamine is what an examination of files alone may take.
const maxExamine = 50 * time.Millisecond

// BenchmarkExamineFiles examines each style, and fails where that takes longer
// than anybody wants to wait.
func BenchmarkExamineFiles(b *testing.B) {
	for _, s := range sites(b) {
		b.Run(s.style, func(b *testing.B) {
			target, deps, err := s.target(s)
			if err != nil {
				b.Fatal(err)
			}
			deps.Now = func() time.Time { return s.now }
			target.FilesOnly = true
			fastest := time.Hour // others are busy on this machine too
			for b.Loop() {
				start := time.Now()
				if _, err := doctor.Examine(b.Context(), deps, target); err != nil {
					b.Fatal(err)
				}
				fastest = min(fastest, time.Since(start))
			}
			if fastest > maxExamine {
				b.Errorf("%v at best, which is more than %v", fastest, maxExamine)
			}
		})
	}
}
