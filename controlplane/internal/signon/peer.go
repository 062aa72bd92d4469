package signon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-json-experiment/json"
	"golang.org/x/oauth2"

	"github.com/warder-gateway/warder/internal/egress"
	"github.com/warder-gateway/warder/internal/fault"
)

const (
	// requestTimeout bounds one request to a provider, body and all.
	requestTimeout = 5 * time.Second
	// maxBody bounds what is read of one answer, in bytes.
	maxBody = 256 << 10
)

// accepted are the algorithms by which an id token may be signed: with a key of the
// provider alone. "none" and those with a shared secret are not among them.
var accepted = []string{
	oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.EdDSA,
}

// metadata is what is used of a provider's document (OpenID Connect Discovery 1.0,
// section 3; RFC 9207, section 3).
type metadata struct {
	Issuer           string   `json:"issuer"`
	AuthorizationURL string   `json:"authorization_endpoint"`
	TokenURL         string   `json:"token_endpoint"`
	UserInfoURL      string   `json:"userinfo_endpoint"`
	KeysURL          string   `json:"jwks_uri"`
	Algorithms       []string `json:"id_token_signing_alg_values_supported"`
	AuthMethods      []string `json:"token_endpoint_auth_methods_supported"`
	Challenges       []string `json:"code_challenge_methods_supported"`
	SendsIssuer      bool     `json:"authorization_response_iss_parameter_supported"`
}

// peer is a provider whose metadata was fetched. It is immutable but for the keys
// that it caches, and safe for concurrent use.
type peer struct {
	Provider
	metadata

	client    *http.Client
	transport *http.Transport
	keys      *oidc.RemoteKeySet
	rules     *oidc.Config
}

// discover fetches a provider's metadata once.
func discover(ctx context.Context, p Provider, now func() time.Time) (*peer, error) {
	if err := p.Validate(now()); err != nil {
		return nil, err
	}
	authorities, err := egress.ParseAuthorities(p.CACertificates, now())
	if err != nil {
		return nil, err
	}
	client, transport := egress.NewClient(p.Private, authorities)
	transport.IdleConnTimeout = time.Minute
	client.Timeout = requestTimeout
	client.Transport = capped{transport}
	peer := &peer{Provider: p, client: client, transport: transport}
	document := strings.TrimSuffix(p.URL, "/") + "/.well-known/openid-configuration"
	if err := peer.get(ctx, document, "", &peer.metadata); err != nil {
		transport.CloseIdleConnections()
		return nil, err
	}
	if err := peer.check(); err != nil {
		transport.CloseIdleConnections()
		return nil, err
	}
	keys := &http.Client{Timeout: client.Timeout, CheckRedirect: client.CheckRedirect, Transport: newPaced(client.Transport, now)}
	peer.keys = oidc.NewRemoteKeySet(oidc.ClientContext(context.WithoutCancel(ctx), keys), peer.KeysURL)
	peer.rules = &oidc.Config{ClientID: p.ClientID, SupportedSigningAlgs: peer.algorithms(), Now: now}
	return peer, nil
}

// check refuses metadata by which nobody could be let in safely.
func (p *peer) check() error {
	if p.Issuer != p.URL {
		return fault.New(fault.Precondition, "the provider's metadata names another issuer than its URL here; "+
			"write the issuer exactly as the provider's documentation has it, with or without a / at the end, and with your own tenant")
	}
	endpoints := map[string]string{
		"the provider's authorization_endpoint": p.AuthorizationURL, "the provider's token_endpoint": p.TokenURL, "the provider's jwks_uri": p.KeysURL,
	}
	if p.UserInfoURL != "" { // The one that a provider need not have.
		endpoints["the provider's userinfo_endpoint"] = p.UserInfoURL
	}
	for what, url := range endpoints {
		if err := egress.Check(what, url, p.Private); err != nil {
			return fault.Wrap(fault.Precondition, fault.Text(err), err)
		}
	}
	if len(p.algorithms()) == 0 {
		return fault.New(fault.Precondition, "the provider signs id tokens by no algorithm that is accepted here; accepted are "+strings.Join(accepted, ", "))
	}
	if len(p.Challenges) > 0 && !slices.Contains(p.Challenges, "S256") {
		return fault.New(fault.Precondition, "the provider does not support PKCE with S256, which is needed")
	}
	return nil
}

// algorithms returns those of the provider that are accepted here.
func (p *peer) algorithms() []string {
	if len(p.metadata.Algorithms) == 0 {
		return []string{oidc.RS256} // The one that every provider has.
	}
	return slices.DeleteFunc(slices.Clone(accepted), func(a string) bool { return !slices.Contains(p.metadata.Algorithms, a) })
}

// oauth returns the client as the provider knows it.
func (p *peer) oauth(redirect string) *oauth2.Config {
	style := oauth2.AuthStyleInHeader
	byHeader := len(p.AuthMethods) == 0 || slices.Contains(p.AuthMethods, "client_secret_basic")
	if p.ClientSecret == "" || !byHeader {
		style = oauth2.AuthStyleInParams
	}
	scopes := []string{oidc.ScopeOpenID}
	for _, scope := range p.Scopes {
		if !slices.Contains(scopes, scope) {
			scopes = append(scopes, scope)
		}
	}
	return &oauth2.Config{
		ClientID: p.ClientID, ClientSecret: p.ClientSecret, RedirectURL: redirect, Scopes: scopes,
		Endpoint: oauth2.Endpoint{AuthURL: p.AuthorizationURL, TokenURL: p.TokenURL, AuthStyle: style},
	}
}

// get reads a JSON object from the provider. An error is a fault that repeats
// nothing of what the provider sent.
func (p *peer) get(ctx context.Context, url, bearer string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fault.Wrap(fault.Invalid, "the provider's URL cannot be used", err)
	}
	request.Header.Set("Accept", "application/json")
	if bearer != "" {
		request.Header.Set("Authorization", "Bearer "+bearer)
	}
	response, err := p.client.Do(request)
	if err != nil {
		return p.unreachable(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fault.Newf(fault.Unavailable, "the provider answers with HTTP status %d where its metadata or user information should be; check its URL", response.StatusCode)
	}
	media, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if err != nil || media != "application/json" {
		return fault.Wrap(fault.Unavailable, "the provider answers with something that is not JSON; check its URL", err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return p.unreachable(err)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fault.Wrap(fault.Unavailable, "the provider answers with something that is not the JSON it should be; check its URL", err)
	}
	return nil
}

// unreachable explains a request that got no whole answer.
func (p *peer) unreachable(err error) error {
	switch {
	case egress.Prohibited(err):
		return egress.NeedsPrivate("the provider", err)
	case errors.Is(err, errTooLarge):
		return fault.Wrap(fault.Unavailable, fmt.Sprintf("the provider sends more than %d KiB in one answer, which is refused", maxBody>>10), err)
	}
	return fault.Wrap(fault.Unavailable, "the provider does not answer as it should; try again in a moment, and check its URL and certificate if it goes on", err)
}
