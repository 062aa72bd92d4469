package handle

import (
	"crypto/sha256"
	"encoding/base64"
)

// UpstreamID appends to dst the id, a JSON string token, under which a request of a legacy client goes to a server with
// sessions. It is an HMAC-SHA-256 of the client's own id (raw JSON), so that any node can cancel the request, keyed with
// the session's random id, which is secret and outlives every rotation of keys. No server learns the id of the session.
func UpstreamID(dst []byte, session [16]byte, clientID []byte) []byte {
	const domain = "warder/handle/upstream-id/v1"
	var room [512]byte
	message := append(pad(room[:0], session, 0x36), domain...)
	inner := sha256.Sum256(append(message, clientID...))
	sum := sha256.Sum256(append(pad(room[:0], session, 0x5c), inner[:]...))
	dst = append(dst, '"', 'w')
	dst = base64.RawURLEncoding.AppendEncode(dst, sum[:16])
	return append(dst, '"')
}

// pad appends HMAC's block: the key, filled with zeros, and each byte changed.
func pad(dst []byte, key [16]byte, with byte) []byte {
	var block [sha256.BlockSize]byte
	copy(block[:], key[:])
	for i := range block {
		block[i] ^= with
	}
	return append(dst, block[:]...)
}
