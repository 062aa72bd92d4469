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
	// slept has gone on, and timers have not. Certificates have times of that clock
	// alone, so that it is what they are compared by.
	lookAgain = time.Minute
	// Pauses after a renewal that failed. Half of the life, and so some thirty
	// attempts, are left for one that succeeds.
	firstPause = 2 * time.Second
	maxPause   = time.Minute
)

// Run renews the certificate at half of its life until ctx ends, with growing pauses
// where that fails. For one that has expired meanwhile it rejoins; where the control
// plane refuses that, it says so in the log, and goes on trying: the clock may have been
// wrong, or the refusal. It runs once for each identity, in the process that holds it.
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
		err := i.refresh(ctx) // A certificate that is half over already is an error, so that this never spins.
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

// refresh renews a certificate that is good, and rejoins with one that is not.
func (i *Identity) refresh(ctx context.Context) error {
	if expired := i.ExpiresAt(); time.Now().After(expired) {
		if err := i.rejoin(ctx); err != nil {
			return err
		}
		i.config.Log.Info("came back after the certificate had expired", "peer", i.Peer().String(), "expired_at", expired)
		return nil
	}
	return i.renew(ctx)
}

// Renew gets a certificate of a new key now.
func (i *Identity) Renew(ctx context.Context) error {
	return i.replace(ctx, func(ctx context.Context, h *held, request []byte) (*enrollv1.Credential, error) {
		if err := h.good(time.Now()); err != nil {
			return nil, err
		}
		conn, err := i.config.dial(i.Client(ControlPlane, ""))
		if err != nil {
			return nil, err
		}
		defer func() { _ = conn.Close() }()
		response, err := enrollv1.NewEnrollServiceClient(conn).Renew(ctx, &enrollv1.RenewRequest{
			CertificateRequest: request, Now: timestamppb.Now(),
		})
		if err != nil {
			return nil, answered("renew the certificate of "+h.peer.words(), err)
		}
		return response.GetCredential(), nil
	})
}

// replace holds what exchange gets for a new key from then on. Of two at the same time
// one waits: each is for what the other left.
func (i *Identity) replace(ctx context.Context, exchange func(context.Context, *held, []byte) (*enrollv1.Credential, error)) error {
	i.replacing.Lock()
	defer i.replacing.Unlock()
	h := i.held.Load()
	key, request, err := newKey()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	credential, err := exchange(ctx, h, request)
	if err != nil {
		return err
	}
	next, err := parseCredential(key, credential)
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
	if err := i.keep(next); err != nil {
		return err
	}
	i.confirm(ctx)
	return nil
}

// confirm shows the control plane the new certificate, so that the one before is worth
// nothing to who may have it. Where that fails, the next call to it does as well.
func (i *Identity) confirm(ctx context.Context) {
	conn, err := i.config.dial(i.Client(ControlPlane, ""))
	if err == nil {
		_, err = enrollv1.NewEnrollServiceClient(conn).Confirm(ctx, &enrollv1.ConfirmRequest{})
		_ = conn.Close()
	}
	if err != nil {
		i.config.Log.Info("the new certificate is not confirmed yet", "peer", i.Peer().String(), "error", err)
	}
}
