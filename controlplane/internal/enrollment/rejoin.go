package enrollment

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/identity"
	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
)

const (
	// DefaultRejoinWithin and MaxRejoinWithin are how long after its certificate has
	// expired a peer may come back, if nobody says otherwise and at most.
	DefaultRejoinWithin = 7 * 24 * time.Hour
	MaxRejoinWithin     = 30 * 24 * time.Hour
	// pastFor is how long the certificate of an authority is kept after all that it
	// signed has expired: nobody comes back with any of that later.
	pastFor = MaxRejoinWithin + 24*time.Hour
)

// Rejoin exchanges a certificate that has expired. Its holder proves that it has the
// key of it by signing what it asks for. A request that is sent again by somebody else
// buys nothing: what is issued for it needs the new key, which that one has not.
func (s *Service) Rejoin(ctx context.Context, r *enrollv1.RejoinRequest) (*enrollv1.RejoinResponse, error) {
	from := callerAddress(ctx)
	if err := s.bounded(from); err != nil {
		return nil, fault.GRPC(err)
	}
	credential, who, err := s.rejoin(ctx, r, from)
	if err != nil {
		if fault.Is(err, fault.Unauthenticated) || fault.Is(err, fault.Denied) {
			s.failures.count(from, s.now())
		}
		s.log.Warn("refused rejoin", "peer", who.String(), "address", from, "error", err)
		return nil, fault.GRPC(err)
	}
	s.log.Info("rejoined", "kind", who.Kind, "name", who.Name, "address", from)
	return &enrollv1.RejoinResponse{Credential: credential}, nil
}

// rejoin returns whom the certificate names, once that is certain, with an error as
// well.
func (s *Service) rejoin(ctx context.Context, r *enrollv1.RejoinRequest, from string) (*enrollv1.Credential, identity.Peer, error) {
	leaf, err := parseShown(r)
	if err != nil {
		return nil, identity.Peer{}, err
	}
	old, err := s.recognise(ctx, leaf)
	if err != nil {
		return nil, identity.Peer{}, err
	}
	if err := s.checkClock(r.GetNow()); err != nil {
		return nil, old.who, err
	}
	if err := s.checkAge(leaf, old.who); err != nil {
		return nil, old.who, err
	}
	next, err := parseRequest(r.GetCertificateRequest())
	if err != nil {
		return nil, old.who, err
	}
	var credential *enrollv1.Credential
	err = s.store.Act(ctx, "system", func(tx *store.Tx) (err error) {
		tx.Note(string(old.who.Kind)+".rejoin", old.who.Name, map[string]any{
			"address": from, "expired_at": leaf.NotAfter.UTC().Format(time.RFC3339),
		})
		credential, err = s.exchange(ctx, tx.Queries, old, next)
		return err
	})
	if err != nil {
		return nil, old.who, s.refusal(ctx, old, from, err)
	}
	return credential, old.who, nil
}

// parseShown returns the certificate of a request that was signed with its key.
func parseShown(r *enrollv1.RejoinRequest) (*x509.Certificate, error) {
	if len(r.GetCertificate()) > maxRequest {
		return nil, fault.New(fault.Invalid, "the certificate is too long")
	}
	leaf, err := x509.ParseCertificate(r.GetCertificate())
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, "the certificate cannot be read", err)
	}
	key, ok := leaf.PublicKey.(*ecdsa.PublicKey)
	if !ok || !ecdsa.VerifyASN1(key, identity.RejoinDigest(r.GetCertificate(), r.GetCertificateRequest(), r.GetNow()), r.GetSignature()) {
		return nil, fault.New(fault.Unauthenticated, "the request is not signed with the key of its certificate")
	}
	return leaf, nil
}

// recognise returns whom a certificate names that an authority of this installation
// signed, one that is trusted or one that was.
func (s *Service) recognise(ctx context.Context, leaf *x509.Certificate) (shown, error) {
	var trusted, past []*x509.Certificate
	for _, a := range s.authority.trusted() {
		trusted = append(trusted, a.certificate)
	}
	known := signedBy(leaf, trusted)
	if !known {
		var err error
		if past, err = s.authority.past(ctx); err != nil {
			return shown{}, err
		}
	}
	old, err := show(leaf, known)
	if err != nil || !known && !signedBy(leaf, past) || old.who.Kind != identity.Node && old.who.Kind != identity.Agent {
		return shown{}, fault.New(fault.Unauthenticated, "this certificate is not known here, or was signed too long ago; make a join token with 'warder join-token create', and start it with that")
	}
	return old, nil
}

// signedBy reports whether one of the authorities signed a certificate of a peer,
// whatever the time is now.
func signedBy(leaf *x509.Certificate, authorities []*x509.Certificate) bool {
	pool := x509.NewCertPool()
	for _, a := range authorities {
		pool.AddCert(a)
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: pool, CurrentTime: identity.IssuedAt(leaf), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	return err == nil
}

// checkAge refuses a certificate that expired too long ago. One that has not expired
// here has where the peer is.
func (s *Service) checkAge(leaf *x509.Certificate, who identity.Peer) error {
	advice := fmt.Sprintf("'warder join-token create --kind %s --name %s' makes a token that lets it in", who.Kind, who.Name)
	if s.rejoinWithin <= 0 {
		return fault.Newf(fault.Precondition, "the certificate of the %s %s has expired, and this control plane has whom that happened join anew (--rejoin-within 0); %s", who.Kind, who.Name, advice)
	}
	if age := s.now().Sub(leaf.NotAfter); age > s.rejoinWithin {
		return fault.Newf(fault.Precondition, "the certificate of the %s %s expired %s ago, and this control plane exchanges it within %s (--rejoin-within); %s",
			who.Kind, who.Name, age.Round(time.Second), s.rejoinWithin, advice)
	}
	return nil
}

// past returns the authorities whose keys are gone.
func (a *Authority) past(ctx context.Context) ([]*x509.Certificate, error) {
	rows, err := a.store.ListPastAuthorities(ctx)
	if err != nil {
		return nil, fmt.Errorf("read past authorities: %w", err)
	}
	var past []*x509.Certificate
	for _, der := range rows {
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("parse certificate of a past authority: %w", err)
		}
		past = append(past, certificate)
	}
	return past, nil
}
