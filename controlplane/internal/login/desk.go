package login

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/warder-gateway/warder/internal/fault"
)

// Account is a user as the desk needs him.
type Account struct {
	Name         string
	PasswordHash string // empty: cannot sign in
	Roles        []string
}

// Book is where accounts and sessions are kept. Its methods are safe for
// concurrent use. What is not there is fault.NotFound.
type Book interface {
	Account(ctx context.Context, name string) (Account, error)
	// Rehash replaces a password hash if it is still the old one.
	Rehash(ctx context.Context, name, old, hash string) error
	// HasAdministrator reports whether an owner with a password exists.
	HasAdministrator(ctx context.Context) (bool, error)
	// FirstOwner creates an owner, unless an administrator exists: then it is
	// fault.Precondition. Of two at once one succeeds.
	FirstOwner(ctx context.Context, name, passwordHash string) error
	// AddSession keeps a session and forgets the one it replaces, if any, and
	// those that have expired.
	AddSession(ctx context.Context, s Session, replaces *Session) error
	Session(ctx context.Context, hash [sha256.Size]byte) (*Session, error)
	TouchSession(ctx context.Context, hash [sha256.Size]byte, at time.Time) error
	DropSession(ctx context.Context, s *Session) error
}

// Desk signs people in and out. It is safe for concurrent use.
type Desk struct {
	book     Book
	hasher   *Hasher
	setup    *SetupToken
	attempts *attempts
	log      *slog.Logger
	now      func() time.Time
}

// Config is what a Desk is made of. Book and Log are required; without a Setup
// token nobody can set up.
type Config struct {
	Book   Book
	Hasher *Hasher // nil: a new one
	Setup  *SetupToken
	Log    *slog.Logger
	Now    func() time.Time // nil: time.Now
}

// NewDesk returns a Desk.
func NewDesk(c Config) *Desk {
	d := &Desk{book: c.Book, hasher: c.Hasher, setup: c.Setup, attempts: newAttempts(), log: c.Log, now: c.Now}
	if d.hasher == nil {
		d.hasher = NewHasher()
	}
	if d.now == nil {
		d.now = time.Now
	}
	return d
}

// Hasher returns the desk's hasher, so that all hashing of a process shares its
// limit.
func (d *Desk) Hasher() *Hasher { return d.hasher }

// SetupNeeded reports whether no administrator exists yet.
func (d *Desk) SetupNeeded(ctx context.Context) (bool, error) {
	exists, err := d.book.HasAdministrator(ctx)
	return !exists, err
}

// setupAccount is the account under which attempts at the setup token count.
const setupAccount = "\x00setup"

// SetUp creates the first owner and signs him in: it returns the cookie.
func (d *Desk) SetUp(ctx context.Context, token, name, password string) (*http.Cookie, error) {
	from := originOf(ctx)
	if _, err := from.cookieName(); err != nil {
		return nil, err
	}
	if err := d.reserve(from, setupAccount); err != nil {
		return nil, err
	}
	if !d.setup.matches(token, d.now()) {
		return nil, d.refuseSetUp(ctx)
	}
	d.attempts.give(from.address, setupAccount, d.now())
	hash, err := d.hasher.Hash(ctx, password)
	if err != nil {
		return nil, err
	}
	if err := d.book.FirstOwner(ctx, name, hash); err != nil {
		return nil, fmt.Errorf("set up: %w", err)
	}
	d.setup.spend()
	d.log.InfoContext(ctx, "first owner created", "user", name)
	return d.open(ctx, name)
}

// refuseSetUp says why a token is refused. It is not fault.Unauthenticated: by
// that a browser would take its session to have ended, where none was asked for.
func (d *Desk) refuseSetUp(ctx context.Context) error {
	exists, err := d.book.HasAdministrator(ctx)
	if err != nil {
		return fmt.Errorf("look for an administrator: %w", err)
	}
	if exists {
		return errSetUpDone()
	}
	d.log.WarnContext(ctx, "set-up refused: this is not the setup token, or it has expired", "address", originOf(ctx).address)
	return fault.New(fault.Denied, "this is not the setup token, or it has expired; a restart of the control plane prints a new one, and on its machine "+
		"'warder user create NAME --role owner --password-stdin' needs none")
}

func errSetUpDone() error {
	return fault.New(fault.Precondition, "an administrator exists already; sign in, or ask an owner for an account")
}

// SignIn checks the password and returns the cookie of a new session. The
// caller's old session, if he had one, ends. Whatever is wrong with name or
// password, the answer and its time are the same.
func (d *Desk) SignIn(ctx context.Context, name, password string) (*http.Cookie, Account, error) {
	from := originOf(ctx)
	if _, err := from.cookieName(); err != nil {
		return nil, Account{}, err
	}
	if err := d.reserve(from, name); err != nil {
		return nil, Account{}, err
	}
	account, err := d.check(ctx, name, password)
	if err != nil {
		return nil, Account{}, err
	}
	d.attempts.give(from.address, name, d.now())
	cookie, err := d.open(ctx, account.Name)
	if err != nil {
		return nil, Account{}, err
	}
	return cookie, account, nil
}

// reserve takes one attempt, or says how long to wait.
func (d *Desk) reserve(from origin, account string) error {
	wait, ok := d.attempts.take(from.address, account, d.now())
	if ok {
		return nil
	}
	seconds := int64(wait/time.Second) + 1
	return fault.Newf(fault.Exhausted, "too many failed attempts; try again in %d s", seconds)
}

func (d *Desk) check(ctx context.Context, name, password string) (Account, error) {
	account, err := d.book.Account(ctx, name)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return Account{}, fmt.Errorf("find account: %w", err)
	}
	ok, stale, err := d.hasher.Verify(ctx, account.PasswordHash, password)
	if err != nil {
		return Account{}, fmt.Errorf("verify password: %w", err)
	}
	if !ok {
		// At the rate that the throttle lets through, and whoever it was meant for.
		d.log.WarnContext(ctx, "sign-in refused: name or password is wrong", "user", name, "address", originOf(ctx).address)
		return Account{}, fault.New(fault.Unauthenticated, "name or password is wrong")
	}
	if stale {
		d.rehash(ctx, account, password)
	}
	return account, nil
}

// rehash brings a stored hash to today's costs. It is not worth failing a
// sign-in for: the next one tries again.
func (d *Desk) rehash(ctx context.Context, account Account, password string) {
	hash, err := d.hasher.Hash(ctx, password)
	if err == nil {
		err = d.book.Rehash(ctx, account.Name, account.PasswordHash, hash)
	}
	if err != nil {
		d.log.WarnContext(ctx, "password hash not renewed", "user", account.Name, "error", err)
	}
}

// open makes a session and its cookie.
func (d *Desk) open(ctx context.Context, user string) (*http.Cookie, error) {
	from := originOf(ctx)
	name, err := from.cookieName()
	if err != nil {
		return nil, err
	}
	value, hash := newToken()
	now := d.now()
	s := Session{Hash: hash, User: user, SeenAt: now, Expires: now.Add(SessionAbsolute)}
	if err := d.book.AddSession(ctx, s, From(ctx).session); err != nil {
		return nil, fmt.Errorf("keep session: %w", err)
	}
	return from.cookie(name, value), nil
}

// SignOut ends the caller's session and returns the cookie that removes it from
// the browser; nil over the Unix socket, where there is none.
func (d *Desk) SignOut(ctx context.Context) (*http.Cookie, error) {
	c := From(ctx)
	if c.session == nil {
		return nil, nil
	}
	if err := d.book.DropSession(ctx, c.session); err != nil {
		return nil, fmt.Errorf("end session: %w", err)
	}
	from := originOf(ctx)
	name, err := from.cookieName()
	if err != nil {
		return nil, err
	}
	return from.cookie(name, ""), nil
}
