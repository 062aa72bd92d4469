package e2e_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/modelcontextprotocol/go-sdk/oauthex"
)

// authorizationServer is a small OAuth authorization server: metadata, authorization
// code with PKCE and resource, JWT access tokens, and its keys.
type authorizationServer struct {
	*httptest.Server
	t   *testing.T
	key *ecdsa.PrivateKey

	mu     sync.Mutex
	codes  map[string]url.Values // what was asked for, by code
	issued []string              // tokens
}

func startAuthorizationServer(t *testing.T) *authorizationServer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := &authorizationServer{t: t, key: key, codes: make(map[string]url.Values)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/oauth-authorization-server", s.metadata)
	mux.HandleFunc("GET /jwks", s.jwks)
	mux.HandleFunc("GET /authorize", s.authorize)
	mux.HandleFunc("POST /token", s.token)
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func (s *authorizationServer) answer(w http.ResponseWriter, document any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(document)
}

func (s *authorizationServer) metadata(w http.ResponseWriter, _ *http.Request) {
	s.answer(w, object{
		"issuer": s.URL, "authorization_endpoint": s.URL + "/authorize", "token_endpoint": s.URL + "/token", "jwks_uri": s.URL + "/jwks",
		"response_types_supported": []string{"code"}, "code_challenge_methods_supported": []string{"S256"},
		"token_endpoint_auth_methods_supported": []string{"client_secret_post"}, "scopes_supported": []string{"mcp:use"},
	})
}

func (s *authorizationServer) jwks(w http.ResponseWriter, _ *http.Request) {
	point, err := s.key.PublicKey.Bytes()
	if err != nil {
		s.t.Error(err)
		return
	}
	s.answer(w, object{"keys": []object{{"kty": "EC", "crv": "P-256", "kid": "k1", "use": "sig",
		"x": base64.RawURLEncoding.EncodeToString(point[1:33]), "y": base64.RawURLEncoding.EncodeToString(point[33:])}}})
}

// authorize lets everybody in as ana.
func (s *authorizationServer) authorize(w http.ResponseWriter, r *http.Request) {
	code := rand.Text()
	s.mu.Lock()
	s.codes[code] = r.URL.Query()
	s.mu.Unlock()
	s.answer(w, object{"code": code, "state": r.URL.Query().Get("state")})
}

func (s *authorizationServer) token(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	s.mu.Lock()
	asked := s.codes[r.Form.Get("code")]
	delete(s.codes, r.Form.Get("code"))
	s.mu.Unlock()
	proof := sha256.Sum256([]byte(r.Form.Get("code_verifier")))
	if asked == nil || asked.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(proof[:]) ||
		r.Form.Get("resource") == "" || r.Form.Get("resource") != asked.Get("resource") {
		http.Error(w, `{"error":"invalid_grant"}`, http.StatusBadRequest)
		return
	}
	token := s.sign(object{
		"iss": s.URL, "aud": asked.Get("resource"), "sub": "ana", "client_id": asked.Get("client_id"), "jti": rand.Text(),
		"groups": []string{"staff"}, "scope": asked.Get("scope"), "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
	})
	s.mu.Lock()
	s.issued = append(s.issued, token)
	s.mu.Unlock()
	s.answer(w, object{"access_token": token, "token_type": "Bearer", "expires_in": 3600, "scope": asked.Get("scope")})
}

func (s *authorizationServer) sign(claims object) string {
	part := func(o object) string {
		raw, err := json.Marshal(o)
		if err != nil {
			s.t.Error(err)
		}
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	signed := part(object{"alg": "ES256", "kid": "k1", "typ": "at+jwt"}) + "." + part(claims)
	sum := sha256.Sum256([]byte(signed))
	a, b, err := ecdsa.Sign(rand.Reader, s.key, sum[:])
	if err != nil {
		s.t.Error(err)
	}
	signature := append(a.FillBytes(make([]byte, 32)), b.FillBytes(make([]byte, 32))...)
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// witness stands in front of a server and keeps all that it is sent.
type witness struct {
	*httptest.Server
	mu   sync.Mutex
	seen bytes.Buffer
}

func startWitness(t *testing.T, server string) *witness {
	t.Helper()
	target, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	w := &witness{}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: target.Scheme, Host: target.Host})
	w.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		dump, err := httputil.DumpRequest(r, true)
		if err != nil {
			t.Error(err)
		}
		w.mu.Lock()
		w.seen.Write(dump)
		w.mu.Unlock()
		proxy.ServeHTTP(rw, r)
	}))
	t.Cleanup(w.Close)
	return w
}

// signedIn connects the official Go client, which knows nothing but the endpoint
// and its own client id.
func (s *authorizationServer) signedIn(ctx context.Context, endpoint string) (*mcp.ClientSession, error) {
	client := &http.Client{Transport: &http.Transport{}} // Its own default dials no loopback.
	handler, err := auth.NewAuthorizationCodeHandler(&auth.AuthorizationCodeHandlerConfig{
		PreregisteredClient: &oauthex.ClientCredentials{ClientID: "editor"},
		RedirectURL:         "http://127.0.0.1:1/callback",
		Client:              client,
		AuthorizationCodeFetcher: func(ctx context.Context, args *auth.AuthorizationArgs) (*auth.AuthorizationResult, error) {
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, args.URL, nil)
			if err != nil {
				return nil, err
			}
			response, err := client.Do(request)
			if err != nil {
				return nil, err
			}
			defer response.Body.Close()
			var granted struct{ Code, State string }
			if err := json.NewDecoder(response.Body).Decode(&granted); err != nil {
				return nil, err
			}
			return &auth.AuthorizationResult{Code: granted.Code, State: granted.State}, nil
		},
	})
	if err != nil {
		return nil, err
	}
	c := mcp.NewClient(&mcp.Implementation{Name: "warder-e2e-oauth", Version: "1.0.0"}, nil)
	return c.Connect(ctx, &mcp.StreamableClientTransport{Endpoint: endpoint, HTTPClient: client, OAuthHandler: handler, MaxRetries: -1}, nil)
}

// TestAnOAuthClientFindsItsWay takes a client that knows only the URL of an endpoint
// from 401 through the metadata to a token of the configured issuer, and to a call.
func TestAnOAuthClientFindsItsWay(t *testing.T) {
	t.Parallel()
	g, _ := startUp(t)
	as, behind := startAuthorizationServer(t), startWitness(t, startSDK(t, true).url)
	admin(t, g.dataDir, "server", "add", "calc", "--url", behind.URL+"/mcp", "--private", "--approve")
	admin(t, g.dataDir, "issuer", "add", "corp", "--issuer", as.URL, "--private", "--user-prefix", "corp:",
		"--groups-claim", "groups", "--group-role", "staff=owner", "--scope", "mcp:use")

	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	for endpoint, tool := range map[string]string{g.mcp: "calc__add", g.mcp + "/calc": "add"} {
		cs, err := as.signedIn(ctx, endpoint)
		if err != nil {
			t.Fatalf("connect to %s: %v", endpoint, err)
		}
		t.Cleanup(func() { _ = cs.Close() })
		result, err := cs.CallTool(ctx, &mcp.CallToolParams{Name: tool, Arguments: object{"a": 40, "b": 2}})
		if err != nil || result.IsError {
			t.Fatalf("call at %s: %v %+v", endpoint, err, result)
		}
	}

	var calls []any
	eventually(t, "both calls are recorded", func() bool {
		calls, _ = admin(t, g.dataDir, "audit", "list", "--tool", "calc/add")["calls"].([]any)
		return len(calls) == 2
	})
	for _, recorded := range calls {
		c := recorded.(object)
		if c["user"] != "corp:ana" || c["application"] != "editor" || c["issuer"] != "corp" || c["tokenId"] == nil ||
			fmt.Sprint(c["roles"], c["groups"]) != "[owner] [staff]" {
			t.Errorf("recorded: %v", c)
		}
	}
	behind.mu.Lock()
	seen := behind.seen.String()
	behind.mu.Unlock()
	for _, token := range as.issued {
		if len(seen) == 0 || strings.Contains(seen, token) || strings.Contains(seen, token[strings.LastIndex(token, ".")+1:]) {
			t.Error("the server saw the client's token")
		}
	}
	refused := 0
	for _, token := range as.issued { // Each is for one endpoint; see RFC 8707.
		for _, endpoint := range []string{g.mcp, g.mcp + "/calc"} {
			if status, _ := knock(t, endpoint, token); status == http.StatusUnauthorized {
				refused++
			}
		}
	}
	if refused != len(as.issued) {
		t.Errorf("%d of %d tokens were refused at the other endpoint", refused, len(as.issued))
	}

	admin(t, g.dataDir, "issuer", "remove", "corp")
	for _, token := range as.issued {
		if status, _ := knock(t, g.mcp, token); status != http.StatusUnauthorized {
			t.Errorf("a token of an issuer that was removed: %d", status)
		}
	}
}

// knock lists tools with a bearer and returns status and challenge.
func knock(t *testing.T, endpoint, bearer string) (status int, challenge string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint, strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json, text/event-stream")
	if bearer != "" {
		request.Header.Set("Authorization", "Bearer "+bearer)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode, response.Header.Get("Www-Authenticate")
}

// turnedAway returns what the door tells who brings no credential.
func turnedAway(t *testing.T, endpoint string) string {
	t.Helper()
	response, err := http.Post(endpoint, "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// TestTheDoorTellsOAuthClientsWhereToGo holds the challenges and the metadata to RFC
// 9728, with issuers and without.
func TestTheDoorTellsOAuthClientsWhereToGo(t *testing.T) {
	t.Parallel()
	g, _ := startUp(t, "--public-url", "https://mcp.example.com")
	eventually(t, "the node has a snapshot", func() bool {
		status, _ := knock(t, g.mcp, "")
		return status != http.StatusServiceUnavailable
	})
	if status, challenge := knock(t, g.mcp, ""); status != http.StatusUnauthorized || challenge != `Bearer realm="warder"` {
		t.Errorf("without an issuer: %d %s", status, challenge)
	}
	origin := strings.TrimSuffix(g.mcp, "/mcp")
	metadata := func(path string) (int, object) {
		response, err := http.Get(origin + "/.well-known/oauth-protected-resource" + path)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		var document object
		_ = json.NewDecoder(response.Body).Decode(&document)
		if response.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Error("web pages cannot read the metadata")
		}
		return response.StatusCode, document
	}
	if text := turnedAway(t, g.mcp); strings.Contains(text, "token") {
		t.Errorf("without an issuer, who brings nothing is told %s", text)
	}
	if status, _ := metadata("/mcp"); status != http.StatusNotFound {
		t.Errorf("metadata without an issuer: %d", status)
	}
	as := startAuthorizationServer(t)
	admin(t, g.dataDir, "issuer", "add", "corp", "--issuer", as.URL, "--private", "--scope", "mcp:use")
	token := as.sign(object{"iss": as.URL, "aud": "https://mcp.example.com/mcp", "sub": "ana", "exp": time.Now().Add(time.Hour).Unix()})
	eventually(t, "the node has the issuer and its keys", func() bool {
		status, _ := knock(t, g.mcp, token)
		return status == http.StatusForbidden
	})
	for _, path := range []string{"/mcp", "/mcp/github"} {
		status, challenge := knock(t, origin+path, "")
		want := `Bearer resource_metadata="https://mcp.example.com/.well-known/oauth-protected-resource` + path + `", scope="mcp:use"`
		if status != http.StatusUnauthorized || challenge != want {
			t.Errorf("%s: %d %s", path, status, challenge)
		}
		status, document := metadata(path)
		if status != http.StatusOK || document["resource"] != "https://mcp.example.com"+path ||
			fmt.Sprint(document["authorization_servers"], document["scopes_supported"], document["bearer_methods_supported"]) != "["+as.URL+"] [mcp:use] [header]" {
			t.Errorf("%s: %d %v", path, status, document)
		}
	}
	if text := turnedAway(t, g.mcp); !strings.Contains(text, "a token of an issuer") {
		t.Errorf("who brings nothing is told %s", text)
	}
	for _, path := range []string{"", "/", "/mcp/", "/mcp/a/b", "/admin"} {
		if status, _ := metadata(path); status != http.StatusNotFound {
			t.Errorf("metadata of %q: %d", path, status)
		}
	}
	if status, challenge := knock(t, g.mcp, token); status != http.StatusForbidden || !strings.Contains(challenge, `error="insufficient_scope"`) || !strings.Contains(challenge, `scope="mcp:use"`) {
		t.Errorf("without the scope: %d %s", status, challenge)
	}
	if status, challenge := knock(t, g.mcp, token+"x"); status != http.StatusUnauthorized || !strings.Contains(challenge, `error="invalid_token"`) {
		t.Errorf("a spoilt token: %d %s", status, challenge)
	}
}
