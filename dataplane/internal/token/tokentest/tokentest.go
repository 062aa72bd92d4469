// Package tokentest is an issuer of tokens for tests: its keys, its JWKS on
// loopback, and tokens of any shape, well formed or not.
package tokentest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"math/big"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// Member is what a header or a payload is made of.
type Member = map[string]any

// Issuer signs tokens, and publishes its keys. It is safe for concurrent use.
type Issuer struct {
	*httptest.Server
	// Fetched counts the fetches of its JWKS.
	Fetched atomic.Int64
	// Down makes it answer with an error.
	Down atomic.Bool

	t    testing.TB
	mu   sync.Mutex
	keys []Key
}

// Key is a key of an issuer.
type Key struct {
	ID, Algorithm string // of the JWK; both may be empty
	Private       crypto.Signer
}

// New returns an issuer with an ES256 key "ec", an RS256 key "rsa" and an Ed25519
// key "ed", which ends with the test.
func New(t testing.TB) *Issuer {
	i := &Issuer{t: t}
	i.Server = httptest.NewServer(http.HandlerFunc(i.serve))
	t.Cleanup(i.Close)
	i.Publish(Key{"ec", "", EC(t)}, Key{"rsa", "RS256", RSA(t, 2048)}, Key{"ed", "EdDSA", Ed(t)})
	return i
}

// EC returns a new key on P-256.
func EC(t testing.TB) crypto.Signer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	return must(t, key, err)
}

// RSA returns a new RSA key.
func RSA(t testing.TB, bits int) crypto.Signer {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	return must(t, key, err)
}

// Ed returns a new Ed25519 key.
func Ed(t testing.TB) crypto.Signer {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return must(t, key, err)
}

func must[T any](t testing.TB, value T, err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// Publish replaces the keys.
func (i *Issuer) Publish(keys ...Key) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = keys
}

// Key returns a key that is published.
func (i *Issuer) Key(id string) Key {
	i.t.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, k := range i.keys {
		if k.ID == id {
			return k
		}
	}
	i.t.Fatalf("the issuer has no key %q", id)
	return Key{}
}

// Item returns the issuer as a snapshot has it: any of ES256, RS256 and EdDSA, for
// the endpoints themselves.
func (i *Issuer) Item(name string) *snapshotv1.Issuer {
	return &snapshotv1.Issuer{
		Name: name, Url: i.URL, JwksUrl: i.URL + "/jwks", Algorithms: []string{"ES256", "RS256", "EdDSA"},
		UserClaim: "sub", GroupsClaim: "groups", Private: true,
	}
}

// Claims returns the claims of a good token for a resource.
func (i *Issuer) Claims(resource string) Member {
	now := time.Now()
	return Member{
		"iss": i.URL, "aud": resource, "sub": "ana", "client_id": "ide", "jti": "token-1",
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
}

// Token returns a good token: claims signed with a key of the issuer.
func (i *Issuer) Token(kid string, claims Member) string {
	i.t.Helper()
	return i.Sign(i.Key(kid), Member{"typ": "at+jwt", "alg": map[string]string{"ec": "ES256", "rsa": "RS256", "ed": "EdDSA"}[kid], "kid": kid}, claims)
}

// Sign returns a compact JWS of this header and payload, signed as the header's alg
// says.
func (i *Issuer) Sign(key Key, header, claims Member) string {
	i.t.Helper()
	signed := Encode(i.t, header) + "." + Encode(i.t, claims)
	algorithm, _ := header["alg"].(string)
	return signed + "." + base64.RawURLEncoding.EncodeToString(Signature(i.t, key.Private, algorithm, signed))
}

// Encode returns a value as a part of a JWS.
func Encode(t testing.TB, value any) string {
	t.Helper()
	raw, err := json.Marshal(value)
	return base64.RawURLEncoding.EncodeToString(must(t, raw, err))
}

// Signature signs as an algorithm says; one that is not known gets a SHA-256 of the
// text, so that it looks like a signature.
func Signature(t testing.TB, key crypto.Signer, algorithm, signed string) []byte {
	t.Helper()
	sum := sha256.Sum256([]byte(signed))
	switch key := key.(type) {
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
		_ = must(t, r, err)
		return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	case *rsa.PrivateKey:
		if algorithm == "PS256" {
			signature, err := rsa.SignPSS(rand.Reader, key, crypto.SHA256, sum[:], nil)
			return must(t, signature, err)
		}
		signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
		return must(t, signature, err)
	case ed25519.PrivateKey:
		return ed25519.Sign(key, []byte(signed))
	}
	return sum[:]
}

// HMAC returns the HS256 signature of a text.
func HMAC(secret []byte, signed string) []byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(signed))
	return mac.Sum(nil)
}

// JWK returns a key as it is published.
func (k Key) JWK(t testing.TB) Member {
	t.Helper()
	m := Member{"use": "sig"}
	if k.ID != "" {
		m["kid"] = k.ID
	}
	if k.Algorithm != "" {
		m["alg"] = k.Algorithm
	}
	text := base64.RawURLEncoding.EncodeToString
	switch public := k.Private.Public().(type) {
	case *ecdsa.PublicKey:
		raw, err := public.Bytes()
		size := (len(must(t, raw, err)) - 1) / 2
		m["kty"], m["crv"], m["x"], m["y"] = "EC", public.Params().Name, text(raw[1:1+size]), text(raw[1+size:])
	case *rsa.PublicKey:
		m["kty"], m["n"], m["e"] = "RSA", text(public.N.Bytes()), text(big.NewInt(int64(public.E)).Bytes())
	case ed25519.PublicKey:
		m["kty"], m["crv"], m["x"] = "OKP", "Ed25519", text(public)
	}
	return m
}

func (i *Issuer) serve(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/jwks" {
		http.NotFound(w, r)
		return
	}
	i.Fetched.Add(1)
	if i.Down.Load() {
		http.Error(w, "down", http.StatusBadGateway)
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	var published []Member
	for _, k := range i.keys {
		published = append(published, k.JWK(i.t))
	}
	raw, err := json.Marshal(Member{"keys": published})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(raw)
}
