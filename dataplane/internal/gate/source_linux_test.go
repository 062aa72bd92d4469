package gate_test

import (
	"runtime"
	"testing"
	"time"
	"weak"

	"github.com/warder-gateway/warder/dataplane/internal/gate"
	"github.com/warder-gateway/warder/dataplane/internal/gate/gatetest"
	"github.com/warder-gateway/warder/dataplane/internal/memfile"
	"github.com/warder-gateway/warder/internal/mcp"
)

// lent asks for a list of many bytes until it has a file, and forgets all but what may not outlive the snapshot.
func lent(t *testing.T) weak.Pointer[memfile.File] {
	t.Helper()
	w := gatetest.New(t)
	long(w, 12)
	w.Role("all")
	w.User("ana", "all")
	key := w.Key("ana", "ide", time.Time{})
	index := w.Index(1)
	page, _ := index.Profile(caller(t, index, key)).List(gate.Tools, nil, mcp.Legacy).Page(nil)
	for end := time.Now().Add(10 * time.Second); ; {
		whole, _ := page.Source.Lend(page.Ended)
		part, at := page.Source.Lend(page.Items[1000:])
		if whole != nil && whole == part && at == 1000 {
			return weak.Make(whole)
		}
		if time.Now().After(end) {
			t.Fatal("the list never had a file")
		}
	}
}

func TestTheFileOfAListGoesWithItsSnapshot(t *testing.T) {
	file := lent(t)
	for end := time.Now().Add(10 * time.Second); file.Value() != nil; runtime.GC() {
		if time.Now().After(end) {
			t.Fatal("the file stays")
		}
	}
}
