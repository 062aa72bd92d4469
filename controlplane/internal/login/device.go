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
// device are counted apart, so that strangers cannot lock its owner out.
//
//	value = base64url(nonce | Unix time | HMAC-SHA-256(key, domain | nonce | time | account))
//
// It is immutable.
type devices struct{ key []byte }

func newDevices(key []byte) devices {
	if len(key) == 0 {
		key = random(sha256.Size)
	}
	return devices{key: key}
}

// issue returns a value for a browser from which the account has signed in.
func (d devices) issue(account string, now time.Time) string {
	head := binary.BigEndian.AppendUint64(random(deviceNonce), uint64(now.Unix()))
	return base64.RawURLEncoding.EncodeToString(d.sign(head, account))
}

// sign appends the sum to what it is of.
func (d devices) sign(head []byte, account string) []byte {
	mac := hmac.New(sha256.New, d.key)
	mac.Write([]byte("warder/device/v1\x00"))
	mac.Write(head)
	mac.Write([]byte(account))
	return mac.Sum(head)
}

// known returns what names the device, if value was issued for the account and is
// not too old; empty otherwise.
func (d devices) known(value, account string, now time.Time) string {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(value)
	const head = deviceNonce + 8
	if err != nil || len(raw) != head+sha256.Size {
		return ""
	}
	if !hmac.Equal(d.sign(raw[:head:head], account), raw) {
		return ""
	}
	issued := time.Unix(int64(binary.BigEndian.Uint64(raw[deviceNonce:])), 0)
	if age := now.Sub(issued); age < -time.Minute || age >= deviceLife {
		return ""
	}
	return string(raw[:deviceNonce])
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
