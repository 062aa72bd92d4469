package identity

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/internal/fault"
	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
)

const (
	// joinTimeout bounds one attempt.
	joinTimeout = 15 * time.Second
	// joinPatience is how long a control plane may not be there yet.
	joinPatience = time.Minute
	joinPause    = time.Second // at first; then twice as long each time
	maxJoinPause = 15 * time.Second
	// comeBackTime bounds the attempt to come back at the start, which holds up a node
	// that could serve by its last snapshot.
	comeBackTime = 5 * time.Second
)

// Obtain returns the identity of the directory, or joins with a token where there is
// none, or where the token is not the one that it began with: so that a token may stay
// where the process reads it, and a new one lets it in again. Without both it fails with
// fault.Precondition, and says what to do.
//
// An identity that has expired is exchanged first. Where that fails it comes along with
// the error: who can do something without the control plane may go on with it, and Run
// tries again. The error is fault.Precondition if the control plane refused, and says
// what to do; any other may be over without anybody's doing.
func Obtain(ctx context.Context, c Config, token string) (*Identity, error) {
	h, err := there(c.Dir)
	if err != nil {
		return nil, err
	}
	if token != "" {
		parsed, err := ParseToken(token)
		if err != nil {
			return nil, err
		}
		if h == nil || h.token != parsed.ID {
			return Join(ctx, c, parsed)
		}
	}
	if h == nil {
		return nil, fault.Newf(fault.Precondition,
			"this %s has no identity in %s; make a join token with 'warder join-token create --kind %s --name NAME' and start it with that", c.Kind, c.Dir, c.Kind).Coded(CodeIdentity)
	}
	i, err := hold(c, h)
	if err != nil {
		return nil, err
	}
	if h.good(time.Now()) == nil {
		return i, nil
	}
	return i, i.comeBack(ctx)
}

// comeBack rejoins at the start of a process. Only what somebody must do something about
// is fault.Precondition.
func (i *Identity) comeBack(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, comeBackTime)
	defer cancel()
	expired := i.ExpiresAt().UTC().Format(time.RFC3339)
	err := i.refresh(ctx)
	if err == nil {
		return nil
	}
	text := "the certificate of " + i.Peer().words() + " expired at " + expired + "; " + fault.Text(err)
	switch fault.KindOf(err) {
	case fault.Precondition, fault.Denied, fault.Unauthenticated, fault.Invalid:
		return fault.Wrap(fault.Precondition, text, err).Coded(CodeIdentity)
	}
	return fault.Wrap(fault.Unavailable, text, err)
}

// there returns what lies in a directory, or nil if nothing does.
func there(dir string) (*held, error) {
	if dir == "" {
		return nil, nil
	}
	h, err := read(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read identity: %w", err)
	}
	return h, nil
}

// Join buys an identity with a token. It waits for a control plane that is not there
// yet, up to a minute; it knows it by the token.
func Join(ctx context.Context, c Config, token Token) (*Identity, error) {
	key, request, err := newKey()
	if err != nil {
		return nil, err
	}
	deadline, said := time.Now().Add(joinPatience), ""
	for pause := joinPause; ; pause = min(2*pause, maxJoinPause) {
		response, err := c.join(ctx, token, request)
		if err == nil {
			return c.joined(key, response, token)
		}
		left := time.Until(deadline)
		if !fault.Is(err, fault.Unavailable) || left <= 0 {
			return nil, err
		}
		level := slog.LevelDebug // It was said.
		if why := Reason(err); !SameReason(why, said) {
			level, said = slog.LevelWarn, why
		}
		c.Log.Log(ctx, level, "cannot join yet; tries again", "control_plane", c.ControlPlane, "for", left.Round(time.Second), "error", fault.Text(err))
		if !sleep(ctx, min(pause, left)) {
			return nil, err
		}
	}
}

// newKey makes a key, and the request for a certificate of it.
func newKey() (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make key: %w", err)
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, nil, fmt.Errorf("make certificate request: %w", err)
	}
	return key, request, nil
}

// join is one attempt.
func (c Config) join(ctx context.Context, token Token, request []byte) (*enrollv1.JoinResponse, error) {
	var refused atomic.Pointer[error]
	conn, err := c.dial(pinned(token.Fingerprint, func(err error) { refused.Store(&err) }))
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	response, err := enrollv1.NewEnrollServiceClient(conn).Join(ctx, &enrollv1.JoinRequest{
		Token: token.Reveal(), CertificateRequest: request, Now: timestamppb.Now(), Version: c.Version, Kind: string(c.Kind),
	})
	if why := refused.Load(); err != nil && why != nil {
		return nil, fault.Wrap(fault.Precondition, "the control plane at "+c.ControlPlane+" is not trusted: "+(*why).Error(), *why)
	}
	if err != nil {
		return nil, answered("join by way of "+c.ControlPlane, err)
	}
	return response, nil
}

// joined makes an identity of the answer.
func (c Config) joined(key *ecdsa.PrivateKey, response *enrollv1.JoinResponse, token Token) (*Identity, error) {
	h, err := parseCredential(key, response.GetCredential())
	if err != nil {
		return nil, fmt.Errorf("take identity: %w", err)
	}
	h.region, h.token = response.GetRegion(), token.ID
	return begin(c, h)
}

// dial makes a connection for one call.
func (c Config) dial(secure *tls.Config) (*grpc.ClientConn, error) {
	conn, err := grpc.NewClient("dns:///"+c.ControlPlane,
		grpc.WithTransportCredentials(credentials.NewTLS(secure)),
		grpc.WithDisableServiceConfig(),
		grpc.WithUserAgent("warder-"+string(c.Kind)+"/"+c.Version),
	)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, "the address of the control plane, "+c.ControlPlane+", cannot be used", err)
	}
	return conn, nil
}

// answered makes a fault of what the control plane answered.
func answered(what string, err error) error {
	kind := fault.Internal
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Aborted:
		kind = fault.Unavailable
	case codes.FailedPrecondition:
		kind = fault.Precondition
	case codes.PermissionDenied:
		kind = fault.Denied
	case codes.Unauthenticated:
		kind = fault.Unauthenticated
	case codes.InvalidArgument:
		kind = fault.Invalid
	case codes.ResourceExhausted:
		kind = fault.Exhausted
	}
	return fault.Wrap(kind, "cannot "+what+": "+Reason(err), err)
}
