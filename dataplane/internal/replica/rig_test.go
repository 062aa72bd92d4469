package replica

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

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
