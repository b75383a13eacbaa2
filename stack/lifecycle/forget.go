package lifecycle

import (
	"slices"
	"strings"

	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/smoke"
)

// forget removes what was kept of the replaced client CAs of which the report
// shows that the builder lets nobody in any more, and the mark of what was not
// proven yet when all of it holds.
func (u *upRun) forget(report stack.Report) error {
	record := u.draft.record
	gone := func(generation string) bool { return removed(record.Spec, report, generation) }
	var files []stack.File
	for _, generation := range record.Retired {
		if !gone(generation) {
			continue
		}
		at := stack.RetiredPair(generation)
		for _, path := range []string{at.Cert, at.Key, stack.RetiredClient(generation)} {
			files = append(files, stack.File{Path: path, Gone: true})
		}
	}
	proven := record.Unproven && (report.OK() || len(report.Checks) == 0) // nothing can be reached
	if len(files) == 0 && !proven {
		return nil
	}
	record.Unproven = record.Unproven && !proven
	record.Retired = slices.DeleteFunc(slices.Clone(record.Retired), gone)
	file, err := record.File()
	if err != nil {
		return err
	}
	if _, err = u.Store.Write(append(files, file)); err == nil {
		u.draft.record = record
	}
	return err
}

// kept says which replaced client CAs are not yet proven to be gone.
func (u *upRun) kept() string {
	if len(u.draft.record.Retired) == 0 {
		return ""
	}
	return "; not seen to refuse clients of the replaced CA " + strings.Join(u.draft.record.Retired, ", ")
}

// removed reports whether a report shows that the builder no longer trusts a
// replaced client CA: the new one's clients are let in, and one of the old one's
// was refused. A report without that very check shows nothing.
//
// With builder.tls: server the builder asks nobody for a certificate, and no
// file names a client CA. The old one is trusted nowhere then, once the builder
// was seen to run with that config.
func removed(spec stack.Spec, report stack.Report, generation string) bool {
	if !report.OK() {
		return false
	}
	return slices.ContainsFunc(report.Checks, func(c stack.Check) bool {
		if spec.Builder.TLS != stack.TLSMutual {
			return c.Hop == stack.HopHostBuilder
		}
		return c.ID == smoke.RemovedCheck(generation)
	})
}
