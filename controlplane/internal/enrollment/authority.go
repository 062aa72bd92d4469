package enrollment

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"sync"
	"time"

	"github.com/warder-gateway/warder/controlplane/internal/instance"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/seal"
)

const (
	// Validity is how long a certificate lasts. Long, as long as nothing renews
	// one; the control plane's own is made anew at half of it.
	Validity = 90 * 24 * time.Hour
	// authorityValidity is how long the authority lasts.
	authorityValidity = 10 * 365 * 24 * time.Hour
	// backdate allows for the clock of a peer that is behind.
	backdate = 5 * time.Minute
	// serialBits makes serials unguessable and distinct without a register.
	serialBits = 120
)

// Authority is the installation's own certificate authority. It is safe for
// concurrent use.
type Authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pool        *x509.CertPool
	now         func() time.Time

	mu     sync.Mutex
	server *tls.Certificate // the control plane's own, for the listener
}

// LoadAuthority returns the authority of this installation, making it at the
// first start.
func LoadAuthority(ctx context.Context, store instance.Store, keys *seal.Vault) (*Authority, error) {
	secret, public, err := instance.Secret(ctx, store, keys, "authority", newAuthority)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(public)
	if err != nil {
		return nil, fmt.Errorf("parse certificate of the authority: %w", err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(secret)
	if err != nil {
		return nil, fmt.Errorf("parse key of the authority: %w", err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || !key.PublicKey.Equal(certificate.PublicKey) {
		return nil, errors.New("key of the authority does not belong to its certificate")
	}
	pool := x509.NewCertPool()
	pool.AddCert(certificate)
	return &Authority{certificate: certificate, key: key, pool: pool, now: time.Now}, nil
}

// newAuthority makes key (PKCS #8) and certificate (DER) of an authority.
func newAuthority() (secret, public []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "Warder authority"},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(authorityValidity),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
		// Whoever trusts it, trusts it for identities of Warder alone.
		PermittedDNSDomainsCritical: true,
		PermittedURIDomains:         []string{domain},
	}
	public, err = x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	secret, err = x509.MarshalPKCS8PrivateKey(key)
	return secret, public, err
}

// newSerial draws a serial number.
func newSerial() (*big.Int, error) {
	return rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), serialBits))
}

// Issued is a certificate with its key, in PEM.
type Issued struct {
	Certificate, Key, Authority []byte
	ExpiresAt                   time.Time
}

// IssueNode makes a certificate with which a node of this name may connect. The
// key is kept nowhere. It fails with fault.Invalid where the name is not one.
func (a *Authority) IssueNode(name string) (*Issued, error) {
	if !nodeName.MatchString(name) {
		return nil, fault.Newf(fault.Invalid,
			"%q is no node's name: 1 to 63 characters of a-z, 0-9 and -, beginning with a letter", name)
	}
	der, key, expires, err := a.issue(Identity{Kind: Node, Name: name}, x509.ExtKeyUsageClientAuth)
	if err != nil {
		return nil, fmt.Errorf("issue certificate of node %s: %w", name, err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode key of node %s: %w", name, err)
	}
	return &Issued{
		Certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		Key:         pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}),
		Authority:   a.PEM(),
		ExpiresAt:   expires,
	}, nil
}

// PEM returns the certificate of the authority, for peers to trust.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw})
}

// issue makes a certificate for an identity and one use.
func (a *Authority) issue(identity Identity, use x509.ExtKeyUsage, names ...string) (der []byte, key *ecdsa.PrivateKey, expires time.Time, err error) {
	key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, time.Time{}, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, nil, time.Time{}, err
	}
	now := a.now().Truncate(time.Second) // A certificate knows no less.
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: identity.String()},
		NotBefore:    now.Add(-backdate),
		NotAfter:     now.Add(Validity),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{use},
		URIs:         []*url.URL{identity.uri()},
		DNSNames:     names,
	}
	der, err = x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	return der, key, template.NotAfter, err
}

// ServerTLS returns the TLS configuration of the listener for nodes: version 1.3,
// and a certificate of this authority required of every peer.
func (a *Authority) ServerTLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		ClientAuth: tls.RequireAndVerifyClientCert,
		ClientCAs:  a.pool,
		NextProtos: []string{"h2"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return a.serverCertificate()
		},
		// A resumed session would pass over what a revocation says.
		SessionTicketsDisabled: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			_, err := fromState(state)
			return err
		},
	}
}

// serverCertificate returns the control plane's own certificate, and makes
// another one when it has passed half of its life.
func (a *Authority) serverCertificate() (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.server != nil && a.server.Leaf.NotAfter.Sub(a.now()) > Validity/2 {
		return a.server, nil
	}
	der, key, _, err := a.issue(Identity{Kind: ControlPlane}, x509.ExtKeyUsageServerAuth, ServerName)
	if err != nil {
		return nil, fmt.Errorf("issue certificate of the control plane: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("parse certificate of the control plane: %w", err)
	}
	a.server = &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
	return a.server, nil
}
