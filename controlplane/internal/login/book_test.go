package login

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"

	"github.com/warder-gateway/warder/internal/fault"
)

// memoryBook is a Book for tests of the desk alone. The real one is tested with
// the admin API, against the real database.
type memoryBook struct {
	mu       sync.Mutex
	accounts map[string]Account
	sessions map[[sha256.Size]byte]*Session
	fail     error // returned by every method if set
}

func newMemoryBook() *memoryBook {
	return &memoryBook{accounts: map[string]Account{}, sessions: map[[sha256.Size]byte]*Session{}}
}

func (b *memoryBook) Account(_ context.Context, name string) (Account, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a, found := b.accounts[name]
	if b.fail != nil {
		return Account{}, b.fail
	}
	if !found {
		return Account{}, fault.New(fault.NotFound, "no such user")
	}
	return a, nil
}

func (b *memoryBook) Rehash(_ context.Context, name, old, hash string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if a := b.accounts[name]; a.PasswordHash == old {
		a.PasswordHash = hash
		b.accounts[name] = a
	}
	return b.fail
}

func (b *memoryBook) HasAdministrator(context.Context) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.accounts) > 0, b.fail
}

func (b *memoryBook) FirstOwner(_ context.Context, name, hash string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.accounts) > 0 {
		return errSetUpDone()
	}
	b.accounts[name] = Account{Name: name, PasswordHash: hash, Roles: []string{RoleOwner}}
	return b.fail
}

func (b *memoryBook) AddSession(_ context.Context, s Session, replaces *Session) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if replaces != nil {
		delete(b.sessions, replaces.Hash)
	}
	account := b.accounts[s.User]
	if account.Disabled || s.Method == MethodPassword && account.PasswordHash != s.proof {
		return errNotAdmitted(nil)
	}
	s.Roles = account.Roles
	b.sessions[s.Hash] = &s
	return b.fail
}

func (b *memoryBook) Session(_ context.Context, hash [sha256.Size]byte) (*Session, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail != nil {
		return nil, b.fail
	}
	s, found := b.sessions[hash]
	if !found {
		return nil, fault.New(fault.NotFound, "no such session")
	}
	return new(*s), nil
}

func (b *memoryBook) RotateSession(_ context.Context, s *Session, hash [sha256.Size]byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	kept, found := b.sessions[s.Hash]
	if !found {
		return fault.New(fault.Unauthenticated, "no such session")
	}
	delete(b.sessions, s.Hash)
	kept.Hash = hash
	b.sessions[hash] = kept
	return b.fail
}

func (b *memoryBook) TouchSession(_ context.Context, hash [sha256.Size]byte, at time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sessions[hash].SeenAt = at
	return b.fail
}

func (b *memoryBook) DropSession(_ context.Context, s *Session) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.sessions, s.Hash)
	return b.fail
}
