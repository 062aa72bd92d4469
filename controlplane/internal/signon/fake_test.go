package signon_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

type object = map[string]any

// fake is a provider that says what a test wants it to say, lies included. Where a
// test changes nothing it is a good one.
type fake struct {
	url string
	key *ecdsa.PrivateKey
	kid string
	now func() time.Time

	mu       sync.Mutex
	down     bool
	metadata object                   // replaces members of the good document
	claims   object                   // of who signs in; nil values are left out
	header   object                   // replaces members of the token's header
	raw      func(good string) string // replaces the whole token
	userInfo object
	keySet   string // replaces the good one
	codes    map[string]url.Values
	hits     map[string]int
}

func newFake(t *testing.T) *fake {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{key: key, kid: "k1", claims: object{}, metadata: object{}, header: object{}, codes: make(map[string]url.Values), hits: make(map[string]int)}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	f.url = server.URL
	return f
}

// set changes what the provider says from now on.
func (f *fake) set(change func(*fake)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

// count returns how many requests came to a path.
func (f *fake) count(path string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hits[path]
}

// code is the provider's page: the person signed in, and gets a code for the
// request that the browser was sent with.
func (f *fake) code(request url.Values) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	code := rand.Text()
	f.codes[code] = request
	return code
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hits[r.URL.Path]++
	if f.down {
		http.Error(w, "CANARY-PROVIDER", http.StatusServiceUnavailable)
		return
	}
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		f.write(w, merged(object{
			"issuer": f.url, "authorization_endpoint": f.url + "/authorize", "token_endpoint": f.url + "/token", "jwks_uri": f.url + "/keys",
			"userinfo_endpoint": f.url + "/me", "id_token_signing_alg_values_supported": []string{"ES256", "HS256", "none"},
			"code_challenge_methods_supported": []string{"S256"},
		}, f.metadata))
	case "/keys":
		w.Header().Set("Content-Type", "application/json")
		if f.keySet != "" {
			_, _ = w.Write([]byte(f.keySet))
			return
		}
		f.write(w, object{"keys": []object{jwk(f.kid, f.key)}})
	case "/me":
		f.write(w, f.userInfo)
	case "/token":
		f.token(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (f *fake) write(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	body, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		panic(err)
	}
	_, _ = w.Write(body)
}

// token is the token endpoint. It holds the client to PKCE and to the redirect URL.
func (f *fake) token(w http.ResponseWriter, r *http.Request) {
	request, found := f.codes[r.PostFormValue("code")]
	delete(f.codes, r.PostFormValue("code"))
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	user, secret, _ := r.BasicAuth()
	if !found || b64(sum[:]) != request.Get("code_challenge") || request.Get("code_challenge_method") != "S256" ||
		r.PostFormValue("redirect_uri") != request.Get("redirect_uri") || user != "warder" || secret != "s3cret" {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"error":"invalid_grant","error_description":"CANARY-PROVIDER"}`))
		return
	}
	now := f.now()
	access := "access-" + rand.Text()
	half := sha256.Sum256([]byte(access))
	claims := merged(object{
		"iss": f.url, "aud": "warder", "sub": "s-1", "exp": now.Add(time.Minute).Unix(), "iat": now.Unix(), "nonce": request.Get("nonce"),
		"at_hash": b64(half[:16]), "preferred_username": "Ana", "groups": []string{"devs"},
	}, f.claims)
	token := sign(f.key, merged(object{"alg": "ES256", "kid": f.kid}, f.header), claims)
	if f.raw != nil {
		token = f.raw(token)
	}
	f.write(w, object{"access_token": access, "token_type": "Bearer", "id_token": token})
}

// merged returns good with members of change in their place; nil takes one away.
func merged(good, change object) object {
	for name, value := range change {
		if value == nil {
			delete(good, name)
			continue
		}
		good[name] = value
	}
	return good
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// jwk is the public half of a key.
func jwk(kid string, key *ecdsa.PrivateKey) object {
	point, err := key.PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	return object{"kty": "EC", "crv": "P-256", "kid": kid, "use": "sig", "alg": "ES256", "x": b64(point[1:33]), "y": b64(point[33:])}
}

// sign makes a JWT, signed by ES256 whatever its header says.
func sign(key *ecdsa.PrivateKey, header, claims object) string {
	h, err := json.Marshal(header, json.Deterministic(true))
	if err != nil {
		panic(err)
	}
	c, err := json.Marshal(claims, json.Deterministic(true))
	if err != nil {
		panic(err)
	}
	text := b64(h) + "." + b64(c)
	sum := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		panic(err)
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return fmt.Sprintf("%s.%s", text, b64(signature))
}
