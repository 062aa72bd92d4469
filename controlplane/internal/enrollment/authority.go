package enrollment

import (
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warder-gateway/warder/controlplane/internal/instance"
	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/identity"
	"github.com/warder-gateway/warder/internal/seal"
	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	// ownBackdate is how long ago the control plane's own certificate begins to be
	// good. It is generous, so that a peer whose clock is behind gets as far as being
	// told by how much.
	ownBackdate = 24 * time.Hour
	// serialBits makes serials unguessable and distinct without a register.
	serialBits = 120
	// reloadEvery is how soon a replica hears of a rotation that another began. It is
	// well within the lead.
	reloadEvery = time.Minute
)

// Authority is the installation's own certificate authority, or two of them during a
// rotation. It is safe for concurrent use.
type Authority struct {
	store *store.Store
	keys  *seal.Vault
	now   func() time.Time

	held atomic.Pointer[[]*signer] // in the order in which they sign; never empty

	mu  sync.Mutex
	own map[string]*tls.Certificate // the control plane's, by fingerprint of the signer
}

// signer is one authority. It is never changed.
type signer struct {
	fingerprint string
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	signsFrom   time.Time
	retiresAt   *time.Time
}

// LoadAuthority returns the authority of this installation, making it at the first
// start.
func LoadAuthority(ctx context.Context, s *store.Store, keys *seal.Vault) (*Authority, error) {
	return load(ctx, s, keys, time.Now)
}

func load(ctx context.Context, s *store.Store, keys *seal.Vault, now func() time.Time) (*Authority, error) {
	a := &Authority{store: s, keys: keys, now: now, own: make(map[string]*tls.Certificate)}
	if err := a.Keep(ctx); err != nil {
		return nil, err
	}
	return a, nil
}

// Run follows rotations that other replicas began, until ctx ends.
func (a *Authority) Run(ctx context.Context, failed func(error)) {
	ticker := time.NewTicker(reloadEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := a.reload(ctx); err != nil && ctx.Err() == nil {
			failed(err)
		}
	}
}

// reload reads the authorities anew.
func (a *Authority) reload(ctx context.Context) error {
	rows, err := a.store.ListAuthorities(ctx)
	if err != nil {
		return fmt.Errorf("read authorities: %w", err)
	}
	var held []*signer
	for _, row := range rows {
		s, err := a.open(row)
		if err != nil {
			return err
		}
		held = append(held, s)
	}
	if len(held) == 0 {
		return errors.New("there is no authority")
	}
	a.held.Store(&held)
	return nil
}

// open returns the authority of a row.
func (a *Authority) open(row db.Authority) (*signer, error) {
	secret, err := a.keys.Open(row.Sealed, authorityPlace(row.Fingerprint)...)
	if err != nil {
		return nil, fault.Wrap(fault.Precondition, "no key-encryption key of this replica opens the authority of this installation; restore the kek file that it was set up with", err).Coded(instance.CodeKey)
	}
	defer clear(secret)
	certificate, err := x509.ParseCertificate(row.Certificate)
	if err != nil {
		return nil, fmt.Errorf("parse certificate of authority %s: %w", row.Fingerprint, err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(secret)
	if err != nil {
		return nil, fmt.Errorf("parse key of authority %s: %w", row.Fingerprint, err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || !key.PublicKey.Equal(certificate.PublicKey) || identity.Fingerprint(certificate) != row.Fingerprint {
		return nil, fmt.Errorf("authority %s: key and certificate do not belong together", row.Fingerprint)
	}
	return &signer{row.Fingerprint, certificate, key, row.SignsFrom, row.RetiresAt}, nil
}

// authorityPlace is the context that a key is sealed for: table, column, row.
func authorityPlace(fingerprint string) []string { return []string{"authority", "sealed", fingerprint} }

// trusted returns the authorities that are good now.
func (a *Authority) trusted() []*signer {
	now, trusted := a.now(), []*signer(nil)
	for _, s := range *a.held.Load() {
		if s.retiresAt == nil || s.retiresAt.After(now) {
			trusted = append(trusted, s)
		}
	}
	return trusted
}

// signing returns the authority that signs now.
func (a *Authority) signing() *signer {
	held := *a.held.Load()
	for i := len(held) - 1; i > 0; i-- {
		if !held[i].signsFrom.After(a.now()) {
			return held[i]
		}
	}
	return held[0]
}

// Fingerprint returns by what peers know the authority that signs now.
func (a *Authority) Fingerprint() string { return a.signing().fingerprint }

// credential makes a certificate of a peer for a key, good from a time on.
func (a *Authority) credential(who identity.Peer, key crypto.PublicKey, issued time.Time) (*enrollv1.Credential, error) {
	uses := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if who.Kind == identity.Node {
		uses = append(uses, x509.ExtKeyUsageServerAuth) // Agents and other nodes dial it.
	}
	leaf, err := a.signing().sign(who, key, &x509.Certificate{
		NotBefore: issued.Add(-identity.Backdate), NotAfter: issued.Add(identity.Life), ExtKeyUsage: uses,
	})
	if err != nil {
		return nil, fmt.Errorf("issue certificate of %s: %w", who, err)
	}
	credential := &enrollv1.Credential{
		Certificate: leaf.Raw, ExpiresAt: timestamppb.New(leaf.NotAfter), RenewAt: timestamppb.New(identity.RenewAt(leaf)),
	}
	for _, s := range a.trusted() {
		credential.Authorities = append(credential.Authorities, s.certificate.Raw)
	}
	return credential, nil
}

// sign completes a template, and signs it.
func (s *signer) sign(who identity.Peer, key crypto.PublicKey, template *x509.Certificate) (*x509.Certificate, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	template.Subject.CommonName = cmp.Or(who.Name, string(who.Kind))
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.URIs = []*url.URL{who.URI()}
	der, err := x509.CreateCertificate(rand.Reader, template, s.certificate, key, s.key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// newSerial draws a serial number.
func newSerial() (*big.Int, error) {
	return rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), serialBits))
}

// serverTLS returns how to listen for nodes, agents, and those that join, which have
// no certificate yet.
func (a *Authority) serverTLS() *tls.Config {
	return identity.ServerTLS(tls.VerifyClientCertIfGiven, func(hello *tls.ClientHelloInfo) (*tls.Certificate, *x509.CertPool, error) {
		pool, by := x509.NewCertPool(), a.signing()
		for _, s := range a.trusted() {
			pool.AddCert(s.certificate)
			if identity.NamesAuthority(hello.ServerName, s.fingerprint) {
				by = s // All that the peer knows is that one.
			}
		}
		certificate, err := a.ownCertificate(by)
		return certificate, pool, err
	}, identity.Node, identity.Agent)
}

// ownCertificate returns the control plane's own certificate of an authority, and
// makes another one when it has passed half of its life.
func (a *Authority) ownCertificate(by *signer) (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if own := a.own[by.fingerprint]; own != nil && own.Leaf.NotAfter.Sub(a.now()) > identity.Life/2 {
		return own, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key of the control plane: %w", err)
	}
	now := a.now()
	leaf, err := by.sign(identity.Peer{Kind: identity.ControlPlane}, key.Public(), &x509.Certificate{
		NotBefore: now.Add(-ownBackdate), NotAfter: now.Add(identity.Life),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, DNSNames: []string{identity.ServerName},
	})
	if err != nil {
		return nil, fmt.Errorf("issue certificate of the control plane: %w", err)
	}
	clear(a.own) // Of the other authorities as well: they are made anew when asked for.
	// The authority comes along for peers that know its fingerprint alone.
	own := &tls.Certificate{Certificate: [][]byte{leaf.Raw, by.certificate.Raw}, PrivateKey: key, Leaf: leaf}
	a.own[by.fingerprint] = own
	return own, nil
}
