package login

import (
	"fmt"
	"testing"
	"time"

	"github.com/warder-gateway/warder/internal/fault"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func TestThrottleRefillsWithTime(t *testing.T) {
	th := newThrottle(2, 10*time.Second, 10)
	for i := range 2 {
		if _, ok := th.take("a", start); !ok {
			t.Fatalf("take %d refused", i)
		}
	}
	if wait, ok := th.take("a", start); ok || wait != 10*time.Second {
		t.Fatalf("third take = %v, %t; want to wait 10 s", wait, ok)
	}
	if _, ok := th.take("b", start); !ok {
		t.Fatal("another key is refused")
	}
	if _, ok := th.take("a", start.Add(10*time.Second)); !ok {
		t.Fatal("no token came back")
	}
	th.give("a", start.Add(time.Hour))
	th.give("a", start.Add(time.Hour))
	th.give("a", start.Add(time.Hour))
	for range 2 {
		th.take("a", start.Add(time.Hour))
	}
	if _, ok := th.take("a", start.Add(time.Hour)); ok {
		t.Fatal("the bucket holds more than its burst")
	}
}

func TestThrottleForgetsTheLeastRecentWhenFull(t *testing.T) {
	th := newThrottle(1, time.Hour, 3)
	for i := range 100 {
		th.take(fmt.Sprint(i), start)
	}
	if len(th.buckets) != 3 || th.recent.Len() != 3 {
		t.Fatalf("%d buckets and %d in order, want 3", len(th.buckets), th.recent.Len())
	}
	if _, ok := th.take("99", start); ok {
		t.Fatal("the most recent bucket was forgotten")
	}
}

// T-42: many addresses together reach the hashing at a bounded rate, and an
// address that fails does not use up the account's own share.
func TestT42_AttemptsAreBoundedPerAccount(t *testing.T) {
	a := newAttempts()
	accepted := 0
	for i := range 10_000 {
		if _, ok := a.take(side{address: fmt.Sprintf("10.0.0.%d", i%200), account: "ana"}, start); ok {
			accepted++
		}
	}
	if accepted != int(a.account.burst) {
		t.Fatalf("%d of 10000 attempts accepted, want %v", accepted, a.account.burst)
	}
	b := newAttempts()
	for range 1000 {
		b.take(side{address: "10.0.0.1", account: "ana"}, start)
	}
	if _, ok := b.take(side{address: "10.0.0.2", account: "ana"}, start); !ok {
		t.Fatal("one stranger's failures lock ana out elsewhere")
	}
}

// T-42: while two hundred addresses guess, whoever signed in from his browser
// before gets in there, and costs no more than one hashing.
func TestT42_AKnownDeviceIsNotLockedOutByStrangers(t *testing.T) {
	b := newBench(t)
	b.addAna(t)
	cookies, _, err := b.SignIn(https(t), "ana", password)
	if err != nil {
		t.Fatal(err)
	}
	before := b.Hasher().done.Load()
	for i := range 10_000 {
		from := withOrigin(t.Context(), origin{address: fmt.Sprintf("198.51.100.%d", i%200), secure: true})
		if _, _, err := b.SignIn(from, "ana", "wrong horse battery"); err == nil {
			t.Fatal("a wrong password signs in")
		}
	}
	if n := b.Hasher().done.Load() - before; n != int64(b.attempts.account.burst) {
		t.Errorf("%d of 10000 guesses were hashed, want %v", n, b.attempts.account.burst)
	}
	known := withDevice(https(t), cookies[1].Value)
	if _, _, err := b.SignIn(https(t), "ana", password); !fault.Is(err, fault.Exhausted) {
		t.Errorf("without the device's cookie: %v; the test proves nothing", err)
	}
	if _, _, err := b.SignIn(known, "ana", password); err != nil {
		t.Errorf("from the known device: %v", err)
	}
	// A device that was stolen guesses no faster than one address.
	before = b.Hasher().done.Load()
	for range 100 {
		_, _, _ = b.SignIn(known, "ana", "wrong horse battery")
	}
	if n := b.Hasher().done.Load() - before; n != int64(b.attempts.device.burst) {
		t.Errorf("%d guesses of a device were hashed", n)
	}
}

func TestT42_ADeviceIsKnownForItsAccountAndForATime(t *testing.T) {
	d := newDevices(nil)
	value := d.issue("ana", "hash", start)
	known := func(d devices, value, account, hash string, now time.Time) string {
		if found := d.read(value, account, now); found != nil && d.current(found, hash) {
			return found.id
		}
		return ""
	}
	id := known(d, value, "ana", "hash", start)
	if id == "" || known(d, value, "ana", "hash", start.Add(deviceLife-time.Second)) != id {
		t.Fatal("the device is not known")
	}
	other := "A" + value[1:]
	if value[0] == 'A' {
		other = "B" + value[1:]
	}
	for name, id := range map[string]string{
		"another account": known(d, value, "ben", "hash", start), "too old": known(d, value, "ana", "hash", start.Add(deviceLife)),
		"from the future": known(d, value, "ana", "hash", start.Add(-time.Hour)), "changed": known(d, other, "ana", "hash", start),
		"cut": known(d, value[:len(value)-1], "ana", "hash", start), "empty": known(d, "", "ana", "hash", start),
		"another key": known(newDevices(nil), value, "ana", "hash", start), "another password": known(d, value, "ana", "other", start),
		"no password": known(d, d.issue("ana", "", start), "ana", "", start),
	} {
		if id != "" {
			t.Errorf("%s: known", name)
		}
	}
	if known(newDevices([]byte("k")), newDevices([]byte("k")).issue("ana", "hash", start), "ana", "hash", start) == "" {
		t.Error("another replica does not know it")
	}
}

// Whoever signed in once with a password that is not the account's any more counts
// as everybody does; the device from which it was changed stays known.
func TestT42_ADeviceIsNotKnownAfterThePasswordChanged(t *testing.T) {
	b := newBench(t)
	b.addAna(t)
	cookies, account, err := b.SignIn(https(t), "ana", password)
	if err != nil {
		t.Fatal(err)
	}
	known := withDevice(https(t), cookies[1].Value)
	if id, err := b.knownDevice(known, "ana"); err != nil || id == "" {
		t.Fatalf("before: %q, %v", id, err)
	}
	caller, _ := b.visit(https(t), cookies[0])
	if account.PasswordHash, err = b.Hasher().Hash(t.Context(), "another horse battery"); err != nil {
		t.Fatal(err)
	}
	b.book.accounts["ana"] = account
	if id, err := b.knownDevice(known, "ana"); err != nil || id != "" {
		t.Errorf("after: %q, %v", id, err)
	}
	for range b.attempts.account.limit {
		if _, ok := b.attempts.take(side{address: "192.0.2.1", account: "ana"}, start); !ok {
			break
		}
	}
	if _, _, err := b.SignIn(known, "ana", "guess, guess, guess"); !fault.Is(err, fault.Exhausted) {
		t.Errorf("it guesses on the side: %v", err)
	}
	again, err := b.Remember(WithCaller(https(t), caller), account.PasswordHash)
	if err != nil || again == nil {
		t.Fatal(again, err)
	}
	if id, err := b.knownDevice(withDevice(https(t), again.Value), "ana"); err != nil || id == "" {
		t.Errorf("the device of the change: %q, %v", id, err)
	}
}

// Guessers cannot take all the time of the process, whatever names they use.
func TestT42_AttemptsAreBoundedTogether(t *testing.T) {
	a := newAttempts()
	accepted := 0
	for i := range 10_000 {
		if _, ok := a.take(side{address: fmt.Sprint("a", i), account: fmt.Sprint("u", i)}, start); ok {
			accepted++
		}
	}
	if accepted != int(a.all.burst) {
		t.Fatalf("%d attempts accepted, want %v", accepted, a.all.burst)
	}
}
