package notice

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/upstream"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/mcp"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

func TestChangeOfPolicyIsToldToThoseWhoseViewChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		defer w.end()
		ana, bob := w.open(w.modern("ana")), w.open(w.legacy("bob", 1))
		ana.take()
		w.items.Rule(&snapshotv1.Rule{Id: "1", Effect: snapshotv1.Effect_EFFECT_DENY, Users: []string{"ana"}, Tools: []string{"github/search"}})
		w.publish()
		pass(tellingDelay - time.Millisecond)
		ana.want()
		w.publish() // nothing more changes, and the moment is not prolonged
		pass(time.Millisecond)
		ana.want(stampedTools)
		bob.want()
		pass(time.Minute)
		ana.want()

		w.resource("files", "file:///new", snapshotv1.Risk_RISK_READ)
		w.publish()
		pass(tellingDelay)
		ana.want(strings.Replace(stampedTools, "tools", "resources", 1))
		bob.want(resourcesChanged)
	})
}

func TestSnapshotThatChangesNothingIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		defer w.end()
		o := w.open(w.legacy("ana", 1))
		for range 5 {
			w.publish()
			pass(time.Second)
		}
		o.want()
	})
}

func TestAnnouncementOfAServerReachesThoseWhoSeeIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		defer w.end()
		w.items.Rule(&snapshotv1.Rule{
			Id: "1", Effect: snapshotv1.Effect_EFFECT_DENY, Users: []string{"bob"},
			Tools: []string{"github/*"}, Resources: []string{"github/*"}, Prompts: []string{"github/*"},
		})
		w.publish()
		elsewhere := w.modern("ana")
		elsewhere.Server = "files"
		ana, bob, other := w.open(w.modern("ana")), w.open(w.legacy("bob", 1)), w.open(elsewhere)
		ana.take()
		other.take()
		w.wantHeard("files", "github") // once each, for all three
		for range 10 {
			w.say("github", toolsChanged)
		}
		pass(tellingDelay)
		ana.want(stampedTools)
		bob.want()
		other.want()
		if !slices.Equal(w.changed, []string{"github"}) {
			t.Errorf("the control plane heard of %q", w.changed)
		}
	})
}

func TestSharedHearingLingers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		defer w.end()
		first := w.open(w.legacy("ana", 1))
		first.cancel()
		pass(lingerTime - time.Second)
		w.wantHeard("files", "github")
		second := w.open(w.legacy("bob", 2))
		pass(time.Minute)
		w.wantHeard("files", "github")
		if w.servers.total != 2 {
			t.Errorf("servers were heard %d times", w.servers.total)
		}
		second.cancel()
		pass(lingerTime)
		w.wantHeard()
	})
}

func TestServerThatChangedIsHeardAfresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		defer w.end()
		o := w.open(w.legacy("ana", 1, "github"))
		w.drop(func(item *snapshotv1.Item) bool { return item.GetServer() != nil })
		for _, slug := range []string{"github", "files"} {
			w.server(slug, mcp.Version20260728).Url = "http://127.0.0.1:2/" + slug
		}
		w.publish()
		synctest.Wait()
		w.wantHeard("files", "github own-github")
		for _, h := range w.servers.current {
			if !strings.Contains(h.Server.Url, ":2/") {
				t.Errorf("%s is still heard where it was", h.Server.Name)
			}
		}
		w.say("github own-github", logged)
		w.say("files", toolsChanged)
		pass(tellingDelay)
		o.want(logged, toolsChanged)
	})
}

func TestServerThatIsGoneIsHeardNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		defer w.end()
		o := w.open(w.legacy("ana", 1, "github"))
		w.drop(func(item *snapshotv1.Item) bool {
			return item.GetServer() != nil || item.GetTool() != nil || item.GetResource() != nil
		})
		w.publish()
		synctest.Wait()
		w.wantHeard()
		if o.isDone() {
			t.Error("a stream of the aggregate was closed because a server is gone")
		}
	})
}

func TestModernClientHearsOfItsResources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		defer w.end()
		single := w.modern("ana", "file:///a")
		single.Server, single.ID = "github", []byte(`"s"`)
		aggregate, own := w.open(w.modern("ana", "github+file:///a", "github+file:///b")), w.open(single)
		aggregate.take()
		own.take()
		w.say("github file:///a file:///b", updatedA)
		w.say("github file:///a", updatedA)
		aggregate.want(`{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":7},"uri":"github+file:///a"}}`)
		own.want(`{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":"s"},"uri":"file:///a"}}`)
	})
}

func TestResourceThatMayNoLongerBeReadIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		defer w.end()
		o := w.open(w.modern("ana", "github+file:///a", "github+file:///b"))
		o.take()
		before := w.servers.find(t, "github file:///a file:///b")
		w.items.Rule(&snapshotv1.Rule{Id: "1", Effect: snapshotv1.Effect_EFFECT_DENY, Resources: []string{"github/file:///a"}, Methods: []string{"resources/subscribe"}})
		w.index.Store(w.items.Index(9)) // the board has not been told yet
		if err := before.sink.Notification([]byte(updatedA), upstream.Mark{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		o.want()
		w.board.Changed()
		synctest.Wait()
		w.wantHeard("files", "github", "github file:///b")
		if o.isDone() {
			t.Error("the stream was closed for one resource")
		}
	})
}

// Conditions are looked at when a stream is opened, with each update and from time to time: with who listens, and what time
// it is then.
func TestConditionsHoldForStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		defer w.end()
		for i, when := range []string{`now > timestamp("2000-01-01T00:10:00Z")`, `client.name == "spy"`} {
			w.items.Rule(&snapshotv1.Rule{
				Id: when, Effect: snapshotv1.Effect_EFFECT_DENY, When: when, Methods: []string{"resources/subscribe"},
				Resources: []string{[]string{"github/file:///a", "files/file:///a"}[i]},
			})
		}
		w.publish()
		spy := w.modern("ana", "github+file:///a", "files+file:///a")
		spy.Client.Name = "spy"
		spying := w.open(spy)
		spying.take()
		w.wantHeard("files", "github", "github file:///a")
		session := w.legacy("bob", 1)
		for _, server := range []string{"github", "files"} {
			if err := w.board.Subscribe(session.Session.ID, server, "file:///a"); err != nil {
				t.Fatal(err)
			}
		}
		o := w.open(session)
		w.wantHeard("files", "files file:///a", "github", "github file:///a", "github file:///a")
		w.say("files file:///a", updatedA)
		o.want(strings.Replace(updatedA, "file:", "files+file:", 1))
		pass(10*time.Minute + patrolInterval)
		w.wantHeard("files", "files file:///a", "github")
		o.want()
		spying.want()
	})
}

// What some call may use is in the list, so that a condition on calls changes nobody's view, and one on callers does.
func TestAConditionIsToldOfOnlyWhereItChangesAList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		defer w.end()
		ana, bob := w.open(w.modern("ana")), w.open(w.legacy("bob", 1))
		ana.take()
		w.items.Rule(&snapshotv1.Rule{Id: "1", Effect: snapshotv1.Effect_EFFECT_DENY, Tools: []string{"github/search"}, When: `arguments.force == true`})
		w.publish()
		pass(time.Second)
		ana.want()
		bob.want()
		w.items.Rule(&snapshotv1.Rule{Id: "2", Effect: snapshotv1.Effect_EFFECT_DENY, Tools: []string{"github/search"}, When: `principal.user == "ana"`})
		w.publish()
		pass(time.Second)
		ana.want(stampedTools)
		bob.want()
	})
}

func TestLegacyClientHearsOfResourcesOfModernServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		defer w.end()
		sub := w.legacy("ana", 1)
		if err := w.board.Subscribe(sub.Session.ID, "github", "file:///a"); err != nil {
			t.Fatal(err)
		}
		w.wantHeard() // there is no stream yet
		o := w.open(sub)
		w.wantHeard("files", "github", "github file:///a")
		if err := w.board.Subscribe(sub.Session.ID, "github", "file:///b"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w.wantHeard("files", "github", "github file:///a file:///b")
		w.say("github file:///a file:///b", updatedB)
		o.want(strings.Replace(updatedB, "file:", "github+file:", 1))
		w.board.Unsubscribe(sub.Session.ID, "github", "file:///a")
		synctest.Wait()
		w.wantHeard("files", "github", "github file:///b")
		w.board.Unsubscribe(sub.Session.ID, "github", "file:///b")
		synctest.Wait()
		w.wantHeard("files", "github")
	})
}

func TestNothingIsMissedWhenASubscriptionIsAdded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		defer w.end()
		sub := w.legacy("ana", 1)
		w.board.Subscribe(sub.Session.ID, "github", "file:///a")
		w.open(sub)
		w.servers.silent = true
		w.board.Subscribe(sub.Session.ID, "github", "file:///b")
		synctest.Wait()
		w.wantHeard("files", "github", "github file:///a", "github file:///a file:///b")
		w.servers.find(t, "github file:///a file:///b").Ready()
		synctest.Wait()
		w.wantHeard("files", "github", "github file:///a file:///b")
	})
}

func TestBoundsSubscriptionsOfASession(t *testing.T) {
	w := New(Config{})
	session := [16]byte{1}
	for i := range maxResources {
		if err := w.Subscribe(session, "github", "file:///"+strings.Repeat("x", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Subscribe(session, "github", "file:///"); err != nil {
		t.Errorf("what is subscribed to already takes no place: %v", err)
	}
	if err := w.Subscribe(session, "github", "file:///y"); fault.KindOf(err) != fault.Exhausted {
		t.Errorf("one more: %v", err)
	}
	if err := w.Subscribe(session, "github", strings.Repeat("x", maxResourceBytes+1)); fault.KindOf(err) != fault.Invalid {
		t.Errorf("a long one: %v", err)
	}
}
