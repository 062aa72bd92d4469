package credential

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/token"
)

// Refusal is why a request was not accepted, as its sender may see it.
type Refusal struct {
	// Status is the HTTP status.
	Status int
	// Error is the code of RFC 6750 section 3.1 for the challenge; empty where nothing
	// was presented, or where no credential would help.
	Error string
	// Text is for the person who reads the answer.
	Text string
	// Reason is the same for machines: one of a few constants.
	Reason string
	// Caller is whose credential it was where that was proven, else nil.
	Caller *Caller
	// Scopes are all that the token needs, where it lacks one.
	Scopes []string
}

// Reasons of a refusal, beside those of package token. There is no more of them
// than stand here, so that they are fit for a metric's label.
const (
	ReasonMissing   = "credential-missing"
	ReasonQuery     = "credential-in-query"
	ReasonRepeated  = "credential-repeated"
	ReasonMalformed = "credential-malformed"
	ReasonUnknown   = "credential-unknown"
	ReasonExpired   = "credential-expired"
)

// Codes of Refusal.Error.
const (
	InvalidToken      = "invalid_token"
	InsufficientScope = "insufficient_scope"
)

// The refusals that do not depend on the caller (mcp.md 3). Whoever gets one must
// not change it.
var (
	missing = Refusal{
		Status: http.StatusUnauthorized,
		Text:   "No API key. Send the header Authorization: Bearer wdr_…",
		Reason: ReasonMissing,
	}
	missingToken = Refusal{
		Status: http.StatusUnauthorized,
		Text:   "No API key and no access token. Send the header Authorization: Bearer wdr_…, or with a token of an issuer that is trusted here.",
		Reason: ReasonMissing,
	}
	inQuery = Refusal{
		Status: http.StatusBadRequest,
		Text:   "Credentials in the URL are refused, because URLs end up in logs. Send the header Authorization: Bearer wdr_… and replace the key that was in the URL.",
		Reason: ReasonQuery,
	}
	repeated = Refusal{
		Status: http.StatusBadRequest,
		Text:   "The header Authorization stands more than once.",
		Reason: ReasonRepeated,
	}
	malformed = invalidToken(ReasonMalformed, "The API key is malformed; it looks like wdr_<id>_<secret>_<checksum>. Was it cut when it was copied?")
	unknown   = invalidToken(ReasonUnknown, "The API key is not valid.")
	noIssuer  = invalidToken(string(token.ReasonIssuer), "The token is of an issuer that is not configured.")
	barred    = invalidToken(ReasonUnknown, "The token is not valid any more.")
)

func expired(key *Caller) *Refusal {
	refusal := invalidToken(ReasonExpired, "The API key has expired.")
	refusal.Caller = key
	return &refusal
}

func invalidToken(reason, text string) Refusal {
	return Refusal{Status: http.StatusUnauthorized, Error: InvalidToken, Text: text, Reason: reason}
}

// refused puts the refusal of a token into an answer.
func refused(why *token.Refusal) *Refusal {
	refusal := invalidToken(string(why.Reason), why.Text)
	switch why.Reason {
	case token.ReasonScope:
		refusal.Status, refusal.Error, refusal.Scopes = http.StatusForbidden, InsufficientScope, why.Scopes
	case token.ReasonUnavailable:
		refusal.Status, refusal.Error = http.StatusServiceUnavailable, ""
	}
	return &refusal
}

// Endpoints names the endpoint of a request as clients know it.
type Endpoints interface {
	Endpoint(r *http.Request) token.Endpoint
}

// Authenticate returns the caller that the request names, or why there is none.
// Exactly one of the two is nil. It reads the URL and one header, never the body,
// and on the way to a key, or to a token that it knows, it allocates nothing. For a
// token whose key is new it may wait for one fetch of keys, until the request's
// context ends.
func (t *Table) Authenticate(r *http.Request, at Endpoints, now time.Time) (*Caller, *Refusal) {
	if r.URL.RawQuery != "" && carriesCredential(r.URL.RawQuery) {
		return nil, &inQuery
	}
	values := r.Header["Authorization"]
	switch len(values) {
	case 0:
		return nil, t.missing()
	case 1:
	default:
		return nil, &repeated
	}
	scheme, text, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return nil, t.missing()
	}
	text = strings.Trim(text, " ")
	if !looksSigned(text) {
		return t.check(text, now)
	}
	if !t.takesTokens() {
		return nil, &noIssuer
	}
	verified, why := t.trust.keeper.Verify(r.Context(), t.trust.issuers, text, at.Endpoint(r))
	if why != nil {
		return nil, refused(why)
	}
	if caller := t.bearer(verified); caller != nil {
		return caller, nil
	}
	return nil, &barred
}

// missing says what whoever brought no credential can bring here.
func (t *Table) missing() *Refusal {
	if t.takesTokens() {
		return &missingToken
	}
	return &missing
}

func (t *Table) takesTokens() bool { return t.trust.keeper != nil && t.trust.issuers.Len() > 0 }

// looksSigned reports whether a text is no API key but a JWS, in whatever form:
// keys have no dots.
func looksSigned(text string) bool {
	return strings.Contains(text, ".") && !strings.HasPrefix(text, "wdr_")
}

// credentialNames are the query parameters in which clients have been seen to
// send tokens; RFC 6750 section 2.3 names the first.
var credentialNames = map[string]bool{
	"access_token": true, "token": true, "api_key": true, "apikey": true, "api-key": true,
	"key": true, "auth": true, "authorization": true, "bearer": true,
}

// carriesCredential reports whether a query has a parameter for a credential,
// or a key of ours or a JWT anywhere. A query that cannot be parsed counts as one that
// has: its parts cannot be told apart.
func carriesCredential(rawQuery string) bool {
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		return true
	}
	for name, values := range query {
		if credentialNames[strings.ToLower(name)] || strings.Contains(name, "wdr_") {
			return true
		}
		for _, value := range values {
			if strings.Contains(value, "wdr_") || strings.HasPrefix(value, "eyJ") && strings.Count(value, ".") == 2 {
				return true
			}
		}
	}
	return false
}
