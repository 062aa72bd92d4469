// Package issuer finds the keys of an issuer of tokens, before anybody relies on
// it.
//
//	issuer's URL ─▶ metadata (RFC 8414, then OpenID Connect Discovery) ─▶ jwks_uri ─▶ keys
//
// Everything is fetched through the guard of package egress, without redirects,
// within bounds of size and time. The metadata must name the issuer exactly as it
// was given (RFC 8414 section 3.3), or a stranger's would do (security.md T-18,
// T-19). No error shows anything that was fetched.
package issuer

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/warder-gateway/warder/internal/egress"
	"github.com/warder-gateway/warder/internal/fault"
)

const (
	maxDocument = 256 << 10 // bytes
	patience    = 10 * time.Second
)

// Source says where an issuer is.
type Source struct {
	// URL is the issuer's, exactly as its tokens name it.
	URL string
	// JWKSURL is where its keys are; empty: found by its metadata.
	JWKSURL string
	Private bool
	// CACertificates is PEM; empty: the authorities of the system.
	CACertificates string
}

// Check refuses a source that cannot be right, without asking the network. The
// error is fault.Invalid.
func (s *Source) Check() error {
	if err := egress.Check("the issuer's URL", s.URL, s.Private); err != nil {
		return err
	}
	if strings.Contains(s.URL, "?") {
		return fault.New(fault.Invalid, "the issuer's URL must not have a query (?)")
	}
	if s.JWKSURL != "" {
		if err := egress.Check("the URL of the issuer's keys", s.JWKSURL, s.Private); err != nil {
			return err
		}
	}
	_, err := egress.ParseAuthorities(s.CACertificates, time.Now())
	return err
}

// Find returns where the issuer's keys are, after it has fetched them once and
// found one that fits an algorithm. The error is safe to show: fault.Invalid where
// the settings must be wrong, fault.Unavailable where the issuer does not answer.
func Find(ctx context.Context, s Source, algorithms []string) (jwksURL string, err error) {
	if err := s.Check(); err != nil {
		return "", err
	}
	authorities, err := egress.ParseAuthorities(s.CACertificates, time.Now())
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	f := newFetcher(s.Private, authorities)
	defer f.transport.CloseIdleConnections()
	if jwksURL = s.JWKSURL; jwksURL == "" {
		if jwksURL, err = f.discover(ctx, s); err != nil {
			return "", err
		}
	}
	return jwksURL, f.keys(ctx, jwksURL, algorithms)
}

type fetcher struct {
	client    *http.Client
	transport *http.Transport
}

func newFetcher(private bool, authorities *x509.CertPool) *fetcher {
	client, transport := egress.NewClient(private, authorities)
	return &fetcher{client, transport}
}

// errStatus says that there is something, but not what was asked for.
var errStatus = errors.New("the answer is not 200 OK")

// get reads one JSON document.
func (f *fetcher) get(ctx context.Context, url string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Accept", "application/json")
	response, err := f.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errStatus
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxDocument+1))
	switch {
	case err != nil:
		return err
	case len(body) > maxDocument:
		return errors.New("the document is too large")
	}
	return json.Unmarshal(body, into)
}

// document is what metadata says that matters here.
type document struct {
	Issuer  string `json:"issuer"`
	JWKSURI string `json:"jwks_uri"`
}

// discover asks the issuer's metadata for the URL of its keys.
func (f *fetcher) discover(ctx context.Context, s Source) (string, error) {
	var last error
	for _, place := range metadataURLs(s.URL) {
		var found document
		if last = f.get(ctx, place, &found); last != nil {
			if egress.Prohibited(last) {
				return "", egress.NeedsPrivate("the issuer", last)
			}
			continue
		}
		switch {
		case found.Issuer != s.URL:
			return "", fault.New(fault.Invalid, "the metadata there is another issuer's; give the URL exactly as the issuer writes it in its tokens, with or without a slash at its end")
		case found.JWKSURI == "":
			return "", fault.New(fault.Invalid, "the issuer's metadata does not say where its keys are; give --jwks-url")
		}
		return found.JWKSURI, egress.Check("the URL of the keys in the issuer's metadata", found.JWKSURI, s.Private)
	}
	if errors.Is(last, errStatus) {
		return "", fault.New(fault.Invalid, "the issuer has no metadata (RFC 8414 or OpenID Connect Discovery) at this URL; is it the issuer's, as its tokens name it? If it has none, give --jwks-url")
	}
	return "", unreachable("the issuer's metadata", last)
}

func unreachable(what string, cause error) error {
	var syntax *json.SemanticError
	switch {
	case errors.As(cause, &syntax):
		return fault.Wrap(fault.Invalid, what+" cannot be read", cause)
	case errors.Is(cause, context.DeadlineExceeded):
		return fault.Wrap(fault.Unavailable, what+" did not come in time", cause)
	}
	var unknown x509.UnknownAuthorityError
	if errors.As(cause, &unknown) {
		return fault.Wrap(fault.Invalid, what+" cannot be fetched: its certificate is signed by an authority that is not trusted; give --ca-file", cause)
	}
	return fault.Wrap(fault.Unavailable, what+" cannot be fetched; is the URL right, and the issuer reachable from the control plane?", cause)
}

// metadataURLs are the places of metadata, in the order of mcp.md 3: RFC 8414 has
// the path of the issuer last, OpenID Connect Discovery first.
func metadataURLs(issuer string) []string {
	u, err := url.Parse(issuer)
	if err != nil {
		return nil
	}
	origin, path := u.Scheme+"://"+u.Host, strings.TrimSuffix(u.EscapedPath(), "/")
	places := []string{
		origin + "/.well-known/oauth-authorization-server" + path,
		origin + path + "/.well-known/openid-configuration",
		origin + "/.well-known/openid-configuration" + path,
	}
	return slices.Compact(places)
}

// key is what a JWK says that matters here.
type key struct {
	Type  string `json:"kty"`
	Curve string `json:"crv"`
	Use   string `json:"use"`
	Alg   string `json:"alg"`
}

// keys fetches the JWKS and looks for a key that fits an algorithm.
func (f *fetcher) keys(ctx context.Context, place string, algorithms []string) error {
	var set struct {
		Keys []key `json:"keys"`
	}
	err := f.get(ctx, place, &set)
	switch {
	case egress.Prohibited(err):
		return egress.NeedsPrivate("the address of the issuer's keys", err)
	case errors.Is(err, errStatus):
		return fault.New(fault.Invalid, "there are no keys at the URL of the issuer's keys: the answer is not 200 OK")
	case err != nil:
		return unreachable("the JWKS of the issuer", err)
	case len(set.Keys) == 0:
		return fault.New(fault.Invalid, "the document at the URL of the issuer's keys is no JWKS, or has no keys")
	}
	for _, k := range set.Keys {
		if slices.ContainsFunc(algorithms, k.fits) {
			return nil
		}
	}
	return fault.Newf(fault.Invalid, "the issuer has no key for %s; give the algorithms that it signs with (--algorithm)", strings.Join(algorithms, " or "))
}

// kinds is what the key of an algorithm is.
var kinds = map[string]key{
	"RS256": {Type: "RSA"}, "RS384": {Type: "RSA"}, "RS512": {Type: "RSA"},
	"PS256": {Type: "RSA"}, "PS384": {Type: "RSA"}, "PS512": {Type: "RSA"},
	"ES256": {Type: "EC", Curve: "P-256"}, "ES384": {Type: "EC", Curve: "P-384"}, "ES512": {Type: "EC", Curve: "P-521"},
	"EdDSA": {Type: "OKP", Curve: "Ed25519"},
}

// Algorithms returns the algorithms that tokens may be signed with, in order.
func Algorithms() []string {
	return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
}

// fits reports whether the key can verify what an algorithm signed.
func (k key) fits(algorithm string) bool {
	kind, known := kinds[algorithm]
	return known && k.Type == kind.Type && (kind.Curve == "" || k.Curve == kind.Curve) &&
		(k.Use == "" || k.Use == "sig") && (k.Alg == "" || k.Alg == algorithm)
}
