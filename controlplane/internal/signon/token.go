package signon

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/oauth2"

	"github.com/warder-gateway/warder/internal/fault"
)

// maxToken bounds an id token, in bytes.
const maxToken = 64 << 10

// claims are members of an id token, or of an answer about a user, by name.
type claims map[string]jsontext.Value

// text returns a claim that is a string; empty if it is not there or is none.
func (c claims) text(name string) string {
	var s string
	if value, found := c[name]; !found || json.Unmarshal(value, &s) != nil {
		return ""
	}
	return s
}

// list returns a claim that is an array of strings, or one string alone; nil if it
// is not there or is neither.
func (c claims) list(name string) (all []string) {
	if one := c.text(name); one != "" {
		return []string{one}
	}
	if value, found := c[name]; !found || json.Unmarshal(value, &all) != nil {
		return nil
	}
	return all
}

// errToken refuses a token. Why is for the log.
func errToken(cause error) error {
	return fault.Wrap(fault.Denied, "what the provider said of you cannot be trusted: its token is not valid here; the log of the control plane has the cause", cause)
}

// redeem trades a code for what the provider says of whoever came back with it.
func (p *peer) redeem(ctx context.Context, redirect, code string, w *way) (claims, error) {
	ctx = context.WithValue(ctx, oauth2.HTTPClient, p.client)
	token, err := p.oauth(redirect).Exchange(ctx, code, oauth2.VerifierOption(w.Verifier))
	refusal, refused := errors.AsType[*oauth2.RetrieveError](err)
	if refused && refusal.Response.StatusCode < http.StatusInternalServerError {
		// Its text holds the provider's whole answer, so it goes no further.
		return nil, fault.Wrap(fault.Denied, "the provider did not accept the way back; begin again, and if it goes on, check client id and client secret",
			fmt.Errorf("token endpoint answered with HTTP status %d and error %.64q", refusal.Response.StatusCode, refusal.ErrorCode))
	}
	if refused {
		return nil, p.unreachable(fmt.Errorf("token endpoint answered with HTTP status %d", refusal.Response.StatusCode))
	}
	if err != nil {
		return nil, p.unreachable(err)
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok || raw == "" || len(raw) > maxToken {
		return nil, errToken(errors.New("no id token came, or one that is too long"))
	}
	said, err := p.verify(ctx, raw, token.AccessToken, w.Nonce)
	if err != nil {
		return nil, err
	}
	return p.complete(ctx, said, token.AccessToken)
}

// verify holds an id token to OpenID Connect Core 1.0, section 3.1.3.7: signature,
// algorithm, iss, aud, azp, exp, nonce, and at_hash if there is one.
func (p *peer) verify(ctx context.Context, raw, access, nonce string) (claims, error) {
	keys := &watched{keys: p.keys}
	token, err := oidc.NewVerifier(p.URL, keys, p.rules).Verify(ctx, raw)
	if _, unfetched := errors.AsType[*url.Error](keys.err); unfetched {
		return nil, fault.Wrap(fault.Unavailable, "the keys of the provider cannot be fetched now; try again in a minute", keys.err)
	}
	if err != nil {
		return nil, errToken(err)
	}
	if token.AccessTokenHash != "" {
		if err := token.VerifyAccessToken(access); err != nil {
			return nil, errToken(err)
		}
	}
	var payload jsontext.Value
	if err := token.Claims(&payload); err != nil {
		return nil, errToken(err)
	}
	// The library reads members whatever their case and takes the last of two; this
	// one is exact, and what both read must be the same.
	var said claims
	if err := json.Unmarshal(payload, &said); err != nil {
		return nil, errToken(err)
	}
	switch azp := said.text("azp"); {
	case said.text("iss") != p.URL:
		return nil, errToken(errors.New("iss is another one"))
	case said.text("sub") != token.Subject || token.Subject == "" || len(token.Subject) > 255:
		return nil, errToken(errors.New("sub is missing or longer than 255 characters"))
	case nonce == "" || said.text("nonce") != nonce || token.Nonce != nonce:
		return nil, errToken(errors.New("nonce is another one"))
	case said["azp"] != nil && azp != p.ClientID, azp == "" && len(said.list("aud")) > 1:
		return nil, errToken(fmt.Errorf("azp is %.64q with %d audiences", azp, len(said.list("aud"))))
	case !slices.Contains(said.list("aud"), p.ClientID):
		return nil, errToken(errors.New("aud is another one"))
	}
	return said, nil
}

// complete adds what the id token leaves to the provider's endpoint for user
// information: many put there what scopes ask for (OpenID Connect Core 1.0,
// section 5.4). What the token says itself stands.
func (p *peer) complete(ctx context.Context, said claims, access string) (claims, error) {
	if p.UserInfoURL == "" || said[p.groupsClaim()] != nil && p.nameIn(said) {
		return said, nil
	}
	var more claims
	if err := p.get(ctx, p.UserInfoURL, access, &more); err != nil {
		return nil, err
	}
	if more.text("sub") != said.text("sub") {
		return nil, errToken(errors.New("user information is about another sub"))
	}
	for name, value := range more {
		if _, found := said[name]; !found {
			said[name] = value
		}
	}
	return said, nil
}

// nameIn reports whether the claims hold what a name is made of.
func (p *peer) nameIn(said claims) bool {
	if p.UserClaim != "" {
		return said[p.UserClaim] != nil
	}
	return said[usernameClaim] != nil || said[emailClaim] != nil
}

// watched remembers why a signature could not be checked: the library's error has
// no more than the text of it.
type watched struct {
	keys oidc.KeySet
	err  error
}

// VerifySignature is oidc.KeySet's.
func (w *watched) VerifySignature(ctx context.Context, jwt string) ([]byte, error) {
	payload, err := w.keys.VerifySignature(ctx, jwt)
	w.err = err
	return payload, err
}
