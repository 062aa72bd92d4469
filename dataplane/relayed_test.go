package dataplane

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/warder-gateway/warder/internal/apikey"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/tunnel"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

// callModern calls a tool of files as a client of 2026-07-28 does, with further members of params. The error is one of ctx, or of
// the connection.
func (p *process) callModern(ctx context.Context, key apikey.Key, tool, further string) (body string, err error) {
	p.t.Helper()
	name := "files__" + tool
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+"/mcp", strings.NewReader(
		`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"`+name+`","arguments":{},`+further+
			`"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"elicitation":{"form":{}}}}}}`))
	if err != nil {
		p.t.Fatal(err)
	}
	for name, value := range map[string]string{
		"Authorization": "Bearer " + key.String(), "Content-Type": "application/json", "Accept": "application/json, text/event-stream",
		"Mcp-Protocol-Version": mcp.Version20260728, "Mcp-Method": mcp.MethodToolsCall, "Mcp-Name": name,
	} {
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return string(text), err
}

// account is what a node has recorded of tool calls, in short.
func (d *directory) account(t *testing.T, node string) (lines []string) {
	t.Helper()
	calls := make(map[string]bool)
	for _, e := range d.recorded(t, node) {
		id := string(e.GetCallId())
		calls[id] = calls[id] || e.GetMethod() == mcp.MethodToolsCall
		switch {
		case !calls[id]: // A session has begun.
		case e.GetKind() == auditv1.EventKind_EVENT_KIND_INTENT:
			lines = append(lines, fmt.Sprintf("intent of %s/%s at revision %d", e.GetServer(), e.GetTool(), e.GetRevision()))
		case e.GetKind() == auditv1.EventKind_EVENT_KIND_RESULT:
			lines = append(lines, "result "+e.GetOutcome().String())
		default:
			lines = append(lines, fmt.Sprintf("%s by %s at revision %d", e.GetKind(), e.GetRule(), e.GetRevision()))
		}
	}
	return lines
}

// A call is decided and recorded by the node that its client came to, and by no other. One node of these has not heard yet of
// the role that lets ana call get: it relays her calls, and asks its own policy only of those that come to itself.
func TestARelayedCallIsDecidedAndRecordedOnceByTheNodeThatMetItsClient(t *testing.T) {
	ca := newAuthority(t)
	w, key := laptopWorld(t)
	older := *w
	older.Items = slices.Clone(w.Items)
	older.Role("dev", "files/put")
	w.Role("dev", "files/*")
	d := startDirectory(t, ca, w.Set(2))
	d.others = map[string]*syncv1.Update{"behind": updateOf(t, older.Set(1))}
	one, behind, three := d.startNode(t, ca, "node-1"), d.startNode(t, ca, "behind"), d.startNode(t, ca, "node-3")

	var served atomic.Int64
	serves := elicitor{t: t, level: func(string) { served.Add(1) }}
	listed := func(what string) {
		t.Helper()
		for _, p := range []*process{one, behind, three} {
			await(t, what, func() bool {
				_, body := p.post(key, listMessage)
				return strings.Contains(body, "files__put") == (what == "listed")
			})
		}
	}
	call := func(p *process, want string, calls int64) {
		t.Helper()
		if body, err := p.callModern(t.Context(), key, "get", ""); err != nil || !strings.Contains(body, want) {
			t.Errorf("the call is answered %s, %v; want %q", body, err, want)
		}
		if got := served.Load(); got != calls {
			t.Errorf("the server has %d calls, want %d", got, calls)
		}
	}
	_, kill := d.attachWith(t, ca.agent("laptop"), "behind", serves)
	listed("listed")
	call(one, "got it", 1) // By the node that would deny it.
	for name, p := range map[string]*process{"behind": behind, "node-3": three} {
		if _, metrics := p.get("/metrics"); strings.Contains(metrics, "warder_decisions_total{") {
			t.Errorf("%s has decided something, though no client called there", name)
		}
	}
	call(behind, "Denied by policy", 1) // Though the tunnel is here.
	kill()
	listed("withdrawn")
	d.attachWith(t, ca.agent("laptop"), "node-3", serves)
	listed("listed")
	call(behind, "Denied by policy", 1) // Though the node would allow it that has the tunnel.
	call(one, "got it", 2)

	for _, p := range []*process{one, behind, three} {
		if err := p.stop(); err != nil {
			t.Error(err)
		}
	}
	allowed := []string{"intent of files/get at revision 2", "result OUTCOME_OK"}
	denied := "EVENT_KIND_REFUSAL by default-deny at revision 1"
	for name, want := range map[string][]string{"node-1": slices.Repeat(allowed, 2), "behind": {denied, denied}, "node-3": nil} {
		if got := d.account(t, name); !slices.Equal(got, want) {
			t.Errorf("%s recorded\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// examiner is a modern server at an agent. It asks who calls, and goes on when its own state and an answer come. An answer
// "nobody" it keeps to itself until nobody waits for it.
type examiner struct {
	t           *testing.T
	began, left chan struct{}
}

func (e examiner) Serve(ctx context.Context, in *tunnel.Incoming, w tunnel.Answer) {
	body, err := in.ReadAll(1 << 20)
	var request mcp.Request
	if err != nil || mcp.ScanRequest(body, mcp.Limits{}, &request) != nil {
		e.t.Errorf("the agent got %s: %v", body, err)
		return
	}
	var answers map[string]struct{ Content struct{ Name string } }
	result := `{"resultType":"input_required","inputRequests":{"who":{"method":"elicitation/create","params":{"mode":"form",` +
		`"message":"Who?","requestedSchema":{"type":"object","properties":{"name":{"type":"string"}}}}}},"requestState":"state of the server"}`
	if !request.InputResponses.Empty() {
		if err := json.Unmarshal(request.InputResponses.Of(body), &answers, json.MatchCaseInsensitiveNames(true)); err != nil {
			e.t.Errorf("the answers are %s: %v", body, err)
		}
		if state := string(request.RequestState.Of(body)); state != `"state of the server"` {
			e.t.Errorf("the server gets the state %s", state)
		}
		result = `{"resultType":"complete","content":[{"type":"text","text":"hello ` + answers["who"].Content.Name + `"}]}`
	}
	if answers["who"].Content.Name == "nobody" {
		e.began <- struct{}{}
		<-ctx.Done()
		e.left <- struct{}{}
		return
	}
	answer := fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":%s}`, request.ID.Of(body), result)
	if err := w.Reply(http.StatusOK, []tunnel.Field{{Name: "content-type", Value: "application/json"}}, []byte(answer)); err != nil {
		e.t.Errorf("answer: %v", err)
	}
}

// answering is what a client adds to the request that it makes again, having been asked.
func answering(t *testing.T, question, name string) string {
	t.Helper()
	var asked struct {
		Result struct {
			ResultType, RequestState string
			InputRequests            map[string]struct{ Method string }
		}
	}
	err := json.Unmarshal([]byte(question), &asked, json.MatchCaseInsensitiveNames(true))
	if err != nil || asked.Result.ResultType != "input_required" || asked.Result.InputRequests["who"].Method != "elicitation/create" {
		t.Fatalf("the question is %s, %v", question, err)
	}
	return fmt.Sprintf(`"inputResponses":{"who":{"action":"accept","content":{"name":%q}}},"requestState":%q,`, name, asked.Result.RequestState)
}

// A modern client that a modern server of an agent asks for input makes its request again at any node: where the tunnel is,
// where it is not, where it was asked or elsewhere. What it then cancels ends at the server, too. Each leg is
// recorded where it came.
func TestAModernQuestionAskedAtOneNodeIsAnsweredOrGivenUpAtAnyOther(t *testing.T) {
	ca := newAuthority(t)
	w, key := laptopWorld(t)
	w.Role("dev", "files/*")
	d := startDirectory(t, ca, w.Set(1))
	names := []string{"node-1", "node-2", "node-3"}
	var nodes []*process
	for _, name := range names {
		nodes = append(nodes, d.startNode(t, ca, name))
	}
	server := examiner{t: t, began: make(chan struct{}, 9), left: make(chan struct{}, 9)} // Nobody may read them after a failure.
	d.attachWith(t, ca.agent("laptop"), "node-1", server)
	for _, p := range nodes {
		await(t, "tools are listed", func() bool { _, body := p.post(key, listMessage); return strings.Contains(body, "files__put") })
	}
	ask := func(p *process) string {
		t.Helper()
		question, err := p.callModern(t.Context(), key, "put", "")
		if err != nil {
			t.Fatal(err)
		}
		return question
	}
	for i, asked := range nodes {
		for j, p := range nodes {
			body, err := p.callModern(t.Context(), key, "put", answering(t, ask(asked), "Ana"))
			if err != nil || !strings.Contains(body, "hello Ana") {
				t.Errorf("asked at %s and answered at %s: %s, %v", names[i], names[j], body, err)
			}
			further := answering(t, ask(asked), "nobody")
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() {
				_, err := p.callModern(ctx, key, "put", further)
				ended <- err
			}()
			within(t, server.began, "the call is not with the server")
			cancel()
			within(t, server.left, "the server goes on with a call that its client gave up")
			if err := <-ended; err == nil {
				t.Error("a call that was given up has an answer")
			}
		}
	}
	for i, p := range nodes {
		if err := p.stop(); err != nil {
			t.Error(err)
		}
		want := slices.Concat(slices.Repeat([]auditv1.Outcome{auditv1.Outcome_OUTCOME_OK}, 3),
			slices.Repeat([]auditv1.Outcome{auditv1.Outcome_OUTCOME_CANCELLED}, 3), slices.Repeat([]auditv1.Outcome{auditv1.Outcome_OUTCOME_INPUT_REQUIRED}, 6))
		if got := d.calls(t, names[i]); !slices.Equal(got, want) {
			t.Errorf("%s recorded %v, want %v", names[i], got, want)
		}
	}
}

// within waits for something that has to come soon.
func within(t *testing.T, soon <-chan struct{}, otherwise string) {
	t.Helper()
	select {
	case <-soon:
	case <-time.After(10 * time.Second):
		t.Fatal(otherwise)
	}
}
