package enrollment

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"time"

	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/identity"
)

const (
	// authorityLife is how long an authority is good for, and authorityRest how long
	// before its end another one follows by itself.
	authorityLife = 10 * 365 * 24 * time.Hour
	authorityRest = 365 * 24 * time.Hour
	// lead is how long everybody trusts a new authority before it signs: in the life of
	// a certificate each peer that is still good has renewed, and heard of it. Clocks,
	// and replicas that read the table now and then, may be off by the rest.
	lead = identity.Life + 5*time.Minute
	// rest is how long the one before is trusted after that: as long as anything that
	// it signed is good.
	rest = identity.Life + 5*time.Minute

	// authorityLock is the key of the advisory lock of rotations: "authorit" in ASCII.
	authorityLock = 0x617574686f726974
)

// errNothingDue rolls back where there was nothing to do.
var errNothingDue = errors.New("nothing is due")

// Keep makes the first authority, lets another one follow one that nears its end,
// forgets the keys of those that are over, and reads what there is. Replicas may do it
// at the same time.
func (a *Authority) Keep(ctx context.Context) error {
	err := a.store.Act(ctx, "system", func(tx *store.Tx) error {
		held, err := lockAuthorities(ctx, tx)
		if err != nil {
			return err
		}
		gone, err := tx.RetireOldAuthorities(ctx, a.now())
		if err != nil {
			return fmt.Errorf("forget authorities: %w", err)
		}
		for _, fingerprint := range gone {
			tx.Note("authority.forget", fingerprint, nil)
		}
		switch {
		case len(held) == 0:
			_, err = a.add(ctx, tx, a.now())
		case held[len(held)-1].ExpiresAt.Sub(a.now()) < authorityRest:
			_, err = a.add(ctx, tx, a.now().Add(lead))
		case len(gone) == 0:
			return errNothingDue
		}
		return err
	})
	if err != nil && !errors.Is(err, errNothingDue) {
		return fmt.Errorf("keep authorities: %w", err)
	}
	if err := a.store.DeletePastAuthorities(ctx, a.now().Add(-pastFor)); err != nil {
		return fmt.Errorf("forget past authorities: %w", err)
	}
	return a.reload(ctx)
}

// Rotate makes a new authority as a person's act, and returns it. It is refused with
// fault.Conflict while the one before is not forgotten.
func (a *Authority) Rotate(ctx context.Context, actor string) (made db.Authority, err error) {
	err = a.store.Act(ctx, actor, func(tx *store.Tx) error {
		held, err := lockAuthorities(ctx, tx)
		if err != nil {
			return err
		}
		now := a.now()
		if newest := held[len(held)-1]; newest.SignsFrom.After(now) {
			return fault.Newf(fault.Conflict, "a new authority takes over already, at %s", newest.SignsFrom.UTC().Format(time.RFC3339))
		}
		for _, row := range held {
			if row.RetiresAt != nil && row.RetiresAt.After(now) {
				return fault.Newf(fault.Conflict, "the authority before this one is trusted until %s; rotate again after that", row.RetiresAt.UTC().Format(time.RFC3339))
			}
		}
		made, err = a.add(ctx, tx, now.Add(lead))
		return err
	})
	if err != nil {
		return db.Authority{}, err
	}
	return made, a.reload(ctx)
}

// lockAuthorities returns the authorities, which nobody else changes until tx ends.
func lockAuthorities(ctx context.Context, tx *store.Tx) ([]db.Authority, error) {
	if err := tx.LockAuthorities(ctx, authorityLock); err != nil {
		return nil, fmt.Errorf("lock authorities: %w", err)
	}
	held, err := tx.ListAuthorities(ctx)
	if err != nil {
		return nil, fmt.Errorf("read authorities: %w", err)
	}
	return held, nil
}

// add makes an authority that signs from a time on; the others retire some time after
// that.
func (a *Authority) add(ctx context.Context, tx *store.Tx, from time.Time) (db.Authority, error) {
	row, err := a.make(a.now(), from)
	if err != nil {
		return db.Authority{}, fmt.Errorf("make authority: %w", err)
	}
	err = tx.InsertAuthority(ctx, db.InsertAuthorityParams{
		Fingerprint: row.Fingerprint, Certificate: row.Certificate, Sealed: row.Sealed,
		CreatedAt: row.CreatedAt, ExpiresAt: row.ExpiresAt, SignsFrom: row.SignsFrom,
	})
	if err != nil {
		return db.Authority{}, fmt.Errorf("keep authority: %w", err)
	}
	err = tx.RetireAuthorities(ctx, db.RetireAuthoritiesParams{RetiresAt: from.Add(rest), Successor: row.Fingerprint})
	if err != nil {
		return db.Authority{}, fmt.Errorf("retire authority: %w", err)
	}
	tx.Note("authority.create", row.Fingerprint, map[string]any{"signs_from": from.UTC().Format(time.RFC3339)})
	return row, nil
}

// make makes key and certificate of an authority.
func (a *Authority) make(now, from time.Time) (db.Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return db.Authority{}, err
	}
	serial, err := newSerial()
	if err != nil {
		return db.Authority{}, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "Warder authority"},
		NotBefore:             now.Add(-ownBackdate),
		NotAfter:              now.Add(authorityLife),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
		// Whoever trusts it, trusts it for identities of Warder alone.
		PermittedDNSDomainsCritical: true,
		PermittedURIDomains:         []string{identity.Domain},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return db.Authority{}, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return db.Authority{}, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return db.Authority{}, err
	}
	defer clear(secret)
	fingerprint := identity.Fingerprint(certificate)
	sealed, err := a.keys.Seal(secret, authorityPlace(fingerprint)...)
	if err != nil {
		return db.Authority{}, err
	}
	return db.Authority{
		Fingerprint: fingerprint, Certificate: der, Sealed: sealed,
		CreatedAt: now, ExpiresAt: certificate.NotAfter, SignsFrom: from,
	}, nil
}
