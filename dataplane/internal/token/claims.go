package token

import (
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// skew is how far the clocks of issuer and node may be apart.
const skew = 30 * time.Second

// Bounds of what claims may hold, in bytes and in entries. A token with more is
// refused: what was cut might be what a rule forbids.
const (
	maxText      = 256
	maxGroups    = 256
	maxGroupText = 8 << 10 // of all groups together: they stand in every audit event
	maxAudiences = 32
	maxSeconds   = 1 << 40
)

// Token is a verified access token. It is immutable, but for what Keep keeps.
type Token struct {
	// Issuer is the name of the issuer.
	Issuer string
	// User is the user's name, prefix included; Application is empty if the token
	// names none.
	User, Application string
	// Groups are as the token has them.
	Groups []string
	// GroupRoles are the roles that the issuer's settings give to the groups.
	GroupRoles []string
	// ID is the claim jti; empty if there is none.
	ID string
	// Expires is the first moment at which the token is no longer good.
	Expires time.Time

	audiences []string
	scopes    []string // nil: the token names none
	issuer    [32]byte // the issuer's print
	kept      kept
}

// readClaims checks what an issuer's token must say, and maps the rest.
func readClaims(i *Issuer, c members, now time.Time) (*Token, *Refusal) {
	t := &Token{Issuer: i.Name(), issuer: i.print}
	for _, check := range []func(*Issuer, members) *Refusal{
		func(*Issuer, members) *Refusal { return checkKind(c) },
		func(*Issuer, members) *Refusal { return t.readTimes(c, now) },
		t.readAudiences, t.readUser, t.readGroups, t.readApplication, t.readScopes,
	} {
		if refusal := check(i, c); refusal != nil {
			return nil, refusal
		}
	}
	return t, nil
}

// idTokenClaims are in ID tokens and in no access token (OpenID Connect Core 2,
// 3.3.2.11): an ID token tells a client who signed in, and gives no access.
var idTokenClaims = []string{"nonce", "at_hash", "c_hash", "s_hash"}

// checkKind refuses tokens that are not access tokens, and those that only the
// holder of a key may present (RFC 8705, RFC 9449): as plain bearer tokens they
// would be what binding them was to prevent.
func checkKind(c members) *Refusal {
	for _, name := range idTokenClaims {
		if c.has(name) {
			return errKind
		}
	}
	// How Cognito and Keycloak say what a token is for.
	for name, access := range map[string]string{"token_use": "access", "typ": "bearer"} {
		if use, ok := c.text(name); c.has(name) && (!ok || !strings.EqualFold(use, access)) {
			return errKind
		}
	}
	if c.has("cnf") {
		return errBound
	}
	return nil
}

func (t *Token) readTimes(c members, now time.Time) *Refusal {
	expires, ok := seconds(c["exp"])
	if !ok {
		return errTimes
	}
	t.Expires = expires.Add(skew)
	if !now.Before(t.Expires) {
		return errExpired
	}
	for _, name := range []string{"nbf", "iat"} {
		if !c.has(name) {
			continue
		}
		from, ok := seconds(c[name])
		switch {
		case !ok:
			return errTimes
		case from.After(now.Add(skew)):
			return errEarly
		}
	}
	return nil
}

// seconds reads a NumericDate.
func seconds(value jsontext.Value) (time.Time, bool) {
	if value.Kind() != '0' {
		return time.Time{}, false
	}
	var s float64
	if json.Unmarshal(value, &s) != nil || s < 0 || s > maxSeconds {
		return time.Time{}, false
	}
	return time.Unix(int64(s), 0), true
}

func (t *Token) readAudiences(_ *Issuer, c members) *Refusal {
	var ok bool
	if t.audiences, ok = texts(c["aud"]); !ok || len(t.audiences) == 0 || len(t.audiences) > maxAudiences {
		return errAudience
	}
	return nil
}

func (t *Token) readUser(i *Issuer, c members) *Refusal {
	name, ok := c.text(i.Item.GetUserClaim())
	if !ok || !printable(name) {
		return errUser
	}
	// An address that nobody has proven is anybody's.
	if i.Item.GetUserClaim() == "email" && c.has("email_verified") && strings.Trim(string(c["email_verified"]), `"`) != "true" {
		return errUser
	}
	t.User = i.Item.GetUserPrefix() + name
	if t.ID, ok = c.text("jti"); c.has("jti") && (!ok || !printable(t.ID)) {
		return errClaims
	}
	return nil
}

// readGroups maps the groups. No claim means no groups; but an issuer that says
// that they are to be asked for elsewhere (OpenID Connect Core 5.6.2, as Entra does
// where there are many), or only that there are some (hasgroups, as Entra does where
// a token must be short), leaves open which they are, and with them what is forbidden.
func (t *Token) readGroups(i *Issuer, c members) *Refusal {
	name := i.Item.GetGroupsClaim()
	if name == "" {
		return nil
	}
	var elsewhere members
	if raw := c["_claim_names"]; raw != nil && (json.Unmarshal(raw, &elsewhere) != nil || elsewhere.has(name)) {
		return errGroups
	}
	if !c.has(name) {
		if c.has("hasgroups") && string(c["hasgroups"]) != "false" {
			return errGroups
		}
		return nil
	}
	var ok bool
	if t.Groups, ok = texts(c[name]); !ok || len(t.Groups) > maxGroups {
		return errGroups
	}
	size := 0
	for _, group := range t.Groups {
		if size += len(group); !printable(group) || size > maxGroupText {
			return errGroups
		}
	}
	slices.Sort(t.Groups)
	t.Groups = slices.Compact(t.Groups)
	t.GroupRoles = rolesOf(i.Item.GetGroupRoles(), t.Groups)
	return nil
}

func rolesOf(given []*snapshotv1.GroupRole, groups []string) (roles []string) {
	for _, gr := range given {
		if _, has := slices.BinarySearch(groups, gr.GetGroup()); has {
			roles = append(roles, gr.GetRole())
		}
	}
	return roles
}

// readApplication maps the application. A claim that was configured must be there.
func (t *Token) readApplication(i *Issuer, c members) *Refusal {
	names := []string{"client_id", "azp"}
	configured := i.Item.GetApplicationClaim()
	if configured != "" {
		names = []string{configured}
	}
	for _, name := range names {
		if !c.has(name) {
			continue
		}
		application, ok := c.text(name)
		if !ok || !printable(application) {
			return errClaims
		}
		t.Application = application
		return nil
	}
	if configured != "" {
		return errClaims
	}
	return nil
}

// readScopes reads the claim scope (RFC 8693 4.2), or scp, which others use.
func (t *Token) readScopes(_ *Issuer, c members) *Refusal {
	for _, name := range []string{"scope", "scp"} {
		if !c.has(name) {
			continue
		}
		list, ok := texts(c[name])
		if !ok {
			return errClaims
		}
		for _, entry := range list {
			t.scopes = append(t.scopes, strings.Fields(entry)...)
		}
	}
	return nil
}

// texts reads a string, or an array of strings.
func texts(value jsontext.Value) ([]string, bool) {
	switch value.Kind() {
	case '"':
		one := make([]string, 1)
		return one, json.Unmarshal(value, &one[0]) == nil
	case '[':
		var list []jsontext.Value
		if json.Unmarshal(value, &list) != nil {
			return nil, false
		}
		out := make([]string, len(list))
		for i, entry := range list {
			if entry.Kind() != '"' || json.Unmarshal(entry, &out[i]) != nil {
				return nil, false
			}
		}
		return out, true
	}
	return nil, false
}

// printable reports whether a name may stand for somebody: not empty, bounded,
// nothing that cannot be seen, and no white space around it.
func printable(s string) bool {
	return s != "" && len(s) <= maxText && strings.TrimSpace(s) == s &&
		strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}
