package signon

import (
	"slices"
	"strings"
	"time"

	"github.com/warder-gateway/warder/controlplane/internal/login"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/egress"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/seal"
)

// MaxProviders bounds how many providers there may be: the sign-in page shows a
// button for each.
const MaxProviders = 32

// Provider is what administrators said of one. ClientSecret is secret; empty: a
// public client.
type Provider struct {
	Name           string
	URL            string // the issuer, exactly as in its tokens
	ClientID       string
	ClientSecret   string
	Scopes         []string // beside openid
	UserClaim      string
	GroupsClaim    string
	Private        bool
	CACertificates string
}

// secretPlace is the context that a client's secret is sealed for: table,
// column, row.
func secretPlace(name string) []string { return []string{"provider", "client_secret_sealed", name} }

// SealSecret returns the secret as it is kept; nil for none.
func SealSecret(keys *seal.Vault, name, secret string) ([]byte, error) {
	if secret == "" {
		return nil, nil
	}
	return keys.Seal([]byte(secret), secretPlace(name)...)
}

// FromRow opens what the database has of a provider.
func FromRow(keys *seal.Vault, row *db.Provider) (Provider, error) {
	p := Provider{
		Name: row.Name, URL: row.URL, ClientID: row.ClientID, Scopes: row.Scopes, UserClaim: row.UserClaim,
		GroupsClaim: row.GroupsClaim, Private: row.Private, CACertificates: row.CaCertificates,
	}
	if len(row.ClientSecretSealed) > 0 {
		secret, err := keys.Open(row.ClientSecretSealed, secretPlace(row.Name)...)
		if err != nil {
			return Provider{}, fault.Wrap(fault.Internal, "the client secret of provider "+row.Name+" cannot be opened", err)
		}
		p.ClientSecret = string(secret)
	}
	return p, nil
}

// same reports whether two settings of one name are of the same provider in every
// respect.
func (p *Provider) same(q *Provider) bool {
	return p.Name == q.Name && p.URL == q.URL && p.ClientID == q.ClientID && p.ClientSecret == q.ClientSecret &&
		slices.Equal(p.Scopes, q.Scopes) && p.UserClaim == q.UserClaim && p.GroupsClaim == q.GroupsClaim &&
		p.Private == q.Private && p.CACertificates == q.CACertificates
}

// Validate refuses settings that cannot be right, without asking the network.
func (p *Provider) Validate(now time.Time) error {
	if p.Name == login.MethodPassword {
		return fault.New(fault.Invalid, "a provider cannot be called password: sessions say by that name that they began with one")
	}
	if err := egress.Check("the issuer's URL", p.URL, p.Private); err != nil {
		return err
	}
	if strings.Contains(p.URL, "?") {
		return fault.New(fault.Invalid, "the URL of an issuer has no query (?)")
	}
	for _, scope := range p.Scopes {
		if !isScope(scope) {
			return fault.New(fault.Invalid, "a scope is one word of visible ASCII characters, without quotes and backslashes")
		}
	}
	_, err := egress.ParseAuthorities(p.CACertificates, now)
	return err
}

// isScope holds a word to RFC 6749, section 3.3.
func isScope(s string) bool {
	return s != "" && len(s) <= 128 && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r > '~' || r == '"' || r == '\\'
	})
}
