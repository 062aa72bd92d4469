package token

// Reason is why a token is refused, for machines. There is no more of them than
// stand here.
type Reason string

// The reasons.
const (
	ReasonMalformed   Reason = "token-malformed"
	ReasonUnsupported Reason = "token-unsupported"
	ReasonIssuer      Reason = "token-unknown-issuer"
	ReasonExpired     Reason = "token-expired"
	ReasonEarly       Reason = "token-not-yet-valid"
	ReasonAudience    Reason = "token-wrong-audience"
	ReasonClaims      Reason = "token-bad-claims"
	ReasonKey         Reason = "token-unknown-key"
	ReasonSignature   Reason = "token-bad-signature"
	ReasonScope       Reason = "token-insufficient-scope"
	// ReasonUnavailable says that it cannot be told: the keys are not there.
	ReasonUnavailable Reason = "token-keys-unavailable"
)

// Refusal is why a token is not accepted. Its text is for who sent it, fit for a
// quoted string of a header, and holds nothing of the token.
type Refusal struct {
	Reason Reason
	Text   string
	// Scopes are all that the issuer's tokens need, where one is lacking.
	Scopes []string
}

// Error implements error.
func (r *Refusal) Error() string { return r.Text }

func refuse(reason Reason, text string) *Refusal { return &Refusal{Reason: reason, Text: text} }

var (
	errMalformed = refuse(ReasonMalformed, "The token is malformed: it is not a JWT in compact form.")
	errTooLarge  = refuse(ReasonMalformed, "The token is larger than 16 KiB.")
	errKind      = refuse(ReasonUnsupported, "The token is not an access token.")
	errAlgorithm = refuse(ReasonUnsupported, "The token's algorithm is not one that its issuer is configured with.")
	errOwnKey    = refuse(ReasonUnsupported, "The token carries or points to a key of its own.")
	errCritical  = refuse(ReasonUnsupported, "The token has an extension that is not supported.")
	errBound     = refuse(ReasonUnsupported, "The token is bound to a key of the client, which cannot be checked here.")
	errIssuer    = refuse(ReasonIssuer, "The token is of an issuer that is not configured.")
	errExpired   = refuse(ReasonExpired, "The token has expired.")
	errEarly     = refuse(ReasonEarly, "The token is not valid yet.")
	errAudience  = refuse(ReasonAudience, "The token is for another audience.")
	errTimes     = refuse(ReasonClaims, "The token's times are missing or no numbers.")
	errUser      = refuse(ReasonClaims, "The token does not name a user in the claim that its issuer is configured with.")
	errGroups    = refuse(ReasonClaims, "The token's groups are not given in the token, too many, or no names.")
	errClaims    = refuse(ReasonClaims, "A claim of the token is not what it should be.")
	errKey       = refuse(ReasonKey, "The token is signed with a key that its issuer does not publish.")
	errSignature = refuse(ReasonSignature, "The token's signature is wrong.")
	errNoKeys    = refuse(ReasonUnavailable, "The keys of the token's issuer cannot be fetched at the moment. Try again in a moment.")
)
