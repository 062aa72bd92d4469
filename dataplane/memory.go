package dataplane

import (
	"os"
	"runtime/debug"
)

// gcPercent is by how much the heap of a node may grow between two collections, in
// per cent of what lives. Little lives and much passes by, so that Go's own 100
// would have it collect many times a second under load. With 1,000 tools it is the
// difference of some ten MiB.
const gcPercent = 400

// tuneCollector makes the collector of this process one for a node, unless the
// operator said what he wants (GOGC, GOMEMLIMIT).
func tuneCollector() {
	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetGCPercent(gcPercent)
	}
}
