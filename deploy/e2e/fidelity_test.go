package e2e_test

import (
	"bytes"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/warder-gateway/warder/internal/mcp"
)

// rawIDs are ids that a program which reads and writes them would change.
var rawIDs = []string{`"a\u0062\/\"c"`, `-7`, `0`, `123456789012345678901234567890`, `"日本"`, `""`, `"1"`}

// hopless returns a request without what each hop has of its own: its id, and its
// _meta with the comma beside it.
func hopless(t *testing.T, body []byte) string {
	t.Helper()
	var request mcp.Request
	if err := mcp.ScanRequest(body, mcp.Limits{}, &request); err != nil {
		t.Fatalf("%v: %.300s", err, body)
	}
	if !request.Meta.Empty() {
		start, end := bytes.LastIndex(body[:request.Meta.Start], []byte(`"_meta"`)), request.Meta.End
		if body[end] == ',' {
			end++
		} else if body[start-1] == ',' {
			start--
		}
		body = bytes.Join([][]byte{body[:start], body[end:]}, nil)
		if err := mcp.ScanRequest(body, mcp.Limits{}, &request); err != nil {
			t.Fatalf("%v: %.300s", err, body)
		}
	}
	return string(body[:request.ID.Start]) + "ID" + string(body[request.ID.End:])
}

// TestWhatIsNotRenamedPassesWireToWire holds that requests and answers pass between
// client and server of one era as the bytes that were written, apart from what
// mcp.md 2.2 has each hop set: ids, tokens, and the gateway's own _meta.
func TestWhatIsNotRenamedPassesWireToWire(t *testing.T) {
	t.Parallel()
	g, _ := startUp(t)
	w := &world{gateway: g}
	servers := map[string]*raw{"old": startRaw(t, false, nil), "new": startRaw(t, true, nil)}
	for slug, server := range servers {
		serverAdd(t, g, slug, server.url)
	}
	admin(t, g.dataDir, "user", "create", "ana", "--role", "owner")
	key := w.key(t, "exact")
	w.settled(t, key)
	for slug, server := range servers {
		f := &fidelity{g.mcp, key, slug, server, openVersion(t, g.mcp+"/"+slug, key, "2025-11-25", "{}"), openVersion(t, g.mcp, key, "2025-11-25", "{}")}
		t.Run(slug+" requests", f.requests)
		t.Run(slug+" answers", f.answers)
		t.Run(slug+" large", f.large)
		t.Run(slug+" renamed", f.renamed)
	}
}

type fidelity struct {
	mcp, key, slug string
	server         *raw
	session, whole string // of the server's route, and of the aggregate
}

// send sends a request in the era of the server. _meta, which it adds to a modern
// one, stands last among params.
func (f *fidelity) send(t *testing.T, route, method, name, body string) (int, string) {
	t.Helper()
	header := []string{"Mcp-Session-Id", f.session}
	if route == "" {
		header[1] = f.whole
	}
	if f.server.modern {
		body = strings.TrimSuffix(body, "}}") + "," + modernMeta + "}}"
		header = modernHeader(method, name)
	}
	status, answer, _ := send(t, f.mcp+route, f.key, body, header...)
	return status, answer
}

func (f *fidelity) requests(t *testing.T) {
	f.server.answer = nil
	// What a request is about is written as the decision read it: its escapes are gone.
	plain := strings.NewReplacer(`"gree\u0074"`, `"greet"`, `"test:\/\/a\/b"`, `"test://a/b"`)
	for _, c := range []struct{ method, name, format string }{
		{"tools/call", "read", `{ "_before":[1.10, 1E+2],"jsonrpc":"2.0" ,"id":%s,"_x":{"b":1,"a":2},"method":"tools\/call","params":{"zeta":12345678901234567890,` +
			`"arguments":` + oddArguments + `,"name":"read","ü":"ü\u2028😀\ud83d\ude00", "_last":null}}`},
		{"prompts/get", "greet", `{"jsonrpc":"2.0","id":%s,"method":"prompts/get","params":{"arguments":{"b":"\u0041","a":"é\/"}, "name" : "gree\u0074","more":[-0]}}`},
		{"resources/read", "test://a/b", `{"id":%s,"jsonrpc":"2.0","method":"resources/read","params":{"uri":"test:\/\/a\/b" , "x":0.1000000000000000055511151231257827}}`},
	} {
		for _, id := range rawIDs {
			f.server.take()
			body := fmt.Sprintf(c.format, id)
			status, answer := f.send(t, "/"+f.slug, c.method, c.name, body)
			if status != http.StatusOK || !strings.Contains(answer, `"id":`+id+`,`) {
				t.Errorf("%s with id %s is answered %d %s", c.method, id, status, answer)
				continue
			}
			got := f.server.take()
			if len(got) != 1 {
				t.Fatalf("%d messages reached the server", len(got))
			}
			if want, is := plain.Replace(hopless(t, []byte(body))), hopless(t, got[0].body); is != want {
				t.Errorf("%s was sent as\n%s\nand came as\n%s", c.method, want, is)
			}
		}
	}
}

// forms are the ways in which a server may send an answer.
var forms = map[string]func(w http.ResponseWriter, message string){
	"JSON": func(w http.ResponseWriter, message string) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, message)
	},
	"an event": func(w http.ResponseWriter, message string) { event(w, message) },
	"an event after another": func(w http.ResponseWriter, message string) {
		event(w, `{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":1}}`, message)
	},
	"odd lines": func(w http.ResponseWriter, message string) {
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		fmt.Fprintf(w, ":\r\n\r\n:ping\n\nevent:message\rdata:%s\r\n\r", message)
	},
}

func (f *fidelity) answers(t *testing.T) {
	result := oddResult
	if f.server.modern {
		result = `{"resultType":"complete", "zeta"` + strings.TrimPrefix(oddResult, `{ "zeta"`)
	}
	for form, write := range forms {
		for _, id := range rawIDs {
			for _, member := range []string{`"result":` + result, `"error":{"code":-32001 , "data":{"big":12345678901234567890,"z":"\u00e9"},"message":"n\/o","_more":0}`} {
				answer := `{ "_x":[1.10] ,"jsonrpc":"2.0","id":%s,` + member + `, "_beside":12345678901234567890 }`
				f.server.answer = func(w http.ResponseWriter, m *message) { write(w, fmt.Sprintf(answer, m.ID)) }
				status, body := f.send(t, "/"+f.slug, "tools/call", "read", `{"jsonrpc":"2.0","id":`+id+`,"method":"tools/call","params":{"name":"read","arguments":{}}}`)
				want := fmt.Sprintf(answer, id)
				if f.server.modern {
					want = withServerInfo(want)
				}
				if got := lastMessage(body); status != http.StatusOK || got != want {
					t.Errorf("as %s, %d\n%s\nis not\n%s", form, status, got, want)
				}
			}
		}
	}
}

// lastMessage returns the last message of an answer, be it JSON or a stream.
func lastMessage(body string) string {
	if strings.HasPrefix(body, "{") {
		return body
	}
	data := regexp.MustCompile(`(?m)^data: ?(.+)$`).FindAllStringSubmatch(body, -1)
	if len(data) == 0 {
		return body
	}
	return strings.TrimSuffix(data[len(data)-1][1], "\r")
}

// large sends nearly 4 MiB each way.
func (f *fidelity) large(t *testing.T) {
	text := strings.Repeat(`é\u00e9😀 \/`, (4<<20-4096)/len(`é\u00e9😀 \/`))
	for form, write := range forms {
		f.server.take()
		f.server.answer = func(w http.ResponseWriter, m *message) {
			result := `{"content":[{"type":"text","text":"` + text + `"}]}`
			if f.server.modern {
				result = `{"resultType":"complete",` + result[1:]
			}
			write(w, fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":%s}`, m.ID, result))
		}
		body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read","arguments":{"text":"` + text + `"}}}`
		status, answer := f.send(t, "/"+f.slug, "tools/call", "read", body)
		if got := lastMessage(answer); status != http.StatusOK || !strings.Contains(got, `"content":[{"type":"text","text":"`+text+`"}]`) {
			t.Errorf("as %s: %d, %d bytes: %.300s", form, status, len(got), got)
		}
		if got := f.server.take(); len(got) != 1 || hopless(t, got[0].body) != hopless(t, []byte(body)) {
			t.Errorf("as %s, the large request came otherwise", form)
		}
	}
}

// renamed holds the same on the aggregate, where names and URIs differ.
func (f *fidelity) renamed(t *testing.T) {
	const place = `test://a/b`
	for _, c := range []struct{ method, member, own, exposed, result string }{
		{"tools/call", "name", "read", f.slug + "__read", `"content":[{"uri":"test://a/b","type":"resource_link","name":"n","z":1.10},{"type":"resource","resource":{"text":"test://a/b","uri":"test://a/b","x":12345678901234567890}},` +
			`{"type":"text","text":"see test://a/b","uri":"not a link"},{"type":"resource_link","uri":"https://example.com/\u00e9","name":"w"}],"structuredContent":{"uri":"test://a/b"}`},
		{"prompts/get", "name", "greet", f.slug + "__greet", `"messages":[{"role":"user","content":{"type":"resource","resource":{"uri":"test://a/b","text":"t"}}}]`},
		{"resources/read", "uri", place, f.slug + "+" + place, `"contents":[{"text":"\/","uri":"test://a/b"}]`},
	} {
		f.server.take()
		f.server.answer = func(w http.ResponseWriter, m *message) {
			rest := c.result
			if f.server.modern {
				rest = `"ttlMs":0,"cacheScope":"private",` + rest
			}
			f.server.result(w, m, rest)
		}
		format := `{"jsonrpc":"2.0","id":"x","method":"` + c.method + `","params":{"big":12345678901234567890, "` + c.member + `":"%s", "arguments":{"b":"raw__read","a":"1"}}}`
		status, answer := f.send(t, "", c.method, c.exposed, fmt.Sprintf(format, c.exposed))
		want := c.result
		for _, link := range []string{`{"uri":"test://a/b","type":"resource_link"`, `"text":"test://a/b","uri":"test://a/b"`, `"resource":{"uri":"test://a/b"`, `"text":"\/","uri":"test://a/b"`} {
			want = strings.ReplaceAll(want, link, strings.Replace(link, `"uri":"`, `"uri":"`+f.slug+"+", 1))
		}
		if status != http.StatusOK || !strings.Contains(answer, want) {
			t.Errorf("%s: %d\n%s\nhas not\n%s", c.method, status, answer, want)
		}
		if got := f.server.take(); len(got) != 1 || hopless(t, got[0].body) != hopless(t, []byte(fmt.Sprintf(format, c.own))) {
			t.Errorf("%s came as %s", c.method, got[0].body)
		}
	}
}
