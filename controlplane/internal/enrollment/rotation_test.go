package enrollment

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/storetest"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/identity"
	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

// stream opens a stream of Sync, and returns when its handler has said a word.
func (r *rig) stream(t *testing.T, who *identity.Identity) syncv1.SyncService_SyncClient {
	t.Helper()
	stream, err := syncv1.NewSyncServiceClient(r.dial(t, who)).Sync(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	return stream
}

// trusts returns the fingerprints of whom a peer trusts.
func trusts(who *identity.Identity) (fingerprints []string) {
	for _, a := range who.Authorities() {
		fingerprints = append(fingerprints, identity.Fingerprint(a))
	}
	return fingerprints
}

func TestTheAuthorityRotatesUnderPeersThatAreConnected(t *testing.T) {
	r := newRig(t)
	node, laggard := r.join(t, identity.Node, "edge"), r.join(t, identity.Node, "laggard")
	stream := r.stream(t, node)
	before := r.authority.Fingerprint()
	renew := func(when string) {
		t.Helper()
		if err := node.Renew(t.Context()); err != nil {
			t.Fatalf("%s: %v", when, err)
		}
	}
	token := r.token(t, identity.Node, "late") // It names the authority of now.

	made, err := r.authority.Rotate(t.Context(), "ana")
	if err != nil {
		t.Fatal(err)
	}
	renew("before the new one signs")
	if got := trusts(node); r.authority.Fingerprint() != before || !slices.Equal(got, []string{before, made.Fingerprint}) {
		t.Errorf("trusts %v", got)
	}
	if _, err := r.authority.Rotate(t.Context(), "ana"); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "takes over already") {
		t.Errorf("rotated while another one waits: %v", err)
	}
	r.ahead.Store(int64(lead + time.Second))
	if r.authority.Fingerprint() != made.Fingerprint {
		t.Error("the new one does not sign in its time")
	}
	if _, err := r.authority.Rotate(t.Context(), "ana"); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "is trusted until") {
		t.Errorf("rotated while the one before is trusted: %v", err)
	}
	if err := r.authority.Keep(t.Context()); err != nil {
		t.Fatal(err)
	}
	renew("when the new one signs")
	if err := laggard.Renew(t.Context()); err == nil {
		t.Error("who trusts the one before alone takes a certificate of the new one")
	}
	// A token that was made before brings its holder in all the same.
	late, err := identity.Join(t.Context(), r.config(identity.Node, ""), token)
	if err != nil || len(trusts(late)) != 2 {
		t.Fatalf("joined with a token of the one before: %v", err)
	}

	r.ahead.Store(int64(lead + rest + time.Second))
	if err := r.authority.Keep(t.Context()); err != nil {
		t.Fatal(err)
	}
	renew("when the one before is forgotten")
	if got := trusts(node); !slices.Equal(got, []string{made.Fingerprint}) {
		t.Errorf("trusts %v", got)
	}
	// All the while it was connected.
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.Unknown || !strings.Contains(err.Error(), "EOF") {
		t.Errorf("the stream of before ended with %v", err)
	}
}

func TestAnAuthorityThatNearsItsEndIsFollowedByItself(t *testing.T) {
	r := newRig(t)
	r.ahead.Store(int64(authorityLife - authorityRest + time.Hour))
	for range 2 {
		if err := r.authority.Keep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(r.authority.trusted()); n != 2 {
		t.Errorf("%d authorities", n)
	}
}

func TestReplicasShareOneAuthority(t *testing.T) {
	s := storetest.New(t)
	var replicas sync.WaitGroup
	fingerprints := make([]string, 8)
	for i := range fingerprints {
		replicas.Go(func() { fingerprints[i] = newAuthority(t, s, time.Now).Fingerprint() })
	}
	replicas.Wait()
	if len(slices.Compact(fingerprints)) != 1 {
		t.Errorf("authorities %v", fingerprints)
	}
	a, b := newAuthority(t, s, time.Now), newAuthority(t, s, time.Now)
	made, err := a.Rotate(t.Context(), "ana")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.reload(t.Context()); err != nil || len(b.trusted()) != 2 || b.trusted()[1].fingerprint != made.Fingerprint {
		t.Errorf("the other replica trusts %d: %v", len(b.trusted()), err)
	}
}

func TestTheControlPlanesOwnCertificateIsRenewedAtHalfOfItsLife(t *testing.T) {
	r := newRig(t)
	own := func() string {
		t.Helper()
		c, err := r.authority.ownCertificate(r.authority.signing())
		if err != nil {
			t.Fatal(err)
		}
		return c.Leaf.SerialNumber.String()
	}
	first := own()
	if own() != first {
		t.Error("made anew at once")
	}
	r.ahead.Store(int64(identity.Life/2 + time.Minute))
	if own() == first {
		t.Error("not renewed")
	}
}

// P-10, T-43: a revocation ends what is open, refuses what comes, and is undone by
// joining anew alone; certificates of before stay void.
func TestARevokedPeerIsOutUntilItJoinsAnew(t *testing.T) {
	r := newRig(t)
	node, other := r.join(t, identity.Node, "edge"), r.join(t, identity.Node, "edge-2")
	stream, stays := r.stream(t, node), r.stream(t, other)
	r.revoke(t, identity.Node, "edge")

	if _, err := stream.Recv(); status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), "warder join-token create --kind node --name edge") {
		t.Errorf("its stream ended with %v", err)
	}
	if err := node.Renew(t.Context()); !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), "was revoked") {
		t.Errorf("renewed: %v", err)
	}
	if r.ask(t, r.dial(t, node), syncv1.SyncService_Sync_FullMethodName) {
		t.Error("a new connection of it reaches a handler")
	}
	denies, err := r.store.ListDenies(t.Context())
	if err != nil || len(denies) != 1 || denies[0].Kind != "node" || denies[0].Name != "edge" || denies[0].IssuedBefore == nil {
		t.Fatalf("nodes are told %+v: %v", denies, err)
	}

	again := r.join(t, identity.Node, "edge")
	if err := again.Renew(t.Context()); err != nil {
		t.Errorf("joined anew: %v", err)
	}
	fresh := r.stream(t, again)
	if r.ask(t, r.dial(t, node), syncv1.SyncService_Sync_FullMethodName) {
		t.Error("the certificate of before is good again")
	}
	if err := r.admission.Recheck(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, open := range map[string]syncv1.SyncService_SyncClient{"another node": stays, "the node that joined anew": fresh} {
		if err := open.CloseSend(); err != nil {
			t.Fatal(err)
		}
		if _, err := open.Recv(); status.Code(err) != codes.Unknown {
			t.Errorf("the stream of %s ended with %v", name, err)
		}
	}
}

// Of a renewal and a revocation at the same time, either the renewal is refused or
// what it made is void.
func TestARevocationIsNotOvertakenByARenewal(t *testing.T) {
	r := newRig(t)
	for range 20 {
		who := r.join(t, identity.Agent, "laptop")
		var both sync.WaitGroup
		both.Go(func() { _ = who.Renew(t.Context()) })
		both.Go(func() {
			_, err := r.store.Change(context.WithoutCancel(t.Context()), "ana", func(tx *store.Tx) error {
				return Revoke(t.Context(), tx, who.Peer(), "agent.revoke", "")
			})
			if err != nil {
				t.Error(err)
			}
		})
		both.Wait()
		if r.ask(t, r.dial(t, who), enrollv1.AgentService_Follow_FullMethodName) {
			t.Fatal("what it has is good")
		}
	}
}

func TestRevokingNobodyIsRefused(t *testing.T) {
	r := newRig(t)
	_, err := r.store.Change(t.Context(), "ana", func(tx *store.Tx) error {
		return Revoke(t.Context(), tx, identity.Peer{Kind: identity.Agent, Name: "nobody"}, "agent.revoke", "")
	})
	if !fault.Is(err, fault.NotFound) || !strings.Contains(fault.Text(err), "warder agent list") {
		t.Errorf("got %v", err)
	}
}
