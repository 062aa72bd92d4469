package token

import (
	"encoding/base64"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// maxToken bounds a token, in bytes.
const maxToken = 16 << 10

// compact is a JWS in compact form, taken apart. Nothing of it is verified.
type compact struct {
	header    header
	claims    members
	signed    string // header and payload as they were signed
	signature []byte
}

// header is what the protected header says that matters.
type header struct{ algorithm, kid string }

// members are those of a JSON object, raw.
type members map[string]jsontext.Value

// text returns a member that is a string. Absent is no string.
func (m members) text(name string) (string, bool) {
	value, there := m[name]
	if !there || value.Kind() != '"' {
		return "", false
	}
	var s string
	return s, json.Unmarshal(value, &s) == nil
}

func (m members) has(name string) bool {
	_, there := m[name]
	return there
}

// parse takes a token apart, strictly: three parts in base64url without padding,
// of which the first two are one JSON object each, without duplicate names at any
// depth.
func parse(text string) (*compact, *Refusal) {
	if len(text) > maxToken {
		return nil, errTooLarge
	}
	head, rest, _ := strings.Cut(text, ".")
	payload, tail, ok := strings.Cut(rest, ".")
	if !ok || strings.Contains(tail, ".") {
		return nil, errMalformed
	}
	c := &compact{signed: text[:len(head)+1+len(payload)]}
	fields, ok := object(head)
	if !ok {
		return nil, errMalformed
	}
	var refusal *Refusal
	if c.header, refusal = readHeader(fields); refusal != nil {
		return nil, refusal
	}
	if c.claims, ok = object(payload); !ok {
		return nil, errMalformed
	}
	if c.signature, ok = decode(tail); !ok || len(c.signature) == 0 {
		return nil, errMalformed
	}
	return c, nil
}

// decode is strict base64url: the decoder of the standard library passes over line
// breaks.
func decode(s string) ([]byte, bool) {
	if strings.ContainsAny(s, "\r\n") {
		return nil, false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return raw, err == nil
}

// object reads one JSON object. The library refuses duplicate names, invalid
// UTF-8, trailing data and too much depth.
func object(encoded string) (members, bool) {
	raw, ok := decode(encoded)
	if !ok {
		return nil, false
	}
	var m members
	if err := json.Unmarshal(raw, &m); err != nil || m == nil {
		return nil, false
	}
	return m, true
}

// ownKeys are header members by which a token brings its own key (RFC 7515 4.1).
// A thumbprint (x5t) only names one.
var ownKeys = []string{"jwk", "jku", "x5u", "x5c"}

// readHeader refuses what could change the meaning of the signature. A kid is
// looked up in a table and goes nowhere else.
func readHeader(m members) (h header, refusal *Refusal) {
	for _, name := range ownKeys {
		if m.has(name) {
			return h, errOwnKey
		}
	}
	if m.has("crit") || m.has("b64") || m.has("zip") || m.has("enc") {
		return h, errCritical
	}
	if !accessType(m) {
		return h, errKind
	}
	var ok bool
	if h.algorithm, ok = m.text("alg"); !ok {
		return h, errMalformed
	}
	if h.kid, ok = m.text("kid"); m.has("kid") && (!ok || h.kid == "") {
		return h, errMalformed
	}
	return h, nil
}

// accessType reports whether the header's typ may be that of an access token. RFC
// 9068 says at+jwt; many issuers still say JWT or nothing, as they do for ID
// tokens: checkKind tells those apart by their claims.
func accessType(m members) bool {
	if !m.has("typ") {
		return true
	}
	typ, ok := m.text("typ")
	typ = strings.TrimPrefix(strings.ToLower(typ), "application/")
	return ok && (typ == "at+jwt" || typ == "jwt")
}
