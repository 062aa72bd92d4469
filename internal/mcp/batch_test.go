package mcp_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/warder-gateway/warder/internal/mcp"
)

func TestScanBatch(t *testing.T) {
	const body = " [ {\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"},\n{\"a\":[1,2]} ,7, \"x\" ] "
	spans, err := mcp.ScanBatch([]byte(body), mcp.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, span := range spans {
		got = append(got, string(span.Of([]byte(body))))
	}
	want := []string{`{"jsonrpc":"2.0","id":1,"method":"ping"}`, `{"a":[1,2]}`, `7`, `"x"`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	scan(t, got[0])
	list := func(n int) string { return "[" + strings.TrimSuffix(strings.Repeat("{},", n), ",") + "]" }
	if spans, err := mcp.ScanBatch([]byte(list(64)), mcp.Limits{}); err != nil || len(spans) != 64 {
		t.Errorf("64 messages: %d, %v", len(spans), err)
	}
	for name, test := range map[string]struct {
		body   string
		reason mcp.Reason
	}{
		"empty":              {`[]`, mcp.ReasonBatch},
		"too many":           {list(65), mcp.ReasonBatch},
		"a batch within":     {`[{},[{}]]`, mcp.ReasonBatch},
		"no batch":           {`{}`, mcp.ReasonShape},
		"nothing":            {``, mcp.ReasonSyntax},
		"two values":         {`[{}][{}]`, mcp.ReasonTrailing},
		"no end":             {`[{}`, mcp.ReasonSyntax},
		"comma at the end":   {`[{},]`, mcp.ReasonSyntax},
		"duplicates within":  {`[{"a":1,"a":2}]`, mcp.ReasonDuplicate},
		"byte order mark":    {"\xef\xbb\xbf[{}]", mcp.ReasonBOM},
		"deeper than a body": {"[" + strings.Repeat("{\"a\":", 129) + "1" + strings.Repeat("}", 129) + "]", mcp.ReasonDepth},
	} {
		spans, err := mcp.ScanBatch([]byte(test.body), mcp.Limits{})
		if e, ok := errors.AsType[*mcp.Error](err); !ok || e.Reason != test.reason || spans != nil {
			t.Errorf("%s: ScanBatch = %v, %v, want %s", name, spans, err, test.reason)
		}
	}
}
