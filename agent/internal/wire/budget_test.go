package wire

import "testing"

func TestAShareCountsForBothAndIsGivenBack(t *testing.T) {
	all := NewBudget(100)
	one, other := all.Share(60), all.Share(60)
	if !one.Hold(60) || one.Hold(1) {
		t.Error("a share is not what it says")
	}
	if other.Hold(41) || other.Held() != 0 || !other.Hold(40) || all.Held() != 100 {
		t.Errorf("shares hold %d and %d of %d", one.Held(), other.Held(), all.Held())
	}
	one.Give(60)
	if other.Give(40); all.Held() != 0 || one.Held() != 0 {
		t.Errorf("%d bytes are left", all.Held())
	}
	if none := (*Budget)(nil); !none.Hold(1<<40) || none.Held() != 0 {
		t.Error("no budget is a bound")
	}
}

func TestABoxHoldsWhatItsReaderHasUntilItTakesAgain(t *testing.T) {
	budget := NewBudget(100)
	box := NewBox(budget)
	if !box.Put(make([]byte, 60)) || box.Put(make([]byte, 60)) {
		t.Error("the budget was not asked")
	}
	if box.Take(); budget.Held() != 60 || box.Put(make([]byte, 60)) {
		t.Errorf("%d bytes are held while the reader has 60", budget.Held())
	}
	if box.Take(); budget.Held() != 0 || !box.Put(make([]byte, 60)) {
		t.Errorf("%d bytes are held after all was taken", budget.Held())
	}
	if box.Close(); budget.Held() != 0 || box.Put(nil) {
		t.Errorf("%d bytes are held by a closed box", budget.Held())
	}
}
