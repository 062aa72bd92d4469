package mcp_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/warder-gateway/warder/internal/mcp"
)

func scanAnswer(t testing.TB, body string) *mcp.Response {
	t.Helper()
	var resp mcp.Response
	if err := mcp.ScanResponse([]byte(body), mcp.Limits{}, &resp); err != nil {
		t.Fatalf("ScanResponse(%s): %v", body, err)
	}
	return &resp
}

func TestResponseReads(t *testing.T) {
	const body = `{"jsonrpc":"2.0","id":5,"result":{"content":[{"isError":true,"_meta":1}],"isError":true,"resultType":"task","_meta":{"k":1}}}`
	resp := scanAnswer(t, body)
	if !resp.IsResponse() || resp.IsNotification() || !resp.IsError || resp.ResultType != mcp.ResultTask {
		t.Errorf("read %+v", resp)
	}
	if got := string(resp.Meta.Of([]byte(body))); got != `{"k":1}` {
		t.Errorf("_meta = %s", got)
	}
	if got := string(resp.ID.Of([]byte(body))); got != "5" {
		t.Errorf("id = %s", got)
	}
}

func TestResponseKinds(t *testing.T) {
	if got := scanAnswer(t, `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":1}}`); !got.IsNotification() || got.Method != mcp.MethodProgress {
		t.Errorf("notification read as %+v", got)
	}
	if got := scanAnswer(t, `{"jsonrpc":"2.0","id":"s1","method":"elicitation/create","params":{"name":1}}`); got.IsNotification() || got.IsResponse() || got.ID.Empty() {
		t.Errorf("server's request read as %+v", got)
	}
	got := scanAnswer(t, `{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"gr\u00fcn"}}`)
	if !got.IsResponse() || got.ErrorCode != -32700 || got.ErrorText != "grün" {
		t.Errorf("error read as %+v", got)
	}
	if got := scanAnswer(t, `{"jsonrpc":"2.0","error":{"message":"x","code":1}}`); !got.ID.Empty() || got.ErrorCode != 1 {
		t.Errorf("error without an id read as %+v", got)
	}
}

func TestT34_StrictResponse(t *testing.T) {
	tests := []struct {
		name, body string
		reason     mcp.Reason
	}{
		{"two values", `{"jsonrpc":"2.0","id":1,"result":{}}{}`, mcp.ReasonTrailing},
		{"id twice", `{"jsonrpc":"2.0","id":1,"id":2,"result":{}}`, mcp.ReasonDuplicate},
		{"isError twice", `{"jsonrpc":"2.0","id":1,"result":{"isError":false,"isError":true}}`, mcp.ReasonDuplicate},
		{"content twice deep down", `{"jsonrpc":"2.0","id":1,"result":{"content":[{"text":"a","text":"b"}]}}`, mcp.ReasonDuplicate},
		{"iserror", `{"jsonrpc":"2.0","id":1,"result":{"iserror":true}}`, mcp.ReasonLookalike},
		{"escaped resultType", `{"jsonrpc":"2.0","id":1,"result":{"resultTyp\u0065":"complete"}}`, mcp.ReasonEscaped},
		{"Code", `{"jsonrpc":"2.0","id":1,"error":{"code":1,"Code":2,"message":""}}`, mcp.ReasonLookalike},
		{"result null", `{"jsonrpc":"2.0","id":1,"result":null}`, mcp.ReasonShape},
		{"resultType as number", `{"jsonrpc":"2.0","id":1,"result":{"resultType":1}}`, mcp.ReasonShape},
		{"_meta null", `{"jsonrpc":"2.0","id":1,"result":{"_meta":null}}`, mcp.ReasonShape},
		{"no version", `{"id":1,"result":{}}`, mcp.ReasonShape},
		{"result without id", `{"jsonrpc":"2.0","result":{}}`, mcp.ReasonShape},
		{"result with null id", `{"jsonrpc":"2.0","id":null,"result":{}}`, mcp.ReasonShape},
		{"request with null id", `{"jsonrpc":"2.0","id":null,"method":"ping"}`, mcp.ReasonShape},
		{"result and error", `{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":""}}`, mcp.ReasonShape},
		{"method and result", `{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}`, mcp.ReasonShape},
		{"nothing", `{"jsonrpc":"2.0","id":1}`, mcp.ReasonShape},
		{"error without code", `{"jsonrpc":"2.0","id":1,"error":{"message":""}}`, mcp.ReasonShape},
		{"error code as fraction", `{"jsonrpc":"2.0","id":1,"error":{"code":1.5,"message":""}}`, mcp.ReasonShape},
		{"error without message", `{"jsonrpc":"2.0","id":1,"error":{"code":1}}`, mcp.ReasonShape},
		{"HTML", `<html>502 Bad Gateway</html>`, mcp.ReasonSyntax},
		{"batch", `[]`, mcp.ReasonBatch},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var resp mcp.Response
			err := mcp.ScanResponse([]byte(test.body), mcp.Limits{}, &resp)
			if refused, ok := errors.AsType[*mcp.Error](err); !ok || refused.Reason != test.reason {
				t.Errorf("ScanResponse = %v, want %s", err, test.reason)
			}
		})
	}
}

func TestResponseReadsWhatAsksForInput(t *testing.T) {
	const body = `{"jsonrpc":"2.0","id":5,"result":{"resultType":"input_required","inputRequests":{"k":{}},"requestState":"s","nextCursor":"","structuredContent":[1]}}`
	resp := scanAnswer(t, body)
	got := []string{}
	for _, span := range []mcp.Span{resp.InputRequests, resp.RequestState, resp.NextCursor, resp.StructuredContent} {
		got = append(got, string(span.Of([]byte(body))))
	}
	if diff := cmp.Diff([]string{`{"k":{}}`, `"s"`, `""`, `[1]`}, got); diff != "" {
		t.Error(diff)
	}
}

func TestResponseReadsNotifications(t *testing.T) {
	read := func(body string) []string {
		resp := scanAnswer(t, body)
		of := func(s mcp.Span) string { return string(s.Of([]byte(body))) }
		return []string{of(resp.ProgressToken), of(resp.RequestID), of(resp.SubscriptionID), resp.URI, of(resp.URISpan), of(resp.Level), of(resp.Mode)}
	}
	for body, want := range map[string][]string{
		`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":-7,"_meta":{"io.modelcontextprotocol/subscriptionId":"l1"}}}`:                 {"-7", "", `"l1"`, "", "", "", ""},
		`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":{},"requestId":1.5,"_meta":{"io.modelcontextprotocol/subscriptionId":null}}}`: {"", "", "", "", "", "", ""},
		`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"r\u0031"}}`:                                                                     {"", `"r\u0031"`, "", "", "", "", ""},
		`{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"gr\u00fcn:"}}`:                                                                {"", "", "", "grün:", `"gr\u00fcn:"`, "", ""},
		`{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":7}}`:                                                                           {"", "", "", "", "", "", ""},
		`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","uri":"x:"}}`:                                                                   {"", "", "", "", `"x:"`, `"info"`, ""},
		`{"jsonrpc":"2.0","id":1,"method":"elicitation/create","params":{"mode":"url"}}`:                                                                            {"", "", "", "", "", "", `"url"`},
		`{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`:                                                                                             {"", "", "", "", "", "", ""},
	} {
		if diff := cmp.Diff(want, read(body)); diff != "" {
			t.Errorf("%s\n%s", body, diff)
		}
	}
}

func TestT34_StrictNotifications(t *testing.T) {
	for body, reason := range map[string]mcp.Reason{
		`{"jsonrpc":"2.0","method":"notifications/progress","params":{"ProgressToken":1}}`:                                    mcp.ReasonLookalike,
		`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressT\u006fken":1}}`:                               mcp.ReasonEscaped,
		`{"jsonrpc":"2.0","method":"notifications/progress","params":{"_meta":{"io.modelcontextprotocol/SubscriptionId":1}}}`: mcp.ReasonLookalike,
		`{"jsonrpc":"2.0","method":"notifications/progress","params":{"_meta":7}}`:                                            mcp.ReasonShape,
		`{"jsonrpc":"2.0","method":"notifications/progress","params":[]}`:                                                     mcp.ReasonShape,
		`{"jsonrpc":"2.0","id":1,"method":"elicitation/create","params":{"mode":"form","Mode":"url"}}`:                        mcp.ReasonLookalike,
		`{"jsonrpc":"2.0","id":1,"method":"elicitation/create","params":{"message":"x","MESSAGE":"y"}}`:                       mcp.ReasonLookalike,
		`{"jsonrpc":"2.0","id":1,"result":{"inputRequests":[]}}`:                                                              mcp.ReasonShape,
		`{"jsonrpc":"2.0","id":1,"result":{"requestState":1}}`:                                                                mcp.ReasonShape,
		`{"jsonrpc":"2.0","id":1,"result":{"content":[],"Content":[]}}`:                                                       mcp.ReasonLookalike,
		`{"jsonrpc":"2.0","id":1,"result":{"_meta":{"io.modelcontextprotocol/serverInf\u006f":{}}}}`:                          mcp.ReasonEscaped,
	} {
		var resp mcp.Response
		err := mcp.ScanResponse([]byte(body), mcp.Limits{}, &resp)
		if refused, ok := errors.AsType[*mcp.Error](err); !ok || refused.Reason != reason {
			t.Errorf("ScanResponse(%s) = %v, want %s", body, err, reason)
		}
	}
}
