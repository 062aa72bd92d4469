package identity

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"time"
)

const (
	// Life is how long a certificate is good for after it was issued (security.md
	// P-10).
	Life = time.Hour
	// Backdate is how long before it was issued a certificate begins to be good, for
	// clocks that are behind.
	Backdate = 2 * time.Minute
	// MaxSkew is how far a clock may be off from the control plane's.
	MaxSkew = Backdate
)

// IssuedAt returns when the certificate of a peer was issued, to the second.
func IssuedAt(c *x509.Certificate) time.Time { return c.NotBefore.Add(Backdate) }

// RenewAt returns when to renew a certificate: at half of its life.
func RenewAt(c *x509.Certificate) time.Time {
	issued := IssuedAt(c)
	return issued.Add(c.NotAfter.Sub(issued) / 2)
}

// Fingerprint returns the SHA-256 of the public key of a certificate, in hex. Authorities
// are known by it, and the certificates of a peer told apart.
func Fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}
