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
	PasswordHash string // empty: cannot sign in with a password
	Roles        []string
	Disabled     bool
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
	// those that have expired. It is fault.Unauthenticated if the user was disabled;
	// for one that began with a password, if that is not his any more; and for
	// another, if the provider that began it is not there any more.
	AddSession(ctx context.Context, s Session, replaces *Session) error
	// RotateSession keeps a session under another hash from now on.
	RotateSession(ctx context.Context, s *Session, hash [sha256.Size]byte) error
	Session(ctx context.Context, hash [sha256.Size]byte) (*Session, error)
	TouchSession(ctx context.Context, hash [sha256.Size]byte, at time.Time) error
	DropSession(ctx context.Context, s *Session) error
}

// Desk signs people in and out. It is safe for concurrent use.
type Desk struct {
	book     Book
	hasher   *Hasher
	setup    *SetupToken
	devices  devices
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
	// DeviceKey makes the cookies of known devices. Secret, the same in all
	// replicas; empty: a random one, so that devices are known until a restart.
	DeviceKey []byte
	Log       *slog.Logger
	Now       func() time.Time // nil: time.Now
}

// NewDesk returns a Desk.
func NewDesk(c Config) *Desk {
	d := &Desk{
		book: c.Book, hasher: c.Hasher, setup: c.Setup, devices: newDevices(c.DeviceKey), attempts: newAttempts(), log: c.Log, now: c.Now,
	}
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

// SetUp creates the first owner and signs him in: it returns the cookies.
func (d *Desk) SetUp(ctx context.Context, token, name, password string) ([]*http.Cookie, error) {
	from := originOf(ctx)
	if _, err := from.cookieName(); err != nil {
		return nil, err
	}
	side := side{address: from.address, account: setupAccount}
	if err := d.reserve(side); err != nil {
		return nil, err
	}
	if !d.setup.matches(token, d.now()) {
		return nil, d.refuseSetUp(ctx)
	}
	d.attempts.give(side, d.now())
	hash, err := d.hasher.Hash(ctx, password)
	if err != nil {
		return nil, err
	}
	if err := d.book.FirstOwner(ctx, name, hash); err != nil {
		return nil, fmt.Errorf("set up: %w", err)
	}
	d.setup.spend()
	d.log.InfoContext(ctx, "first owner created", "user", name)
	return d.open(ctx, Session{User: name, Method: MethodPassword, proof: hash})
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

// SignIn checks the password and returns the cookies of a new session. The
// caller's old session, if he had one, ends. Whatever is wrong with name or
// password, the answer and its time are the same.
func (d *Desk) SignIn(ctx context.Context, name, password string) ([]*http.Cookie, Account, error) {
	if _, err := originOf(ctx).cookieName(); err != nil {
		return nil, Account{}, err
	}
	account, err := d.prove(ctx, name, password)
	if err != nil {
		return nil, Account{}, err
	}
	cookies, err := d.open(ctx, Session{User: account.Name, Method: MethodPassword, proof: account.PasswordHash})
	if err != nil {
		return nil, Account{}, err
	}
	return cookies, account, nil
}

// Admit opens a session for a user who proved himself by other means than a
// password, and returns its cookies. The method says by what: a provider's name.
func (d *Desk) Admit(ctx context.Context, user, method string) ([]*http.Cookie, error) {
	return d.open(ctx, Session{User: user, Method: method})
}

// Confirm checks the password of the caller, who is signed in, before he changes
// it: guesses count as at sign-in. A wrong one is fault.Denied, since by
// fault.Unauthenticated a browser would take the session to have ended.
func (d *Desk) Confirm(ctx context.Context, password string) error {
	_, err := d.prove(ctx, From(ctx).Name, password)
	if fault.Is(err, fault.Unauthenticated) {
		return fault.Wrap(fault.Denied, "the old password is wrong", err)
	}
	return err
}

// prove finds the account that name and password are of. An attempt counts until
// it succeeded.
func (d *Desk) prove(ctx context.Context, name, password string) (Account, error) {
	device, err := d.knownDevice(ctx, name)
	if err != nil {
		return Account{}, err
	}
	side := side{address: originOf(ctx).address, account: name, device: device}
	if err := d.reserve(side); err != nil {
		return Account{}, err
	}
	account, err := d.check(ctx, name, password, side.device != "")
	if err != nil {
		return Account{}, err
	}
	d.attempts.give(side, d.now())
	return account, nil
}

// knownDevice returns what names the device of the request, if the account signed
// in from it before with the password that it has now; empty otherwise. The book is
// asked for no cookie but one of ours.
func (d *Desk) knownDevice(ctx context.Context, name string) (string, error) {
	found := d.devices.read(deviceOf(ctx), name, d.now())
	if found == nil {
		return "", nil
	}
	account, err := d.book.Account(ctx, name)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return "", fmt.Errorf("find account: %w", err)
	}
	if !d.devices.current(found, account.PasswordHash) {
		return "", nil
	}
	return found.id, nil
}

// reserve takes one attempt, or says how long to wait.
func (d *Desk) reserve(from side) error {
	wait, ok := d.attempts.take(from, d.now())
	if ok {
		return nil
	}
	seconds := int64(wait/time.Second) + 1
	return fault.Newf(fault.Exhausted, "too many failed attempts; try again in %d s", seconds)
}

// check does one hashing, whoever is named: somebody, nobody, one who has no
// password, or one who is disabled.
func (d *Desk) check(ctx context.Context, name, password string, knownDevice bool) (Account, error) {
	account, err := d.book.Account(ctx, name)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return Account{}, fmt.Errorf("find account: %w", err)
	}
	ok, stale, err := d.hasher.Verify(ctx, account.PasswordHash, password, knownDevice)
	if err != nil {
		return Account{}, fmt.Errorf("verify password: %w", err)
	}
	if !ok || account.Disabled {
		// At the rate that the throttle lets through, and whoever it was meant for.
		d.log.WarnContext(ctx, "sign-in refused: name or password is wrong", "user", name, "address", originOf(ctx).address)
		return Account{}, fault.New(fault.Unauthenticated, "name or password is wrong")
	}
	if stale {
		account.PasswordHash = d.rehash(ctx, account, password)
	}
	return account, nil
}

// rehash brings a stored hash to today's costs, and returns what is stored then.
// It is not worth failing a sign-in for: the next one tries again.
func (d *Desk) rehash(ctx context.Context, account Account, password string) string {
	hash, err := d.hasher.renew(ctx, password)
	if err == nil {
		err = d.book.Rehash(ctx, account.Name, account.PasswordHash, hash)
	}
	if err != nil {
		d.log.WarnContext(ctx, "password hash not renewed", "user", account.Name, "error", err)
		return account.PasswordHash
	}
	return hash
}

// open makes a session, and the cookies of it and, if a password was given, of the
// device.
func (d *Desk) open(ctx context.Context, s Session) ([]*http.Cookie, error) {
	from := originOf(ctx)
	name, err := from.cookieName()
	if err != nil {
		return nil, err
	}
	value, hash := newToken()
	now := d.now()
	s.Hash, s.SeenAt, s.Expires, s.Address, s.Agent = hash, now, now.Add(SessionAbsolute), from.address, from.agent
	if err := d.book.AddSession(ctx, s, From(ctx).session); err != nil {
		return nil, fmt.Errorf("keep session: %w", err)
	}
	cookies := []*http.Cookie{from.cookie(name, value, SessionAbsolute)}
	if s.proof != "" {
		cookies = append(cookies, from.cookie(name+deviceSuffix, d.devices.issue(s.User, s.proof, now), deviceLife))
	}
	return cookies, nil
}

// Remember returns the cookie by which the caller's device stays known after he
// changed his password, whose new hash this is: all his others are not known any
// more. It returns nil over the Unix socket.
func (d *Desk) Remember(ctx context.Context, passwordHash string) (*http.Cookie, error) {
	s := From(ctx).session
	if s == nil {
		return nil, nil
	}
	from := originOf(ctx)
	name, err := from.cookieName()
	if err != nil {
		return nil, err
	}
	return from.cookie(name+deviceSuffix, d.devices.issue(s.User, passwordHash, d.now()), deviceLife), nil
}

// Rotate gives the caller's session another cookie, which it returns: what was
// known of the old one is worth nothing (security.md T-38). It returns nil over
// the Unix socket.
func (d *Desk) Rotate(ctx context.Context) (*http.Cookie, error) {
	s := From(ctx).session
	if s == nil {
		return nil, nil
	}
	from := originOf(ctx)
	name, err := from.cookieName()
	if err != nil {
		return nil, err
	}
	value, hash := newToken()
	if err := d.book.RotateSession(ctx, s, hash); err != nil {
		return nil, fmt.Errorf("rotate session: %w", err)
	}
	return from.cookie(name, value, s.Expires.Sub(d.now())), nil
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
	return from.cookie(name, "", 0), nil
}
