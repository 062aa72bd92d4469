package agent

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/warder-gateway/warder/internal/identity"
	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
)

// issued is an identity of an agent that was issued a time ago.
func issued(t *testing.T, c identity.Config, ago time.Duration) *identity.Identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	who, at := identity.Peer{Kind: identity.Agent, Name: "laptop"}, time.Now().Add(-ago)
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: at.Add(-24 * time.Hour), NotAfter: at.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: at.Add(-identity.Backdate), NotAfter: at.Add(identity.Life),
		URIs: []*url.URL{who.URI()}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	credential := new(enrollv1.Credential)
	for _, made := range []*x509.Certificate{authority, leaf} {
		der, err := x509.CreateCertificate(rand.Reader, made, authority, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		credential.Certificate, credential.Authorities = der, append(credential.Authorities, der)
	}
	credential.Authorities = credential.Authorities[:1]
	c.Kind, c.Log = identity.Agent, slog.New(slog.DiscardHandler)
	i, err := identity.New(c, key, credential, "")
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// Whoever runs an agent in its own process need not know that certificates end.
func TestAnAgentRenewsTheIdentityThatItIsGiven(t *testing.T) {
	renewals, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = renewals.Close() }()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- Run(ctx, Config{
			AllowAny: true, DataDir: t.TempDir(), ControlPlane: "127.0.0.1:1", // Nobody is there.
			Identity: issued(t, identity.Config{ControlPlane: renewals.Addr().String()}, identity.Life/2+time.Minute),
		})
	}()
	conn, err := renewals.Accept() // By the identity alone, which is past half of its life.
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A laptop is started where there is no network, after a night: the agent waits for the
// control plane, as it would have if it had run all the time.
func TestAnAgentWithAnExpiredIdentityWaitsForTheControlPlane(t *testing.T) {
	dir := t.TempDir()
	issued(t, identity.Config{Dir: filepath.Join(dir, "identity")}, 10*identity.Life)
	ctx, cancel := context.WithCancel(t.Context())
	up := &watch{text: "agent is up", seen: cancel}
	err := Run(ctx, Config{
		AllowAny: true, DataDir: dir, ControlPlane: "127.0.0.1:1", Log: slog.New(slog.NewTextHandler(up, nil)),
	})
	if err != nil || ctx.Err() == nil || !strings.Contains(up.log.String(), "expired at") {
		t.Errorf("error %v, log %s", err, up.log.String())
	}
	cancel()
}

// watch is a log that tells when a text was written. A handler writes one line at a
// time.
type watch struct {
	text string
	seen func()
	log  bytes.Buffer
}

func (w *watch) Write(line []byte) (int, error) {
	if strings.Contains(string(line), w.text) {
		w.seen()
	}
	return w.log.Write(line)
}
