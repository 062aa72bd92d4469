package session

import (
	"fmt"
	"testing"

	"github.com/warder-gateway/warder/dataplane/internal/handle"
)

func TestWhatIsRememberedOfSessionsIsOfOneSealerAndOwnerAndBounded(t *testing.T) {
	var o opened
	mine, other := new(handle.Sealer), new(handle.Sealer)
	known := &openedSession{owner: handle.Owner{1}}
	o.keep(mine, "a", known)
	if o.find(mine, "a", handle.Owner{1}) != known {
		t.Error("a session is not remembered")
	}
	if o.find(mine, "a", handle.Owner{2}) != nil || o.find(other, "a", handle.Owner{1}) != nil {
		t.Error("a session is remembered for another owner, or opens by keys that are not there any more")
	}
	for i := range 10 * maxOpened {
		o.keep(mine, fmt.Sprint(i), known)
		if o.find(mine, "a", handle.Owner{1}) == nil {
			t.Fatalf("a session that is used all the time was forgotten after %d others", i)
		}
	}
	if n := len(o.young) + len(o.old); n > 2*maxOpened {
		t.Errorf("%d sessions are remembered", n)
	}
	o.keep(other, "b", known)
	if o.find(mine, "a", handle.Owner{1}) != nil || len(o.young)+len(o.old) != 1 {
		t.Error("what the keys of an earlier snapshot opened is still there")
	}
}
