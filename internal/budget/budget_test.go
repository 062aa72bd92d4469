package budget

import (
	"errors"
	"io"
	"strings"
	"testing"
)

func TestAShareCountsForBothAndIsGivenBack(t *testing.T) {
	all := New(100)
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

func TestWhatIsReadIsCountedUntilItIsReleased(t *testing.T) {
	all := New(10)
	first, second := &Metered{Reader: strings.NewReader("12345678"), Budget: all}, &Metered{Reader: strings.NewReader("123"), Budget: all}
	if _, err := io.ReadAll(first); err != nil || all.Held() != 8 {
		t.Errorf("%d bytes are held: %v", all.Held(), err)
	}
	if _, err := io.ReadAll(second); !errors.Is(err, ErrFull) {
		t.Errorf("what has no room is read: %v", err)
	}
	second.Release()
	first.Release()
	if first.Release(); all.Held() != 0 {
		t.Errorf("%d bytes are left", all.Held())
	}
}
