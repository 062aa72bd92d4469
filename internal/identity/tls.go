package identity

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Client returns how to dial a peer of a kind and, if name is not empty, of that name.
// Anybody else is refused, whoever signed for it.
func (i *Identity) Client(expect Kind, name string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		ServerName: ServerName,
		// What is held now decides, not what was held when the configuration was made:
		// the authorities change. VerifyConnection does all that is skipped here.
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			peer, err := verify(state.PeerCertificates, i.held.Load().pool)
			if err != nil {
				return err
			}
			if peer.Kind != expect || name != "" && peer.Name != name {
				return fmt.Errorf("it presented the certificate of %s, and not of %s", peer.words(), Peer{expect, name}.words())
			}
			return nil
		},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			h, err := i.good()
			if err != nil {
				return nil, err
			}
			return &h.certificate, nil
		},
	}
}

// verify returns whom the certificate of a server names, which one of the
// authorities must have signed for that use.
func verify(chain []*x509.Certificate, authorities *x509.CertPool) (Peer, error) {
	if len(chain) == 0 {
		return Peer{}, errors.New("it presented no certificate")
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: authorities, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	if err != nil {
		return Peer{}, fmt.Errorf("it presented a certificate that is not good: %w", inTime(chain[0], err))
	}
	return Of(chain[0])
}

// inTime adds to an error of time how far off the clock must be, since that is what
// is wrong more often than the certificate.
func inTime(c *x509.Certificate, err error) error {
	var invalid x509.CertificateInvalidError
	if !errors.As(err, &invalid) || invalid.Reason != x509.Expired {
		return err
	}
	now := time.Now()
	if now.Before(c.NotBefore) {
		return fmt.Errorf("the clock of this machine says %s, at least %s before the certificate begins; set the clock: %w",
			now.UTC().Format(time.RFC3339), c.NotBefore.Sub(now).Round(time.Second), err)
	}
	return fmt.Errorf("the clock of this machine says %s, %s after the certificate ended; if that is not the time, set the clock: %w",
		now.UTC().Format(time.RFC3339), now.Sub(c.NotAfter).Round(time.Second), err)
}

// Server returns how to listen for peers of these kinds. Everybody else is refused.
func (i *Identity) Server(kinds ...Kind) *tls.Config {
	return ServerTLS(tls.RequireAndVerifyClientCert, func(*tls.ClientHelloInfo) (*tls.Certificate, *x509.CertPool, error) {
		h, err := i.good()
		if err != nil {
			return nil, nil, err
		}
		return &h.certificate, h.pool, nil
	}, kinds...)
}

// ServerTLS returns how to listen for peers of these kinds, with the certificate and
// the authorities that current returns for each handshake. With
// tls.VerifyClientCertIfGiven a peer may come without a certificate.
func ServerTLS(auth tls.ClientAuthType, current func(*tls.ClientHelloInfo) (*tls.Certificate, *x509.CertPool, error), kinds ...Kind) *tls.Config {
	base := &tls.Config{
		MinVersion: tls.VersionTLS13,
		ClientAuth: auth,
		NextProtos: []string{"h2"},
		// A resumed session would pass over what a revocation says.
		SessionTicketsDisabled: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			if auth == tls.VerifyClientCertIfGiven && len(state.PeerCertificates) == 0 {
				return nil
			}
			return expected(state, kinds)
		},
	}
	config := base.Clone()
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		certificate, authorities, err := current(hello)
		if err != nil {
			return nil, err
		}
		now := base.Clone()
		now.Certificates, now.ClientCAs = []tls.Certificate{*certificate}, authorities
		return now, nil
	}
	return config
}

// expected refuses a verified connection of a peer of another kind.
func expected(state tls.ConnectionState, kinds []Kind) error {
	certificate, err := verified(state)
	if err != nil {
		return err
	}
	peer, err := Of(certificate)
	if err != nil {
		return err
	}
	if !slices.Contains(kinds, peer.Kind) {
		return fmt.Errorf("%s has nothing to ask here", peer.words())
	}
	return nil
}

// pinned returns how to dial a control plane of which nothing is known but the
// fingerprint of its authority. Why it is refused is sent to refused.
func pinned(fingerprint string, refused func(error)) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		ServerName: authorityName(fingerprint),
		// VerifyConnection does all that is skipped here.
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			err := verifyPinned(state.PeerCertificates, fingerprint)
			if err != nil {
				refused(err)
			}
			return err
		},
	}
}

// verifyPinned wants a certificate of the control plane that the pinned authority
// signed, which comes along.
func verifyPinned(chain []*x509.Certificate, fingerprint string) error {
	pool, known := x509.NewCertPool(), false
	for _, c := range chain[min(1, len(chain)):] {
		if Fingerprint(c) == fingerprint {
			pool.AddCert(c)
			known = true
		}
	}
	if !known {
		return errors.New("it is not the control plane that made the join token, or that has another authority by now; check the address, or make another token")
	}
	peer, err := verify(chain, pool)
	if err != nil {
		return err
	}
	if peer.Kind != ControlPlane {
		return fmt.Errorf("it presented the certificate of %s, and not of the control plane", peer.words())
	}
	return nil
}

// sleep waits, or returns false when ctx ends.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
