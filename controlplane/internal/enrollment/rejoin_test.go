package enrollment

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/controlplane/internal/store/storetest"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/identity"
	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
)

var laptop = identity.Peer{Kind: identity.Agent, Name: "laptop"}

// exec changes rows as no part of the product does.
func (r *rig) exec(t *testing.T, statement string, arguments ...any) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), r.database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	tag, err := conn.Exec(t.Context(), statement, arguments...)
	if err != nil || tag.RowsAffected() == 0 {
		t.Fatalf("%s: %v, %v", statement, tag, err)
	}
}

// lapsed is the newest certificate of a peer, which expired a time ago.
func (r *rig) lapsed(t *testing.T, who identity.Peer, ago time.Duration) tls.Certificate {
	t.Helper()
	r.join(t, who.Kind, who.Name)
	issued := time.Now().Add(-identity.Life - ago).Truncate(time.Second)
	c := forged(t, r.authority, who, issued, x509.ExtKeyUsageClientAuth)
	r.exec(t, "UPDATE "+string(who.Kind)+" SET key = $1, certified_at = $2, valid_from = $2 WHERE name = $3",
		identity.Fingerprint(c.Leaf), issued, who.Name)
	return c
}

// credential is what the control plane answered when it made a certificate.
func (r *rig) credential(c tls.Certificate) *enrollv1.Credential {
	credential := &enrollv1.Credential{Certificate: c.Certificate[0]}
	for _, a := range r.authority.trusted() {
		credential.Authorities = append(credential.Authorities, a.certificate.Raw)
	}
	return credential
}

// asleep is a peer that has been away for an hour more than its certificate was good
// for, in a directory of its own.
func (r *rig) asleep(t *testing.T, who identity.Peer) (*identity.Identity, identity.Config) {
	t.Helper()
	config, old := r.config(who.Kind, t.TempDir()), r.lapsed(t, who, time.Hour)
	i, err := identity.New(config, old.PrivateKey.(*ecdsa.PrivateKey), r.credential(old), "eu")
	if err != nil {
		t.Fatal(err)
	}
	return i, config
}

// rejoinRequest is one that is good, but for what the test changes.
func rejoinRequest(t *testing.T, old tls.Certificate) *enrollv1.RejoinRequest {
	t.Helper()
	_, request := newRequest(t)
	r := &enrollv1.RejoinRequest{Certificate: old.Certificate[0], CertificateRequest: request, Now: timestamppb.Now()}
	sign(t, r, old.PrivateKey)
	return r
}

func sign(t *testing.T, r *enrollv1.RejoinRequest, key any) {
	t.Helper()
	var err error
	r.Signature, err = ecdsa.SignASN1(rand.Reader, key.(*ecdsa.PrivateKey), identity.RejoinDigest(r.GetCertificate(), r.GetCertificateRequest(), r.GetNow()))
	if err != nil {
		t.Fatal(err)
	}
}

// audited counts the acts of a kind.
func (r *rig) audited(t *testing.T, action string) (n int) {
	t.Helper()
	rows, err := r.store.ListAdminAudit(t.Context(), db.ListAdminAuditParams{RowLimit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if row.Action == action {
			n++
		}
	}
	return n
}

// A machine that slept over night: the process goes on with what it holds, and what it
// has open to others is good again without anybody's doing. The control plane's own
// process admits its peers in the same way, which hold the same.
func TestAPeerThatSleptComesBackByItself(t *testing.T) {
	for _, who := range []identity.Peer{laptop, {Kind: identity.Node, Name: "edge"}} {
		t.Run(string(who.Kind), func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			i, _ := r.asleep(t, who)
			link := r.dial(t, i) // Made before, as all links are.
			calls := enrollv1.NewEnrollServiceClient(link)
			if _, err := calls.Confirm(t.Context(), &enrollv1.ConfirmRequest{}); status.Code(err) != codes.Unavailable {
				t.Errorf("with a certificate that has expired: %v", err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			var running sync.WaitGroup
			running.Go(func() { i.Run(ctx) })
			defer running.Wait()
			defer cancel()
			for {
				_, err := calls.Confirm(t.Context(), &enrollv1.ConfirmRequest{})
				if err == nil || t.Context().Err() != nil {
					break
				}
				link.ResetConnectBackoff()
			}
			if left := time.Until(i.ExpiresAt()); left < identity.Life-time.Minute || i.Region() != "eu" {
				t.Errorf("good for %v, in %q", left, i.Region())
			}
			if n := r.audited(t, string(who.Kind)+".rejoin"); n != 1 {
				t.Errorf("audited %d times", n)
			}
		})
	}
}

// A process that starts needs no token either, and the next time it needs nobody.
func TestAProcessThatStartsWithAnExpiredIdentityComesBack(t *testing.T) {
	r := newRig(t)
	_, config := r.asleep(t, laptop)
	for _, when := range []string{"first", "again"} {
		i, err := identity.Obtain(t.Context(), config, "")
		if err != nil || time.Until(i.ExpiresAt()) < 0 || i.Peer() != laptop || i.Region() != "eu" {
			t.Fatalf("%s: %v", when, err)
		}
		r.server.Stop()
	}
}

// What must be done is said only by who was refused: a control plane that is away may
// come back.
func TestAnExpiredIdentityThatIsRefusedSaysWhatToDo(t *testing.T) {
	r := newRig(t)
	_, config := r.asleep(t, laptop)
	r.service.rejoinWithin = 0
	i, err := identity.Obtain(t.Context(), config, "")
	if i == nil || !fault.Is(err, fault.Precondition) || fault.Code(err) != identity.CodeIdentity ||
		!strings.Contains(fault.Text(err), "warder join-token create --kind agent --name laptop") {
		t.Errorf("refused: %v, %v", i, err)
	}
	r.server.Stop()
	i, err = identity.Obtain(t.Context(), config, "")
	if i == nil || !fault.Is(err, fault.Unavailable) || strings.Contains(err.Error(), "join-token") || fault.Code(err) == identity.CodeIdentity {
		t.Errorf("away: %v, %v", i, err)
	}
}

func TestANewTokenLetsAnExpiredIdentityIn(t *testing.T) {
	r := newRig(t)
	i, config := r.asleep(t, laptop)
	r.service.rejoinWithin = 0
	again, err := identity.Obtain(t.Context(), config, r.token(t, laptop.Kind, laptop.Name).Reveal())
	if err != nil || time.Until(again.ExpiresAt()) < 0 || again.Peer() != i.Peer() {
		t.Errorf("got %v", err)
	}
}

// Of all who could ask, only the owner of a peer's newest certificate is given another,
// and whoever else asks takes nothing from that one.
func TestOnlyTheNewestCertificateOfAPeerThatMayConnectIsExchanged(t *testing.T) {
	r := newRig(t)
	stranger := newAuthority(t, storetest.New(t), time.Now)
	good := r.lapsed(t, laptop, time.Hour)
	other := r.lapsed(t, identity.Peer{Kind: identity.Agent, Name: "other"}, time.Hour)
	expired, use := time.Now().Add(-2*identity.Life), x509.ExtKeyUsageClientAuth
	named := func(kind identity.Kind, name string) identity.Peer { return identity.Peer{Kind: kind, Name: name} }
	revoked := r.lapsed(t, named(identity.Node, "revoked"), time.Hour)
	r.revoke(t, identity.Node, "revoked")
	removed := r.lapsed(t, named(identity.Agent, "removed"), time.Hour)
	r.exec(t, "DELETE FROM agent WHERE name = 'removed'")
	recreated := r.lapsed(t, named(identity.Agent, "recreated"), time.Hour)
	r.exec(t, "DELETE FROM agent WHERE name = 'recreated'")
	r.join(t, identity.Agent, "recreated")
	joined := r.lapsed(t, named(identity.Agent, "joined"), time.Hour)
	r.join(t, identity.Agent, "joined")
	authority := r.authority.signing()
	for name, c := range map[string]struct {
		with   tls.Certificate
		change func(*enrollv1.RejoinRequest)
		code   codes.Code
		want   string
	}{
		"another's certificate": {with: tls.Certificate{Certificate: good.Certificate, PrivateKey: other.PrivateKey}, code: codes.Unauthenticated, want: "not signed with the key"},
		"another key wanted":    {good, func(q *enrollv1.RejoinRequest) { _, q.CertificateRequest = newRequest(t) }, codes.Unauthenticated, "not signed with the key"},
		"another time said":     {good, func(q *enrollv1.RejoinRequest) { q.Now = timestamppb.New(q.Now.AsTime().Add(1)) }, codes.Unauthenticated, "not signed with the key"},
		"another certificate":   {good, func(q *enrollv1.RejoinRequest) { q.Certificate = other.Certificate[0] }, codes.Unauthenticated, "not signed with the key"},
		"no signature":          {good, func(q *enrollv1.RejoinRequest) { q.Signature = nil }, codes.Unauthenticated, "not signed with the key"},
		"no certificate":        {good, func(q *enrollv1.RejoinRequest) { q.Certificate = nil }, codes.InvalidArgument, "cannot be read"},
		"too much of one":       {good, func(q *enrollv1.RejoinRequest) { q.Certificate = make([]byte, maxRequest+1) }, codes.InvalidArgument, "too long"},
		"no time":               {good, func(q *enrollv1.RejoinRequest) { q.Now = nil; sign(t, q, good.PrivateKey) }, codes.InvalidArgument, "what time"},
		"a clock that is off": {good, func(q *enrollv1.RejoinRequest) {
			q.Now = timestamppb.New(time.Now().Add(-time.Hour))
			sign(t, q, good.PrivateKey)
		}, codes.FailedPrecondition, "set the clock"},
		"a request of another key": {good, func(q *enrollv1.RejoinRequest) {
			q.CertificateRequest[len(q.CertificateRequest)-1] ^= 1
			sign(t, q, good.PrivateKey)
		}, codes.InvalidArgument, "its own key"},
		"the same key": {good, func(q *enrollv1.RejoinRequest) {
			q.CertificateRequest = requestOf(t, good.PrivateKey)
			sign(t, q, good.PrivateKey)
		}, codes.InvalidArgument, "another key"},
		"of another CA":            {with: forged(t, stranger, laptop, expired, use), code: codes.Unauthenticated, want: "not known here"},
		"a server's":               {with: forged(t, r.authority, laptop, expired, x509.ExtKeyUsageServerAuth), code: codes.Unauthenticated, want: "not known here"},
		"the control plane's":      {with: forged(t, r.authority, identity.Peer{Kind: identity.ControlPlane}, expired, use), code: codes.Unauthenticated, want: "not known here"},
		"of a kind there is not":   {with: forged(t, r.authority, named("admin", "ana"), expired, use), code: codes.Unauthenticated, want: "not known here"},
		"the authority's own":      {with: tls.Certificate{Certificate: [][]byte{authority.certificate.Raw}, PrivateKey: authority.key}, code: codes.Unauthenticated, want: "not known here"},
		"of a node of that name":   {with: forged(t, r.authority, named(identity.Node, "laptop"), expired, use), code: codes.PermissionDenied, want: "there is no node laptop"},
		"older than the newest":    {with: forged(t, r.authority, laptop, expired.Add(-time.Minute), use), code: codes.PermissionDenied},
		"as old as the newest":     {with: forged(t, r.authority, laptop, expired, use), code: codes.PermissionDenied, want: "two have this identity"},
		"revoked":                  {with: revoked, code: codes.PermissionDenied, want: "was revoked"},
		"removed":                  {with: removed, code: codes.PermissionDenied, want: "there is no agent removed"},
		"removed and made anew":    {with: recreated, code: codes.PermissionDenied},
		"of before it joined anew": {with: joined, code: codes.PermissionDenied, want: "two have this identity"},
	} {
		t.Run(name, func(t *testing.T) {
			r.service.failures = newFailures()
			q := rejoinRequest(t, c.with)
			if c.change != nil {
				c.change(q)
			}
			response, err := r.enroller(t).Rejoin(t.Context(), q)
			if status.Code(err) != c.code || !strings.Contains(err.Error(), c.want) || response != nil {
				t.Errorf("got %v, %v", response, err)
			}
		})
	}
	if n := r.audited(t, "agent.rejoin") + r.audited(t, "node.rejoin"); n != 0 {
		t.Errorf("%d rejoins were audited", n)
	}
	for within, want := range map[time.Duration]string{0: "--rejoin-within 0", time.Hour - time.Minute: "expired 1h0m"} {
		r.service.rejoinWithin = within
		if _, err := r.enroller(t).Rejoin(t.Context(), rejoinRequest(t, good)); status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), want) {
			t.Errorf("within %v: %v", within, err)
		}
	}
	r.service.rejoinWithin = time.Hour + time.Minute
	if _, err := r.enroller(t).Rejoin(t.Context(), rejoinRequest(t, good)); err != nil {
		t.Errorf("the owner: %v", err)
	}
}

// requestOf asks for a certificate of a key.
func requestOf(t *testing.T, key any) []byte {
	t.Helper()
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	return request
}

func TestRejoinsThatFailAreBoundedByAddress(t *testing.T) {
	r := newRig(t)
	client, q := r.enroller(t), rejoinRequest(t, r.lapsed(t, laptop, time.Hour))
	q.Signature[len(q.Signature)-1] ^= 1
	var err error
	for range 2 * maxFailures {
		if _, err = client.Rejoin(t.Context(), q); status.Code(err) == codes.ResourceExhausted {
			break
		}
	}
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("got %v", err)
	}
}

// Who sends a request again gets a certificate of a key that he has not; and soon
// nothing at all.
func TestARejoinThatIsSentAgainBuysNothing(t *testing.T) {
	r := newRig(t)
	old := r.lapsed(t, laptop, time.Hour)
	key, request := newRequest(t)
	q := rejoinRequest(t, old)
	q.CertificateRequest = request
	sign(t, q, old.PrivateKey)
	client := r.enroller(t)
	var last *enrollv1.Credential
	for range 2 {
		response, err := client.Rejoin(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		last = response.GetCredential()
		if leaf, err := x509.ParseCertificate(last.GetCertificate()); err != nil || !key.PublicKey.Equal(leaf.PublicKey) {
			t.Errorf("a certificate of another key: %v", err)
		}
	}
	// The owner is not shut out by it.
	i, err := identity.New(r.config(identity.Agent, ""), key, last, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := i.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Rejoin(t.Context(), q); status.Code(err) != codes.PermissionDenied {
		t.Errorf("when the newest is in use: %v", err)
	}
	r.service.now = func() time.Time { return time.Now().Add(identity.MaxSkew + time.Second) }
	if _, err := client.Rejoin(t.Context(), q); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("later: %v", err)
	}
}

// An answer that is lost shuts nobody out, however often: of a rejoin, and of the
// renewal before the peer fell asleep.
func TestAnAnswerThatIsLostDoesNotShutAPeerOut(t *testing.T) {
	r := newRig(t)
	old := r.lapsed(t, laptop, time.Hour)
	for range 3 {
		if _, err := r.enroller(t).Rejoin(t.Context(), rejoinRequest(t, old)); err != nil {
			t.Fatal(err)
		}
	}
	config := r.config(identity.Agent, "")
	i, err := identity.New(config, old.PrivateKey.(*ecdsa.PrivateKey), r.credential(old), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := i.Rejoin(t.Context()); err != nil {
		t.Fatal(err)
	}
	// It has shown the newest: the one before is worthless.
	_, err = r.enroller(t).Rejoin(t.Context(), rejoinRequest(t, old))
	if status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), "warder agent revoke laptop") {
		t.Errorf("the second newest: %v", err)
	}

	renewing := enrollv1.NewEnrollServiceClient(r.dial(t, i))
	for range 2 {
		_, request := newRequest(t)
		if _, err := renewing.Renew(t.Context(), &enrollv1.RenewRequest{CertificateRequest: request, Now: timestamppb.Now()}); err != nil {
			t.Errorf("renew, when the answer was lost: %v", err)
		}
	}
	if err := i.Rejoin(t.Context()); err != nil {
		t.Errorf("rejoin, when the answer to a renewal was lost: %v", err)
	}
}

// Two processes with the same identity: the second is refused, by Rejoin as by Renew,
// and that is audited, once.
func TestTheSecondOfTwoHoldersIsFoundOut(t *testing.T) {
	r := newRig(t)
	_, config := r.asleep(t, laptop)
	copied := config
	copied.Dir = t.TempDir()
	content, err := os.ReadFile(filepath.Join(config.Dir, "identity.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(copied.Dir, "identity.pem"), content, 0o600); err != nil {
		t.Fatal(err)
	}
	first, err := identity.Obtain(t.Context(), config, "")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := identity.Obtain(t.Context(), copied, ""); !fault.Is(err, fault.Precondition) || !strings.Contains(fault.Text(err), "two have this identity") {
			t.Errorf("the second: %v", err)
		}
	}
	if n := r.audited(t, "agent.superseded"); n != 1 {
		t.Errorf("audited %d times", n)
	}

	content, err = os.ReadFile(filepath.Join(config.Dir, "identity.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(copied.Dir, "identity.pem"), content, 0o600); err != nil {
		t.Fatal(err)
	}
	second, err := identity.Obtain(t.Context(), copied, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := second.Renew(t.Context()); !fault.Is(err, fault.Denied) {
		t.Errorf("renewed: %v", err)
	}
	if err := first.Renew(t.Context()); err != nil {
		t.Errorf("the first is refused as well: %v", err)
	}
	if n := r.audited(t, "agent.superseded"); n != 2 {
		t.Errorf("audited %d times", n)
	}
}

// A certificate that the database has forgotten, since it was brought back from a
// backup, is newer than all that it knows.
func TestAPeerComesBackAfterTheDatabaseWasBroughtBack(t *testing.T) {
	r := newRig(t)
	i, _ := r.asleep(t, laptop)
	r.exec(t, `UPDATE agent SET key = repeat('a', 64), certified_at = certified_at - interval '1 hour', valid_from = valid_from - interval '1 hour' WHERE name = 'laptop'`)
	if err := i.Rejoin(t.Context()); err != nil {
		t.Errorf("rejoin: %v", err)
	}
	r.exec(t, `UPDATE agent SET key = repeat('a', 64), certified_at = certified_at - interval '1 hour', valid_from = valid_from - interval '1 hour' WHERE name = 'laptop'`)
	if err := i.Renew(t.Context()); err != nil {
		t.Errorf("renew: %v", err)
	}
}

// Authorities change while a peer sleeps. It comes back if it trusts the one of now;
// and that its certificate is of one that nobody trusts any more is no hindrance.
func TestAPeerComesBackAfterTheAuthorityHasRotated(t *testing.T) {
	r := newRig(t)
	ignorant, _ := r.asleep(t, laptop)
	early, _ := r.asleep(t, identity.Peer{Kind: identity.Node, Name: "early"})
	if _, err := r.authority.Rotate(t.Context(), "ana"); err != nil {
		t.Fatal(err)
	}
	node := identity.Peer{Kind: identity.Node, Name: "edge"}
	old := r.lapsed(t, node, time.Hour)
	knowing, err := identity.New(r.config(node.Kind, ""), old.PrivateKey.(*ecdsa.PrivateKey), r.credential(old), "")
	if err != nil {
		t.Fatal(err)
	}

	// The new one signs, and the one before is trusted still.
	r.ahead.Store(int64(lead + time.Second))
	if err := early.Rejoin(t.Context()); err != nil {
		t.Errorf("during the rotation: %v", err)
	}
	r.ahead.Store(int64(lead + rest + time.Second))
	if err := r.authority.Keep(t.Context()); err != nil {
		t.Fatal(err)
	}
	// A certificate that looks newer than the newest of an authority whose key may be
	// anywhere is not believed.
	r.exec(t, `UPDATE node SET key = repeat('a', 64), certified_at = certified_at - interval '1 hour', valid_from = valid_from - interval '1 hour' WHERE name = 'edge'`)
	if err := knowing.Rejoin(t.Context()); !fault.Is(err, fault.Denied) {
		t.Errorf("newer than what is known, of an authority that was: %v", err)
	}
	r.exec(t, "UPDATE node SET key = $1 WHERE name = 'edge'", identity.Fingerprint(old.Leaf))
	if err := knowing.Rejoin(t.Context()); err != nil {
		t.Errorf("who knows the authority of now: %v", err)
	}
	err = ignorant.Rejoin(t.Context())
	if !fault.Is(err, fault.Precondition) || !strings.Contains(fault.Text(err), "was rotated") || !strings.Contains(fault.Text(err), "warder join-token create --kind agent --name laptop") {
		t.Errorf("who does not: %v", err)
	}

	r.ahead.Store(int64(lead + rest + pastFor + 2*time.Second))
	if err := r.authority.Keep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if rows, err := r.store.ListPastAuthorities(t.Context()); err != nil || len(rows) != 0 {
		t.Errorf("%d are kept for ever: %v", len(rows), err)
	}
}

// Of a rejoin and a revocation at the same time, either the rejoin is refused or what it
// made is void.
func TestARevocationIsNotOvertakenByARejoin(t *testing.T) {
	r := newRig(t)
	for range 10 {
		i, _ := r.asleep(t, laptop)
		var both sync.WaitGroup
		both.Go(func() { _ = i.Rejoin(t.Context()) })
		both.Go(func() {
			_, err := r.store.Change(context.WithoutCancel(t.Context()), "ana", func(tx *store.Tx) error {
				return Revoke(t.Context(), tx, laptop, "agent.revoke", "")
			})
			if err != nil {
				t.Error(err)
			}
		})
		both.Wait()
		if r.ask(t, r.dial(t, i), enrollv1.AgentService_Follow_FullMethodName) {
			t.Fatal("what it has is good")
		}
	}
}
