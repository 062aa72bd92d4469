package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// terminate has a process end in order, and waits for it.
func (p *process) terminate(t *testing.T) {
	t.Helper()
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(within):
		t.Fatal("it does not end")
	}
	if p.err != nil {
		t.Errorf("the end: %v", p.err)
	}
}

// tunnelled returns how many agents have tunnels to a node.
func (m *part) tunnelled(t *testing.T) float64 {
	t.Helper()
	return gauge(t, "http://"+m.mcp, "warder_node_agents")
}

// TestWhoStopsInOrderCostsNoCall stops each node, and the control plane, with SIGTERM while
// clients of both eras call, and starts it again. The balancer is plain: it learns that a node
// stops by its socket, which is closed. Then an agent is stopped, which nobody can stand in for.
func TestWhoStopsInOrderCostsNoCall(t *testing.T) {
	s := startSite(t)
	load := s.startTraffic(t)
	began := time.Now()
	steps := []string{}
	times := []time.Time{}
	step := func(what string) {
		steps, times = append(steps, what), append(times, time.Now())
	}
	for _, n := range s.nodes {
		load.flows(t, time.Now(), 50)
		step(fmt.Sprintf("%s stops, with tunnels of %v agents", n.name, n.tunnelled(t)))
		n.terminate(t)
		load.flows(t, time.Now(), 50)
		step(n.name + " starts again")
		s.restart(t, n)
		s.whole(t, within)
	}
	step("the control plane stops")
	s.control.terminate(t)
	load.flows(t, time.Now(), 50)
	step("the control plane starts again")
	s.startControlPlane(t)
	s.whole(t, within)
	load.flows(t, time.Now(), 100)
	load.end()
	reset := 0
	for _, p := range load.made() {
		if p.ok() {
			continue
		}
		// Who connects in the microseconds between a node's last look at its backlog and the close of
		// its socket is reset, which no program can help (internal/httpserver.Backlog).
		if p.err != nil && p.ended.Sub(p.began) < 10*time.Millisecond && reset == 0 {
			reset++
			t.Logf("a connection to node %d was reset before anybody took it", p.node)
			continue
		}
		i, _ := slices.BinarySearchFunc(times, p.began, time.Time.Compare)
		after := "at first"
		if i > 0 {
			after = fmt.Sprintf("%v after %s", p.began.Sub(times[i-1]).Round(time.Millisecond), steps[i-1])
		}
		t.Errorf("a call of %s at node %d failed, begun %s, ended after %v: %v %s", p.server, p.node, after, p.ended.Sub(p.began).Round(time.Millisecond), p.err, p.text)
	}
	t.Logf("%d calls in %v: %s", len(load.made()), time.Since(began).Round(time.Millisecond), strings.Join(steps, "; "))
	s.stopsAgent(t)
}

// stopsAgent stops an agent while a call runs there: that is answered, and the next ones say
// what is the matter.
func (s *site) stopsAgent(t *testing.T) {
	t.Helper()
	long := &caller{url: s.mcp, key: s.key, session: openVersion(t, s.mcp, s.key, "2025-11-25", `{}`)}
	response, err := long.begin(t.Context(), strings.Repeat("5", 32), "everything__trigger-long-running-operation",
		`{"duration":3,"steps":3}`, `,"_meta":{"progressToken":"steps"}`)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer := bufio.NewReader(response.Body)
	for line := ""; !strings.Contains(line, "notifications/progress"); { // The server works, so the call is at the agent.
		if line, err = answer.ReadString('\n'); err != nil {
			t.Fatalf("the call tells of no progress: %v %s", err, line)
		}
	}
	s.agents["south"].terminate(t)
	if text, err := io.ReadAll(answer); err != nil || !strings.Contains(string(text), "completed") {
		t.Errorf("the call that ran: %v %s", err, text)
	}
	for _, n := range s.nodes {
		p := (&caller{url: "http://" + n.mcp + "/mcp", key: s.key}).call("everything", "echo", `{"message":"hello"}`)
		if p.err != nil || !strings.Contains(p.text, `agent \"south\" is not connected`) {
			t.Errorf("a call at %s afterwards: %v %s", n.name, p.err, p.text)
		}
	}
	s.restart(t, s.agents["south"])
	s.whole(t, within)
}

// askingServer makes this test's own binary a server over stdio that asks its clients.
const askingServer = "WARDER_E2E_ASKING"

// serveAsking serves over stdio until its input ends. It is of the modern era: what it asks is the result of a call, which its
// client makes again with the answer.
func serveAsking() int {
	server := mcp.NewServer(&mcp.Implementation{Name: "asker", Version: "1"}, nil)
	question := &mcp.ElicitParams{Message: "Who?", RequestedSchema: map[string]any{"type": "object", "properties": map[string]any{"name": map[string]any{"type": "string"}}}}
	mcp.AddTool(server, &mcp.Tool{Name: "ask"}, func(_ context.Context, r *mcp.CallToolRequest, _ any) (*mcp.CallToolResult, any, error) {
		if answer, ok := r.Params.InputResponses["who"].(*mcp.ElicitResult); ok && r.Params.RequestState == "state of the asker" {
			return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: fmt.Sprint("hello ", answer.Content["name"])}}}, nil, nil
		}
		return &mcp.CallToolResult{InputRequests: mcp.InputRequestMap{"who": question}, RequestState: "state of the asker"}, nil, nil
	})
	if err := server.Run(context.Background(), &mcp.StdioTransport{}); err != nil && !errors.Is(err, io.EOF) {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// TestAnAnswerMayComeToAnotherNodeThanTheQuestion has servers of both eras over stdio ask clients of both
// eras, who answer at each other node than the one that holds the call.
func TestAnAnswerMayComeToAnotherNodeThanTheQuestion(t *testing.T) {
	s := startSite(t)
	admin(t, s.dataDir, "server", "add", "asker", "--agent", "south", "--env", askingServer+"=1", "--approve", "--", os.Args[0])
	if era := admin(t, s.dataDir, "server", "show", "asker")["server"].(object)["protocolVersion"]; era != "2026-07-28" {
		t.Fatalf("the server that asks is taken for one of %v", era)
	}
	for _, n := range s.nodes {
		eventually(t, n.name+" offers the server", func() bool {
			p := (&caller{url: "http://" + n.mcp + "/mcp", key: s.key}).call("asker", "ask", `{}`)
			return strings.Contains(p.text, "needs a client that can be asked") // This one cannot.
		})
	}
	const capabilities = `{"elicitation":{"form":{}},"sampling":{}}`
	for i, n := range s.nodes { // The tunnel ends here, or at another.
		for j, other := range s.nodes {
			if i == j {
				continue
			}
			for _, q := range questions {
				t.Run(fmt.Sprintf("%s of %s from %s to %s", q.method, q.server, n.name, other.name), func(t *testing.T) {
					session := openVersion(t, "http://"+n.mcp+"/mcp", s.key, "2025-11-25", capabilities)
					s.answersElsewhere(t, q, session, n, other)
					s.retriesElsewhere(t, q, capabilities, n, other)
				})
			}
		}
	}
}

// question is one that a server asks in a call.
type question struct{ server, tool, arguments, method, answer, has string }

// questions are those of server-everything, which is of the legacy era, and that of a server of the modern one.
var questions = []question{
	{"everything", "trigger-elicitation-request", `{}`, "elicitation/create", `{"action":"accept","content":{"name":"Ana of the other node"}}`, "Ana of the other node"},
	{"everything", "trigger-sampling-request", `{"prompt":"why?","maxTokens":10}`, "sampling/createMessage",
		`{"role":"assistant","model":"m","content":{"type":"text","text":"because of the other node"}}`, "because of the other node"},
	{"asker", "ask", `{}`, "elicitation/create", `{"action":"accept","content":{"name":"Ana of the other node"}}`, "hello Ana of the other node"},
}

// answersElsewhere is a client of the older versions: it posts the response.
func (s *site) answersElsewhere(t *testing.T, q question, session string, n, other *part) {
	t.Helper()
	calls := openStream(t, http.MethodPost, "http://"+n.mcp+"/mcp", s.key, session,
		`{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":"`+q.server+`__`+q.tool+`","arguments":`+q.arguments+`}}`)
	for {
		var m struct {
			ID     json.RawMessage
			Method string
		}
		text := calls.next(t)
		if err := json.Unmarshal([]byte(text), &m); err != nil {
			t.Fatal(err)
		}
		switch m.Method {
		case q.method:
			status, body, _ := send(t, "http://"+other.mcp+"/mcp", s.key, `{"jsonrpc":"2.0","id":`+string(m.ID)+`,"result":`+q.answer+`}`, "Mcp-Session-Id", session)
			if status != http.StatusAccepted {
				t.Fatalf("the answer gets %d %s", status, body)
			}
		case "":
			if !strings.Contains(text, q.has) {
				t.Errorf("the call is answered %s", text)
			}
			return
		}
	}
}

// retriesElsewhere is a client of 2026-07-28: it makes the request again, with the answers.
func (s *site) retriesElsewhere(t *testing.T, q question, capabilities string, n, other *part) {
	t.Helper()
	call := func(at *part, rest string) string {
		t.Helper()
		body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + q.server + `__` + q.tool + `","arguments":` + q.arguments + `,` + rest +
			`"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":` + capabilities + `}}}`
		_, answer, _ := send(t, "http://"+at.mcp+"/mcp", s.key, body, modernHeader("tools/call", q.server+"__"+q.tool)...)
		return answer
	}
	first := call(n, "")
	var asked struct {
		Result struct {
			RequestState  string
			InputRequests map[string]struct{ Method string }
		}
	}
	if err := json.Unmarshal([]byte(first), &asked); err != nil || len(asked.Result.InputRequests) != 1 {
		t.Fatalf("the question is %s (%v)", first, err)
	}
	for name, request := range asked.Result.InputRequests {
		if request.Method != q.method {
			t.Errorf("asked is %s", request.Method)
		}
		if answer := call(other, fmt.Sprintf(`"inputResponses":{%q:%s},"requestState":%q,`, name, q.answer, asked.Result.RequestState)); !strings.Contains(answer, q.has) {
			t.Errorf("the call is answered %s", answer)
		}
	}
}
