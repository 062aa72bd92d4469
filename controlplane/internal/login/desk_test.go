package login

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/warder-gateway/warder/internal/fault"
)

const password = "correct horse battery"

// bench is a desk with a clock that tests turn, and with ana, an operator.
type bench struct {
	*Desk
	book  *memoryBook
	clock time.Time
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{book: newMemoryBook(), clock: start}
	b.Desk = NewDesk(Config{
		Book: b.book, Hasher: newHasher(cheap), Setup: NewSetupToken(start),
		Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return b.clock },
	})
	return b
}

func (b *bench) addAna(t *testing.T) {
	t.Helper()
	hash, err := b.Hasher().Hash(t.Context(), password)
	if err != nil {
		t.Fatal(err)
	}
	b.book.accounts["ana"] = Account{Name: "ana", PasswordHash: hash, Roles: []string{RoleOperator}}
}

// https is the context of a browser's request over HTTPS.
func https(t *testing.T) context.Context {
	return withOrigin(t.Context(), origin{address: "192.0.2.1", secure: true})
}

// signIn signs in and returns the cookie of the session.
func (b *bench) signIn(ctx context.Context, name, password string) (*http.Cookie, Account, error) {
	cookies, account, err := b.SignIn(ctx, name, password)
	if err != nil {
		return nil, account, err
	}
	return cookies[0], account, nil
}

// visit sends the cookie through the desk's handler and returns who arrived.
func (b *bench) visit(ctx context.Context, cookie *http.Cookie) (caller Caller, trouble error) {
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
	if cookie != nil {
		r.AddCookie(cookie)
	}
	b.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		caller, trouble = From(r.Context()), Trouble(r.Context())
	})).ServeHTTP(httptest.NewRecorder(), r)
	return caller, trouble
}

func TestT38_SessionCookieIsBoundToTheHostAndHiddenFromScripts(t *testing.T) {
	b := newBench(t)
	b.addAna(t)
	cookie, account, err := b.signIn(https(t), "ana", password)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{RoleOperator}, account.Roles); diff != "" {
		t.Error(diff)
	}
	if cookie.Name != "__Host-warder" || !cookie.Secure || !cookie.HttpOnly ||
		cookie.SameSite != http.SameSiteLaxMode || cookie.Path != "/" || cookie.Domain != "" {
		t.Errorf("cookie %v", cookie)
	}
	raw, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	if err != nil || len(raw) != 32 {
		t.Fatalf("cookie of %d bytes, %v", len(raw), err)
	}
	if b.book.sessions[sha256.Sum256(raw)] == nil || b.book.sessions[[sha256.Size]byte(raw)] != nil {
		t.Error("the book should know the hash and not the value")
	}
	caller, _ := b.visit(https(t), cookie)
	if caller.Name != "ana" || caller.Local {
		t.Errorf("caller %+v", caller)
	}
}

func TestPlainHTTPSignsInOnLoopbackOnly(t *testing.T) {
	b := newBench(t)
	b.addAna(t)
	loopback := withOrigin(t.Context(), origin{address: "127.0.0.1", loopback: true})
	cookie, _, err := b.signIn(loopback, "ana", password)
	if err != nil || cookie.Name != "warder" || cookie.Secure {
		t.Fatalf("SignIn on loopback = %v, %v", cookie, err)
	}
	clear := withOrigin(t.Context(), origin{address: "192.0.2.1"})
	if _, _, err := b.SignIn(clear, "ana", password); !fault.Is(err, fault.Precondition) {
		t.Fatalf("SignIn in the clear = %v, want precondition", err)
	}
	if caller, _ := b.visit(clear, cookie); !caller.Anonymous() {
		t.Fatal("a session is accepted in the clear")
	}
}

// T-42, P-15: whatever is wrong, the answer is the same and so is the work: one
// hashing of today's costs, which is what takes the time.
func TestT42_SignInCostsAndSaysTheSameWhateverIsWrong(t *testing.T) {
	b := newBench(t)
	b.addAna(t)
	good := b.book.accounts["ana"].PasswordHash
	b.book.accounts["ben"] = Account{Name: "ben"}
	b.book.accounts["dan"] = Account{Name: "dan", PasswordHash: good, Disabled: true}
	var said string
	for _, c := range []struct{ name, user, password string }{
		{"wrong password", "ana", "wrong horse battery"},
		{"unknown user", "bob", password},
		{"no password", "ben", password},
		{"disabled, right password", "dan", password},
		{"disabled, wrong password", "dan", "wrong horse battery"},
		{"empty name", "", password},
	} {
		before := b.Hasher().done.Load()
		_, _, err := b.signIn(https(t), c.user, c.password)
		if !fault.Is(err, fault.Unauthenticated) || said != "" && fault.Text(err) != said {
			t.Errorf("%s: %v", c.name, err)
		}
		said = fault.Text(err)
		if n := b.Hasher().done.Load() - before; n != 1 {
			t.Errorf("%s: %d hashings", c.name, n)
		}
	}
	if p, _, _, err := decode(b.Hasher().decoy); err != nil || p != b.Hasher().params {
		t.Errorf("the decoy costs %+v, %v", p, err)
	}
	if len(b.book.sessions) != 0 {
		t.Error("a session was made")
	}
}

// A session is for who has the password still when it begins.
func TestT29_APasswordThatChangesDuringSignInOpensNothing(t *testing.T) {
	b := newBench(t)
	b.addAna(t)
	account, err := b.prove(https(t), "ana", password)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Account){
		"another password": func(a *Account) { a.PasswordHash += "x" },
		"disabled":         func(a *Account) { a.Disabled = true },
	} {
		now := account
		change(&now)
		b.book.accounts["ana"] = now
		if _, err := b.open(https(t), Session{User: "ana", Method: MethodPassword, proof: account.PasswordHash}); !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestT38_RotationMakesTheOldCookieWorthless(t *testing.T) {
	b := newBench(t)
	b.addAna(t)
	first, _, err := b.signIn(https(t), "ana", password)
	if err != nil {
		t.Fatal(err)
	}
	caller, _ := b.visit(https(t), first)
	second, err := b.Rotate(WithCaller(https(t), caller))
	if err != nil || second.Value == first.Value || second.Name != "__Host-warder" || !second.Secure || !second.HttpOnly {
		t.Fatalf("Rotate = %v, %v", second, err)
	}
	if old, _ := b.visit(https(t), first); !old.Anonymous() {
		t.Error("the old cookie works still")
	}
	if now, _ := b.visit(https(t), second); now.Name != "ana" {
		t.Error("the new one does not")
	}
	if cookie, err := b.Rotate(WithCaller(https(t), LocalOwner())); cookie != nil || err != nil {
		t.Errorf("over the socket: %v, %v", cookie, err)
	}
}

// The cookie of a device opens nothing.
func TestT38_TheCookieOfADeviceIsNoSession(t *testing.T) {
	b := newBench(t)
	b.addAna(t)
	cookies, _, err := b.SignIn(https(t), "ana", password)
	if err != nil || len(cookies) != 2 {
		t.Fatal(cookies, err)
	}
	device := cookies[1]
	if device.Name != "__Host-warder-device" || !device.Secure || !device.HttpOnly || device.Path != "/" || device.Domain != "" || device.SameSite != http.SameSiteLaxMode {
		t.Errorf("cookie %v", device)
	}
	for _, name := range []string{cookies[0].Name, device.Name} {
		if c, _ := b.visit(https(t), &http.Cookie{Name: name, Value: device.Value}); !c.Anonymous() {
			t.Errorf("as %s it is somebody", name)
		}
	}
}

func TestT42_FailedAttemptsAreThrottledAndSuccessesAreNot(t *testing.T) {
	b := newBench(t)
	b.addAna(t)
	for range 100 {
		if _, _, err := b.SignIn(https(t), "ana", password); err != nil {
			t.Fatalf("a good sign-in is throttled: %v", err)
		}
	}
	var last error
	for range 20 {
		_, _, last = b.SignIn(https(t), "ana", "wrong horse battery")
	}
	if !fault.Is(last, fault.Exhausted) || !strings.Contains(fault.Text(last), "try again in") {
		t.Fatalf("20th wrong password = %v, want exhausted with a time", last)
	}
	b.clock = b.clock.Add(time.Minute)
	if _, _, err := b.SignIn(https(t), "ana", password); err != nil {
		t.Fatalf("after a minute: %v", err)
	}
}

func TestSignInRenewsAnOldHash(t *testing.T) {
	b := newBench(t)
	b.addAna(t)
	old := b.book.accounts["ana"].PasswordHash
	b.Desk.hasher = newHasher(params{memory: 128, time: 1, threads: 1})
	if _, _, err := b.SignIn(https(t), "ana", password); err != nil {
		t.Fatal(err)
	}
	if now := b.book.accounts["ana"].PasswordHash; now == old || !strings.Contains(now, "m=128,") {
		t.Fatalf("hash is still %q", now)
	}
}

func TestT38_SessionRotatesAtSignInAndDiesAtSignOut(t *testing.T) {
	b := newBench(t)
	b.addAna(t)
	first, _, err := b.signIn(https(t), "ana", password)
	if err != nil {
		t.Fatal(err)
	}
	caller, _ := b.visit(https(t), first)
	second, _, err := b.signIn(WithCaller(https(t), caller), "ana", password)
	if err != nil {
		t.Fatal(err)
	}
	if old, _ := b.visit(https(t), first); !old.Anonymous() {
		t.Fatal("the old session outlives the new sign-in")
	}
	caller, _ = b.visit(https(t), second)
	gone, err := b.SignOut(WithCaller(https(t), caller))
	if err != nil || gone.MaxAge >= 0 || gone.Value != "" {
		t.Fatalf("SignOut = %v, %v; want a cookie that removes", gone, err)
	}
	if after, _ := b.visit(https(t), second); !after.Anonymous() {
		t.Fatal("the session outlives the sign-out")
	}
}

func TestSessionEndsWhenIdleAndWhenOld(t *testing.T) {
	b := newBench(t)
	b.addAna(t)
	cookie, _, err := b.signIn(https(t), "ana", password)
	if err != nil {
		t.Fatal(err)
	}
	for b.clock.Before(start.Add(SessionAbsolute)) {
		if c, _ := b.visit(https(t), cookie); c.Anonymous() {
			t.Fatalf("session in use ended after %v", b.clock.Sub(start))
		}
		b.clock = b.clock.Add(SessionIdle - time.Minute)
	}
	if c, _ := b.visit(https(t), cookie); !c.Anonymous() {
		t.Fatal("a session outlives its absolute limit")
	}
	cookie, _, err = b.signIn(https(t), "ana", password)
	if err != nil {
		t.Fatal(err)
	}
	b.clock = b.clock.Add(SessionIdle)
	if c, _ := b.visit(https(t), cookie); !c.Anonymous() {
		t.Fatal("an idle session lives")
	}
}

func TestStrangeCookiesAreStrangers(t *testing.T) {
	b := newBench(t)
	b.addAna(t)
	good, _, err := b.signIn(https(t), "ana", password)
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{"", "x", good.Value + "A", good.Value[:42], strings.Repeat("A", 43), strings.Repeat("A", 100_000)} {
		if c, trouble := b.visit(https(t), &http.Cookie{Name: good.Name, Value: value}); !c.Anonymous() || trouble != nil {
			t.Errorf("cookie of %d bytes: %+v, %v", len(value), c, trouble)
		}
	}
	if c, _ := b.visit(https(t), &http.Cookie{Name: "warder", Value: good.Value}); !c.Anonymous() {
		t.Error("the session is accepted under the cookie name of plain HTTP")
	}
}

func TestT29_FailingBookIsAStrangerAndSaysSo(t *testing.T) {
	b := newBench(t)
	b.addAna(t)
	cookie, _, err := b.signIn(https(t), "ana", password)
	if err != nil {
		t.Fatal(err)
	}
	b.book.fail = errBroken
	if c, trouble := b.visit(https(t), cookie); !c.Anonymous() || trouble == nil {
		t.Fatalf("caller %+v, trouble %v", c, trouble)
	}
	if _, _, err := b.SignIn(https(t), "ana", password); fault.KindOf(err) != fault.Internal {
		t.Fatalf("SignIn = %v", err)
	}
}

func TestSetUpCreatesOneOwnerOfManyAtOnce(t *testing.T) {
	b := newBench(t)
	token := b.setup.Reveal(start)
	var won, lost int
	var mu sync.Mutex
	var all sync.WaitGroup
	for i := range 5 {
		all.Go(func() {
			cookie, err := b.SetUp(https(t), token, "owner"+string(rune('a'+i)), password)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil && cookie != nil:
				won++
			case fault.Is(err, fault.Precondition):
				lost++
			default:
				t.Errorf("SetUp = %v", err)
			}
		})
	}
	all.Wait()
	if won != 1 || lost != 4 || len(b.book.accounts) != 1 {
		t.Fatalf("%d won, %d lost, %d accounts", won, lost, len(b.book.accounts))
	}
	if b.setup.Reveal(start) != "" {
		t.Fatal("the token was not spent")
	}
}

func TestSetUpNeedsTheToken(t *testing.T) {
	for _, c := range []struct {
		name  string
		token func(*bench) string
		kind  fault.Kind
	}{
		{"wrong", func(*bench) string { return "wds_wrong" }, fault.Denied},
		{"empty", func(*bench) string { return "" }, fault.Denied},
		{"expired", func(b *bench) string {
			token := b.setup.Reveal(start)
			b.clock = start.Add(SetupTokenLife)
			return token
		}, fault.Denied},
		{"guessed often", func(b *bench) string {
			for range 50 {
				_, _ = b.SetUp(https(t), "wds_guess", "ana", password)
			}
			return b.setup.Reveal(start)
		}, fault.Exhausted},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			if _, err := b.SetUp(https(t), c.token(b), "ana", password); !fault.Is(err, c.kind) {
				t.Fatalf("SetUp = %v, want %v", err, c.kind)
			}
			if len(b.book.accounts) != 0 {
				t.Fatal("an account was made")
			}
		})
	}
}

// A failed sign-in can be seen by who operates: the name and the address, never
// the password.
func TestFailedSignInsAreLogged(t *testing.T) {
	b := newBench(t)
	var out strings.Builder
	b.log = slog.New(slog.NewJSONHandler(&out, nil))
	if _, err := b.SetUp(https(t), "wds_guess", "eve", password); !fault.Is(err, fault.Denied) {
		t.Fatal(err)
	}
	b.addAna(t)
	for _, name := range []string{"ana", "nobody\n"} {
		if _, _, err := b.SignIn(https(t), name, "not the password"); !fault.Is(err, fault.Unauthenticated) {
			t.Fatal(err)
		}
	}
	log := out.String()
	if strings.Count(log, "\n") != 3 || strings.Count(log, `"address":"192.0.2.1"`) != 3 || !strings.Contains(log, `"user":"ana"`) ||
		strings.Contains(log, "not the password") || strings.Contains(log, "wds_guess") {
		t.Errorf("log:\n%s", log)
	}
}
