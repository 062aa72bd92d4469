package session

import (
	"strings"
	"testing"
)

func TestNewSpanContinuesAValidTrace(t *testing.T) {
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	child := newSpan(parent)
	if !validTraceParent(child) || traceID(child) != traceID(parent) || !strings.HasSuffix(child, "-01") {
		t.Errorf("child of %s is %s", parent, child)
	}
	if child[spanStart:spanEnd] == parent[spanStart:spanEnd] {
		t.Error("child has its parent's span id")
	}
}

func TestNewSpanBeginsATraceWhereNoneIsValid(t *testing.T) {
	for _, parent := range []string{
		"", "x",
		"00-00000000000000000000000000000000-b7ad6b7169203331-01",
		"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
		"00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g",
		"01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
	} {
		span := newSpan(parent)
		if !validTraceParent(span) || !strings.HasSuffix(span, "-00") || strings.Contains(parent, traceID(span)) {
			t.Errorf("after %q: %s", parent, span)
		}
	}
	if one, two := newSpan(""), newSpan(""); traceID(one) == traceID(two) {
		t.Error("two traces have one id")
	}
}
