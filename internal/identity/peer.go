package identity

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/warder-gateway/warder/internal/fault"
)

// Domain is the trust domain of every identity.
const Domain = "warder"

// ServerName is a DNS name in the control plane's certificate, whatever address it
// is reached at.
const ServerName = "warder-controlplane"

// Kind is what a peer is.
type Kind string

// The kinds of peers. Anybody is no kind: it admits a caller without a certificate.
const (
	Node         Kind = "node"
	Agent        Kind = "agent"
	ControlPlane Kind = "controlplane"
	Anybody      Kind = ""
)

// Peer is a peer as its certificate names it.
type Peer struct {
	Kind Kind
	// Name is empty for the control plane.
	Name string
}

// peerName is the same rule as that of the tables of nodes and agents.
var peerName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)

// Check returns fault.Invalid for a peer that cannot be.
func (p Peer) Check() error {
	switch {
	case p.Kind == ControlPlane && p.Name == "":
		return nil
	case p.Kind != Node && p.Kind != Agent:
		return fault.Newf(fault.Invalid, "%q is no kind of peer: a peer is a node or an agent", p.Kind)
	case !peerName.MatchString(p.Name):
		return fault.Newf(fault.Invalid, "%q is no name of a node or an agent: 1 to 63 characters of a-z, 0-9 and -, beginning with a letter", p.Name)
	}
	return nil
}

// URI returns the peer as a SAN.
func (p Peer) URI() *url.URL {
	path := "/" + string(p.Kind)
	if p.Name != "" {
		path += "/" + p.Name
	}
	return &url.URL{Scheme: "spiffe", Host: Domain, Path: path}
}

// String returns the peer as it stands in a certificate.
func (p Peer) String() string { return p.URI().String() }

// words returns the peer for people: "node edge-1", "the control plane".
func (p Peer) words() string {
	if p.Kind == ControlPlane {
		return "the control plane"
	}
	return strings.TrimSpace(string(p.Kind) + " " + p.Name)
}

// Of reads whom a certificate names, which was verified already: one URI SAN, in
// exactly the form of URI.
func Of(certificate *x509.Certificate) (Peer, error) {
	if len(certificate.URIs) != 1 {
		return Peer{}, fmt.Errorf("certificate has %d URI names, not one", len(certificate.URIs))
	}
	uri := certificate.URIs[0]
	kind, name, _ := strings.Cut(strings.TrimPrefix(uri.Path, "/"), "/")
	peer := Peer{Kind: Kind(kind), Name: name}
	if peer.Check() != nil || peer.String() != uri.String() {
		return Peer{}, fmt.Errorf("certificate names %q, which is no identity of Warder", uri)
	}
	return peer, nil
}

// verified returns the certificate of the other side of a connection to a listener
// that verified it.
func verified(state tls.ConnectionState) (*x509.Certificate, error) {
	if len(state.VerifiedChains) == 0 || len(state.VerifiedChains[0]) == 0 {
		return nil, errors.New("connection without a verified certificate")
	}
	return state.VerifiedChains[0][0], nil
}

// peerKey is where a peer stands in a context.
type peerKey struct{}

// WithPeer returns a context that carries a peer. Admission calls it, and tests of
// handlers do.
func WithPeer(ctx context.Context, p Peer) context.Context {
	return context.WithValue(ctx, peerKey{}, p)
}

// issuedKey is where the time stands at which a peer's certificate was issued.
type issuedKey struct{}

// Issued returns when the certificate of the peer that was admitted was issued; the zero time, which every Denial covers,
// if nothing says so.
func Issued(ctx context.Context) time.Time {
	at, _ := ctx.Value(issuedKey{}).(time.Time)
	return at
}

// Denial is the revocation of a peer. It says nothing of who joined anew since.
type Denial struct {
	Reason string
	// Before is when what was issued earlier is void; the zero time: all is.
	Before time.Time
}

// Covers reports whether a certificate that was issued at a time is void.
func (d Denial) Covers(issued time.Time) bool { return d.Before.IsZero() || issued.Before(d.Before) }

// Denials are those of peers of one kind, by name.
type Denials map[string]Denial

// Cover reports whether a certificate of a peer is void, and why.
func (d Denials) Cover(name string, issued time.Time) (reason string, void bool) {
	one, denied := d[name]
	return one.Reason, denied && one.Covers(issued)
}

// Newer returns the peers that d denies and other did not, or not as late.
func (d Denials) Newer(other Denials) (names []string) {
	for name, one := range d {
		if before, known := other[name]; !known || !before.Before.Equal(one.Before) {
			names = append(names, name)
		}
	}
	return names
}

// FromContext returns the peer that was admitted. Without one it fails with
// fault.Unauthenticated: nothing is served to nobody.
func FromContext(ctx context.Context) (Peer, error) {
	p, ok := ctx.Value(peerKey{}).(Peer)
	if !ok {
		return Peer{}, fault.New(fault.Unauthenticated, "no certificate of this installation was presented")
	}
	return p, nil
}
