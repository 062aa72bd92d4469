package credential

import (
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Refusal is why a request was not accepted, as its sender may see it.
type Refusal struct {
	// Status is the HTTP status, and Challenge the WWW-Authenticate header that
	// goes with it; empty means none.
	Status    int
	Challenge string
	// Text is for the person who reads the answer.
	Text string
	// Reason is the same for machines: one of a few constants.
	Reason string
	// Key is the key at fault where its secret was right, else nil.
	Key *Key
}

// Reasons of a refusal. There is no more of them than stand here, so that they
// are fit for a metric's label.
const (
	ReasonMissing   = "credential-missing"
	ReasonQuery     = "credential-in-query"
	ReasonRepeated  = "credential-repeated"
	ReasonMalformed = "credential-malformed"
	ReasonUnknown   = "credential-unknown"
	ReasonExpired   = "credential-expired"
)

// Challenge is the WWW-Authenticate header for a key that was good when it came,
// and is no longer.
const Challenge = `Bearer realm="warder", error="invalid_token"`

// The refusals that do not depend on the key (mcp.md 3). Whoever gets one must
// not change it.
var (
	missing = Refusal{
		Status:    http.StatusUnauthorized,
		Challenge: `Bearer realm="warder"`,
		Text:      "No API key. Send the header Authorization: Bearer wdr_…",
		Reason:    ReasonMissing,
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
)

func expired(key *Key) *Refusal {
	refusal := invalidToken(ReasonExpired, "The API key has expired.")
	refusal.Key = key
	return &refusal
}

func invalidToken(reason, text string) Refusal {
	return Refusal{
		Status:    http.StatusUnauthorized,
		Challenge: Challenge + `, error_description="` + text + `"`,
		Text:      text,
		Reason:    reason,
	}
}

// Authenticate returns the key that the request presents, or why there is none.
// Exactly one of the two is nil. It reads the URL and one header, never the
// body, and on the way to a key it allocates nothing.
func (t *Table) Authenticate(r *http.Request, now time.Time) (*Key, *Refusal) {
	if r.URL.RawQuery != "" && carriesCredential(r.URL.RawQuery) {
		return nil, &inQuery
	}
	values := r.Header["Authorization"]
	switch len(values) {
	case 0:
		return nil, &missing
	case 1:
	default:
		return nil, &repeated
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return nil, &missing
	}
	return t.check(strings.Trim(token, " "), now)
}

// credentialNames are the query parameters in which clients have been seen to
// send tokens; RFC 6750 section 2.3 names the first.
var credentialNames = map[string]bool{
	"access_token": true, "token": true, "api_key": true, "apikey": true, "api-key": true,
	"key": true, "auth": true, "authorization": true, "bearer": true,
}

// carriesCredential reports whether a query has a parameter for a credential,
// or a key of ours anywhere. A query that cannot be parsed counts as one that
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
			if strings.Contains(value, "wdr_") {
				return true
			}
		}
	}
	return false
}
