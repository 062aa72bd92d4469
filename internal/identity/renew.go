package identity

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
)

const (
	// lookAgain bounds how long nothing looks at the clock: that of a machine that
	// slept has gone on, and timers have not.
	lookAgain = time.Minute
	// Pauses after a renewal that failed. Half of the life, and so some thirty
	// attempts, are left for one that succeeds.
	firstPause = 2 * time.Second
	maxPause   = time.Minute
)

// Run renews the certificate at half of its life until ctx ends, with growing pauses
// where that fails. One that has expired cannot be renewed; it says so in the log,
// and goes on trying: the clock may have been wrong.
func (i *Identity) Run(ctx context.Context) {
	pause := firstPause
	for {
		wait := time.Until(RenewAt(i.held.Load().certificate.Leaf))
		if wait > 0 {
			pause = firstPause
			if !sleep(ctx, min(wait, lookAgain)) {
				return
			}
			continue
		}
		err := i.renew(ctx) // A certificate that is half over already is an error, so that this never spins.
		if err == nil {
			continue
		}
		if ctx.Err() != nil {
			return
		}
		i.config.Log.Warn("cannot renew the certificate; tries again", "peer", i.Peer().String(),
			"expires_at", i.ExpiresAt(), "pause", pause, "error", err)
		if !sleep(ctx, pause/2+rand.N(pause/2)) {
			return
		}
		pause = min(2*pause, maxPause)
	}
}

// Renew gets a certificate of a new key now.
func (i *Identity) Renew(ctx context.Context) error {
	h, err := i.good()
	if err != nil {
		return err
	}
	key, request, err := newKey()
	if err != nil {
		return err
	}
	conn, err := i.config.dial(i.Client(ControlPlane, ""))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	response, err := enrollv1.NewEnrollServiceClient(conn).Renew(ctx, &enrollv1.RenewRequest{
		CertificateRequest: request, Now: timestamppb.Now(),
	})
	if err != nil {
		return answered("renew the certificate of "+h.peer.words(), err)
	}
	next, err := parseCredential(key, response.GetCredential())
	if err != nil {
		return fmt.Errorf("take certificate: %w", err)
	}
	if next.peer != h.peer {
		return fmt.Errorf("the control plane answered with a certificate of %s", next.peer.words())
	}
	if !time.Now().Before(RenewAt(next.certificate.Leaf)) {
		return fmt.Errorf("the new certificate is half over already: it was issued at %s", IssuedAt(next.certificate.Leaf).UTC().Format(time.RFC3339))
	}
	next.region, next.token = h.region, h.token
	return i.keep(next)
}
