// Package principal is the verified caller.
//
// A credential is checked once, at the door, and becomes a Principal; from
// there on nothing looks at the credential again. What a client says of itself
// (its name, its version) is not part of a principal: those are claims.
//
//	credential ── verified ──▶ *Principal ──▶ policy, audit, sealed tokens
package principal

import "log/slog"

// Principal is who calls, as far as it was verified. An empty field is an
// attribute that the caller does not have; it never satisfies a condition of
// the policy. A Principal is immutable once made: whoever holds one may share
// it between goroutines, and nobody edits its slices.
type Principal struct {
	// User is the name of the person or the service.
	User string
	// Groups and Roles are names in no particular order.
	Groups, Roles []string
	// Application is the client program that the credential belongs to.
	Application string
	// KeyID is the public part of the API key, if one was presented.
	KeyID string
	// Servers are the slugs of the servers that the key is good for; nil: all, and
	// an empty list that is there: none.
	Servers []string
	// Issuer is the name of who signed the token, if one was presented; "" for a key.
	Issuer string
	// TokenID is what the issuer calls the token (its jti), if it says so.
	TokenID string
}

// LogValue returns the attributes that name the caller; all are public.
func (p *Principal) LogValue() slog.Value {
	if p == nil {
		return slog.StringValue("nobody")
	}
	return slog.GroupValue(
		slog.String("user", p.User),
		slog.String("application", p.Application),
		slog.String("key", p.KeyID),
	)
}
