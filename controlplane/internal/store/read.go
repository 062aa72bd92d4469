package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/fault"
)

// Rows is everything a snapshot is made of, as it was at one revision, in a
// fixed order. Headers of servers are sealed still.
type Rows struct {
	// Epoch is the identity of the history that Revision belongs to.
	Epoch    string
	Revision uint64

	Servers []db.ListServerItemsRow
	// Entries that reach nodes: approved, enabled and present.
	Entries []db.ListEntryItemsRow
	// Withheld resources and templates, which nodes must know to keep them from
	// clients.
	Withheld []db.ListWithheldItemsRow
	Roles    []db.Role
	Grants   []db.RoleGrant
	Users    []db.ListUserItemsRow
	Keys     []db.ListKeyItemsRow
	Denies   []db.Deny
	// Issuers of tokens, and the roles that they give to groups.
	Issuers    []db.Issuer
	GroupRoles []db.IssuerGroupRole
	// SealKeys are sealed still.
	SealKeys []db.SealKey
	// Policy is nil before the first document.
	Policy *db.PolicyVersion
}

// ReadConfig reads the configuration in one transaction that sees one state of
// the database.
func (s *Store) ReadConfig(ctx context.Context) (*Rows, error) {
	options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	rows := new(Rows)
	err := s.transact(ctx, options, func(tx pgx.Tx) error {
		return rows.read(ctx, db.New(translated{tx}))
	})
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return rows, nil
}

// read fills rows.
func (r *Rows) read(ctx context.Context, q *db.Queries) error {
	position, err := q.GetRevision(ctx)
	if err != nil {
		return fmt.Errorf("revision: %w", err)
	}
	r.Epoch, r.Revision = position.Epoch, uint64(position.Revision)
	if r.Servers, err = q.ListServerItems(ctx); err != nil {
		return fmt.Errorf("servers: %w", err)
	}
	if r.Entries, err = q.ListEntryItems(ctx); err != nil {
		return fmt.Errorf("entries: %w", err)
	}
	if r.Withheld, err = q.ListWithheldItems(ctx); err != nil {
		return fmt.Errorf("withheld entries: %w", err)
	}
	if r.Roles, err = q.ListRoles(ctx); err != nil {
		return fmt.Errorf("roles: %w", err)
	}
	if r.Grants, err = q.ListRoleGrants(ctx); err != nil {
		return fmt.Errorf("grants: %w", err)
	}
	if r.Users, err = q.ListUserItems(ctx); err != nil {
		return fmt.Errorf("users: %w", err)
	}
	if r.Keys, err = q.ListKeyItems(ctx); err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	if r.Denies, err = q.ListDenies(ctx); err != nil {
		return fmt.Errorf("denies: %w", err)
	}
	if r.Issuers, err = q.ListIssuers(ctx); err != nil {
		return fmt.Errorf("issuers: %w", err)
	}
	if r.GroupRoles, err = q.ListIssuerGroupRoles(ctx); err != nil {
		return fmt.Errorf("roles of groups: %w", err)
	}
	if r.SealKeys, err = q.ListSealKeys(ctx); err != nil {
		return fmt.Errorf("seal keys: %w", err)
	}
	policy, err := q.GetPolicy(ctx)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("policy: %w", err)
	}
	r.Policy = &policy
	return nil
}
