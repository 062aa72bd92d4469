package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"
)

// algorithm is one that tokens may be signed with, and what its keys are. None of
// them works with a secret: who can verify must not be able to sign.
type algorithm struct {
	name jwa.SignatureAlgorithm
	fits func(public any) bool
}

var algorithms = map[string]algorithm{
	"RS256": {jwa.RS256, isRSA}, "RS384": {jwa.RS384, isRSA}, "RS512": {jwa.RS512, isRSA},
	"PS256": {jwa.PS256, isRSA}, "PS384": {jwa.PS384, isRSA}, "PS512": {jwa.PS512, isRSA},
	"ES256": {jwa.ES256, onCurve(elliptic.P256())},
	"ES384": {jwa.ES384, onCurve(elliptic.P384())},
	"ES512": {jwa.ES512, onCurve(elliptic.P521())},
	"EdDSA": {jwa.EdDSA, func(public any) bool { _, ok := public.(ed25519.PublicKey); return ok }},
}

// Sizes of RSA keys that are used, in bits: smaller ones can be broken, and larger
// ones make each signature cost more than it is worth.
const (
	minRSA = 2048
	maxRSA = 8192
)

func isRSA(public any) bool {
	key, ok := public.(*rsa.PublicKey)
	return ok && key.N.BitLen() >= minRSA && key.N.BitLen() <= maxRSA
}

func onCurve(curve elliptic.Curve) func(any) bool {
	return func(public any) bool {
		key, ok := public.(*ecdsa.PublicKey)
		return ok && key.Curve == curve
	}
}

// key is a public key of an issuer.
type key struct {
	id        string // kid; may be empty
	algorithm string // alg; empty: it says none
	print     string // thumbprint (RFC 7638) with the algorithm
	public    any
}

// fits reports whether the key is for an algorithm: it is of its kind, and says no
// other.
func (k *key) fits(a algorithm) bool {
	return (k.algorithm == "" || k.algorithm == a.name.String()) && a.fits(k.public)
}

// keySet is what a JWKS held. It is immutable.
type keySet struct {
	keys   []*key
	prints map[string]bool
}

// maxKeys bounds the keys of an issuer.
const maxKeys = 128

// parseKeys reads a JWKS. Keys of other kinds and for other uses are left out, as
// RFC 7517 section 5 has it; a set that has no key left is an error.
func parseKeys(raw []byte) (*keySet, error) {
	var document struct {
		Keys []jsontext.Value `json:"keys"`
	}
	if err := json.Unmarshal(raw, &document); err != nil {
		return nil, errors.New("the answer is not a JWKS")
	}
	if len(document.Keys) > maxKeys {
		return nil, fmt.Errorf("the JWKS has more than %d keys", maxKeys)
	}
	set := &keySet{prints: make(map[string]bool)}
	for _, raw := range document.Keys {
		if k := parseKey(raw); k != nil {
			set.keys, set.prints[k.print] = append(set.keys, k), true
		}
	}
	if len(set.keys) == 0 {
		return nil, errors.New("the JWKS has no key that can verify a token")
	}
	return set, nil
}

// parseKey returns a key that can verify signatures, else nil.
func parseKey(raw []byte) *key {
	parsed, err := jwk.ParseKey(raw)
	if err != nil || parsed.KeyUsage() != "" && parsed.KeyUsage() != "sig" || !verifies(parsed) {
		return nil
	}
	parsed, err = parsed.PublicKey()
	if err != nil || parsed.KeyType() == jwa.OctetSeq {
		return nil
	}
	k := &key{id: parsed.KeyID(), algorithm: parsed.Algorithm().String()}
	if parsed.Raw(&k.public) != nil || !usable(k) {
		return nil
	}
	print, err := parsed.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil
	}
	k.print = k.algorithm + " " + string(print)
	return k
}

func verifies(parsed jwk.Key) bool {
	operations := parsed.KeyOps()
	for _, operation := range operations {
		if operation == jwk.KeyOpVerify {
			return true
		}
	}
	return len(operations) == 0
}

// usable reports whether any algorithm can do something with the key.
func usable(k *key) bool {
	if public, ok := k.public.(*ecdsa.PublicKey); ok {
		if _, err := public.ECDH(); err != nil { // not a point of its curve
			return false
		}
	}
	for _, a := range algorithms {
		if k.fits(a) {
			return true
		}
	}
	return false
}

// maxTries bounds the signatures that are checked for one token: a JWKS may have
// keys with the same kid, or without.
const maxTries = 4

// find returns the keys that a token may be signed with: those with its kid, or,
// if it names none, all. More than maxTries are none: which one is meant could
// only be found by trying.
func (s *keySet) find(h header, a algorithm) (found []*key) {
	for _, k := range s.keys {
		if (h.kid == "" || k.id == h.kid) && k.fits(a) {
			found = append(found, k)
		}
	}
	if len(found) > maxTries {
		return nil
	}
	return found
}

// signer returns which of the keys signed, or nil.
func (c *compact) signer(keys []*key, a algorithm) *key {
	verifier, err := jws.NewVerifier(a.name)
	if err != nil {
		return nil
	}
	for _, k := range keys {
		if verifier.Verify([]byte(c.signed), c.signature, k.public) == nil {
			return k
		}
	}
	return nil
}
