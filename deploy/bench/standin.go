package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/warder-gateway/warder/internal/identity"
	"github.com/warder-gateway/warder/internal/snapshot"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

// standIn is a control plane without a database: it sends snapshots to one node
// and acknowledges all audit.
type standIn struct {
	syncv1.UnimplementedSyncServiceServer
	auditv1.UnimplementedAuditServiceServer

	address string
	private ed25519.PrivateKey
	update  *syncv1.Update // what a node gets first
	tasks   chan task
	acks    chan string // nonces

	authority authority
	server    *grpc.Server
}

// newStandIn starts one that has a set to give.
func newStandIn(set *snapshot.Set) (*standIn, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	s := &standIn{private: private, tasks: make(chan task), acks: make(chan string, 16)}
	s.publish(set)
	if s.authority, err = newAuthority(); err != nil {
		return nil, err
	}
	certificate, err := s.authority.issue(identity.Peer{Kind: identity.ControlPlane}, identity.ServerName)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.address = l.Addr().String()
	// An idle node asks whether it is still there; the control plane allows the same.
	pings := keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}
	s.server = grpc.NewServer(grpc.KeepaliveEnforcementPolicy(pings), grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{certificate}, ClientAuth: tls.RequireAndVerifyClientCert,
		ClientCAs: s.authority.pool(), MinVersion: tls.VersionTLS13,
	})))
	syncv1.RegisterSyncServiceServer(s.server, s)
	auditv1.RegisterAuditServiceServer(s.server, s)
	go s.server.Serve(l) //nolint:errcheck // It ends with close.
	return s, nil
}

func (s *standIn) close() { s.server.Stop() }

// publish replaces the snapshot that a node gets when it connects.
func (s *standIn) publish(set *snapshot.Set) { s.update = s.sign(snapshot.FullUpdate(set), "first") }

// sign makes an update one that nodes take. The nonce names it in their answers.
func (s *standIn) sign(update *syncv1.Update, nonce string) *syncv1.Update {
	update.Nonce = nonce
	snapshot.Sign(update, s.private)
	return update
}

// Sync sends the snapshot, and then what send is told to, until the node leaves.
func (s *standIn) Sync(stream syncv1.SyncService_SyncServer) error {
	if err := stream.Send(&syncv1.SyncResponse{Update: s.update}); err != nil {
		return err
	}
	gone := make(chan error, 1)
	go func() { gone <- s.hear(stream) }()
	for {
		select {
		case task := <-s.tasks:
			task.done <- task.do(stream)
		case err := <-gone:
			return err
		}
	}
}

// hear takes the node's answers until it leaves.
func (s *standIn) hear(stream syncv1.SyncService_SyncServer) error {
	for {
		request, err := stream.Recv()
		if err != nil {
			return ignoreEOF(err)
		}
		switch {
		case request.GetNack() != nil:
			fmt.Fprintln(os.Stderr, "bench: the node refused the snapshot:", request.GetNack().GetReason())
		case request.GetAck() != nil:
			select {
			case s.acks <- request.GetAck().GetNonce():
			default: // Nobody waits for so many.
			}
		}
	}
}

// task is something to be done with the stream of the node.
type task struct {
	do   func(syncv1.SyncService_SyncServer) error
	done chan error
}

// withStream does something with the stream of the node that is connected.
func (s *standIn) withStream(ctx context.Context, do func(syncv1.SyncService_SyncServer) error) error {
	t := task{do, make(chan error, 1)}
	select {
	case s.tasks <- t:
		return <-t.done
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// prepare encodes the messages of an update ahead of time, so that sending them
// costs the core of the load no more than it must.
func (s *standIn) prepare(ctx context.Context, update *syncv1.Update) (messages []*grpc.PreparedMsg, err error) {
	return messages, s.withStream(ctx, func(stream syncv1.SyncService_SyncServer) error {
		for message := range snapshot.Split(update) {
			prepared := new(grpc.PreparedMsg)
			if err := prepared.Encode(stream, message); err != nil {
				return err
			}
			messages = append(messages, prepared)
		}
		return nil
	})
}

// apply sends a prepared update and waits until the node has applied it.
func (s *standIn) apply(ctx context.Context, update []*grpc.PreparedMsg, nonce string) error {
	err := s.withStream(ctx, func(stream syncv1.SyncService_SyncServer) error {
		for _, message := range update {
			if err := stream.SendMsg(message); err != nil {
				return err
			}
		}
		return nil
	})
	for err == nil {
		select {
		case acked := <-s.acks:
			if acked == nonce {
				return nil
			}
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	return fmt.Errorf("apply update %s: %w", nonce, err)
}

// Push acknowledges each batch.
func (s *standIn) Push(stream auditv1.AuditService_PushServer) error {
	for {
		batch, err := stream.Recv()
		if err != nil {
			return ignoreEOF(err)
		}
		records := batch.GetRecords()
		if len(records) == 0 {
			continue
		}
		ack := &auditv1.PushResponse{Epoch: batch.GetEpoch(), AckedSequence: records[len(records)-1].GetSequence()}
		if err := stream.Send(ack); err != nil {
			return err
		}
	}
}

func ignoreEOF(err error) error {
	if err == io.EOF { //nolint:errorlint // grpc returns it bare.
		return nil
	}
	return err
}

// authority is a certificate authority for one run.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority() (authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return authority{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "warder bench"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return authority{}, err
	}
	certificate, err := x509.ParseCertificate(der)
	return authority{certificate, key}, err
}

func (a authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return pool
}

func (a authority) issue(who identity.Peer, dns string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), URIs: []*url.URL{who.URI()}, DNSNames: []string{dns},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		NotBefore: time.Now().Add(-identity.Backdate), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// writeIdentity writes what a node needs to connect.
func (s *standIn) writeIdentity(dir string) error {
	node, err := s.authority.issue(identity.Peer{Kind: identity.Node, Name: "bench"}, "bench")
	if err != nil {
		return err
	}
	_, err = identity.New(identity.Config{Kind: identity.Node, Dir: dir, Log: slog.Default()}, node.PrivateKey.(*ecdsa.PrivateKey),
		&enrollv1.Credential{Certificate: node.Certificate[0], Authorities: [][]byte{s.authority.certificate.Raw}}, "")
	return err
}
