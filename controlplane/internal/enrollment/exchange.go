package enrollment

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/identity"
	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
)

// shown is a certificate that its holder exchanges for another.
type shown struct {
	who    identity.Peer
	key    string // its fingerprint
	issued time.Time
	// trusted says that its authority is trusted now, and not only was.
	trusted bool
}

// show returns what counts of a certificate that was verified.
func show(certificate *x509.Certificate, trusted bool) (shown, error) {
	who, err := identity.Of(certificate)
	if err != nil {
		return shown{}, err
	}
	return shown{who, identity.Fingerprint(certificate), identity.IssuedAt(certificate), trusted}, nil
}

// candidate is a key that a peer wants certified.
type candidate struct {
	public      crypto.PublicKey
	fingerprint string // as identity.Fingerprint returns it of the certificate
}

func newCandidate(key crypto.PublicKey) (candidate, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return candidate{}, fmt.Errorf("encode key: %w", err)
	}
	sum := sha256.Sum256(der)
	return candidate{key, hex.EncodeToString(sum[:])}, nil
}

// errNotExchanged says that a certificate is not the newest of a peer that may have
// one. Refusal says which of that.
var errNotExchanged = errors.New("this certificate is not exchanged")

// exchange makes the next certificate of a peer for its newest one, or for the one
// before while nobody has used the newest: of an answer that was lost, only the control
// plane knows. What is older is worthless, so that a stolen one is as soon as its owner
// has renewed; and of two that hold the newest, the second that comes is refused.
func (s *Service) exchange(ctx context.Context, q *db.Queries, old shown, next candidate) (*enrollv1.Credential, error) {
	if next.fingerprint == old.key {
		return nil, fault.New(fault.Invalid, "another certificate needs another key")
	}
	var issue time.Time
	var err error
	if old.who.Kind == identity.Node {
		issue, err = q.RenewNode(ctx, db.RenewNodeParams{
			Name: old.who.Name, Key: next.fingerprint, Held: old.key, IssuedAt: old.issued, NewerCounts: old.trusted,
		})
	} else {
		issue, err = q.RenewAgent(ctx, db.RenewAgentParams{
			Name: old.who.Name, Key: next.fingerprint, Held: old.key, IssuedAt: old.issued, NewerCounts: old.trusted,
		})
	}
	if fault.Is(err, fault.NotFound) {
		return nil, errNotExchanged
	}
	if err != nil {
		return nil, fmt.Errorf("exchange certificate of %s: %w", old.who, err)
	}
	return s.issue(old.who, next.public, issue)
}

// refusal says why a certificate was not exchanged, by errNotExchanged; any other error
// it returns as it is. Of who is neither revoked nor removed somebody else has a newer
// one: that is logged, and audited once for each key.
func (s *Service) refusal(ctx context.Context, old shown, from string, err error) error {
	if !errors.Is(err, errNotExchanged) {
		return err
	}
	p := db.ListStandingsParams{Nodes: []string{}, Agents: []string{}}
	if old.who.Kind == identity.Node {
		p.Nodes = append(p.Nodes, old.who.Name)
	} else {
		p.Agents = append(p.Agents, old.who.Name)
	}
	rows, err := s.store.ListStandings(ctx, p)
	if err != nil {
		return fmt.Errorf("read standing of %s: %w", old.who, err)
	}
	switch {
	case len(rows) == 0:
		return fault.Newf(fault.Denied, "there is no %s %s any more; 'warder join-token create --kind %[1]s --name %[2]s' makes a token that lets it in again", old.who.Kind, old.who.Name)
	case rows[0].Revoked || old.issued.Before(rows[0].ValidFrom):
		return void(old.who)
	}
	s.log.Warn("refused a certificate that is not the newest of its peer: somebody else has that", "peer", old.who.String(), "address", from, "issued_at", old.issued)
	if err := s.auditSuperseded(ctx, old, from); err != nil {
		return fmt.Errorf("audit refusal of %s: %w", old.who, err)
	}
	return fault.Newf(fault.Denied, "this certificate of the %s %s was exchanged for another, which was used since: two have this identity, or it was brought back from a copy. "+
		"If you do not know of the other, 'warder %[1]s revoke %[2]s' shuts it out; 'warder join-token create --kind %[1]s --name %[2]s' makes a token that lets this one in", old.who.Kind, old.who.Name)
}

// auditSuperseded keeps that somebody came with a certificate that is not the newest.
func (s *Service) auditSuperseded(ctx context.Context, old shown, from string) error {
	err := s.store.Act(ctx, "system", func(tx *store.Tx) (err error) {
		var first int64
		if old.who.Kind == identity.Node {
			first, err = tx.RefuseNodeKey(ctx, db.RefuseNodeKeyParams{Name: old.who.Name, Key: old.key})
		} else {
			first, err = tx.RefuseAgentKey(ctx, db.RefuseAgentKeyParams{Name: old.who.Name, Key: old.key})
		}
		if err == nil && first == 0 {
			err = errNothingDue
		}
		tx.Note(string(old.who.Kind)+".superseded", old.who.Name, map[string]any{"address": from, "issued_at": old.issued.UTC().Format(time.RFC3339)})
		return err
	})
	if errors.Is(err, errNothingDue) {
		return nil
	}
	return err
}

// Renew makes another certificate of the peer that calls.
func (s *Service) Renew(ctx context.Context, r *enrollv1.RenewRequest) (*enrollv1.RenewResponse, error) {
	credential, err := s.renew(ctx, r)
	if err != nil {
		return nil, fault.GRPC(err)
	}
	return &enrollv1.RenewResponse{Credential: credential}, nil
}

func (s *Service) renew(ctx context.Context, r *enrollv1.RenewRequest) (*enrollv1.Credential, error) {
	old, err := caller(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.checkClock(r.GetNow()); err != nil {
		return nil, err
	}
	next, err := parseRequest(r.GetCertificateRequest())
	if err != nil {
		return nil, err
	}
	credential, err := s.exchange(ctx, s.store.Queries, old, next)
	if err != nil {
		return nil, s.refusal(ctx, old, callerAddress(ctx), err)
	}
	return credential, nil
}

// Confirm is a call that does nothing: Standing has seen the certificate by which it
// came.
func (s *Service) Confirm(context.Context, *enrollv1.ConfirmRequest) (*enrollv1.ConfirmResponse, error) {
	return &enrollv1.ConfirmResponse{}, nil
}

// caller returns the certificate behind a call that was admitted.
func caller(ctx context.Context) (shown, error) {
	if p, ok := peer.FromContext(ctx); ok {
		if info, ok := p.AuthInfo.(credentials.TLSInfo); ok && len(info.State.VerifiedChains) > 0 {
			return show(info.State.VerifiedChains[0][0], true)
		}
	}
	return shown{}, fault.New(fault.Unauthenticated, "no certificate of this installation was presented")
}
