package notice

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/dataplane/internal/gate"
	"github.com/warder-gateway/warder/dataplane/internal/upstream"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/mcp"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

func TestModernStreamBeginsWithWhatIsHonoured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		w.items.Rule(&snapshotv1.Rule{Id: "1", Effect: snapshotv1.Effect_EFFECT_DENY, Resources: []string{"github/file:///b"}})
		w.publish()
		defer w.end()
		sub := w.modern("ana", "github+file:///a", "github+file:///b", "github+file:///a", "nobody+file:///a")
		sub.ID = []byte(`"x\u00e9-9007199254740993"`)
		o := w.open(sub)

		// The servers offer no prompts; b is denied, the doubled URI is told once, and an unknown one is left out.
		o.want(`{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":` +
			`"x\u00e9-9007199254740993"},"notifications":{"toolsListChanged":true,"resourcesListChanged":true,"resourceSubscriptions":["github+file:///a"]}}}`)
		w.wantHeard("files", "github", "github file:///a")
	})
}

func TestModernStreamWaitsForItsServersBeforeItIsAcknowledgedButNotForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		defer w.end()
		w.servers.silent = true
		o := w.open(w.modern("ana"))
		o.want()
		pass(hearingPatience - time.Millisecond)
		o.want()
		pass(time.Millisecond)
		o.want(allAcked)
	})
}

func TestLegacyStreamBeginsWithNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		defer w.end()
		o := w.open(w.legacy("ana", 1))
		pass(time.Minute)
		o.want()
	})
}

func TestNothingIsSentThatWasNotAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		defer w.end()
		sub := w.modern("ana")
		sub.Filter = mcp.ListenFilter{Tools: true}
		o := w.open(sub)
		o.take()
		w.say("github", resourcesChanged)
		w.say("github", logged)
		pass(time.Second)
		o.want()
		w.say("github", toolsChanged)
		pass(time.Second)
		o.want(stampedTools)
	})
}

// All streams wait while what one of them asks for is looked at.
func TestHonoursABoundedNumberOfResources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		defer w.end()
		uris := []string{"files+file:///" + strings.Repeat("a", maxResourceBytes)}
		for i := range 100_000 {
			uris = append(uris, fmt.Sprintf("files+x:%d", i))
		}
		o := w.open(w.modern("ana", uris...))
		messages := o.take()
		if len(messages) != 1 || strings.Count(messages[0], "files+") != maxResources || strings.Contains(messages[0], "file:///") {
			t.Errorf("%d messages acknowledge %.300s", len(messages), messages)
		}
	})
}

func TestRefusesWhoHasNoRightToAStream(t *testing.T) {
	tests := map[string]struct {
		change func(w *world, sub *Subscription)
		want   fault.Kind
	}{
		"key is gone": {func(w *world, _ *Subscription) {
			w.items.Deny(snapshotv1.DenyKind_DENY_KIND_KEY, w.keys["ana"], "lost")
			w.publish()
		}, fault.Unauthenticated},
		"key is somebody else's": {func(w *world, sub *Subscription) {
			other := *sub.Caller
			principal := *other.Principal
			principal.User = "bob"
			other.Principal = &principal
			sub.Caller = &other
		}, fault.Unauthenticated},
		"session has ended":   {func(w *world, sub *Subscription) { w.board.End(sub.Session.ID, sub.Session.Expires) }, fault.NotFound},
		"session has expired": {func(w *world, sub *Subscription) { sub.Session.Expires = time.Now() }, fault.NotFound},
		"server is unknown":   {func(w *world, sub *Subscription) { sub.Server = "nobody" }, fault.NotFound},
		"node goes down":      {func(w *world, sub *Subscription) { w.board.Drain() }, fault.Unavailable},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Config{})
				defer w.end()
				sub := w.legacy("ana", 1)
				test.change(w, sub)
				o := w.open(sub)
				if !o.isDone() || fault.KindOf(o.err) != test.want {
					t.Errorf("error is %v, want kind %v", o.err, test.want)
				}
				o.want()
			})
		})
	}
}

func TestBoundsStreamsPerNodeAndPerKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{Streams: 3, StreamsPerKey: 2})
		defer w.end()
		first := w.open(w.legacy("ana", 1))
		w.open(w.legacy("ana", 2))
		if o := w.open(w.legacy("ana", 3)); fault.KindOf(o.err) != fault.Exhausted {
			t.Errorf("a third stream of one key: %v", o.err)
		}
		w.open(w.legacy("bob", 4))
		if o := w.open(w.legacy("bob", 5)); fault.KindOf(o.err) != fault.Exhausted {
			t.Errorf("a fourth stream of the node: %v", o.err)
		}
		first.cancel()
		synctest.Wait()
		if o := w.open(w.legacy("bob", 6)); o.isDone() {
			t.Errorf("a place that was given back is not there: %v", o.err)
		}
	})
}

func TestClosesStreamsThatLostTheirRight(t *testing.T) {
	ended := func(code int) string {
		return fmt.Sprintf(`{"jsonrpc":"2.0","id":7,"error":{"code":%d,"message":"`, code)
	}
	tests := map[string]struct {
		change func(w *world)
		modern string
	}{
		"key revoked": {func(w *world) {
			w.items.Deny(snapshotv1.DenyKind_DENY_KIND_KEY, w.keys["ana"], "lost")
			w.publish()
		}, ended(mcp.CodeUnauthenticated) + `The credential of this stream is no longer valid"}}`},
		"server hidden": {func(w *world) {
			w.items.Rule(&snapshotv1.Rule{Id: "1", Effect: snapshotv1.Effect_EFFECT_DENY, Tools: []string{"github/*"}, Resources: []string{"github/*"}, Prompts: []string{"github/*"}})
			w.publish()
		}, ended(mcp.CodeInvalidParams) + `Unknown server"}}`},
		"user denied": {func(w *world) {
			w.items.Deny(snapshotv1.DenyKind_DENY_KIND_USER, "ana", "left")
			w.publish()
		}, ended(mcp.CodeUnauthenticated) + `The credential of this stream is no longer valid"}}`},
		"application denied, on the aggregate": {func(w *world) {
			w.items.Deny(snapshotv1.DenyKind_DENY_KIND_APPLICATION, w.modern("ana").Caller.Principal.Application, "stolen")
			w.publish()
		}, ended(mcp.CodeUnauthenticated) + `The credential of this stream is no longer valid"}}`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Config{})
				defer w.end()
				modern, legacy := w.modern("ana"), w.legacy("ana", 1)
				if !strings.Contains(name, "aggregate") {
					modern.Server, legacy.Server = "github", "github"
				}
				m, l := w.open(modern), w.open(legacy)
				m.take()
				test.change(w)
				synctest.Wait() // no time passes
				if !m.isDone() || !l.isDone() {
					t.Fatal("the streams are still open")
				}
				m.want(test.modern)
				l.want()
				pass(lingerTime)
				w.wantHeard()
			})
		})
	}
}

func TestClosesStreamsWhenTheKeyExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		defer w.end()
		for _, item := range w.items.Items {
			if key := item.GetKey(); key != nil && key.User == "ana" {
				key.ExpiresAt = timestamppb.New(time.Now().Add(time.Hour + time.Millisecond))
			}
		}
		w.publish()
		o := w.open(w.modern("ana"))
		o.take()
		pass(time.Hour)
		if o.isDone() {
			t.Fatal("closed too early")
		}
		pass(time.Millisecond)
		if !o.isDone() {
			t.Fatal("the stream outlives its key")
		}
		o.want(`{"jsonrpc":"2.0","id":7,"error":{"code":1401,"message":"The credential of this stream has expired"}}`)
	})
}

func TestEndOfASessionClosesItsStreamAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		defer w.end()
		sub := w.legacy("ana", 1)
		o, other := w.open(sub), w.open(w.legacy("ana", 2))
		w.board.SetLevel(sub.Session.ID, "info")
		w.board.End(sub.Session.ID, sub.Session.Expires)
		synctest.Wait()
		if !o.isDone() || other.isDone() {
			t.Errorf("closed: %v, another session's: %v", o.isDone(), other.isDone())
		}
		if w.board.Level(sub.Session.ID) != "" {
			t.Error("an ended session still has a level")
		}
		if !w.board.Ended(sub.Session.ID) || w.board.Ended([16]byte{2, 15: 2}) {
			t.Error("the wrong session has ended")
		}
	})
}

func TestDrainSaysGoodbye(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		m, l := w.open(w.modern("ana")), w.open(w.legacy("ana", 1, "github"))
		m.take()
		w.board.Drain()
		synctest.Wait()
		if !m.isDone() || !l.isDone() || m.err != nil || l.err != nil {
			t.Errorf("still open, or an error: %v, %v", m.err, l.err)
		}
		m.want(graceful)
		l.want()
		w.wantHeard()
	})
}

func TestSlowClientIsClosedAndDelaysNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		defer w.end()
		slow := &opened{t: t, gate: make(chan struct{})}
		w.openWith(w.legacy("ana", 1, "github"), slow)
		quick := w.open(w.legacy("bob", 2, "files"))
		for range maxQueueMessages + 1 { // one is being written
			if err := w.say("github own-github", logged); err != nil {
				t.Fatalf("closed too early: %v", err)
			}
		}
		w.say("github own-github", logged)
		w.say("files own-files", logged)
		quick.want(logged)
		close(slow.gate)
		synctest.Wait()
		if !slow.isDone() {
			t.Fatal("a stream that missed a message is still open")
		}
		if got := slow.take(); len(got) != 1 {
			t.Errorf("%d messages were written after one was missed", len(got)-1)
		}
		w.wantHeard("files", "files own-files", "github") // that of files lingers
	})
}

func TestListChangesAndUpdatesOfOneResourceMerge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		defer w.end()
		slow := &opened{t: t, gate: make(chan struct{})}
		w.openWith(w.legacy("ana", 1, "github"), slow)
		w.say("github own-github", logged)
		for range 10 * maxQueueMessages {
			w.say("github own-github", updatedA)
			w.say("github own-github", updatedB)
			w.say("github own-github", toolsChanged)
		}
		pass(time.Second)
		close(slow.gate)
		synctest.Wait()
		prefixed := func(m string) string { return strings.Replace(m, "file:", "github+file:", 1) }
		slow.want(logged, toolsChanged, prefixed(updatedA), prefixed(updatedB))
	})
}

func TestNewestStreamOfASessionSpeaks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		defer w.end()
		sub := w.legacy("ana", 1, "github")
		older, newer := w.open(sub), w.open(sub)
		w.wantHeard("files", "github own-github")
		w.say("github own-github", logged)
		older.want()
		newer.want(logged)
		newer.cancel()
		synctest.Wait()
		w.wantHeard("files", "github own-github")
		w.say("github own-github", logged)
		older.want(logged)
	})
}

func TestRelaysRequestsOfServersInTheClientsTerms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		defer w.end()
		sub := w.legacy("ana", 1, "github")
		var asked []string
		sub.Permit = func(server *gate.Server, method string, _ []byte) *mcp.Error {
			asked = append(asked, server.Name()+" "+method)
			return nil
		}
		sub.Relay = func(server *gate.Server, r *upstream.ServerRequest) (message, id []byte, err error) {
			return []byte(`{"from":"` + server.Name() + `","id":` + string(r.ID) + `}`), r.ID, nil
		}
		o := w.open(sub)
		h := w.servers.find(t, "github own-github")
		if refused := h.Permit(mcp.MethodRootsList, nil); refused != nil || len(asked) != 1 || asked[0] != "github roots/list" {
			t.Errorf("permit: %v, asked %q", refused, asked)
		}
		if err := h.sink.Relay(&upstream.ServerRequest{ID: []byte("5"), Method: mcp.MethodRootsList}, upstream.Mark{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		o.want(`{"from":"github","id":5}`)
	})
}

func TestServerMayTakeItsRequestBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		defer w.end()
		sub := w.legacy("ana", 1, "github")
		sub.Relay = func(_ *gate.Server, r *upstream.ServerRequest) (message, id []byte, err error) {
			id = []byte(`"sealed-` + string(r.ID) + `"`)
			return []byte(`{"jsonrpc":"2.0","id":` + string(id) + `,"method":"roots/list"}`), id, nil
		}
		o := w.open(sub)
		h := w.servers.find(t, "github own-github")
		if err := h.sink.Relay(&upstream.ServerRequest{ID: []byte("5"), Method: mcp.MethodRootsList}, upstream.Mark{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		o.take()
		back := `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"reason":"late","requestId":5}}`
		withdraw := func(notice string) {
			var scan mcp.Response
			if err := mcp.ScanResponse([]byte(notice), mcp.Limits{}, &scan); err != nil {
				t.Fatal(err)
			}
			if err := h.sink.Withdraw(&upstream.Withdrawal{Message: []byte(notice), Scan: &scan}, upstream.Mark{}); err != nil {
				t.Fatal(err)
			}
		}
		withdraw(strings.Replace(back, "5", "6", 1)) // of which the client has not heard
		withdraw(back)
		withdraw(back)
		synctest.Wait()
		o.want(strings.Replace(back, "5", `"sealed-5"`, 1))
	})
}

func TestRefusesRequestsOfServersWithoutAPermit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		defer w.end()
		w.open(w.legacy("ana", 1, "github"))
		if w.servers.find(t, "github own-github").Permit(mcp.MethodRootsList, nil) == nil {
			t.Error("permitted by nobody")
		}
		if w.servers.find(t, "files").Permit != nil {
			t.Error("a server that is heard for everybody may ask somebody")
		}
	})
}
