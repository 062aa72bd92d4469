package controlplane

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/warder-gateway/warder/controlplane/internal/compiler"
	"github.com/warder-gateway/warder/controlplane/internal/feed"
	"github.com/warder-gateway/warder/controlplane/internal/instance"
	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/internal/snapshot"
)

const (
	// housekeeping is how often what has expired is removed, and rotations that are
	// due are done.
	housekeeping = time.Hour
	// setupCheck is how often the setup token's file is compared with the token.
	setupCheck = time.Second
	// denyCheck is how often denials are looked for whose time has come.
	denyCheck = time.Second
)

// Run runs what goes on by itself, until ctx ends and all of it has returned.
func (p *Plane) Run(ctx context.Context) error {
	tasks := []func(context.Context){
		p.feed.Run,
		p.follow,
		p.followOverlay,
		p.followStanding,
		p.followAuthority,
		p.expireDenies,
		p.ledger.Run,
		p.refresher.Run,
		p.sessions.Run,
		p.directory.Run,
		p.shares.Run,
		p.keepHouse,
		p.watchSetup,
		p.watchHistory,
	}
	var wg sync.WaitGroup
	for _, task := range tasks {
		wg.Go(func() { task(ctx) })
	}
	wg.Wait()
	return nil
}

// follow applies each new revision.
func (p *Plane) follow(ctx context.Context) {
	var applied uint64
	if set := p.publisher.Current(); set != nil {
		applied = set.Revision()
	}
	p.feed.Follow(ctx, applied, p.apply)
}

// apply puts the configuration in force, and returns its revision. Where the deny
// overlay is all that changed, that is the work of a moment. Else it compiles; of
// what does not compile, what it takes away is in force all the same.
func (p *Plane) apply(ctx context.Context) (uint64, error) {
	if revision, err := p.applyOverlay(ctx); err != nil {
		return 0, err
	} else if p.upToDate(revision) {
		return revision, nil
	}
	return p.compile(ctx)
}

// upToDate reports whether the set in force is of a revision, and was compiled not
// long ago: now and then it is compiled without a reason.
func (p *Plane) upToDate(revision uint64) bool {
	current := p.publisher.Current()
	return current != nil && current.Revision() >= revision &&
		time.Since(time.Unix(0, p.compiled.Load())) < feed.DefaultReconcile*9/10
}

// compile compiles the configuration and publishes it.
func (p *Plane) compile(ctx context.Context) (uint64, error) {
	rows, err := p.store.ReadConfig(ctx)
	if err != nil {
		return 0, err
	}
	set, err := compiler.Compile(rows, p.secrets)
	if err != nil {
		return 0, errors.Join(err, p.restrict(ctx, rows))
	}
	if err := p.publish(ctx, set); err != nil {
		return 0, err
	}
	p.compiled.Store(time.Now().UnixNano())
	p.log.Debug("configuration in force", "revision", set.Revision(), "items", set.Len())
	return set.Revision(), nil
}

// followOverlay applies revocations, beside follow: they do not wait for a compile
// that runs.
func (p *Plane) followOverlay(ctx context.Context) { p.feed.Follow(ctx, 0, p.applyOverlay) }

// applyOverlay puts the deny overlay of the rows over the set in force, and returns
// the revision that the rows are of. A plane that has never compiled has no set:
// its nodes keep what they have.
func (p *Plane) applyOverlay(ctx context.Context) (uint64, error) {
	p.publishing.Lock()
	defer p.publishing.Unlock()
	current := p.publisher.Current()
	if current == nil {
		return p.feed.Revision(), nil
	}
	return p.overlay(ctx, current)
}

// publish puts a compiled set in force, with the overlay that the rows have by now:
// what was revoked while it was compiled must not come back with it.
func (p *Plane) publish(ctx context.Context, set *snapshot.Set) error {
	p.publishing.Lock()
	defer p.publishing.Unlock()
	_, err := p.overlay(ctx, set)
	return err
}

// overlay publishes a set with the overlay of the rows, and returns the revision
// that these are of. Rows of another epoch have nothing to say of the set. The
// caller holds publishing.
func (p *Plane) overlay(ctx context.Context, set *snapshot.Set) (uint64, error) {
	rows, err := p.store.ReadOverlay(ctx, set.Revision())
	if err != nil {
		return 0, err
	}
	if rows.Epoch == set.Epoch() {
		if set, err = compiler.Overlay(set, rows); err != nil {
			return 0, err
		}
	}
	return rows.Revision, p.publisher.Publish(set)
}

// restrict takes from the set in force what the rows take away. A plane that has
// never compiled has none: its nodes keep what they have.
func (p *Plane) restrict(ctx context.Context, rows *store.Rows) error {
	current := p.publisher.Current()
	if current == nil {
		return nil
	}
	set, err := compiler.Restrict(current, rows, p.secrets)
	if err != nil {
		return err
	}
	return p.publish(ctx, set)
}

// followStanding ends the streams of peers that are revoked.
func (p *Plane) followStanding(ctx context.Context) {
	p.feed.Follow(ctx, 0, func(ctx context.Context) (uint64, error) {
		revision := p.feed.Revision()
		return revision, p.admission.Recheck(ctx)
	})
}

// followAuthority hears of rotations that another replica began.
func (p *Plane) followAuthority(ctx context.Context) {
	p.authority.Run(ctx, func(err error) { p.log.Warn("cannot read the authorities; tries again", "error", err) })
}

// expireDenies takes denials out of the overlay when their time has come.
func (p *Plane) expireDenies(ctx context.Context) {
	ticker := time.NewTicker(denyCheck)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		due, err := p.store.HasExpiredDenies(ctx)
		if err == nil && due {
			err = p.sweepDenies(ctx)
		}
		if err != nil && ctx.Err() == nil {
			p.log.Warn("cannot lift denials whose time has come; tries again", "error", err)
		}
	}
}

// keepHouse does what is due, at the start and then now and again.
func (p *Plane) keepHouse(ctx context.Context) {
	ticker := time.NewTicker(housekeeping)
	defer ticker.Stop()
	for {
		if err := p.sweep(ctx); err != nil && ctx.Err() == nil {
			p.log.Warn("cannot keep house; tries again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// errNothing rolls back a task that found nothing to do.
var errNothing = errors.New("nothing to do")

// sweep removes what has expired, and lets the seal keys take their turns. What
// one part fails at does not keep the others from theirs.
func (p *Plane) sweep(ctx context.Context) error {
	_, err := p.store.DeleteExpiredLoginSessions(ctx)
	if err != nil {
		err = fmt.Errorf("remove sessions: %w", err)
	}
	if tokens := p.store.DeleteOldJoinTokens(ctx); tokens != nil {
		err = errors.Join(err, fmt.Errorf("remove join tokens: %w", tokens))
	}
	return errors.Join(err, p.authority.Keep(ctx), p.sessions.Sweep(ctx), p.sweepDenies(ctx),
		instance.KeepSealKeys(ctx, p.store, p.secrets.Keys, time.Now()))
}

// sweepDenies removes entries of the deny overlay that have expired. That is a
// change like any other: what a snapshot holds follows from rows.
func (p *Plane) sweepDenies(ctx context.Context) error {
	_, err := p.store.Change(ctx, "system", func(tx *store.Tx) error {
		gone, err := tx.DeleteExpiredDenies(ctx)
		if err == nil && len(gone) == 0 {
			err = errNothing
		}
		for _, deny := range gone {
			tx.Record("deny.expire", deny.Kind+"/"+deny.Name, nil)
		}
		return err
	})
	if err != nil && !errors.Is(err, errNothing) {
		return fmt.Errorf("remove denies: %w", err)
	}
	return nil
}

// watchSetup removes the setup token's file when the token was used or expired.
func (p *Plane) watchSetup(ctx context.Context) {
	if p.setup == nil {
		return
	}
	ticker := time.NewTicker(setupCheck)
	defer ticker.Stop()
	for p.SetupToken() != "" {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
	if err := p.removeSetupFile(); err != nil {
		p.log.Error("the setup token is worthless, but its file stays", "error", err)
	}
}
