package wire

import (
	"testing"

	"github.com/warder-gateway/warder/internal/budget"
)

func TestABoxHoldsWhatItsReaderHasUntilItTakesAgain(t *testing.T) {
	all := budget.New(100)
	box := NewBox(all)
	if !box.Put(make([]byte, 60)) || box.Put(make([]byte, 60)) {
		t.Error("the budget was not asked")
	}
	if box.Take(); all.Held() != 60 || box.Put(make([]byte, 60)) {
		t.Errorf("%d bytes are held while the reader has 60", all.Held())
	}
	if box.Take(); all.Held() != 0 || !box.Put(make([]byte, 60)) {
		t.Errorf("%d bytes are held after all was taken", all.Held())
	}
	if box.Close(); all.Held() != 0 || box.Put(nil) {
		t.Errorf("%d bytes are held by a closed box", all.Held())
	}
}
