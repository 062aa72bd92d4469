package identity

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warder-gateway/warder/internal/fault"
	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
)

// CodeIdentity is the code of an identity that is missing or not good any more: a
// join token makes another.
const CodeIdentity = "WARDER-JOIN-001"

// Config says where an identity is kept and renewed.
type Config struct {
	// Kind is what the process is. An identity of another kind is refused.
	Kind Kind
	// Dir holds the identity, in one file that only its owner reads; empty: it is
	// kept in memory, and lost with the process.
	Dir string
	// ControlPlane is host:port of the control plane's listener for nodes and agents.
	ControlPlane string
	// Version of the build, for people.
	Version string
	// Log is required.
	Log *slog.Logger
}

// Identity is who this process is. It is safe for concurrent use.
type Identity struct {
	config    Config
	held      atomic.Pointer[held]
	replacing sync.Mutex                  // held while another certificate is asked for
	renew     func(context.Context) error // Renew
	rejoin    func(context.Context) error // Rejoin
}

// held is an identity as it is at one time. It is never changed.
type held struct {
	peer        Peer
	region      string
	token       string // id of the join token that it began with; empty: none
	certificate tls.Certificate
	authorities []*x509.Certificate
	pool        *x509.CertPool
}

// newHeld puts together what belongs together, and refuses what does not.
func newHeld(key *ecdsa.PrivateKey, leaf *x509.Certificate, authorities []*x509.Certificate) (*held, error) {
	if !key.PublicKey.Equal(leaf.PublicKey) {
		return nil, errors.New("the certificate is not of the key")
	}
	peer, err := Of(leaf)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	for _, authority := range authorities {
		pool.AddCert(authority)
	}
	// It must be one of theirs, whatever the time is.
	_, err = leaf.Verify(x509.VerifyOptions{
		Roots: pool, CurrentTime: IssuedAt(leaf), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return nil, fmt.Errorf("the certificate is of none of the authorities: %w", err)
	}
	return &held{
		peer: peer, authorities: authorities, pool: pool,
		certificate: tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf},
	}, nil
}

// parseCredential is newHeld of what the control plane answered.
func parseCredential(key *ecdsa.PrivateKey, c *enrollv1.Credential) (*held, error) {
	leaf, err := x509.ParseCertificate(c.GetCertificate())
	if err != nil {
		return nil, fmt.Errorf("parse certificate: %w", err)
	}
	var authorities []*x509.Certificate
	for _, der := range c.GetAuthorities() {
		authority, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("parse authority: %w", err)
		}
		authorities = append(authorities, authority)
	}
	return newHeld(key, leaf, authorities)
}

// New returns an identity that was issued in the process of the control plane.
func New(c Config, key *ecdsa.PrivateKey, credential *enrollv1.Credential, region string) (*Identity, error) {
	h, err := parseCredential(key, credential)
	if err != nil {
		return nil, fmt.Errorf("take identity: %w", err)
	}
	h.region = region
	return begin(c, h)
}

// begin returns an identity that holds h, and has written it.
func begin(c Config, h *held) (*Identity, error) {
	i, err := hold(c, h)
	if err != nil {
		return nil, err
	}
	return i, i.keep(h)
}

// hold returns an identity that holds h.
func hold(c Config, h *held) (*Identity, error) {
	if h.peer.Kind != c.Kind {
		return nil, fault.Newf(fault.Precondition, "this identity is that of %s, and not of a kind %q; each has a join token of its own kind", h.peer.words(), c.Kind)
	}
	i := &Identity{config: c}
	i.renew, i.rejoin = i.Renew, i.Rejoin
	i.held.Store(h)
	return i, nil
}

// keep writes h, and holds it from then on.
func (i *Identity) keep(h *held) error {
	if i.config.Dir != "" {
		if err := write(i.config.Dir, h); err != nil {
			return fmt.Errorf("keep identity: %w", err)
		}
	}
	i.held.Store(h)
	return nil
}

// Peer returns kind and name.
func (i *Identity) Peer() Peer { return i.held.Load().peer }

// Region returns the region that the join token gave; empty: none.
func (i *Identity) Region() string { return i.held.Load().region }

// ExpiresAt returns until when the certificate is good, unless it is renewed.
func (i *Identity) ExpiresAt() time.Time { return i.held.Load().certificate.Leaf.NotAfter }

// Authorities returns whom the process trusts now.
func (i *Identity) Authorities() []*x509.Certificate { return i.held.Load().authorities }

// good returns what is held, or an error that says how to get another once it has
// expired.
func (i *Identity) good() (*held, error) {
	h := i.held.Load()
	return h, h.good(time.Now())
}

func (h *held) good(now time.Time) error {
	if now.After(h.certificate.Leaf.NotAfter) {
		return fault.Newf(fault.Precondition, "the certificate of %s expired at %s, and no other was to be had yet; it is asked for by itself, and if the control plane refuses that, %s",
			h.peer.words(), h.certificate.Leaf.NotAfter.UTC().Format(time.RFC3339), h.peer.advice()).Coded(CodeIdentity)
	}
	return nil
}

// advice says how a peer is let in again.
func (p Peer) advice() string {
	return fmt.Sprintf("make a join token with 'warder join-token create --kind %s --name %s' and start it with that", p.Kind, p.Name)
}
