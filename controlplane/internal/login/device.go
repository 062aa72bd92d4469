package login

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"
)

// deviceSuffix makes the name of a device's cookie from that of a session's.
const deviceSuffix = "-device"

// deviceLife is how long a device stays known after a sign-in.
const deviceLife = 180 * 24 * time.Hour

const deviceNonce = 16

// devices makes and knows the cookies by which a browser shows that an account
// signed in from it before. Such a cookie opens nothing. Attempts from a known
// device are counted apart, so that strangers cannot lock its owner out. It ends
// with the password that was given: whoever knew an old one does not guess the new
// one on the side.
//
//	value = base64url(nonce | Unix time | mark | HMAC-SHA-256(key, domain | nonce | time | mark | account))
//	mark = HMAC-SHA-256(key, domain | hash of the password)
//
// It is immutable.
type devices struct{ key []byte }

func newDevices(key []byte) devices {
	if len(key) == 0 {
		key = random(sha256.Size)
	}
	return devices{key: key}
}

// issue returns a value for a browser from which the account has signed in with the
// password of this hash.
func (d devices) issue(account, passwordHash string, now time.Time) string {
	head := binary.BigEndian.AppendUint64(random(deviceNonce), uint64(now.Unix()))
	head = append(head, d.mark(passwordHash)...)
	return base64.RawURLEncoding.EncodeToString(d.sign(head, account))
}

// mark stands for a password's hash and says nothing of it.
func (d devices) mark(passwordHash string) []byte {
	mac := hmac.New(sha256.New, d.key)
	mac.Write([]byte("warder/device-password/v1\x00"))
	mac.Write([]byte(passwordHash))
	return mac.Sum(nil)
}

// sign appends the sum to what it is of.
func (d devices) sign(head []byte, account string) []byte {
	mac := hmac.New(sha256.New, d.key)
	mac.Write([]byte("warder/device/v2\x00"))
	mac.Write(head)
	mac.Write([]byte(account))
	return mac.Sum(head)
}

// device is what a value says that is one of ours.
type device struct {
	id   string
	mark []byte
}

// read returns the device, if value was issued for the account and is not too old;
// nil otherwise. Whether it is known is for current to say.
func (d devices) read(value, account string, now time.Time) *device {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(value)
	const times, head = deviceNonce + 8, deviceNonce + 8 + sha256.Size
	if err != nil || len(raw) != head+sha256.Size {
		return nil
	}
	if !hmac.Equal(d.sign(raw[:head:head], account), raw) {
		return nil
	}
	issued := time.Unix(int64(binary.BigEndian.Uint64(raw[deviceNonce:])), 0)
	if age := now.Sub(issued); age < -time.Minute || age >= deviceLife {
		return nil
	}
	return &device{id: string(raw[:deviceNonce]), mark: raw[times:head]}
}

// current reports whether the password is still the one that was given. Of an
// account without one no device is known.
func (d devices) current(found *device, passwordHash string) bool {
	return passwordHash != "" && hmac.Equal(found.mark, d.mark(passwordHash))
}

type deviceKey struct{}

// withDevice keeps the cookie of a device, which nobody has checked yet.
func withDevice(ctx context.Context, value string) context.Context {
	return context.WithValue(ctx, deviceKey{}, value)
}

func deviceOf(ctx context.Context) string {
	value, _ := ctx.Value(deviceKey{}).(string)
	return value
}
