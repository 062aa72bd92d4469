package mcp_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"github.com/warder-gateway/warder/internal/mcp"
)

// reading is what a parser makes of a tools/call.
type reading struct {
	id, method, name, arguments string
}

// readStrict reads with JSON v2: case-sensitive, no duplicates, no invalid UTF-8.
func readStrict(body []byte) (r reading, err error) {
	var m struct {
		ID     jsontext.Value `json:"id"`
		Method string         `json:"method"`
		Params struct {
			Name      jsontext.Value `json:"name"`
			Arguments jsontext.Value `json:"arguments"`
		} `json:"params"`
	}
	err = jsonv2.Unmarshal(body, &m)
	return reading{string(m.ID), m.Method, text(m.Params.Name), string(m.Params.Arguments)}, err
}

// readLax reads with encoding/json v1: the last of two members wins, and case folds. Many servers read like this.
func readLax(body []byte) (r reading, err error) {
	var m struct {
		ID     json.RawMessage `json:"id"`
		Method string          `json:"method"`
		Params struct {
			Name      json.RawMessage `json:"name"`
			Arguments json.RawMessage `json:"arguments"`
		} `json:"params"`
	}
	err = json.Unmarshal(body, &m)
	return reading{string(m.ID), m.Method, text(m.Params.Name), string(m.Params.Arguments)}, err
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
	ours := reading{string(req.ID.Of(body)), req.Method, req.Name, string(req.Arguments.Of(body))}
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
		for _, hop := range []mcp.Hop{{}, {DropState: true, DropInput: true}, {RequestState: []byte(`"s"`), InputResponses: []byte(`{}`)}} {
			hop.ID, hop.Meta = []byte(`"our-id"`), meta
			out := mcp.RewriteRequest(nil, body, req, &hop)
			var again mcp.Request
			if err := mcp.ScanRequest(out, mcp.Limits{}, &again); err != nil {
				t.Fatalf("%q became %q, which is refused: %v", body, out, err)
			}
			checkAgreement(t, out, &again)
			if again.Name != req.Name || again.URI != req.URI || again.RefName != req.RefName || !bytes.Equal(again.Arguments.Of(out), req.Arguments.Of(body)) || again.IsNotification() != req.IsNotification() {
				t.Fatalf("%q became %q", body, out)
			}
			if again.HasProtocolVersion != (meta.Era == mcp.Modern) {
				t.Fatalf("%q became %q, which claims a version: %v", body, out, again.HasProtocolVersion)
			}
			if hop.DropState && !again.RequestState.Empty() || hop.RequestState != nil && string(again.RequestState.Of(out)) != `"s"` {
				t.Fatalf("%q became %q, with the state %q", body, out, again.RequestState.Of(out))
			}
			if hop.DropInput && !again.InputResponses.Empty() || hop.InputResponses != nil && string(again.InputResponses.Of(out)) != `{}` {
				t.Fatalf("%q became %q, with the answers %q", body, out, again.InputResponses.Of(out))
			}
		}
	}
}

// answered are seeds of what servers send.
func answered() []string {
	return append(smuggled(),
		`{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","ttlMs":1,"content":[],"cacheScope":"public"}}`,
		`{"jsonrpc":"2.0","id":1,"result":{"resultType":"input_required","inputRequests":{"k":{"method":"roots/list"}},"_meta":{"io.modelcontextprotocol/serverInfo":{}}}}`,
		`{"jsonrpc":"2.0","id":1,"result":{"resultType":"input_required","inputRequests":{"k":{"method":"elicitation/create","params":{"message":"m"}}}}}`,
		`{"jsonrpc":"2.0","id":1,"method":"elicitation/create","params":{"message":"m"}}`,
		`{"jsonrpc":"2.0","id":1,"result":{"contents":[{"uri":"a:"}],"content":[{"type":"resource_link","uri":"b:"},{"type":"resource","resource":{"uri":"c:"}}],"messages":[{"content":{"type":"resource_link","uri":"d:"}}]}}`,
		`{"jsonrpc":"2.0","error":{"code":-32020,"message":"m"}}`,
		`{"jsonrpc":"2.0","id":1,"error":{"code":-32002,"message":"m","data":{"uri":"a:"}}}`,
		`{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"a:","_meta":{"io.modelcontextprotocol/subscriptionId":1}}}`,
		`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1}}`,
		`{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`,
	)
}

func FuzzScanResponse(f *testing.F) {
	for _, body := range answered() {
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
		if resp.IsResponse() {
			checkAnswered(t, body, &resp)
		} else {
			checkNotified(t, body, &resp)
		}
	})
}

// checkAnswered: a rewritten response is one still, to the client's id, in each pair of eras.
func checkAnswered(t *testing.T, body []byte, resp *mcp.Response) {
	t.Helper()
	eras := []mcp.Era{mcp.Legacy, mcp.Modern}
	for _, method := range []string{mcp.MethodToolsCall, mcp.MethodPromptsGet, mcp.MethodResourcesRead} {
		for _, from := range eras {
			for _, to := range eras {
				out := mcp.RewriteResponse(nil, body, resp, &mcp.Reply{
					ID: []byte("7"), From: from, To: to, Method: method, URIPrefix: "gh+", Asker: "gh", RequestState: []byte(`"s"`), ServerInfo: []byte(`{}`),
				})
				var again mcp.Response
				if err := mcp.ScanResponse(out, mcp.Limits{}, &again); err != nil {
					t.Fatalf("%q became %q, which is refused: %v", body, out, err)
				}
				if string(again.ID.Of(out)) != "7" || again.IsError != resp.IsError || again.ErrorText != resp.ErrorText {
					t.Fatalf("%q became %q", body, out)
				}
				if to == mcp.Modern && from == mcp.Legacy && !again.Result.Empty() && again.ResultType != mcp.ResultComplete {
					t.Fatalf("%q became %q, which is not complete", body, out)
				}
				if to == mcp.Legacy && from == mcp.Modern && again.ResultType != "" {
					t.Fatalf("%q became %q, which has a result type", body, out)
				}
			}
		}
	}
	same := mcp.RewriteResponse(nil, body, resp, &mcp.Reply{ID: resp.ID.Of(body), From: mcp.Legacy, To: mcp.Legacy, URIPrefix: ""})
	if !resp.ID.Empty() && !bytes.Equal(same, body) {
		t.Fatalf("%q became %q", body, same)
	}
}

// checkNotified: a rewritten notification is one still, and stamped.
func checkNotified(t *testing.T, body []byte, resp *mcp.Response) {
	t.Helper()
	for _, stamp := range []string{"", `"l1"`} {
		out := mcp.RewriteNotification(nil, body, resp, &mcp.Note{ProgressToken: []byte("7"), SubscriptionID: []byte(stamp), URIPrefix: "gh+"})
		var again mcp.Response
		if err := mcp.ScanResponse(out, mcp.Limits{}, &again); err != nil {
			t.Fatalf("%q became %q, which is refused: %v", body, out, err)
		}
		if again.Method != resp.Method || string(again.SubscriptionID.Of(out)) != stamp {
			t.Fatalf("%q became %q", body, out)
		}
		if !resp.ProgressToken.Empty() && string(again.ProgressToken.Of(out)) != "7" || again.URI != "" && again.URI != mcp.PrefixURI("gh+", resp.URI) {
			t.Fatalf("%q became %q", body, out)
		}
	}
}

// FuzzScanBatch: the elements of a batch are those that another parser sees.
func FuzzScanBatch(f *testing.F) {
	for _, body := range smuggled() {
		f.Add([]byte("[" + body + "]"))
		f.Add([]byte("[" + body + " , " + body + "]"))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		spans, err := mcp.ScanBatch(body, mcp.Limits{})
		if err != nil {
			if _, ok := errors.AsType[*mcp.Error](err); !ok || spans != nil {
				t.Fatalf("%q: %v, %v", body, spans, err)
			}
			return
		}
		var theirs []jsontext.Value
		if err := jsonv2.Unmarshal(body, &theirs); err != nil || len(theirs) != len(spans) {
			t.Fatalf("%q: %d elements, JSON v2 sees %d, %v", body, len(spans), len(theirs), err)
		}
		for i, span := range spans {
			if !bytes.Equal(span.Of(body), theirs[i]) {
				t.Fatalf("%q: element %d is %q, JSON v2 sees %q", body, i, span.Of(body), theirs[i])
			}
		}
	})
}

// classified is the table of mcp.md E1 once more, in other words: the era of a message, and whether it is accepted.
func classified(header string, req *mcp.Request) (era mcp.Era, accepted bool) {
	legacyOnly := slices.Contains(strings.Fields("initialize ping logging/setLevel resources/subscribe resources/unsubscribe tasks/list tasks/result "+
		"notifications/initialized notifications/roots/list_changed"), req.Method)
	modernOnly := slices.Contains(strings.Fields("server/discover subscriptions/listen tasks/update"), req.Method)
	if header < "2026-07-28" && !req.HasProtocolVersion {
		known := slices.Contains([]string{"", "2025-03-26", "2025-06-18", "2025-11-25"}, header)
		return mcp.Legacy, !modernOnly && (known || req.Method == "initialize")
	}
	claims := req.HasProtocolVersion && !req.ClientCapabilities.Empty() || req.IsNotification()
	agrees := !req.HasProtocolVersion || req.ProtocolVersion == header
	return mcp.Modern, header == "2026-07-28" && claims && agrees && !legacyOnly && !req.IsResponse()
}

func FuzzClassify(f *testing.F) {
	bodies := smuggled()
	for _, method := range []string{"tools/call", "initialize", "ping", "server/discover", "notifications/cancelled", "acme/do"} {
		bodies = append(bodies, claim(method, modernMeta), claim(method, ``), claim(method, pv+`:"2025-11-25",`+cc+`:{}`))
	}
	for _, header := range []string{"", "2025-11-25", "2026-07-28", "2099-01-01", "x"} {
		for _, body := range bodies {
			f.Add(header, []byte(body))
		}
	}
	f.Fuzz(func(t *testing.T, header string, body []byte) {
		var req mcp.Request
		if mcp.ScanRequest(body, mcp.Limits{}, &req) != nil {
			return
		}
		era, err := mcp.Classify(header, &req)
		wantEra, accepted := classified(header, &req)
		if era != wantEra || accepted != (err == nil) {
			t.Fatalf("header %q and %q: %s, %v; want %s, accepted: %v", header, body, era, err, wantEra, accepted)
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

// FuzzNameHeader: what Mcp-Name is accepted for is the name that the body has.
func FuzzNameHeader(f *testing.F) {
	for _, s := range sentinels {
		f.Add(s.text, s.header)
		f.Add(s.text, s.text)
	}
	f.Fuzz(func(t *testing.T, name, header string) {
		body := string(mcp.AppendString([]byte(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":`), name)) + `}}`
		req := scan(t, body)
		err := mcp.CheckHeaders(map[string][]string{mcp.HeaderMethod: {"tools/call"}, mcp.HeaderName: {header}}, req)
		decoded, decodeErr := mcp.DecodeHeaderValue(header)
		if says := decodeErr == nil && decoded == req.Name || header == req.Name; err == nil && !says {
			t.Fatalf("%q passes for %q", header, req.Name)
		}
		if err := mcp.CheckHeaders(map[string][]string{mcp.HeaderMethod: {"tools/call"}, mcp.HeaderName: {mcp.EncodeHeaderValue(req.Name)}}, req); err != nil {
			t.Fatalf("the encoded name %q is refused: %v", req.Name, err)
		}
	})
}

func FuzzSSEReader(f *testing.F) {
	for _, stream := range []string{
		"data: {}\n\n", "id: 1\r\ndata: a\r\ndata: b\r\n\r\n", "data: a\r\rdata: b\r\r", ": ping\n\n", "event: x\nretry: 10\n\n", "data: a\n\r\n\rdata",
		"\xef\xbb\xbfdata\n\n", "id: 1\nretry: 100\ndata:\n\n", "\r\n\r\ndata: a\r\n\n",
	} {
		f.Add([]byte(stream))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		whole, wholeErr := readAll(bytes.NewReader(stream), 1<<10)
		pieces, piecesErr := readAll(iotest.OneByteReader(bytes.NewReader(stream)), 1<<10)
		if diff := cmp.Diff(whole, pieces); diff != "" || wholeErr != piecesErr {
			t.Fatalf("byte by byte, %q reads otherwise: %v and %v\n%s", stream, wholeErr, piecesErr, diff)
		}
		for at := range min(len(stream), 64) {
			halves, halvesErr := readAll(io.MultiReader(bytes.NewReader(stream[:at]), bytes.NewReader(stream[at:])), 1<<10)
			if diff := cmp.Diff(whole, halves); diff != "" || wholeErr != halvesErr {
				t.Fatalf("split at %d, %q reads otherwise: %v and %v\n%s", at, stream, wholeErr, halvesErr, diff)
			}
		}
	})
}

// FuzzSSEWriter: what was written reads the same, however it is split, and nothing else is read.
func FuzzSSEWriter(f *testing.F) {
	for _, data := range []string{`{"a":1}`, "", "a\nb", "a\r\nb\r", "\n", ":", "data: x", "\xef\xbb\xbf", " a"} {
		f.Add("e1", int64(1500), []byte(data), 1)
		f.Add("", int64(0), []byte(data), 0)
	}
	f.Add("1\ndata: evil", int64(-1), []byte("a"), 0)
	f.Fuzz(func(t *testing.T, id string, retry int64, data []byte, cut int) {
		written := mcp.AppendEvent(nil, id, time.Duration(retry), data)
		written = mcp.AppendEvent(written, "next", 0, []byte("{}"))
		want := []seen{{Data: strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(data)), HasData: true}, {Type: "message", Data: "{}", HasData: true, ID: "next", HasID: true}}
		if len(data) > 0 {
			want[0].Type = "message"
		}
		if id != "" && !strings.ContainsAny(id, "\r\n\x00") {
			want[0].ID, want[0].HasID = id, true
		}
		if ms := time.Duration(retry).Milliseconds(); ms > 0 {
			want[0].Retry = strconv.FormatInt(ms, 10)
		}
		for _, r := range []io.Reader{bytes.NewReader(written), iotest.OneByteReader(bytes.NewReader(written))} {
			got, err := readAll(r, 1<<20)
			if diff := cmp.Diff(want, got); diff != "" || err != io.EOF {
				t.Fatalf("%q was written as %q: %v\n%s", data, written, err, diff)
			}
		}
		if cut < 1 || cut >= len(data) || data[cut-1] == '\r' && data[cut] == '\n' {
			return
		}
		if parts := mcp.AppendEvent(nil, id, time.Duration(retry), data[:cut], nil, data[cut:]); !bytes.HasPrefix(written, parts) {
			t.Fatalf("in two parts, %q was written as %q", data, parts)
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
		// Of one server, two names may meet only where one of them had to be changed, and then in the hash as well.
		plain := func(exposed, slug, tool string) bool { return exposed == slug+"__"+tool }
		if slugA == slugB && toolA != toolB && a == b && plain(a, slugA, toolA) == plain(b, slugB, toolB) {
			t.Fatalf("%q and %q of one server are both %q", toolA, toolB, a)
		}
	})
}

// FuzzURI: what is prefixed can be cut again, and in a message it is prefixed as it is alone.
func FuzzURI(f *testing.F) {
	for _, uri := range []string{"file:///a", "https://a", "HTTP:a", "a+b:c", "", "gh+x:", "x:{id}", "größe:\n\"\\", "http"} {
		f.Add("gh", uri)
	}
	f.Fuzz(func(t *testing.T, slug, uri string) {
		if !mcp.ValidSlug(slug) {
			return
		}
		prefixed := mcp.PrefixURI(mcp.URIPrefix(slug), uri)
		if gotSlug, own, ok := mcp.CutURI(prefixed); prefixed != uri && (!ok || gotSlug != slug || own != uri) {
			t.Fatalf("%q became %q became %q, %q, %v", uri, prefixed, gotSlug, own, ok)
		}
		if web := strings.ToLower(uri); (strings.HasPrefix(web, "http:") || strings.HasPrefix(web, "https:")) != (prefixed == uri) {
			t.Fatalf("%q became %q", uri, prefixed)
		}
		if !utf8.ValidString(uri) {
			return
		}
		body := mcp.AppendString([]byte(`{"jsonrpc":"2.0","id":1,"result":{"contents":[{"uri":`), uri)
		body = append(body, `}]}}`...)
		out := mcp.RewriteResponse(nil, body, scanAnswer(t, string(body)), &mcp.Reply{ID: []byte("1"), From: mcp.Legacy, To: mcp.Legacy, Method: mcp.MethodResourcesRead, URIPrefix: mcp.URIPrefix(slug)})
		want := mcp.AppendString([]byte(`{"jsonrpc":"2.0","id":1,"result":{"contents":[{"uri":`), prefixed)
		if want = append(want, `}]}}`...); !bytes.Equal(out, want) {
			t.Fatalf("%q became %q", body, out)
		}
	})
}

// FuzzParamValue: what a header says of an argument is what another parser reads there.
func FuzzParamValue(f *testing.F) {
	for _, value := range []string{`"a"`, `"\u00e9"`, `1`, `-0`, `1.0`, `1e2`, `9007199254740993`, `true`, `null`, `{}`, `" a"`} {
		f.Add([]byte(`{"a":` + value + `}`))
	}
	param := mcp.Param{Path: []string{"a"}}
	f.Fuzz(func(t *testing.T, arguments []byte) {
		if _, err := mcp.CanonicalDefinition(arguments); err != nil || len(bytes.TrimSpace(arguments)) == 0 {
			return // nothing that was accepted
		}
		arguments = bytes.TrimSpace(arguments)
		encoded, present, err := param.Value(arguments)
		var theirs struct {
			A any `json:"a"`
		}
		if jsonv2.Unmarshal(arguments, &theirs) != nil {
			return // not an object, or a number beyond float64
		}
		decoded, decodeErr := mcp.DecodeHeaderValue(encoded)
		switch v := theirs.A.(type) {
		case nil:
			if present || err != nil {
				t.Fatalf("%q: %q, %v, %v", arguments, encoded, present, err)
			}
		case string:
			if !present || err != nil || decodeErr != nil || decoded != v {
				t.Fatalf("%q: %q, %v, %v", arguments, encoded, present, err)
			}
		case bool:
			if !present || encoded != strconv.FormatBool(v) {
				t.Fatalf("%q: %q, %v, %v", arguments, encoded, present, err)
			}
		case float64:
			n, parseErr := strconv.ParseInt(encoded, 10, 64)
			if present && (parseErr != nil || float64(n) != v) || present == (err != nil) {
				t.Fatalf("%q: %q, %v, %v", arguments, encoded, present, err)
			}
		default:
			if present || err == nil {
				t.Fatalf("%q: %q, %v, %v", arguments, encoded, present, err)
			}
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
