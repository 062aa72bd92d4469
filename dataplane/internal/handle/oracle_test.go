package handle_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
)

// wantUpstreamID is UpstreamID with the standard library's HMAC.
func wantUpstreamID(session [16]byte, id string) string {
	mac := hmac.New(sha256.New, session[:])
	mac.Write([]byte("warder/handle/upstream-id/v1" + id))
	return `"w` + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:16]) + `"`
}
