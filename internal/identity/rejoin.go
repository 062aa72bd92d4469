package identity

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"sync/atomic"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/internal/fault"
	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
)

// rejoinDomain begins what is signed for a rejoin, which nothing else that the key
// signs begins with: TLS has 64 spaces there, a certificate request a DER sequence.
const rejoinDomain = "warder/rejoin/v1\x00"

// RejoinDigest returns what a peer signs with the key of its last certificate to have
// that exchanged; the form is that of enroll.proto.
func RejoinDigest(certificate, request []byte, now *timestamppb.Timestamp) []byte {
	message := []byte(rejoinDomain)
	for _, field := range [][]byte{certificate, request} {
		message = binary.BigEndian.AppendUint32(message, uint32(len(field)))
		message = append(message, field...)
	}
	message = binary.BigEndian.AppendUint64(message, uint64(now.GetSeconds()))
	message = binary.BigEndian.AppendUint32(message, uint32(now.GetNanos()))
	sum := sha256.Sum256(message)
	return sum[:]
}

// Rejoin gets a certificate for one that has expired. The control plane shows who it is
// by an authority that is held here; this side by the key of the old certificate. Why
// it cannot be is fault.Unavailable where it may be later, without anybody's doing.
func (i *Identity) Rejoin(ctx context.Context) error {
	return i.replace(ctx, func(ctx context.Context, h *held, request []byte) (*enrollv1.Credential, error) {
		now, leaf := timestamppb.Now(), h.certificate.Leaf
		key, ok := h.certificate.PrivateKey.(*ecdsa.PrivateKey)
		if !ok {
			return nil, errors.New("the key is not of ECDSA")
		}
		signature, err := ecdsa.SignASN1(rand.Reader, key, RejoinDigest(leaf.Raw, request, now))
		if err != nil {
			return nil, err
		}
		var refused atomic.Pointer[error]
		conn, err := i.config.dial(i.nameless(h, func(err error) { refused.Store(&err) }))
		if err != nil {
			return nil, err
		}
		defer func() { _ = conn.Close() }()
		response, err := enrollv1.NewEnrollServiceClient(conn).Rejoin(ctx, &enrollv1.RejoinRequest{
			Certificate: leaf.Raw, CertificateRequest: request, Now: now, Signature: signature,
		})
		if why := refused.Load(); err != nil && why != nil {
			return nil, i.config.distrusted(h.peer, *why)
		}
		if err != nil {
			return nil, answered("come back as "+h.peer.words(), err)
		}
		return response.GetCredential(), nil
	})
}

// nameless is Client of a control plane for who has no certificate that is good. It asks
// for the authority that is the newest of those held: during a rotation the control
// plane has a certificate of each. Why it is refused is sent to refused.
func (i *Identity) nameless(h *held, refused func(error)) *tls.Config {
	config := i.Client(ControlPlane, "")
	config.GetClientCertificate = nil
	if n := len(h.authorities); n > 0 {
		config.ServerName = authorityName(Fingerprint(h.authorities[n-1]))
	}
	check := config.VerifyConnection
	config.VerifyConnection = func(state tls.ConnectionState) error {
		err := check(state)
		if err != nil {
			refused(err)
		}
		return err
	}
	return config
}

// distrusted says that the control plane has not shown that it is the one, and, where
// that may be since its authority is another by now, how to go on.
func (c Config) distrusted(who Peer, why error) error {
	text := "the control plane at " + c.ControlPlane + " is not trusted: " + why.Error()
	if _, unknown := errors.AsType[x509.UnknownAuthorityError](why); unknown {
		text += "; if the address is right, its authority was rotated while " + who.words() + " was away: " + who.advice()
	}
	return fault.Wrap(fault.Precondition, text, why).Coded(CodeIdentity)
}
