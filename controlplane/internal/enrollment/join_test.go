package enrollment

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/identity"
	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
)

// newRequest makes a key, and a certificate request of it.
func newRequest(t *testing.T) (*ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	return key, request
}

// joinRequest is one that is good, but for what the test changes.
func joinRequest(t *testing.T, token identity.Token) *enrollv1.JoinRequest {
	t.Helper()
	_, request := newRequest(t)
	return &enrollv1.JoinRequest{Token: token.Reveal(), CertificateRequest: request, Now: timestamppb.Now(), Version: "1", Kind: "node"}
}

// enroller is a client without a certificate.
func (r *rig) enroller(t *testing.T) enrollv1.EnrollServiceClient {
	return enrollv1.NewEnrollServiceClient(r.connect(t, credentials.NewTLS(r.trusting())))
}

func TestAJoinTokenBuysTheIdentityThatItIsBoundTo(t *testing.T) {
	r := newRig(t)
	who := r.join(t, identity.Agent, "laptop")
	if who.Peer() != (identity.Peer{Kind: identity.Agent, Name: "laptop"}) || who.Region() != "eu" {
		t.Errorf("joined as %v in %q", who.Peer(), who.Region())
	}
	if left := time.Until(who.ExpiresAt()); left > time.Hour || left < time.Hour-time.Minute {
		t.Errorf("it is good for %v", left)
	}
	rows, err := r.store.ListAgents(t.Context())
	if err != nil || len(rows) != 1 || rows[0].Version != "1.2.3" || rows[0].Region != "eu" {
		t.Errorf("agents %+v: %v", rows, err)
	}
	if !r.ask(t, r.dial(t, who), enrollv1.AgentService_Follow_FullMethodName) || r.last.Load() != who.Peer() {
		t.Errorf("the handler saw %v", r.last.Load())
	}
}

// Who starts the wrong program with a token still has it for the right one.
func TestATokenOfAnotherKindIsNotSpent(t *testing.T) {
	r := newRig(t)
	for i, c := range []struct {
		bound, other identity.Kind
		use          string
	}{{identity.Node, identity.Agent, "'warder dataplane'"}, {identity.Agent, identity.Node, "'warder agent run'"}} {
		bound := c.bound
		token := r.token(t, bound, "edge")
		_, err := identity.Join(t.Context(), r.config(c.other, ""), token)
		if !fault.Is(err, fault.Precondition) || !strings.Contains(err.Error(), "is for the "+string(bound)+" edge, and not for a "+string(c.other)) || !strings.Contains(err.Error(), c.use) {
			t.Errorf("the token of the %s at the %s: %v", bound, c.other, err)
		}
		for _, kind := range []string{"", "controlplane", "robot"} {
			request := joinRequest(t, token)
			request.Kind = kind
			if _, err := r.enroller(t).Join(t.Context(), request); status.Code(err) != codes.InvalidArgument {
				t.Errorf("a peer that says it is %q: %v", kind, err)
			}
		}
		nodes, err := r.store.ListNodes(t.Context())
		agents, err2 := r.store.ListAgents(t.Context())
		if err != nil || err2 != nil || len(nodes)+len(agents) != i {
			t.Errorf("refused, and there are nodes %v and agents %v: %v, %v", nodes, agents, err, err2)
		}
		if _, err := identity.Join(t.Context(), r.config(bound, ""), token); err != nil {
			t.Errorf("the token of the %s is spent: %v", bound, err)
		}
	}
}

// P-10: of 1,000 attempts at the same time, one succeeds. Some come over the wire,
// where failures are bounded; the others meet nothing but the database.
func TestP10_AJoinTokenIsUsedOnceInAThousandAttempts(t *testing.T) {
	r := newRig(t)
	request := joinRequest(t, r.token(t, identity.Node, "edge"))
	const attempts, connections = 1000, 10
	var clients [connections]enrollv1.EnrollServiceClient
	for i := range clients {
		clients[i] = r.enroller(t)
	}
	var succeeded, spent, bounded atomic.Int64
	var all sync.WaitGroup
	begin := make(chan struct{})
	for i := range attempts {
		all.Go(func() {
			<-begin
			var err error
			if i < connections {
				_, err = clients[i].Join(t.Context(), request)
			} else {
				_, err = r.service.join(t.Context(), request, "test") // As any replica would.
			}
			switch {
			case err == nil:
				succeeded.Add(1)
			case strings.Contains(err.Error(), "used already"):
				spent.Add(1)
			case status.Code(err) == codes.ResourceExhausted:
				bounded.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	close(begin)
	all.Wait()
	if succeeded.Load() != 1 || succeeded.Load()+spent.Load()+bounded.Load() != attempts {
		t.Errorf("%d succeeded, %d were told that it is spent, %d were bounded", succeeded.Load(), spent.Load(), bounded.Load())
	}
}

func TestATokenThatIsNoGoodSaysWhy(t *testing.T) {
	r := newRig(t)
	revoked := r.token(t, identity.Node, "edge")
	err := r.store.Act(t.Context(), "ana", func(tx *store.Tx) error {
		_, err := tx.RevokeJoinToken(t.Context(), revoked.ID)
		tx.Note("join-token.revoke", revoked.ID, nil)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	guessed := r.token(t, identity.Node, "edge")
	guessed.Secret = strings.Repeat("0", 64)
	unknown := r.token(t, identity.Node, "edge")
	unknown.ID = "0000000000000000"
	other := revoked
	other.Secret = guessed.Secret
	short := r.shortToken(t)
	for name, c := range map[string]struct {
		token identity.Token
		want  string
	}{
		"revoked": {revoked, "was revoked"}, "guessed": {guessed, "not known here"}, "unknown": {unknown, "not known here"},
		"revoked, guessed": {other, "not known here"}, "expired": {short, "expired at"},
	} {
		_, err := r.enroller(t).Join(t.Context(), joinRequest(t, c.token))
		if status.Code(err) != codes.Unauthenticated || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "warder join-token create") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// shortToken is good for a moment that is over.
func (r *rig) shortToken(t *testing.T) (token identity.Token) {
	t.Helper()
	err := r.store.Act(t.Context(), "ana", func(tx *store.Tx) (err error) {
		token, _, err = r.authority.CreateToken(t.Context(), tx, NewToken{Peer: identity.Peer{Kind: identity.Node, Name: "edge"}, Life: time.Microsecond})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestAClockThatIsOffIsToldByHowMuch(t *testing.T) {
	r := newRig(t)
	for name, c := range map[string]struct {
		off  time.Duration
		want string
	}{
		"a minute behind": {-time.Minute, ""}, "a minute ahead": {time.Minute, ""},
		"five minutes behind": {-5 * time.Minute, "is 5m0s behind that of the control plane"},
		"five minutes ahead":  {5 * time.Minute, "is 5m0s ahead of that of the control plane"},
	} {
		t.Run(name, func(t *testing.T) {
			token := r.token(t, identity.Node, "edge")
			request := joinRequest(t, token)
			request.Now = timestamppb.New(time.Now().Add(c.off))
			_, err := r.enroller(t).Join(t.Context(), request)
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v", err)
			}
			// It spent nothing: with the clock set, the token is good.
			if _, err := identity.Join(t.Context(), r.config(identity.Node, ""), token); err != nil {
				t.Errorf("with the clock set: %v", err)
			}
		})
	}
}

// The same as the peer sees it, whose own clock it is: what it meets first is the
// certificate of a control plane that lives in another time.
func TestAPeerWhoseClockIsOffGetsAClearError(t *testing.T) {
	for name, c := range map[string]struct {
		ahead time.Duration // the control plane's clock
		want  string
	}{
		"a minute": {time.Minute, ""}, "a minute the other way": {-time.Minute, ""},
		"five minutes": {5 * time.Minute, "is 5m0s behind"}, "five minutes the other way": {-5 * time.Minute, "is 5m0s ahead of"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			token := r.token(t, identity.Node, "edge")
			r.ahead.Store(int64(c.ahead))
			r.service.now = r.authority.now
			who, err := identity.Join(t.Context(), r.config(identity.Node, ""), token)
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "set the clock") {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := who.Renew(t.Context()); err != nil {
				t.Errorf("renew: %v", err)
			}
		})
	}
}

func TestJoinsThatFailAreBoundedByAddress(t *testing.T) {
	f, now := newFailures(), time.Now()
	for i := range maxFailures {
		if wait := f.wait("10.0.0.1", now); wait > 0 {
			t.Fatalf("after %d failures: wait %v", i, wait)
		}
		f.count("10.0.0.1", now)
	}
	if wait := f.wait("10.0.0.1", now); wait <= 0 || wait > forgiven {
		t.Errorf("after %d failures: wait %v", maxFailures, wait)
	}
	if wait := f.wait("10.0.0.1", now.Add(forgiven)); wait > 0 {
		t.Errorf("after %v: wait %v", forgiven, wait)
	}
	r := newRig(t)
	guessed := r.token(t, identity.Node, "edge")
	guessed.Secret = strings.Repeat("0", 64)
	client, request := r.enroller(t), joinRequest(t, guessed)
	var err error
	for range 2 * maxFailures {
		if _, err = client.Join(t.Context(), request); status.Code(err) == codes.ResourceExhausted {
			break
		}
	}
	if status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "try again in") {
		t.Errorf("got %v", err)
	}
}

func TestOnlyAKeyThatItsHolderProvesIsCertified(t *testing.T) {
	r := newRig(t)
	token := r.token(t, identity.Node, "edge")
	_, good := newRequest(t)
	broken := append([]byte(nil), good...)
	broken[len(broken)-1] ^= 1
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, p384)
	if err != nil {
		t.Fatal(err)
	}
	for name, request := range map[string][]byte{"nothing": nil, "not its signature": broken, "another curve": other, "too long": make([]byte, maxRequest+1)} {
		r2 := joinRequest(t, token)
		r2.CertificateRequest = request
		if _, err := r.enroller(t).Join(t.Context(), r2); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Of a peer that was removed only the denial is left; who joins under its name in the same
// second must not be hit by that.
func TestWhoJoinsUnderARemovedNameIsNotDenied(t *testing.T) {
	r := newRig(t)
	for _, kind := range []identity.Kind{identity.Agent, identity.Node} {
		r.join(t, kind, "laptop")
		_, err := r.store.Change(t.Context(), "ana", func(tx *store.Tx) error {
			err := Revoke(t.Context(), tx, identity.Peer{Kind: kind, Name: "laptop"}, string(kind)+".remove", "removed")
			if err != nil {
				return err
			}
			if kind == identity.Node {
				_, err = tx.DeleteNode(t.Context(), "laptop")
			} else {
				_, err = tx.DeleteAgent(t.Context(), "laptop")
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		issued := r.join(t, kind, "laptop").ExpiresAt().Add(-identity.Life)
		deny, err := r.store.GetDeny(t.Context(), db.GetDenyParams{Kind: string(kind), Name: "laptop", Cause: "revoked"})
		if err != nil || issued.Before(*deny.IssuedBefore) {
			t.Errorf("the certificate of the next %s was issued at %v, and those before %v are denied: %v", kind, issued, deny.IssuedBefore, err)
		}
	}
}
