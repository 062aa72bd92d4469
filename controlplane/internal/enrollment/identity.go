package enrollment

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/warder-gateway/warder/internal/fault"
)

// domain is the trust domain of every identity.
const domain = "warder"

// ServerName is the name that the control plane's certificate carries, for nodes
// to check: it does not depend on the address under which they reach it.
const ServerName = "warder-controlplane"

// Kind is what a peer is.
type Kind string

// The kinds of peers.
const (
	Node         Kind = "node"
	ControlPlane Kind = "controlplane"
)

// Identity is a peer as its certificate names it.
type Identity struct {
	Kind Kind
	// Name is empty for the control plane.
	Name string
}

// nodeName is the same rule as that of table node.
var nodeName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)

// uri returns the identity as a SAN.
func (i Identity) uri() *url.URL {
	path := "/" + string(i.Kind)
	if i.Name != "" {
		path += "/" + i.Name
	}
	return &url.URL{Scheme: "spiffe", Host: domain, Path: path}
}

// String returns the identity as it stands in a certificate.
func (i Identity) String() string { return i.uri().String() }

// identityOf reads the identity of a certificate that was verified already: one
// URI SAN, in exactly the form that this package gives.
func identityOf(certificate *x509.Certificate) (Identity, error) {
	if len(certificate.URIs) != 1 {
		return Identity{}, fmt.Errorf("certificate has %d URI names, not one", len(certificate.URIs))
	}
	uri := certificate.URIs[0]
	kind, name, _ := strings.Cut(strings.TrimPrefix(uri.Path, "/"), "/")
	identity := Identity{Kind: Kind(kind), Name: name}
	valid := identity.Kind == Node && nodeName.MatchString(name) || identity.Kind == ControlPlane && name == ""
	if !valid || identity.String() != uri.String() {
		return Identity{}, fmt.Errorf("certificate names %q, which is no identity of Warder", uri)
	}
	return identity, nil
}

// fromPeer returns the identity behind a gRPC call. It fails closed: a call
// that did not come through mutual TLS has none.
func fromPeer(ctx context.Context) (Identity, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return Identity{}, errors.New("call without a peer")
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok {
		return Identity{}, errors.New("call without TLS")
	}
	return fromState(info.State)
}

// fromState returns the identity behind a verified connection.
func fromState(state tls.ConnectionState) (Identity, error) {
	if len(state.VerifiedChains) == 0 || len(state.VerifiedChains[0]) == 0 {
		return Identity{}, errors.New("connection without a verified certificate")
	}
	return identityOf(state.VerifiedChains[0][0])
}

// identityKey is where an identity stands in a context.
type identityKey struct{}

// WithIdentity returns a context that carries an identity. The interceptor calls
// it, and tests of handlers do.
func WithIdentity(ctx context.Context, i Identity) context.Context {
	return context.WithValue(ctx, identityKey{}, i)
}

// FromContext returns the identity that the interceptor admitted. Without one it
// fails: nothing is served to nobody.
func FromContext(ctx context.Context) (Identity, error) {
	i, ok := ctx.Value(identityKey{}).(Identity)
	if !ok {
		return Identity{}, fault.New(fault.Unauthenticated, "no certificate of this installation was presented")
	}
	return i, nil
}
