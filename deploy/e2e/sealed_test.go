package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/warder-gateway/warder/internal/porttest"
)

// pair is a gateway of two nodes in front of servers of both eras.
type pair struct {
	*apart
	second *process
	away   string // /mcp of the second node
}

func startPair(t *testing.T) *pair {
	t.Helper()
	p := &pair{apart: startApart(t)}
	listen := porttest.Free(t)
	p.away = "http://" + listen + "/mcp"
	p.startSecond(t)
	return p
}

// startSecond starts the second node, anew or again.
func (p *pair) startSecond(t *testing.T) {
	t.Helper()
	listen := strings.TrimSuffix(strings.TrimPrefix(p.away, "http://"), "/mcp")
	p.second = start(t, p.root, nil, binary, "dataplane", "--data-dir", filepath.Join(p.root, "node-2"),
		"--join-token-file", p.joinToken(t, "edge-2"), "--control-plane", p.nodeListen, "--listen", listen)
	eventually(t, "the second node is ready", func() bool { return answers("http://" + listen + "/readyz") })
}

func (p *pair) user(t *testing.T, name string) {
	t.Helper()
	admin(t, p.dataDir, "user", "create", name, "--role", "owner")
}

func (p *pair) keyOf(t *testing.T, user, application string) string {
	t.Helper()
	key := admin(t, p.dataDir, "key", "create", "--user", user, "--application", application)["key"].(string)
	for _, url := range []string{p.mcp, p.away} {
		eventually(t, "the key is known", func() bool {
			status, _, _ := send(t, url, key, `{"jsonrpc":"2.0","id":1,"method":"ping"}`)
			return status == http.StatusOK
		})
	}
	return key
}

// call makes a legacy call in a session and returns status and body.
func callIn(t *testing.T, url, key, session, tool string) (int, string) {
	t.Helper()
	status, body, _ := send(t, url, key, fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":%q,"arguments":{}}}`, tool), "Mcp-Session-Id", session)
	return status, body
}

func mustCall(t *testing.T, what, url, key, session, tool string) {
	t.Helper()
	if status, body := callIn(t, url, key, session, tool); status != http.StatusOK || !strings.Contains(body, `"result"`) {
		t.Errorf("%s: %d %s", what, status, body)
	}
}

// TestASessionOutlivesItsNodes holds mcp.md 2.9: a session that was opened at one
// node serves at another, and after the restart of one node and of both, with the
// sessions that its servers gave; none is initialised again. It ends everywhere
// when its client ends it.
func TestASessionOutlivesItsNodes(t *testing.T) {
	t.Parallel()
	p := startPair(t)
	one, two := startRaw(t, false, nil), startRaw(t, false, nil)
	serverAdd(t, p.gateway, "one", one.url)
	serverAdd(t, p.gateway, "two", two.url)
	p.user(t, "ana")
	key := p.keyOf(t, "ana", "ide")
	session := openVersion(t, p.mcp, key, "2025-11-25", `{}`)
	if len(session) > 1536 || !regexp.MustCompile(`^[\x21-\x7e]+$`).MatchString(session) {
		t.Errorf("the session's id is %q", session)
	}
	before := one.initializations() + two.initializations()
	use := func(what string) {
		t.Helper()
		for _, url := range []string{p.mcp, p.away} {
			mustCall(t, what, url, key, session, "one__read")
			mustCall(t, what, url, key, session, "two__read")
		}
	}
	use("at both nodes")
	p.node.stop()
	p.startNode(t)
	use("after a node's restart")
	p.node.kill()
	p.second.kill()
	p.startNode(t)
	p.startSecond(t)
	use("after the death of both")
	if now := one.initializations() + two.initializations(); now != before {
		t.Errorf("the servers were initialised %d times more", now-before)
	}
	for _, server := range []*raw{one, two} {
		seen := map[string]bool{}
		for _, m := range server.take() {
			if m.Method == "tools/call" {
				seen[m.header.Get("Mcp-Session-Id")] = true
			}
		}
		if len(seen) != 1 {
			t.Errorf("calls of one session came under %v", seen)
		}
	}

	r, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, p.mcp, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+key)
	r.Header.Set("Mcp-Session-Id", session)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusNoContent {
		t.Errorf("DELETE: %d", response.StatusCode)
	}
	if status, _ := callIn(t, p.mcp, key, session, "one__read"); status != http.StatusNotFound {
		t.Errorf("after its end, at the node that ended it: %d", status)
	}
	eventually(t, "the session has ended at the other node", func() bool {
		status, _ := callIn(t, p.away, key, session, "one__read")
		return status == http.StatusNotFound
	})
	eventually(t, "its servers' sessions are ended", func() bool {
		one.mu.Lock()
		defer one.mu.Unlock()
		return one.ended > 0
	})
}

// TestAServerThatForgotIsInitialisedAloneAndNothingRunsTwice holds that a server
// which lost its sessions gets a new one, that others are left as they are, and that
// a call which may have run is not sent again.
func TestAServerThatForgotIsInitialisedAloneAndNothingRunsTwice(t *testing.T) {
	t.Parallel()
	g, _ := startUp(t)
	w := &world{gateway: g}
	forgetful, other := startRaw(t, false, nil), startRaw(t, false, nil)
	serverAdd(t, g, "forgetful", forgetful.url)
	serverAdd(t, g, "other", other.url)
	admin(t, g.dataDir, "user", "create", "ana", "--role", "owner")
	key := w.key(t, "ide")
	w.settled(t, key)
	session := openVersion(t, g.mcp, key, "2025-11-25", `{}`)
	mustCall(t, "before", g.mcp, key, session, "forgetful__read")
	mustCall(t, "before", g.mcp, key, session, "other__read")
	again, untouched := forgetful.initializations(), other.initializations()

	forgetful.take()
	forgetful.forget()
	for range 3 {
		mustCall(t, "after it forgot", g.mcp, key, session, "forgetful__read")
		mustCall(t, "after it forgot", g.mcp, key, session, "other__read")
	}
	if n := forgetful.initializations() - again; n != 1 {
		t.Errorf("the server that forgot was initialised %d times", n)
	}
	if n := other.initializations() - untouched; n != 0 {
		t.Errorf("the other server was initialised %d times", n)
	}
	if n := forgetful.calls("tools/call"); n != 3 {
		t.Errorf("3 calls reached the server as %d", n)
	}

	// A call that was taken, and whose answer never comes.
	for name, fail := range map[string]func(w http.ResponseWriter, m *message){
		"dies": func(w http.ResponseWriter, _ *message) { panic(http.ErrAbortHandler) },
		"dies while it answers": func(w http.ResponseWriter, m *message) {
			w.Header().Set("Content-Length", "1000")
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,`, m.ID)
			_ = http.NewResponseController(w).Flush() // The client gets half.
			panic(http.ErrAbortHandler)
		},
		"fails":         func(w http.ResponseWriter, _ *message) { http.Error(w, "no", http.StatusInternalServerError) },
		"is overloaded": func(w http.ResponseWriter, _ *message) { http.Error(w, "no", http.StatusServiceUnavailable) },
		"ends its stream": func(w http.ResponseWriter, m *message) {
			event(w, `{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":1}}`)
		},
	} {
		forgetful.take()
		forgetful.answer = fail
		status, body := callIn(t, g.mcp, key, session, "forgetful__read")
		if status != http.StatusOK || !strings.Contains(body, `"error"`) {
			t.Errorf("a server that %s: %d %s", name, status, body)
		}
		if n := forgetful.calls("tools/call"); n != 1 {
			t.Errorf("a server that %s got the call %d times", name, n)
		}
		mustCall(t, "meanwhile", g.mcp, key, session, "other__read")
	}
}

// TestT22SealedStateIsGoodForItsOwnerAlone holds that ids of sessions, cursors,
// request states and ids of servers' requests are worth nothing to another user, at
// another route, or when they are changed.
func TestT22SealedStateIsGoodForItsOwnerAlone(t *testing.T) {
	t.Parallel()
	p := startPair(t)
	var tools []string
	for i := range 300 {
		tools = append(tools, fmt.Sprintf(`{"name":"tool_%d","description":%q,"inputSchema":{"type":"object"}}`, i, strings.Repeat("d", 5000)))
	}
	legacy, modern := startRaw(t, false, nil), startRaw(t, true, nil)
	legacy.lists = map[string]string{"tools/list": `"tools":[` + strings.Join(tools, ",") + `]`}
	modern.answer = func(w http.ResponseWriter, m *message) {
		if strings.Contains(string(m.Params), "inputResponses") {
			modern.result(w, m, `"content":[{"type":"text","text":"done"}]`)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{"resultType":"input_required","requestState":"inner","inputRequests":{"k":{"method":"elicitation/create","params":{"message":"?","requestedSchema":{"type":"object","properties":{}}}}}}}`, m.ID)
	}
	serverAdd(t, p.gateway, "legacy", legacy.url)
	serverAdd(t, p.gateway, "modern", modern.url)
	p.user(t, "ana")
	p.user(t, "eve")
	ana, eve, other := p.keyOf(t, "ana", "ide"), p.keyOf(t, "eve", "ide"), p.keyOf(t, "ana", "chat")
	second := p.keyOf(t, "ana", "ide") // The same user and application: the same owner.

	t.Run("session", func(t *testing.T) {
		session := openVersion(t, p.mcp, ana, "2025-11-25", `{}`)
		single := openVersion(t, p.mcp+"/legacy", ana, "2025-11-25", `{}`)
		changed := session[:len(session)-2] + "AA"
		for _, c := range []struct {
			name, url, key, session string
			status                  int
		}{
			{"its owner", p.mcp, ana, session, 200},
			{"its owner at the other node", p.away, ana, session, 200},
			{"its owner with another key", p.away, second, session, 200},
			{"another user", p.mcp, eve, session, 404},
			{"another user at the other node", p.away, eve, session, 404},
			{"another application", p.mcp, other, session, 404},
			{"the route of a server", p.mcp + "/legacy", ana, session, 404},
			{"the route of another server", p.mcp + "/modern", ana, single, 404},
			{"the aggregate", p.mcp, ana, single, 404},
			{"changed", p.mcp, ana, changed, 404},
			{"cut", p.mcp, ana, session[:40], 404},
			{"never", p.mcp, ana, "no-such-session", 404},
		} {
			status, body, _ := send(t, c.url, c.key, `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, "Mcp-Session-Id", c.session)
			if status != c.status {
				t.Errorf("%s: %d %.200s", c.name, status, body)
			}
		}
	})
	t.Run("cursor", func(t *testing.T) { cursors(t, p, ana, eve) })
	t.Run("request state", func(t *testing.T) { requestStates(t, p, ana, eve) })
	t.Run("request of a server", func(t *testing.T) { serverRequests(t, p, modern, ana, eve) })
}

func cursors(t *testing.T, p *pair, ana, eve string) {
	list := func(url, key, cursor string) (int, string, string) {
		_, body, _ := send(t, url, key, `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{`+cursor+modernMeta+`}}`, modernHeader("tools/list", "")...)
		var read struct {
			Result struct {
				NextCursor *string
				Tools      []struct{ Name string }
			}
			Error struct{ Code int }
		}
		if err := json.Unmarshal([]byte(body), &read); err != nil {
			t.Fatalf("%v: %s", err, body)
		}
		if read.Result.NextCursor == nil {
			return len(read.Result.Tools), "", fmt.Sprint(read.Error.Code)
		}
		quoted, _ := json.Marshal(*read.Result.NextCursor)
		return len(read.Result.Tools), `"cursor":` + string(quoted) + ",", "0"
	}
	first, cursor, _ := list(p.mcp, ana, "")
	if cursor == "" {
		t.Fatalf("%d tools come in one page", first)
	}
	total := first
	for at, next := 0, cursor; next != ""; at++ {
		var n int
		n, next, _ = list([]string{p.away, p.mcp}[at%2], ana, next)
		total += n
	}
	if total != 302 {
		t.Errorf("the pages hold %d tools", total)
	}
	for name, c := range map[string][3]string{
		"another user":    {p.mcp, eve, cursor},
		"another route":   {p.mcp + "/legacy", ana, cursor},
		"changed":         {p.mcp, ana, strings.Replace(cursor, `",`, `A",`, 1)},
		"nobody's":        {p.mcp, ana, `"cursor":"2",`},
		"an empty string": {p.mcp, ana, `"cursor":"",`},
	} {
		if _, _, code := list(c[0], c[1], c[2]); code != "-32602" {
			t.Errorf("a cursor of %s gets %s", name, code)
		}
	}
}

func requestStates(t *testing.T, p *pair, ana, eve string) {
	const meta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"elicitation":{"form":{}}}}`
	call := func(url, key, tool, arguments, rest string) string {
		_, body, _ := send(t, url, key, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"`+tool+`","arguments":`+arguments+`,`+rest+meta+`}}`, modernHeader("tools/call", tool)...)
		return body
	}
	var asked struct{ Result struct{ RequestState string } }
	first := call(p.mcp, ana, "modern__read", `{"a":1}`, "")
	if err := json.Unmarshal([]byte(first), &asked); err != nil || asked.Result.RequestState == "" || strings.Contains(first, "inner") {
		t.Fatalf("the question is %s", first)
	}
	answer := `"inputResponses":{"k":{"action":"accept","content":{}}},"requestState":"`
	good := answer + asked.Result.RequestState + `",`
	for name, c := range map[string][5]string{
		"another user":       {p.mcp, eve, "modern__read", `{"a":1}`, good},
		"other arguments":    {p.mcp, ana, "modern__read", `{"a":2}`, good},
		"another tool":       {p.mcp, ana, "modern__wipe", `{"a":1}`, good},
		"changed":            {p.mcp, ana, "modern__read", `{"a":1}`, answer + "A" + asked.Result.RequestState + `",`},
		"the server's state": {p.mcp, ana, "modern__read", `{"a":1}`, answer + `inner",`},
	} {
		if body := call(c[0], c[1], c[2], c[3], c[4]); !strings.Contains(body, "-32602") {
			t.Errorf("a state of %s gets %s", name, body)
		}
	}
	if body := call(p.away, ana, "modern__read", `{"a":1}`, good); !strings.Contains(body, "done") {
		t.Errorf("its owner at the other node gets %s", body)
	}
}

// serverRequests asks a legacy client, and lets another user answer first.
func serverRequests(t *testing.T, p *pair, modern *raw, ana, eve string) {
	session := openVersion(t, p.mcp, ana, "2025-11-25", `{"elicitation":{}}`)
	foreign := openVersion(t, p.mcp, eve, "2025-11-25", `{"elicitation":{}}`)
	stream := openStream(t, http.MethodPost, p.mcp, ana, session, `{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":"modern__read","arguments":{}}}`)
	question := stream.next(t)
	var asked struct {
		ID     json.RawMessage
		Method string
	}
	if err := json.Unmarshal([]byte(question), &asked); err != nil || asked.Method != "elicitation/create" {
		t.Fatalf("the question is %s", question)
	}
	modern.take()
	posted := `{"jsonrpc":"2.0","id":` + string(asked.ID) + `,"result":{"action":"accept","content":{"by":"%s"}}}`
	status, body, _ := send(t, p.mcp, eve, fmt.Sprintf(posted, "eve"), "Mcp-Session-Id", foreign)
	if status/100 == 2 && modern.calls("tools/call") > 0 {
		t.Errorf("another user's answer gets %d %s and reaches the server", status, body)
	}
	if status, body, _ := send(t, p.mcp, ana, fmt.Sprintf(posted, "ana"), "Mcp-Session-Id", session); status != http.StatusAccepted {
		t.Errorf("the owner's answer gets %d %s", status, body)
	}
	if answer := stream.next(t); !strings.Contains(answer, "done") || !strings.Contains(answer, `"id":9`) {
		t.Errorf("the call is answered %s", answer)
	}
	for _, m := range modern.take() {
		if strings.Contains(string(m.body), `"eve"`) {
			t.Errorf("the server got %s", m.body)
		}
	}
}
