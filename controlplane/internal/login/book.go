package login

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/fault"
)

// NewBook returns the Book in the database.
func NewBook(s *store.Store) Book { return &book{s} }

// book is the Book in the database. Sign-ins and sign-outs are acts of people
// and stand in the audit of administrators.
type book struct{ store *store.Store }

func (b *book) Account(ctx context.Context, name string) (Account, error) {
	row, err := b.store.GetUser(ctx, name)
	if err != nil {
		return Account{}, err
	}
	account := Account{Name: row.Name, Roles: row.Roles, Disabled: row.DisabledAt != nil}
	if row.PasswordHash != nil {
		account.PasswordHash = *row.PasswordHash
	}
	return account, nil
}

func (b *book) Rehash(ctx context.Context, name, old, hash string) error {
	return b.store.InTx(ctx, func(tx *store.Tx) error {
		row, err := tx.GetUser(ctx, name)
		if err != nil {
			return err
		}
		if row.PasswordHash == nil || *row.PasswordHash != old {
			return nil
		}
		_, err = tx.SetPassword(ctx, db.SetPasswordParams{ID: row.ID, PasswordHash: &hash})
		return err
	})
}

func (b *book) HasAdministrator(ctx context.Context) (bool, error) {
	return b.store.AdministratorExists(ctx)
}

func (b *book) FirstOwner(ctx context.Context, name, passwordHash string) error {
	_, err := b.store.Change(ctx, name, func(tx *store.Tx) error {
		if err := tx.LockUsers(ctx); err != nil {
			return err
		}
		exists, err := tx.AdministratorExists(ctx)
		if err != nil {
			return err
		}
		if exists {
			return errSetUpDone()
		}
		user, err := tx.InsertUser(ctx, db.InsertUserParams{Name: name, PasswordHash: &passwordHash})
		if err != nil {
			return err
		}
		err = tx.InsertUserRoles(ctx, db.InsertUserRolesParams{UserID: user.ID, Roles: []string{RoleOwner}})
		if err != nil {
			return err
		}
		tx.Record("user.set_up", name, map[string]any{"roles": []string{RoleOwner}})
		return nil
	})
	return err
}

// sessionsKept is how many sessions one user has at most; the oldest go first.
const sessionsKept = 50

func (b *book) AddSession(ctx context.Context, s Session, replaces *Session) error {
	return b.store.Act(ctx, s.User, func(tx *store.Tx) error {
		row, err := tx.NoteSignIn(ctx, s.User)
		if fault.Is(err, fault.NotFound) {
			return errNotAdmitted(err)
		}
		if err != nil {
			return err
		}
		if s.Method == MethodPassword && (row.PasswordHash == nil || *row.PasswordHash != s.proof) {
			return errNotAdmitted(nil)
		}
		if s.Method != MethodPassword {
			if err := stillProvided(ctx, tx, s.Method); err != nil {
				return err
			}
		}
		if err := clear(ctx, tx, row.ID, replaces); err != nil {
			return err
		}
		tx.Note("login.sign_in", s.User, map[string]any{"method": s.Method, "address": s.Address})
		return tx.InsertLoginSession(ctx, db.InsertLoginSessionParams{
			Hash: s.Hash[:], UserID: row.ID, ExpiresAt: s.Expires, Address: s.Address, UserAgent: s.Agent, Method: s.Method,
		})
	})
}

// stillProvided holds a provider until the session that it began is there: whoever
// removes it comes before, which shows here, or after, and finds the session to
// end it. As everywhere, users are locked first.
func stillProvided(ctx context.Context, tx *store.Tx, provider string) error {
	_, err := tx.LockProvider(ctx, provider)
	if fault.Is(err, fault.NotFound) {
		return fault.Wrap(fault.Unauthenticated, "the provider was removed while you signed in", err)
	}
	return err
}

// errNotAdmitted is for whom was disabled, or lost his password, while he signed in.
func errNotAdmitted(cause error) error {
	return fault.Wrap(fault.Unauthenticated, "name or password is wrong", cause)
}

// clear makes room for a session of the user.
func clear(ctx context.Context, tx *store.Tx, user int64, replaces *Session) error {
	if replaces != nil {
		if _, err := tx.DeleteLoginSession(ctx, replaces.Hash[:]); err != nil {
			return err
		}
	}
	if _, err := tx.DeleteExpiredLoginSessions(ctx); err != nil {
		return err
	}
	_, err := tx.DeleteOldestLoginSessions(ctx, db.DeleteOldestLoginSessionsParams{UserID: user, Keep: sessionsKept - 1})
	return err
}

func (b *book) RotateSession(ctx context.Context, s *Session, hash [sha256.Size]byte) error {
	n, err := b.store.RotateLoginSession(ctx, db.RotateLoginSessionParams{Hash: s.Hash[:], NewHash: hash[:]})
	if err == nil && n == 0 {
		return fault.New(fault.Unauthenticated, "the session has ended; sign in again")
	}
	return err
}

func (b *book) Session(ctx context.Context, hash [sha256.Size]byte) (*Session, error) {
	row, err := b.store.GetLoginSession(ctx, hash[:])
	if err != nil {
		return nil, err
	}
	s := &Session{Hash: hash, ID: row.ID, User: row.Name, Roles: slices.Clone(row.Roles), SeenAt: row.SeenAt, Expires: row.ExpiresAt}
	for _, p := range row.Permissions {
		s.Given = append(s.Given, Permission(p))
	}
	return s, nil
}

func (b *book) TouchSession(ctx context.Context, hash [sha256.Size]byte, _ time.Time) error {
	return b.store.TouchLoginSession(ctx, hash[:])
}

func (b *book) DropSession(ctx context.Context, s *Session) error {
	err := b.store.Act(ctx, s.User, func(tx *store.Tx) error {
		n, err := tx.DeleteLoginSession(ctx, s.Hash[:])
		if err != nil {
			return err
		}
		if n == 0 {
			return fault.New(fault.NotFound, "the session has ended already")
		}
		tx.Note("login.sign_out", s.User, nil)
		return nil
	})
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("drop session: %w", err)
	}
	return nil
}
