package enrollment

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"time"

	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/identity"
	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
)

// Service lets peers in, and renews their certificates. It is safe for concurrent
// use.
type Service struct {
	enrollv1.UnimplementedEnrollServiceServer

	authority    *Authority
	store        *store.Store
	failures     *failures
	rejoinWithin time.Duration
	now          func() time.Time
	log          *slog.Logger
}

// NewService returns a service that signs with an authority. Peers come back up to
// rejoinWithin after their certificates have expired; 0: not at all.
func NewService(a *Authority, rejoinWithin time.Duration, log *slog.Logger) *Service {
	return &Service{authority: a, store: a.store, failures: newFailures(), rejoinWithin: rejoinWithin, now: time.Now, log: log}
}

// Join buys a certificate with a token.
func (s *Service) Join(ctx context.Context, r *enrollv1.JoinRequest) (*enrollv1.JoinResponse, error) {
	from := callerAddress(ctx)
	if err := s.bounded(from); err != nil {
		return nil, fault.GRPC(err)
	}
	response, err := s.join(ctx, r, from)
	if err != nil {
		if fault.Is(err, fault.Unauthenticated) {
			s.failures.count(from, s.now())
		}
		s.log.Warn("refused join", "address", from, "error", err)
		return nil, fault.GRPC(err)
	}
	s.log.Info("joined", "kind", response.GetKind(), "name", response.GetName(), "address", from)
	return response, nil
}

// bounded refuses an address of which too many joins failed.
func (s *Service) bounded(from string) error {
	if wait := s.failures.wait(from, s.now()); wait > 0 {
		return fault.Newf(fault.Exhausted, "too many joins from %s failed; try again in %s", from, wait.Round(time.Second))
	}
	return nil
}

func (s *Service) join(ctx context.Context, r *enrollv1.JoinRequest, from string) (*enrollv1.JoinResponse, error) {
	token, err := identity.ParseToken(r.GetToken())
	if err != nil {
		return nil, err
	}
	if err := s.checkClock(r.GetNow()); err != nil {
		return nil, err
	}
	key, err := parseRequest(r.GetCertificateRequest())
	if err != nil {
		return nil, err
	}
	var response *enrollv1.JoinResponse
	err = s.store.Act(ctx, "system", func(tx *store.Tx) error {
		spent, err := spend(ctx, tx, token, identity.Kind(r.GetKind()))
		if err != nil {
			return err
		}
		who := identity.Peer{Kind: identity.Kind(spent.Kind), Name: spent.Name}
		credential, err := s.admit(ctx, tx, who, spent.Region, key, clip(r.GetVersion()))
		if err != nil {
			return err
		}
		tx.Note(spent.Kind+".join", spent.Name, map[string]any{
			"join_token": token.ID, "created_by": spent.CreatedBy, "address": from, "region": spent.Region,
		})
		response = &enrollv1.JoinResponse{Credential: credential, Kind: spent.Kind, Name: spent.Name, Region: spent.Region}
		return nil
	})
	return response, err
}

// maxVersion bounds what is kept of what a peer calls its build.
const maxVersion = 128

func clip(version string) string { return version[:min(len(version), maxVersion)] }

// admit keeps that a peer is let in, and makes its certificate.
func (s *Service) admit(ctx context.Context, tx *store.Tx, who identity.Peer, region string, key candidate, version string) (*enrollv1.Credential, error) {
	var issue time.Time
	var err error
	if who.Kind == identity.Node {
		issue, err = tx.JoinNode(ctx, db.JoinNodeParams{Name: who.Name, Region: region, Version: version, Key: key.fingerprint})
	} else {
		issue, err = tx.JoinAgent(ctx, db.JoinAgentParams{Name: who.Name, Region: region, Version: version, Key: key.fingerprint})
	}
	if err != nil {
		return nil, fmt.Errorf("keep %s: %w", who, err)
	}
	return s.issue(who, key.public, issue)
}

// issue makes a certificate as of a time of the database, by whose clock revocations
// go: it must be the time here as well.
func (s *Service) issue(who identity.Peer, key crypto.PublicKey, at time.Time) (*enrollv1.Credential, error) {
	if off := at.Sub(s.now()); off.Abs() > identity.MaxSkew {
		return nil, fault.Newf(fault.Precondition, "the clock of the database is off by %s from that of the control plane; set them", off.Abs().Round(time.Second))
	}
	return s.authority.credential(who, key, at)
}

// Admit lets a peer in that runs in the process of the control plane, as Join does
// with a token: its first certificate does not come over a connection.
func (s *Service) Admit(ctx context.Context, c identity.Config, name string) (*identity.Identity, error) {
	who := identity.Peer{Kind: c.Kind, Name: name}
	if err := who.Check(); err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	public, err := newCandidate(key.Public())
	if err != nil {
		return nil, err
	}
	var credential *enrollv1.Credential
	err = s.store.Act(ctx, "system", func(tx *store.Tx) error {
		tx.Note(string(who.Kind)+".join", who.Name, map[string]any{"address": "this process"})
		credential, err = s.admit(ctx, tx, who, "", public, c.Version)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("let in %s: %w", who, err)
	}
	return identity.New(c, key, credential, "")
}

// checkClock refuses a peer whose clock certificates do not allow for.
func (s *Service) checkClock(theirs *timestamppb.Timestamp) error {
	if theirs.CheckValid() != nil {
		return fault.New(fault.Invalid, "the request does not say what time it is")
	}
	now := s.now()
	off := theirs.AsTime().Sub(now).Round(time.Second)
	if off.Abs() <= identity.MaxSkew {
		return nil
	}
	side := "ahead of"
	if off < 0 {
		side = "behind"
	}
	return fault.Newf(fault.Precondition, "the clock of this machine is %s %s that of the control plane, which says %s; certificates allow for %s: set the clock, then try again",
		off.Abs(), side, now.UTC().Format(time.RFC3339), identity.MaxSkew)
}

// maxRequest bounds a certificate request, in bytes.
const maxRequest = 4096

// parseRequest returns the key of a certificate request, which proves that the peer
// has its other half. Nothing else of it counts.
func parseRequest(der []byte) (candidate, error) {
	if len(der) > maxRequest {
		return candidate{}, fault.New(fault.Invalid, "the certificate request is too long")
	}
	request, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return candidate{}, fault.Wrap(fault.Invalid, "the certificate request cannot be read", err)
	}
	if err := request.CheckSignature(); err != nil {
		return candidate{}, fault.Wrap(fault.Invalid, "the certificate request is not signed with its own key", err)
	}
	key, ok := request.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return candidate{}, fault.New(fault.Invalid, "the certificate request is not of an ECDSA key on P-256")
	}
	return newCandidate(key)
}

// callerAddress returns from where a call comes, without the port.
func callerAddress(ctx context.Context) string {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return "unknown"
	}
	host, _, err := net.SplitHostPort(p.Addr.String())
	if err != nil {
		return p.Addr.String()
	}
	return host
}
