package mcp_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"github.com/warder-gateway/warder/internal/mcp"
)

// reading is what a parser makes of a tools/call.
type reading struct {
	method, name, arguments string
}

// readStrict reads with JSON v2: case-sensitive, no duplicates, no invalid UTF-8.
func readStrict(body []byte) (r reading, err error) {
	var m struct {
		Method string `json:"method"`
		Params struct {
			Name      jsontext.Value `json:"name"`
			Arguments jsontext.Value `json:"arguments"`
		} `json:"params"`
	}
	err = jsonv2.Unmarshal(body, &m)
	return reading{m.Method, text(m.Params.Name), string(m.Params.Arguments)}, err
}

// readLax reads with encoding/json v1: the last of two members wins, and case folds. Many servers read like this.
func readLax(body []byte) (r reading, err error) {
	var m struct {
		Method string `json:"method"`
		Params struct {
			Name      json.RawMessage `json:"name"`
			Arguments json.RawMessage `json:"arguments"`
		} `json:"params"`
	}
	err = json.Unmarshal(body, &m)
	return reading{m.Method, text(m.Params.Name), string(m.Params.Arguments)}, err
}

// text decodes a JSON string and takes anything else for none.
func text(token []byte) string {
	var s string
	if json.Unmarshal(token, &s) != nil {
		return ""
	}
	return s
}

// checkAgreement holds what ScanRequest accepted against the other parsers (P-12).
func checkAgreement(t *testing.T, body []byte, req *mcp.Request) {
	t.Helper()
	ours := reading{req.Method, req.Name, string(req.Arguments.Of(body))}
	for name, read := range map[string]func([]byte) (reading, error){"JSON v2": readStrict, "encoding/json": readLax} {
		theirs, err := read(body)
		if err != nil {
			t.Fatalf("accepted %q, but %s says %v", body, name, err)
		}
		if req.Method != mcp.MethodToolsCall && req.Method != mcp.MethodPromptsGet {
			theirs.name = "" // we do not decode it
		}
		if ours != theirs {
			t.Fatalf("%q\nwe read %+q\n%s reads %+q", body, ours, name, theirs)
		}
	}
}

// smuggled are seeds: valid messages and the tricks of the strictness table.
func smuggled() []string {
	return []string{
		string(modernCall(64)),
		call(`{"name":"a","arguments":{"b":[1,2.5e-3,{"c":"\ud83d\ude00"}],"d":null}}`),
		call(`{"name":"safe","name":"evil"}`), call(`{"name":"safe","NAME":"evil"}`), call(`{"na\u006de":"evil"}`),
		call(`{"name":"a","arguments":{"x":1,"\u0078":2}}`), call("{\"name\":\"\xff\"}"), call(`{"name":"\udc00"}`),
		`{"jsonrpc":"2.0","id":"x","method":"ping"} `, `{"jsonrpc":"2.0","id":1,"method":"ping"}{}`, "\xef\xbb\xbf{}", `[]`, `{}`, ``,
		`{"jsonrpc":"2.0","id":1,"result":{"a":[]}}`, `{"jsonrpc":"2.0","id":-0,"error":{"code":1,"message":"m"}}`,
		`{"jsonrpc":"2.0","method":"notifications/progress","params":{"_meta":{"traceparent":"00"}}}`,
		`{"jsonrpc":"2.0","id":01,"method":"ping"}`, `{"jsonrpc":"2.0","id":1,"Method":"ping"}`,
		call("{\"name\":\"a\",\"arguments\":{" + strings.Repeat(`"k":{"k":[`, 30) + strings.Repeat(`]}`, 30) + "}}"),
	}
}

func FuzzScanRequest(f *testing.F) {
	for _, body := range smuggled() {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var req mcp.Request
		if err := mcp.ScanRequest(body, mcp.Limits{}, &req); err != nil {
			if refused, ok := errors.AsType[*mcp.Error](err); !ok || refused.Offset > len(body) || !utf8.ValidString(refused.Error()) {
				t.Fatalf("refused with %#v", err)
			}
			return
		}
		checkAgreement(t, body, &req)
		checkRewritten(t, body, &req)
	})
}

// checkRewritten: a rewritten request still reads the same but for what was rewritten, for either era.
func checkRewritten(t *testing.T, body []byte, req *mcp.Request) {
	t.Helper()
	if req.IsResponse() {
		return
	}
	for _, meta := range []mcp.MetaRewrite{{Era: mcp.Legacy}, ourHop} {
		out := mcp.RewriteCall(nil, body, req, []byte(`"our-id"`), "", meta)
		var again mcp.Request
		if err := mcp.ScanRequest(out, mcp.Limits{}, &again); err != nil {
			t.Fatalf("%q became %q, which is refused: %v", body, out, err)
		}
		checkAgreement(t, out, &again)
		if again.Name != req.Name || !bytes.Equal(again.Arguments.Of(out), req.Arguments.Of(body)) || again.IsNotification() != req.IsNotification() {
			t.Fatalf("%q became %q", body, out)
		}
		if again.HasProtocolVersion != (meta.Era == mcp.Modern) {
			t.Fatalf("%q became %q, which claims a version: %v", body, out, again.HasProtocolVersion)
		}
	}
}

func FuzzScanResponse(f *testing.F) {
	for _, body := range append(smuggled(),
		`{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","ttlMs":1,"content":[],"cacheScope":"public"}}`,
		`{"jsonrpc":"2.0","error":{"code":-32020,"message":"m"}}`) {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var resp mcp.Response
		if mcp.ScanResponse(body, mcp.Limits{}, &resp) != nil {
			return
		}
		if !jsontext.Value(body).IsValid() {
			t.Fatalf("accepted %q, but JSON v2 does not", body)
		}
		for _, to := range []mcp.Era{mcp.Legacy, mcp.Modern} {
			out := mcp.RewriteResult(nil, body, &resp, []byte("7"), mcp.Legacy+mcp.Modern-to, to)
			var again mcp.Response
			if err := mcp.ScanResponse(out, mcp.Limits{}, &again); err != nil {
				t.Fatalf("%q became %q, which is refused: %v", body, out, err)
			}
			if resp.IsResponse() && string(again.ID.Of(out)) != "7" {
				t.Fatalf("%q became %q, without the client's id", body, out)
			}
		}
	})
}

func FuzzClassify(f *testing.F) {
	for _, header := range []string{"", "2025-11-25", "2026-07-28", "2099-01-01", "x"} {
		for _, body := range smuggled() {
			f.Add(header, []byte(body))
		}
	}
	f.Fuzz(func(t *testing.T, header string, body []byte) {
		var req mcp.Request
		if mcp.ScanRequest(body, mcp.Limits{}, &req) != nil {
			return
		}
		era, err := mcp.Classify(header, &req)
		if claims := header >= mcp.Version20260728 || req.HasProtocolVersion; claims != (era == mcp.Modern) {
			t.Fatalf("header %q and %q: %s", header, body, era)
		}
		if err == nil && era == mcp.Modern && header != mcp.Version20260728 {
			t.Fatalf("header %q passes as modern", header)
		}
		if err != nil && era == mcp.Legacy && err.Code <= mcp.CodeHeaderMismatch && err.Code >= mcp.CodeUnsupportedVersion {
			t.Fatalf("a legacy client gets %d", err.Code)
		}
		if err != nil && len(err.Data) > 0 && !jsontext.Value(err.Data).IsValid() {
			t.Fatalf("data %q", err.Data)
		}
	})
}

func FuzzHeaderValue(f *testing.F) {
	for _, s := range sentinels {
		f.Add(s.text)
		f.Add(s.header)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if decoded, err := mcp.DecodeHeaderValue(s); err == nil && !utf8.ValidString(decoded) {
			t.Fatalf("DecodeHeaderValue(%q) = %q", s, decoded)
		}
		if !utf8.ValidString(s) {
			return
		}
		encoded := mcp.EncodeHeaderValue(s)
		if got, err := mcp.DecodeHeaderValue(encoded); err != nil || got != s {
			t.Fatalf("%q became %q became %q, %v", s, encoded, got, err)
		}
	})
}

func FuzzSSE(f *testing.F) {
	for _, stream := range []string{
		"data: {}\n\n", "id: 1\r\ndata: a\r\ndata: b\r\n\r\n", "data: a\r\rdata: b\r\r", ": ping\n\n", "event: x\nretry: 10\n\n", "data: a\n\r\n\rdata", "\xef\xbb\xbfdata\n\n",
	} {
		f.Add([]byte(stream))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		whole, wholeErr := readAll(bytes.NewReader(stream), 1<<10)
		pieces, piecesErr := readAll(iotest.OneByteReader(bytes.NewReader(stream)), 1<<10)
		if diff := cmp.Diff(whole, pieces); diff != "" || wholeErr != piecesErr {
			t.Fatalf("split at every byte, %q reads otherwise: %v and %v\n%s", stream, wholeErr, piecesErr, diff)
		}
	})
}

func FuzzExposedName(f *testing.F) {
	for _, tool := range []string{"get_issue", "a.b", "", strings.Repeat("x", 200), "gеt", "\xff", "__", "x_12345678"} {
		f.Add("github", tool, "gitlab", tool)
		f.Add("github", tool, "github", tool+"x")
	}
	f.Fuzz(func(t *testing.T, slugA, toolA, slugB, toolB string) {
		if !mcp.ValidSlug(slugA) || !mcp.ValidSlug(slugB) {
			return
		}
		a, b := mcp.ExposedName(slugA, toolA), mcp.ExposedName(slugB, toolB)
		if !exposedGrammar.MatchString(a) || !strings.HasPrefix(a, slugA+"__") {
			t.Fatalf("ExposedName(%q, %q) = %q", slugA, toolA, a)
		}
		if a != mcp.ExposedName(slugA, toolA) {
			t.Fatal("not deterministic")
		}
		if slugA != slugB && a == b {
			t.Fatalf("(%q, %q) and (%q, %q) are both %q", slugA, toolA, slugB, toolB, a)
		}
	})
}

func FuzzCanonical(f *testing.F) {
	for _, raw := range append(smuggled(), `{"b":[1.10,{"z":"\u0041","a":"\u2028\u0000"}],"a":{}}`, `"x"`, `1e5`) {
		f.Add([]byte(raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		once, err := mcp.CanonicalDefinition(raw)
		if err != nil {
			return
		}
		twice, err := mcp.CanonicalDefinition(once)
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%q became %q became %q, %v", raw, once, twice, err)
		}
		if !sameJSON(raw, once) {
			t.Fatalf("%q became %q, which means something else", raw, once)
		}
		if compact := mcp.AppendCompact(nil, raw); !jsontext.Value(compact).IsValid() || len(compact) > len(raw) {
			t.Fatalf("%q is compacted to %q", raw, compact)
		}
	})
}

// sameJSON compares two texts as JSON v2 reads them.
func sameJSON(a, b []byte) bool {
	if !jsontext.Value(a).IsValid() || !jsontext.Value(b).IsValid() {
		return false
	}
	var x, y any
	if jsonv2.Unmarshal(a, &x) != nil {
		return true // a number beyond float64, which only the oracle minds
	}
	return jsonv2.Unmarshal(b, &y) == nil && cmp.Equal(x, y)
}
