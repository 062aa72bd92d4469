package enrollment

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/doorman"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/identity"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

// admitted says which kinds of peers may call a method of the control plane.
var admitted = map[string][]identity.Kind{
	enrollv1.EnrollService_Join_FullMethodName:    {identity.Anybody},
	enrollv1.EnrollService_Rejoin_FullMethodName:  {identity.Anybody},
	enrollv1.EnrollService_Renew_FullMethodName:   {identity.Node, identity.Agent},
	enrollv1.EnrollService_Confirm_FullMethodName: {identity.Node, identity.Agent},
	syncv1.SyncService_Sync_FullMethodName:        {identity.Node},
	auditv1.AuditService_Push_FullMethodName:      {identity.Node},
	enrollv1.AgentService_Follow_FullMethodName:   {identity.Agent},
	tunnelv1.TunnelService_Attach_FullMethodName:  {identity.Agent},
}

// Admission decides who may call what, and ends the streams of who is revoked. It is
// safe for concurrent use.
type Admission struct {
	authority *Authority
	store     *store.Store
	doorman   *doorman.Doorman
	log       *slog.Logger

	mu   sync.Mutex
	live map[*call]struct{}
}

// call is a call that a peer makes.
type call struct {
	peer   identity.Peer
	issued time.Time // its certificate
	key    string    // the fingerprint of that
	end    context.CancelCauseFunc
}

// NewAdmission returns the admission of peers that an authority signs for. A registerer gets
// its metrics; nil: nobody does.
func NewAdmission(a *Authority, registerer prometheus.Registerer, log *slog.Logger) *Admission {
	return &Admission{
		authority: a, store: a.store, log: log, live: make(map[*call]struct{}), doorman: doorman.New("enrollment", a.serverTLS(), registerer),
	}
}

// Options returns what a gRPC server for peers needs: mutual TLS, and that each
// method is called by who may.
func (a *Admission) Options() []grpc.ServerOption {
	methods := &identity.Admission{Methods: admitted, Standing: a.standing, Log: a.log}
	return append(methods.Interceptors(), grpc.Creds(a.doorman))
}

// standing admits a call of who has a certificate that is not void. It is registered
// first: a revocation that comes meanwhile finds it.
func (a *Admission) standing(ctx context.Context, who identity.Peer, certificate *x509.Certificate) (context.Context, func(), error) {
	ctx, end := context.WithCancelCause(ctx)
	c := &call{peer: who, issued: identity.IssuedAt(certificate), key: identity.Fingerprint(certificate), end: end}
	a.mu.Lock()
	a.live[c] = struct{}{}
	a.mu.Unlock()
	over := func() {
		a.mu.Lock()
		delete(a.live, c)
		a.mu.Unlock()
		end(nil)
	}
	if err := a.check(ctx, []*call{c}); err != nil {
		over()
		return nil, nil, err
	}
	if err := context.Cause(ctx); err != nil {
		over()
		return nil, nil, err
	}
	return ctx, over, nil
}

// Recheck ends the calls of peers that were revoked. It is called at each revision.
func (a *Admission) Recheck(ctx context.Context) error {
	a.mu.Lock()
	calls := make([]*call, 0, len(a.live))
	for c := range a.live {
		calls = append(calls, c)
	}
	a.mu.Unlock()
	return a.check(ctx, calls)
}

// check ends those of the calls whose certificate is void, and confirms those that came
// with the newest.
func (a *Admission) check(ctx context.Context, calls []*call) error {
	names := map[identity.Kind][]string{}
	for _, c := range calls {
		names[c.peer.Kind] = append(names[c.peer.Kind], c.peer.Name)
	}
	if len(names) == 0 {
		return nil
	}
	rows, err := a.store.ListStandings(ctx, db.ListStandingsParams{Nodes: names[identity.Node], Agents: names[identity.Agent]})
	if err != nil {
		return fmt.Errorf("read standing of peers: %w", err)
	}
	standings := make(map[identity.Peer]db.ListStandingsRow, len(rows))
	for _, row := range rows {
		standings[identity.Peer{Kind: identity.Kind(row.Kind), Name: row.Name}] = row
	}
	for _, c := range calls {
		row, known := standings[c.peer]
		if !known || row.Revoked || c.issued.Before(row.ValidFrom) {
			c.end(void(c.peer))
			continue
		}
		if row.Unconfirmed && row.Key == c.key {
			if err := a.confirm(ctx, c); err != nil {
				return err
			}
		}
	}
	return nil
}

// confirm keeps that the newest certificate of a peer is in use, so that the one before
// is exchanged no more.
func (a *Admission) confirm(ctx context.Context, c *call) (err error) {
	if c.peer.Kind == identity.Node {
		err = a.store.ConfirmNode(ctx, db.ConfirmNodeParams{Name: c.peer.Name, Key: c.key})
	} else {
		err = a.store.ConfirmAgent(ctx, db.ConfirmAgentParams{Name: c.peer.Name, Key: c.key})
	}
	if err != nil {
		return fmt.Errorf("confirm certificate of %s: %w", c.peer, err)
	}
	return nil
}

// void is why a peer is refused whose certificate has been revoked.
func void(who identity.Peer) *fault.Error {
	return fault.Newf(fault.Denied, "the %s %s was revoked; 'warder join-token create --kind %s --name %s' makes a token that lets it in again",
		who.Kind, who.Name, who.Kind, who.Name)
}

// Revoke voids all certificates of a peer as a part of a change, here and at nodes.
// Who has it is fault.NotFound.
func Revoke(ctx context.Context, tx *store.Tx, who identity.Peer, action, reason string) error {
	var from time.Time
	var err error
	if who.Kind == identity.Node {
		from, err = tx.RevokeNode(ctx, who.Name)
	} else {
		from, err = tx.RevokeAgent(ctx, who.Name)
	}
	if fault.Is(err, fault.NotFound) {
		return fault.Newf(fault.NotFound, "there is no %s %q; 'warder %s list' shows them", who.Kind, who.Name, who.Kind)
	}
	if err != nil {
		return fmt.Errorf("revoke %s: %w", who, err)
	}
	// Once they have expired, nobody need be told.
	expires := from.Add(identity.Life + identity.MaxSkew)
	err = tx.InsertDeny(ctx, db.InsertDenyParams{
		Kind: string(who.Kind), Name: who.Name, Reason: reason, CreatedBy: tx.Actor(), Cause: "revoked",
		ExpiresAt: &expires, IssuedBefore: &from,
	})
	if err != nil {
		return fmt.Errorf("deny %s: %w", who, err)
	}
	tx.Record(action, who.Name, map[string]any{"reason": reason})
	return nil
}
