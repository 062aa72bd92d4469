package replica

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/internal/seal"
	"github.com/warder-gateway/warder/internal/snapshot"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

// publisher is a control plane that sends what the test tells it to.
type publisher struct {
	syncv1.UnimplementedSyncServiceServer
	key     ed25519.PrivateKey
	updates chan *syncv1.Update
	answers chan *syncv1.SyncRequest
	nonces  int

	between  []*syncv1.SyncResponse // sent ahead of the last message of an update
	change   func([]*syncv1.SyncResponse) []*syncv1.SyncResponse
	messages int // that the last update took
}

func (p *publisher) tell(stream grpc.BidiStreamingServer[syncv1.SyncRequest, syncv1.SyncResponse], update *syncv1.Update) error {
	messages := slices.Collect(snapshot.Split(update))
	if p.change != nil {
		messages = p.change(messages)
	}
	p.messages = len(messages)
	messages = slices.Insert(messages, 0, p.between...)
	if last := len(messages) - 1; len(p.between) > 0 { // Once more, so that they stand among the parts.
		messages = slices.Insert(messages, last, p.between[0])
	}
	for _, message := range messages {
		if err := stream.Send(message); err != nil {
			return err
		}
	}
	return nil
}

func (p *publisher) Sync(stream grpc.BidiStreamingServer[syncv1.SyncRequest, syncv1.SyncResponse]) error {
	hello, err := stream.Recv()
	if err != nil {
		return err
	}
	p.answers <- hello
	for {
		select {
		case <-stream.Context().Done():
			return nil
		case update := <-p.updates:
			if update == nil {
				return nil
			}
			if err := p.tell(stream, update); err != nil {
				return err
			}
			answer, err := stream.Recv()
			if err != nil {
				return err
			}
			p.answers <- answer
		}
	}
}

func newPublisher(t *testing.T) *publisher {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &publisher{key: key, updates: make(chan *syncv1.Update), answers: make(chan *syncv1.SyncRequest)}
}

// send publishes an update, signed and named, and returns the node's answer.
func (p *publisher) send(t *testing.T, update *syncv1.Update) *syncv1.SyncRequest {
	t.Helper()
	snapshot.Sign(update, p.key)
	return p.sendRaw(t, update)
}

func (p *publisher) sendRaw(t *testing.T, update *syncv1.Update) *syncv1.SyncRequest {
	t.Helper()
	p.nonces++
	update.Nonce = fmt.Sprint("nonce-", p.nonces)
	p.updates <- update
	answer := p.answer(t)
	if nonce := answer.GetAck().GetNonce() + answer.GetNack().GetNonce(); nonce != update.Nonce {
		t.Fatalf("answer %v names nonce %q, want %q", answer, nonce, update.Nonce)
	}
	return answer
}

func (p *publisher) answer(t *testing.T) *syncv1.SyncRequest {
	t.Helper()
	select {
	case answer := <-p.answers:
		return answer
	case <-time.After(10 * time.Second):
		t.Fatal("the node did not answer")
		return nil
	}
}

// serve runs p behind an in-memory connection.
func serve(t *testing.T, p *publisher) syncv1.SyncServiceClient {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer()
	syncv1.RegisterSyncServiceServer(server, p)
	done := make(chan struct{})
	go func() { defer close(done); server.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:publisher",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); server.Stop(); <-done })
	return syncv1.NewSyncServiceClient(conn)
}

// index is what the tests build: the names of the users.
type index struct {
	revision uint64
	users    string
}

func build(set *snapshot.Set, _ func()) (*index, error) {
	built := &index{revision: set.Revision()}
	for _, item := range set.All() {
		switch name := item.GetUser().GetName(); name {
		case "unbuildable":
			return nil, errors.New("user unbuildable cannot be built")
		case "panics":
			panic("user panics")
		default:
			built.users += name + " "
		}
	}
	return built, nil
}

// node is a replica with the directory and the key of one node.
type node struct {
	*Replica[index]
	dir string
	log *lockedBuffer
}

func newNode(t *testing.T, dir string) *node {
	t.Helper()
	keyring, err := seal.LoadOrCreate(filepath.Join(dir, "node.key"))
	if err != nil {
		t.Fatal(err)
	}
	log := &lockedBuffer{}
	return &node{New(Config[index]{
		Dir: dir, Seal: keyring, Build: build, Version: "v1", Address: "127.0.0.1:1",
		Log: slog.New(slog.NewTextHandler(log, nil)),
	}), dir, log}
}

// follow runs Follow until the returned function is called, which waits for its end. It returns the hello, too.
func (n *node) follow(t *testing.T, p *publisher) (hello *syncv1.Hello, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	client := serve(t, p)
	done := make(chan error, 1)
	go func() { done <- n.Follow(ctx, client) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err == nil {
			t.Error("Follow returned no error")
		}
	})
	t.Cleanup(stop)
	return p.answer(t).GetHello(), stop
}

func set(t *testing.T, revision uint64, users ...string) *snapshot.Set {
	t.Helper()
	var items []*snapshotv1.Item
	for _, name := range users {
		items = append(items, &snapshotv1.Item{Kind: &snapshotv1.Item_User{User: &snapshotv1.User{Name: name}}})
	}
	s, err := snapshot.New("epoch-1", revision, items)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func wantServing(t *testing.T, n *node, revision uint64, users string) {
	t.Helper()
	if got := n.Current(); got == nil || got.users != users || got.revision != revision || n.Revision() != revision {
		t.Errorf("serving %+v at revision %d, want %q at %d", got, n.Revision(), users, revision)
	}
}

func TestAppliedIsToldOfWhatServesAlready(t *testing.T) {
	p, n := newPublisher(t), newNode(t, t.TempDir())
	var served []uint64
	n.config.Applied = func(applied *index) {
		if applied != n.Current() {
			t.Errorf("told of revision %d while %d serves", applied.revision, n.Revision())
		}
		served = append(served, applied.revision)
	}
	first := set(t, 1, "ana")
	_, stop := n.follow(t, p)
	p.send(t, snapshot.FullUpdate(first))
	bad := snapshot.FullUpdate(set(t, 2, "unbuildable"))
	p.send(t, bad)
	stop()
	if !slices.Equal(served, []uint64{1}) {
		t.Errorf("told of revisions %v; want the one that serves", served)
	}
}

// many returns so many names of users, enough for a snapshot in parts.
func many(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("%0600d", i)
	}
	return names
}

// TestALargeSnapshotComesAndIsKeptInParts has messages of other kinds come in between.
func TestALargeSnapshotComesAndIsKeptInParts(t *testing.T) {
	p, n := newPublisher(t), newNode(t, t.TempDir())
	var told atomic.Int64
	n.config.SessionEnded = func([16]byte, time.Time) { told.Add(1) }
	n.config.Build = func(set *snapshot.Set, breathe func()) (*index, error) {
		if set.Revision() == 7 && told.Load() == 0 {
			t.Error("what came between the parts was not heard before the update was applied")
		}
		return build(set, breathe)
	}
	_, stop := n.follow(t, p)
	names := many(1000)
	large := set(t, 7, names...)
	p.between = []*syncv1.SyncResponse{
		{EndedSessions: &syncv1.EndedSessions{Sessions: []*syncv1.EndedSession{{Id: make([]byte, 16), ExpiresAt: timestamppb.New(time.Now().Add(time.Hour))}}}},
		{Part: &syncv1.Part{Nonce: "another", Items: []*snapshotv1.Item{{}}}},
	}
	if answer := p.send(t, snapshot.FullUpdate(large)); answer.GetAck() == nil {
		t.Fatalf("refused: %v", answer)
	}
	if n.Set().Digest() != large.Digest() || p.messages < 10 {
		t.Errorf("holds %d items out of %d messages; want %d out of many", n.Set().Len(), p.messages, len(names))
	}
	p.between = nil
	larger := set(t, 8, append(many(2000), "eve")...)
	if answer := p.send(t, snapshot.DeltaUpdate(large, larger)); answer.GetAck() == nil {
		t.Fatalf("a delta in parts is refused: %v", answer)
	}
	stop()
	again := newNode(t, n.dir)
	if err := again.Load(); err != nil {
		t.Fatal(err)
	}
	if again.Set() == nil || again.Set().Digest() != larger.Digest() {
		t.Error("what is read from disk is another set")
	}
}

// TestPartsThatAreNotTheUpdatesOwnAreNotApplied leaves out the first message, or takes it from elsewhere.
func TestPartsThatAreNotTheUpdatesOwnAreNotApplied(t *testing.T) {
	p, n := newPublisher(t), newNode(t, t.TempDir())
	_, stop := n.follow(t, p)
	defer stop()
	for name, change := range map[string]func(messages []*syncv1.SyncResponse) []*syncv1.SyncResponse{
		"one is missing": func(messages []*syncv1.SyncResponse) []*syncv1.SyncResponse { return messages[1:] },
		"one is of another": func(messages []*syncv1.SyncResponse) []*syncv1.SyncResponse {
			messages[0].Part.Items[0] = &snapshotv1.Item{Kind: &snapshotv1.Item_User{User: &snapshotv1.User{Name: "eve"}}}
			return messages
		},
		"all are of another nonce": func(messages []*syncv1.SyncResponse) []*syncv1.SyncResponse {
			for _, message := range messages[:len(messages)-1] {
				message.Part.Nonce = "another"
			}
			return messages
		},
	} {
		p.change = change
		nack := p.send(t, snapshot.FullUpdate(set(t, 7, many(1000)...))).GetNack()
		if !strings.Contains(nack.GetReason(), "digest") || n.Current() != nil {
			t.Errorf("%s: nack %v, serving %v", name, nack, n.Current() != nil)
		}
	}
	p.change = nil
	if p.send(t, snapshot.FullUpdate(set(t, 7, many(1000)...))).GetAck() == nil {
		t.Error("the next good update is refused")
	}
}

func TestFollowAppliesASnapshotAndThenDeltas(t *testing.T) {
	p, n := newPublisher(t), newNode(t, t.TempDir())
	if n.Current() != nil || n.Revision() != 0 || n.Set() != nil {
		t.Error("a new replica holds something")
	}
	hello, _ := n.follow(t, p)
	if hello.GetEpoch() != "" || hello.GetVersion() != "v1" || hello.GetAddress() != "127.0.0.1:1" {
		t.Errorf("hello = %v", hello)
	}
	one, two := set(t, 5, "ana", "bob"), set(t, 9, "bob", "eve")
	if ack := p.send(t, snapshot.FullUpdate(one)).GetAck(); ack.GetRevision() != 5 {
		t.Fatalf("ack = %v", ack)
	}
	wantServing(t, n, 5, "ana bob ")
	if ack := p.send(t, snapshot.DeltaUpdate(one, two)).GetAck(); ack.GetRevision() != 9 {
		t.Fatalf("ack = %v", ack)
	}
	wantServing(t, n, 9, "bob eve ")
}

func TestP09_ABadUpdateIsNackedAndTheLastGoodOneServesOn(t *testing.T) {
	stranger := newPublisher(t)
	tests := map[string]struct {
		update func(*testing.T, *publisher, *snapshot.Set) *syncv1.Update
		reason string
	}{
		"wrong digest": {func(t *testing.T, p *publisher, good *snapshot.Set) *syncv1.Update {
			u := snapshot.DeltaUpdate(good, set(t, 6, "eve"))
			u.Digest[0] ^= 1
			snapshot.Sign(u, p.key)
			return u
		}, "digest"},
		"changed after signing": {func(t *testing.T, p *publisher, good *snapshot.Set) *syncv1.Update {
			u := snapshot.FullUpdate(set(t, 6, "eve"))
			snapshot.Sign(u, p.key)
			u.Revision = 7
			return u
		}, "signature"},
		"signed with another key": {func(t *testing.T, _ *publisher, good *snapshot.Set) *syncv1.Update {
			u := snapshot.FullUpdate(set(t, 6, "eve"))
			snapshot.Sign(u, stranger.key)
			return u
		}, "another key"},
		"not signed": {func(t *testing.T, _ *publisher, good *snapshot.Set) *syncv1.Update {
			return snapshot.FullUpdate(set(t, 6, "eve"))
		}, "key"},
		"cannot be built": {func(t *testing.T, p *publisher, good *snapshot.Set) *syncv1.Update {
			u := snapshot.DeltaUpdate(good, set(t, 6, "unbuildable"))
			snapshot.Sign(u, p.key)
			return u
		}, "user unbuildable cannot be built"},
		"panics when built": {func(t *testing.T, p *publisher, good *snapshot.Set) *syncv1.Update {
			u := snapshot.DeltaUpdate(good, set(t, 6, "panics"))
			snapshot.Sign(u, p.key)
			return u
		}, "user panics"},
		"older": {func(t *testing.T, p *publisher, good *snapshot.Set) *syncv1.Update {
			u := snapshot.FullUpdate(set(t, 4, "eve"))
			snapshot.Sign(u, p.key)
			return u
		}, "never goes back"},
		"delta from elsewhere": {func(t *testing.T, p *publisher, good *snapshot.Set) *syncv1.Update {
			u := snapshot.DeltaUpdate(set(t, 3, "eve"), set(t, 6, "ana"))
			snapshot.Sign(u, p.key)
			return u
		}, "starts at revision 3"},
		"empty": {func(*testing.T, *publisher, *snapshot.Set) *syncv1.Update { return &syncv1.Update{} }, "key"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p, n := newPublisher(t), newNode(t, t.TempDir())
			_, stop := n.follow(t, p)
			good := set(t, 5, "ana")
			if p.send(t, snapshot.FullUpdate(good)).GetAck() == nil {
				t.Fatal("the good snapshot was refused")
			}
			nack := p.sendRaw(t, test.update(t, p, good)).GetNack()
			if !strings.Contains(nack.GetReason(), test.reason) {
				t.Errorf("nack says %q, want %q in it", nack.GetReason(), test.reason)
			}
			wantServing(t, n, 5, "ana ")

			// The stream goes on, and the next good update is taken.
			if p.send(t, snapshot.DeltaUpdate(good, set(t, 10, "bob"))).GetAck() == nil {
				t.Error("the next good update was refused")
			}
			wantServing(t, n, 10, "bob ")
			stop()
			again := newNode(t, n.dir)
			if err := again.Load(); err != nil {
				t.Fatal(err)
			}
			wantServing(t, again, 10, "bob ")
		})
	}
}

func TestAnUpdateWithoutANonceIsNotApplied(t *testing.T) {
	p, n := newPublisher(t), newNode(t, t.TempDir())
	n.follow(t, p)
	update := snapshot.FullUpdate(set(t, 1, "ana"))
	snapshot.Sign(update, p.key)
	p.updates <- update
	if p.answer(t).GetNack() == nil || n.Current() != nil {
		t.Error("it was applied")
	}
}

func TestP05_ANodeStartsFromDiskWithoutAControlPlane(t *testing.T) {
	p, n := newPublisher(t), newNode(t, t.TempDir())
	_, stop := n.follow(t, p)
	one, two := set(t, 5, "ana", "bob"), set(t, 9, "bob", "eve")
	p.send(t, snapshot.FullUpdate(one))
	p.send(t, snapshot.DeltaUpdate(one, two))
	stop()
	wantServing(t, n, 9, "bob eve ") // the control plane is away, and it serves on

	again := newNode(t, n.dir)
	if err := again.Load(); err != nil {
		t.Fatal(err)
	}
	wantServing(t, again, 9, "bob eve ")

	hello, _ := again.follow(t, p)
	digest := two.Digest()
	if hello.GetEpoch() != "epoch-1" || hello.GetRevision() != 9 || !bytes.Equal(hello.GetDigest(), digest[:]) {
		t.Errorf("hello after a restart = %v", hello)
	}
	if p.send(t, snapshot.DeltaUpdate(two, set(t, 10, "zoe"))).GetAck() == nil {
		t.Error("a delta on what came from disk was refused")
	}
	wantServing(t, again, 10, "zoe ")
}

func TestP05_TheKeyStaysPinnedOverARestart(t *testing.T) {
	p, n := newPublisher(t), newNode(t, t.TempDir())
	_, stop := n.follow(t, p)
	p.send(t, snapshot.FullUpdate(set(t, 5, "ana")))
	stop()
	if err := os.Remove(filepath.Join(n.dir, snapshotFile)); err != nil {
		t.Fatal(err)
	}

	stranger, again := newPublisher(t), newNode(t, n.dir)
	if err := again.Load(); err != nil {
		t.Fatal(err)
	}
	again.follow(t, stranger)
	nack := stranger.send(t, snapshot.FullUpdate(set(t, 6, "eve"))).GetNack()
	if !strings.Contains(nack.GetReason(), "another key") || again.Current() != nil {
		t.Errorf("a stranger's snapshot: nack %v, serving %v", nack, again.Current())
	}
}

func TestTheSnapshotOnDiskShowsNothing(t *testing.T) {
	p, n := newPublisher(t), newNode(t, t.TempDir())
	_, stop := n.follow(t, p)
	p.send(t, snapshot.FullUpdate(set(t, 5, "canary-user")))
	stop()
	for _, name := range []string{snapshotFile, pinFile} {
		path := filepath.Join(n.dir, name)
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(content, []byte("canary")) {
			t.Errorf("%s shows what it holds", name)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v", name, info.Mode(), err)
		}
	}
}

func TestAFileThatDoesNotVerifyIsSetAsideAndNeverServed(t *testing.T) {
	tests := map[string]func(t *testing.T, dir string){
		"flipped bit": func(t *testing.T, dir string) {
			rewrite(t, filepath.Join(dir, snapshotFile), func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
		},
		"cut": func(t *testing.T, dir string) {
			rewrite(t, filepath.Join(dir, snapshotFile), func(b []byte) []byte { return b[:len(b)/2] })
		},
		"cut between two parts": func(t *testing.T, dir string) {
			rewrite(t, filepath.Join(dir, snapshotFile), func(b []byte) []byte { return b[:4+binary.BigEndian.Uint32(b)] })
		},
		"a part twice": func(t *testing.T, dir string) {
			rewrite(t, filepath.Join(dir, snapshotFile), func(b []byte) []byte {
				return append(slices.Clone(b[:4+binary.BigEndian.Uint32(b)]), b...)
			})
		},
		"empty": func(t *testing.T, dir string) {
			rewrite(t, filepath.Join(dir, snapshotFile), func([]byte) []byte { return nil })
		},
		"sealed for another node": func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, "node.key")); err != nil {
				t.Fatal(err)
			}
		},
		"pinned key gone": func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, pinFile)); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, damage := range tests {
		t.Run(name, func(t *testing.T) {
			p, n := newPublisher(t), newNode(t, t.TempDir())
			_, stop := n.follow(t, p)
			p.send(t, snapshot.FullUpdate(set(t, 5, many(200)...)))
			stop()
			damage(t, n.dir)
			before, err := os.ReadFile(filepath.Join(n.dir, snapshotFile))
			if err != nil {
				t.Fatal(err)
			}

			again := newNode(t, n.dir)
			if err := again.Load(); err != nil {
				t.Fatal(err)
			}
			if again.Current() != nil {
				t.Errorf("it is served: %+v", again.Current())
			}
			if !strings.Contains(again.log.String(), "set aside") {
				t.Errorf("log: %s", again.log)
			}
			aside, err := filepath.Glob(filepath.Join(n.dir, snapshotFile+".refused-*"))
			if err != nil || len(aside) != 1 {
				t.Fatalf("files set aside: %v, %v", aside, err)
			}
			if after, err := os.ReadFile(aside[0]); err != nil || !bytes.Equal(before, after) {
				t.Errorf("the file set aside has other content: %v", err)
			}

			again.follow(t, p)
			if p.send(t, snapshot.FullUpdate(set(t, 5, "ana"))).GetAck() == nil {
				t.Error("the node does not recover")
			}
		})
	}
}

func TestAPinnedKeyThatCannotBeReadStopsTheNode(t *testing.T) {
	n := newNode(t, t.TempDir())
	if err := os.WriteFile(filepath.Join(n.dir, pinFile), []byte("not a key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := n.Load(); err == nil || !strings.Contains(err.Error(), pinFile) {
		t.Errorf("Load = %v", err)
	}
	if err := n.Follow(t.Context(), serve(t, newPublisher(t))); err == nil || !strings.Contains(err.Error(), pinFile) {
		t.Errorf("Follow = %v", err)
	}
}

func TestASetThatCannotBeBuiltAnyMoreIsSetAsideAtStart(t *testing.T) {
	p, n := newPublisher(t), newNode(t, t.TempDir())
	_, stop := n.follow(t, p)
	p.send(t, snapshot.FullUpdate(set(t, 5, "ana")))
	stop()
	again := newNode(t, n.dir)
	again.config.Build = func(*snapshot.Set, func()) (*index, error) { return nil, errors.New("no longer") }
	if err := again.Load(); err != nil || again.Current() != nil || !strings.Contains(again.log.String(), "no longer") {
		t.Errorf("Load = %v, serving %v, log %s", err, again.Current(), again.log)
	}
}

func TestTheWriterSkipsWhatIsSuperseded(t *testing.T) {
	n := newNode(t, t.TempDir())
	w := n.startWriter()
	started, release := make(chan struct{}), make(chan struct{})
	w.put(func(io.Writer, func()) error { close(started); <-release; return nil })
	<-started
	for range 100 {
		w.put(func(io.Writer, func()) error { t.Error("a superseded snapshot was written"); return nil })
	}
	w.put(func(file io.Writer, _ func()) error { _, err := io.WriteString(file, "last"); return err })
	close(release)
	w.close()

	if content, err := os.ReadFile(filepath.Join(n.dir, snapshotFile)); err != nil || string(content) != "last" {
		t.Errorf("on disk is %q, %v", content, err)
	}
	if entries, _ := os.ReadDir(n.dir); len(entries) != 2 { // the key and the snapshot
		t.Errorf("drafts are left over: %v", entries)
	}
}

func TestCallsReadWhileUpdatesAreApplied(t *testing.T) {
	p, n := newPublisher(t), newNode(t, t.TempDir())
	n.follow(t, p)
	last := set(t, 1, "user-1")
	p.send(t, snapshot.FullUpdate(last))
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			seen := uint64(0)
			for {
				select {
				case <-stop:
					return
				default:
				}
				current := n.Current()
				if want := fmt.Sprintf("user-%d ", current.revision); current.users != want || current.revision < seen {
					t.Errorf("read %+v after revision %d", current, seen)
					return
				}
				seen = current.revision
			}
		})
	}
	for revision := uint64(2); revision < 50; revision++ {
		next := set(t, revision, fmt.Sprint("user-", revision))
		if p.send(t, snapshot.DeltaUpdate(last, next)).GetAck() == nil {
			t.Fatal("refused")
		}
		last = next
	}
	close(stop)
	readers.Wait()
}

func rewrite(t *testing.T, path string, change func([]byte) []byte) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// lockedBuffer is a log that may be read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
