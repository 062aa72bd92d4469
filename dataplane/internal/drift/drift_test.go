package drift

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/gate"
	"github.com/warder-gateway/warder/dataplane/internal/gate/gatetest"
	"github.com/warder-gateway/warder/dataplane/internal/upstream"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/policy"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// lister is a server that a test changes while it runs.
type lister struct {
	mu    sync.Mutex
	pages map[string][]string // by method, the definitions of each page, joined
	fails error               // instead of any answer
	away  string              // unless empty, why the server cannot be reached
	hangs chan struct{}       // answers wait for it
	asked []string            // methods
	on    func()              // before each answer
}

func (l *lister) Do(ctx context.Context, call *upstream.Call, _ upstream.Sink) (*upstream.Answer, error) {
	l.mu.Lock()
	l.asked = append(l.asked, call.Request.Method)
	pages, fails, away, hangs, on := l.pages[call.Request.Method], l.fails, l.away, l.hangs, l.on
	l.mu.Unlock()
	if on != nil {
		on()
	}
	if hangs != nil {
		select {
		case <-hangs:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if fails != nil {
		return nil, fails
	}
	if away != "" {
		body := mcp.WriteError(nil, []byte("1"), mcp.CodeUnavailable, away, nil)
		return &upstream.Answer{Body: body, Outcome: auditv1.Outcome_OUTCOME_SERVER_FAILED, Error: away}, nil
	}
	if pages == nil {
		body := mcp.WriteError(nil, []byte("1"), mcp.CodeMethodNotFound, "no", nil)
		return &upstream.Answer{Body: body, Outcome: auditv1.Outcome_OUTCOME_PROTOCOL_ERROR}, nil
	}
	page := 0
	if cursor := call.Request.Param(call.Body, "cursor"); !cursor.Empty() {
		text, err := mcp.String(cursor.Of(call.Body))
		if err != nil {
			return nil, err
		}
		if _, err := fmt.Sscan(text, &page); err != nil {
			return nil, err
		}
	}
	member := map[string]string{
		mcp.MethodToolsList: "tools", mcp.MethodPromptsList: "prompts", mcp.MethodResourcesList: "resources", mcp.MethodResourceTemplates: "resourceTemplates",
	}[call.Request.Method]
	next := ""
	if page+1 < len(pages) {
		next = fmt.Sprintf(`"nextCursor":"%d",`, page+1)
	}
	body := fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"result":{%s"%s":[%s]}}`, next, member, pages[page])
	return &upstream.Answer{Body: []byte(body), Outcome: auditv1.Outcome_OUTCOME_OK}, nil
}

func (l *lister) offer(method string, pages ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pages == nil {
		l.pages = make(map[string][]string)
	}
	l.pages[method] = pages
}

func (l *lister) readings() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.asked)
}

// rig is a Watch of a node with one server, of which tools a and b, a prompt, a
// resource and a template are approved.
type rig struct {
	*Watch
	server *lister
	index  *gate.Index
}

func definition(member, name, text string) string {
	return fmt.Sprintf(`{%q:%q,"description":%q,"inputSchema":{"type":"object"}}`, member, name, text)
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{server: new(lister)}
	r.index = build(t, "old")
	r.Watch = New(Config{Upstream: r.server, Current: func() *gate.Index { return r.index }, Log: slog.New(slog.DiscardHandler)})
	r.offerAll("old")
	return r
}

func (r *rig) offerAll(text string) {
	r.server.offer(mcp.MethodToolsList, definition("name", "a", text), definition("name", "b", "old"))
	r.server.offer(mcp.MethodPromptsList, definition("name", "p", text))
	r.server.offer(mcp.MethodResourcesList, definition("uri", "x:r", text))
	r.server.offer(mcp.MethodResourceTemplates, definition("uriTemplate", "y:{t}", text))
}

// build makes an index in which all but tool b is approved with a text.
func build(t *testing.T, text string) *gate.Index {
	t.Helper()
	w := gatetest.New(t)
	w.Server("s")
	pin := func(definition string, to, hash *[]byte) {
		sum, err := mcp.DefinitionHash([]byte(definition))
		if err != nil {
			t.Fatal(err)
		}
		*to, *hash = []byte(definition), sum[:]
	}
	a, b := w.Tool("s", "a", snapshotv1.Risk_RISK_READ), w.Tool("s", "b", snapshotv1.Risk_RISK_READ)
	pin(definition("name", "a", text), &a.Definition, &a.DefinitionHash)
	pin(definition("name", "b", "old"), &b.Definition, &b.DefinitionHash)
	p, r, y := w.Prompt("s", "p"), w.Resource("s", "x:r"), w.Template("s", "y:{t}")
	pin(definition("name", "p", text), &p.Definition, &p.DefinitionHash)
	pin(definition("uri", "x:r", text), &r.Definition, &r.DefinitionHash)
	pin(definition("uriTemplate", "y:{t}", text), &y.Definition, &y.DefinitionHash)
	return w.Index(1)
}

func (r *rig) entry(t *testing.T, kind policy.Kind, name string) *gate.Entry {
	t.Helper()
	server, _ := r.index.Server("s")
	entry, _, ok := r.index.Resolve(kind, server, name)
	if !ok {
		t.Fatalf("%s is not in the index", name)
	}
	return entry
}

func (r *rig) check(t *testing.T, name string) error {
	t.Helper()
	return r.Check(t.Context(), r.entry(t, policy.Tool, name))
}

func TestWithoutADoubtNothingIsAskedAndNothingAllocated(t *testing.T) {
	r := newRig(t)
	entry := r.entry(t, policy.Tool, "a")
	if n := testing.AllocsPerRun(100, func() {
		if err := r.Check(t.Context(), entry); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	r.Suspect("nobody")
	if err := r.check(t, "a"); err != nil || r.server.readings() != 0 || r.held.Load() != 0 {
		t.Errorf("%v after %d readings", err, r.server.readings())
	}
}

// TestT04_ACallAfterAChangeIsHeldUntilTheListWasRead holds T-04 for every kind of entry.
func TestT04_ACallAfterAChangeIsHeldUntilTheListWasRead(t *testing.T) {
	for kind, name := range map[string]policy.Kind{"a": policy.Tool, "p": policy.Prompt, "x:r": policy.Resource, "y:1": policy.Resource} {
		r := newRig(t)
		entry := r.entry(t, name, kind)
		r.Suspect("s")
		if err := r.Check(t.Context(), entry); err != nil || r.server.readings() == 0 {
			t.Errorf("%s: as approved: %v after %d readings", kind, err, r.server.readings())
		}
		before := r.server.readings()
		if err := r.Check(t.Context(), entry); err != nil || r.server.readings() != before {
			t.Errorf("%s: looked again without a reason: %v", kind, err)
		}
		r.offerAll("new")
		r.Suspect("s")
		if err := r.Check(t.Context(), entry); !errors.Is(err, ErrChanged) {
			t.Errorf("%s: changed: %v", kind, err)
		}
	}
}

// TestOnlyWhatChangedIsRefused holds it for tools on several pages, gone ones and
// such as come twice.
func TestOnlyWhatChangedIsRefused(t *testing.T) {
	old, other := definition("name", "a", "old"), definition("name", "b", "old")
	for why, pages := range map[string][]string{
		"another text":        {definition("name", "a", "new"), other},
		"gone":                {other},
		"twice":               {old + "," + definition("name", "a", "new"), other},
		"twice, the old last": {definition("name", "a", "new"), other, old},
	} {
		r := newRig(t)
		r.server.offer(mcp.MethodToolsList, pages...)
		r.Suspect("s")
		if err := r.check(t, "a"); !errors.Is(err, ErrChanged) {
			t.Errorf("%s: %v", why, err)
		}
		if err := r.check(t, "b"); err != nil {
			t.Errorf("%s: the other tool: %v", why, err)
		}
	}
	r := newRig(t)
	r.server.offer(mcp.MethodToolsList, `{"name":7},`+old+`,{"name":"new"}`, other)
	r.Suspect("s")
	if err := r.check(t, "a"); err != nil {
		t.Errorf("what is nameless or new is no reason: %v", err)
	}
}

func TestWhatAPersonApprovedMeanwhileGoesOn(t *testing.T) {
	r := newRig(t)
	r.offerAll("new")
	r.Suspect("s")
	if err := r.check(t, "a"); !errors.Is(err, ErrChanged) {
		t.Fatal(err)
	}
	r.index = build(t, "new")
	before := r.server.readings()
	if err := r.check(t, "a"); err != nil || r.server.readings() != before {
		t.Errorf("approved as it is now: %v", err)
	}
}

// TestAServerThatIsAsItWasIsServedAgain also without saying so, but is not asked by
// each refused call.
func TestAServerThatIsAsItWasIsServedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.offerAll("new")
		r.Suspect("s")
		for range 10 {
			if err := r.check(t, "a"); !errors.Is(err, ErrChanged) {
				t.Fatal(err)
			}
		}
		if n := r.server.readings(); n != 2 { // Two pages.
			t.Errorf("%d pages were read for ten refused calls", n)
		}
		r.offerAll("old")
		time.Sleep(r.config.Again)
		if err := r.check(t, "a"); err != nil {
			t.Errorf("as it was: %v", err)
		}
		if r.held.Load() != 1 { // Nobody asked for the other lists yet.
			t.Errorf("%d servers in doubt", r.held.Load())
		}
	})
}

func TestNoCallWaitsLongerThanItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.server.hangs = make(chan struct{})
		r.Suspect("s")
		start := time.Now()
		if err := r.check(t, "a"); !errors.Is(err, ErrUncertain) {
			t.Error(err)
		}
		if took := time.Since(start); took != r.config.HoldTime {
			t.Errorf("it waited %v", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := r.Check(ctx, r.entry(t, policy.Tool, "a")); !errors.Is(err, ErrUncertain) || time.Since(start) > r.config.HoldTime+time.Second {
			t.Errorf("gone: %v", err)
		}
		close(r.server.hangs)
		if err := r.check(t, "a"); err != nil {
			t.Errorf("once it answers: %v", err)
		}
	})
}

func TestAListThatCannotBeReadIsNoProof(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.server.fails = errors.New("down")
		r.Suspect("s")
		for range 10 {
			if err := r.check(t, "a"); !errors.Is(err, ErrUncertain) {
				t.Fatal(err)
			}
		}
		if n := r.server.readings(); n != 1 {
			t.Errorf("a server that is down was asked %d times at once", n)
		}
		r.server.fails, r.server.away = nil, `agent "laptop" is not connected`
		time.Sleep(r.config.Again / 10)
		if err := r.check(t, "a"); !errors.Is(err, ErrUncertain) || !strings.Contains(fault.Text(err), r.server.away) {
			t.Errorf("of a server that is away its callers are told %q", fault.Text(err))
		}
		r.server.away = ""
		time.Sleep(r.config.Again / 10)
		if err := r.check(t, "a"); err != nil {
			t.Errorf("back: %v", err)
		}
	})
	for why, page := range map[string]string{"no list": ``, "not JSON": `{`, "a name twice": `{"name":"a","x":{"y":1,"y":2}}`} {
		r := newRig(t)
		r.server.offer(mcp.MethodToolsList, page)
		if why == "no list" {
			r.server.pages[mcp.MethodToolsList] = nil // It says that it has no tools.
		}
		r.Suspect("s")
		if err := r.check(t, "a"); err == nil {
			t.Errorf("%s: passes", why)
		}
	}
}

// TestAnEndlessListIsGivenUp bounds what a server can make the node do.
func TestAnEndlessListIsGivenUp(t *testing.T) {
	for why, page := range map[string]func(int) string{
		"pages":   func(i int) string { return fmt.Sprintf(`{"name":"t%d"}`, i) },
		"entries": func(i int) string { return strings.Repeat(`{"name":"t"},`, 200) + `{"name":"t"}` },
		"bytes":   func(i int) string { return `{"name":"t","x":"` + strings.Repeat("x", 1<<20) + `"}` },
	} {
		r := newRig(t)
		pages := make([]string, 1_100)
		one := page(0)
		for i := range pages {
			pages[i] = one
		}
		r.server.offer(mcp.MethodToolsList, pages...)
		r.Suspect("s")
		if err := r.check(t, "a"); !errors.Is(err, ErrUncertain) {
			t.Errorf("%s: %v", why, err)
		}
	}
}

// TestCallsThatWaitShareOneReading and those that come after another notification
// wait for another.
func TestCallsThatWaitShareOneReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.server.offer(mcp.MethodToolsList, definition("name", "a", "old")+","+definition("name", "b", "old"))
		hangs := make(chan struct{})
		r.server.hangs = hangs
		r.Suspect("s")
		results := make(chan error, 101)
		for range 100 {
			go func() { results <- r.check(t, "a") }()
		}
		synctest.Wait()
		if n := r.server.readings(); n != 1 {
			t.Errorf("%d readings for a hundred calls", n)
		}
		r.Suspect("s") // While the list is being read: what was read may be old.
		r.server.offer(mcp.MethodToolsList, definition("name", "a", "new"))
		late := make(chan error, 1)
		go func() { late <- r.check(t, "a") }()
		synctest.Wait()
		close(hangs)
		for range 100 {
			if err := <-results; err != nil && !errors.Is(err, ErrChanged) {
				t.Errorf("a call from before: %v", err)
			}
		}
		if err := <-late; !errors.Is(err, ErrChanged) {
			t.Errorf("the call after the second notification: %v", err)
		}
		if n := r.server.readings(); n != 2 {
			t.Errorf("%d readings", n)
		}
	})
}

// TestAServerThatAlwaysSaysThatItChangedIsServed holds that its calls wait for one
// reading each, and not for it to fall silent.
func TestAServerThatAlwaysSaysThatItChangedIsServed(t *testing.T) {
	r := newRig(t)
	r.server.on = func() { r.Suspect("s") }
	r.Suspect("s")
	for range 5 {
		before := r.server.readings()
		if err := r.check(t, "a"); err != nil || r.server.readings() != before+2 {
			t.Errorf("%v after %d pages", err, r.server.readings()-before)
		}
	}
}

func TestDoubtsEndWithTheirServer(t *testing.T) {
	r := newRig(t)
	r.Suspect("s")
	r.Retain(r.index.Servers())
	if r.held.Load() != 1 || len(r.doubts) != 1 {
		t.Errorf("held %d", r.held.Load())
	}
	r.Retain(nil)
	if r.held.Load() != 0 || len(r.doubts) != 0 {
		t.Errorf("held %d, %v", r.held.Load(), r.doubts)
	}
	r.Suspect("s")
	for _, kind := range []struct {
		policy.Kind
		name string
	}{{policy.Tool, "a"}, {policy.Prompt, "p"}, {policy.Resource, "x:r"}, {policy.Resource, "y:1"}} {
		if err := r.Check(t.Context(), r.entry(t, kind.Kind, kind.name)); err != nil {
			t.Error(err)
		}
	}
	if r.held.Load() != 0 || len(r.doubts) != 0 {
		t.Errorf("after all lists were read: held %d, %v", r.held.Load(), r.doubts)
	}
}
