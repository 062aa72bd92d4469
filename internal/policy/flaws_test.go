package policy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/policy"
)

func TestAllThatIsWrongIsSaidAtOnceWithItsPlace(t *testing.T) {
	_, err := policy.ParseDocument([]byte(`rules:
  - {name: a, effect: maybe, risk: [odd]}
  - {name: b, effect: deny}
  - {name: b, effect: deny}
  - {name: c, efect: deny}
limits:
  - {name: l, per: usr, calls: 0, window: 1m}
tests:
  - {as: {user: ana}, expect: deny}
`))
	var places []string
	for _, remark := range policy.RemarksOf(err) {
		places = append(places, fmt.Sprintf("%d:%d", remark.Line, remark.Column))
		if remark.Severity != policy.SeverityError || !strings.Contains(fault.Text(err), fmt.Sprintf("line %d, column %d: %s", remark.Line, remark.Column, remark.Text)) {
			t.Errorf("%v is not in the text", remark)
		}
	}
	if want := []string{"2:23", "2:37", "4:5", "5:15", "7:20", "7:32", "9:5"}; !slices.Equal(places, want) || !fault.Is(err, fault.Invalid) {
		t.Errorf("%v, want %v\n%v", places, want, err)
	}
}

func TestErrorsOfOneDocumentAreBounded(t *testing.T) {
	_, err := policy.ParseDocument([]byte("rules:\n" + strings.Repeat("  - {name: '', effect: ''}\n", 1000)))
	remarks := policy.RemarksOf(err)
	if last := remarks[len(remarks)-1]; len(remarks) != 101 || last.Text != "there are 1900 more errors" {
		t.Errorf("%d remarks, the last %v", len(remarks), last)
	}
	if one := policy.RemarksOf(fault.New(fault.Invalid, "x")); len(one) != 1 || one[0].Text != "x" {
		t.Errorf("of another error: %v", one)
	}
}
