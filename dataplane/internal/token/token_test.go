package token

import (
	"context"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/warder-gateway/warder/dataplane/internal/token/tokentest"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

const resource = "https://gw.example.com/mcp"

var here = Endpoint{Base: "https://gw.example.com", Path: "/mcp"}

// world is a keeper that knows one issuer.
type world struct {
	*tokentest.Issuer
	keeper *Keeper
	all    *Issuers
}

func newWorld(t testing.TB, changes ...func(*snapshotv1.Issuer)) *world {
	t.Helper()
	w := &world{Issuer: tokentest.New(t), keeper: NewKeeper(Config{})}
	t.Cleanup(w.keeper.Close)
	w.settle(t, changes...)
	return w
}

// settle makes the issuer what changes make of it.
func (w *world) settle(t testing.TB, changes ...func(*snapshotv1.Issuer)) {
	t.Helper()
	item := w.Item("corp")
	for _, change := range changes {
		change(item)
	}
	w.all = table(t, item)
	w.keeper.Retain(w.all)
}

func table(t testing.TB, items ...*snapshotv1.Issuer) *Issuers {
	t.Helper()
	var list []*Issuer
	for _, item := range items {
		issuer, err := NewIssuer(item)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, issuer)
	}
	all, err := NewIssuers(list)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func (w *world) verify(text string) (*Token, *Refusal) {
	return w.keeper.Verify(context.Background(), w.all, text, here)
}

// claims returns those of a good token with changes: nil takes a claim away.
func (w *world) claims(changes tokentest.Member) tokentest.Member {
	c := w.Claims(resource)
	for name, value := range changes {
		if c[name] = value; value == nil {
			delete(c, name)
		}
	}
	return c
}

// with returns a token whose header has changes.
func (w *world) with(header tokentest.Member) string {
	h := tokentest.Member{"typ": "at+jwt", "alg": "ES256", "kid": "ec"}
	for name, value := range header {
		if h[name] = value; value == nil {
			delete(h, name)
		}
	}
	return w.Sign(w.Key("ec"), h, w.Claims(resource))
}

func (w *world) say(changes tokentest.Member) string { return w.Token("ec", w.claims(changes)) }

// compact replaces the parts of a good token; empty ones stay.
func (w *world) splice(head, payload, signature string) string {
	parts := strings.Split(w.say(nil), ".")
	for i, with := range []string{head, payload, signature} {
		if with != "" {
			parts[i] = with
		}
	}
	return strings.Join(parts, ".")
}

func raw(json string) string { return base64.RawURLEncoding.EncodeToString([]byte(json)) }

func unix(from time.Duration) int64 { return time.Now().Add(from).Unix() }

// controls are tokens that must be let in.
func (w *world) controls() map[string]string {
	return map[string]string{
		"ES256":             w.say(nil),
		"RS256":             w.Token("rsa", w.claims(nil)),
		"EdDSA":             w.Token("ed", w.claims(nil)),
		"typ in full":       w.with(tokentest.Member{"typ": "application/AT+JWT"}),
		"typ JWT":           w.with(tokentest.Member{"typ": "JWT"}),
		"no typ":            w.with(tokentest.Member{"typ": nil}),
		"one of the aud":    w.say(tokentest.Member{"aud": []string{"https://other.example.com", resource}}),
		"a moment too late": w.say(tokentest.Member{"exp": unix(-skew / 2)}),
		"a moment early":    w.say(tokentest.Member{"nbf": unix(skew / 2), "iat": unix(skew / 2)}),
		"a thumbprint":      w.with(tokentest.Member{"x5t": "AAAA"}),
		"no jti":            w.say(tokentest.Member{"jti": nil}),
		"azp":               w.say(tokentest.Member{"client_id": nil, "azp": "ide"}),
	}
}

// attacks are tokens that must not be.
func (w *world) attacks(t *testing.T) map[string]string {
	all := w.headerAttacks(t)
	for name, text := range w.claimAttacks() {
		all["claims: "+name] = text
	}
	for name, text := range w.formAttacks(t) {
		all["form: "+name] = text
	}
	return all
}

func (w *world) headerAttacks(t *testing.T) map[string]string {
	other := tokentest.EC(t)
	jwk := tokentest.Key{ID: "ec", Private: other}.JWK(t)
	head := func(h tokentest.Member) string { return w.with(h) }
	own := func(h tokentest.Member) string {
		h["alg"], h["kid"], h["typ"] = "ES256", "ec", "at+jwt"
		return w.Sign(tokentest.Key{Private: other}, h, w.Claims(resource))
	}
	public, _ := base64.RawURLEncoding.DecodeString(w.Key("rsa").JWK(t)["n"].(string))
	confused := tokentest.Encode(t, tokentest.Member{"alg": "HS256", "kid": "rsa", "typ": "at+jwt"}) + "." + tokentest.Encode(t, w.Claims(resource))
	unsigned := tokentest.Encode(t, tokentest.Member{"alg": "none", "typ": "at+jwt"}) + "." + tokentest.Encode(t, w.Claims(resource)) + "."
	rsa := func(algorithm string) string {
		return w.Sign(w.Key("rsa"), tokentest.Member{"alg": algorithm, "kid": "rsa"}, w.Claims(resource))
	}
	return map[string]string{
		"alg none":                 unsigned,
		"alg none, signed":         unsigned + strings.Split(w.say(nil), ".")[2],
		"alg NONE":                 strings.Replace(unsigned, raw(`{"alg":"none"`), raw(`{"alg":"NONE"`), 1),
		"no alg":                   head(tokentest.Member{"alg": nil}),
		"alg of another kind":      head(tokentest.Member{"alg": 256}),
		"alg in lower case":        head(tokentest.Member{"alg": "es256"}),
		"HS256 with a public key":  confused + "." + base64.RawURLEncoding.EncodeToString(tokentest.HMAC(public, confused)),
		"PS256 with an RS256 key":  rsa("PS256"),
		"RS512 not configured":     rsa("RS512"),
		"ES256 with an RSA key":    w.Sign(w.Key("rsa"), tokentest.Member{"alg": "ES256", "kid": "rsa"}, w.Claims(resource)),
		"RS256 with an EC key":     w.Sign(w.Key("ec"), tokentest.Member{"alg": "RS256", "kid": "ec"}, w.Claims(resource)),
		"EdDSA with an EC key":     head(tokentest.Member{"alg": "EdDSA"}),
		"ES384 with a P-256 key":   head(tokentest.Member{"alg": "ES384"}),
		"another key's signature":  own(tokentest.Member{}),
		"own jwk":                  own(tokentest.Member{"jwk": jwk}),
		"jwk beside a good one":    head(tokentest.Member{"jwk": jwk}),
		"jku":                      own(tokentest.Member{"jku": w.URL + "/jwks"}),
		"x5u":                      own(tokentest.Member{"x5u": w.URL + "/cert"}),
		"x5c":                      own(tokentest.Member{"x5c": []string{"AAAA"}}),
		"crit":                     head(tokentest.Member{"crit": []string{"exp"}}),
		"crit, unknown":            head(tokentest.Member{"crit": []string{"x"}, "x": 1}),
		"crit, empty":              head(tokentest.Member{"crit": []string{}}),
		"b64 false":                head(tokentest.Member{"b64": false}),
		"zip":                      head(tokentest.Member{"zip": "DEF"}),
		"enc":                      head(tokentest.Member{"enc": "A256GCM"}),
		"typ of an ID token":       head(tokentest.Member{"typ": "id_token"}),
		"typ dpop+jwt":             head(tokentest.Member{"typ": "dpop+jwt"}),
		"typ logout+jwt":           head(tokentest.Member{"typ": "logout+jwt"}),
		"typ of another kind":      head(tokentest.Member{"typ": []string{"at+jwt"}}),
		"kid that leads elsewhere": head(tokentest.Member{"kid": "../../../dev/null"}),
		"kid of SQL":               head(tokentest.Member{"kid": "ec' OR '1'='1"}),
		"kid that is a URL":        head(tokentest.Member{"kid": w.URL + "/jwks"}),
		"kid that is empty":        head(tokentest.Member{"kid": ""}),
		"kid of another kind":      head(tokentest.Member{"kid": 1}),
		"kid of another key":       head(tokentest.Member{"kid": "rsa"}),
	}
}

func (w *world) claimAttacks() map[string]string {
	say := w.say
	return map[string]string{
		"wrong aud":              say(tokentest.Member{"aud": "https://other.example.com/mcp"}),
		"aud of another path":    say(tokentest.Member{"aud": resource + "/github"}),
		"aud with a slash":       say(tokentest.Member{"aud": resource + "/"}),
		"aud, a prefix":          say(tokentest.Member{"aud": "https://gw.example.com"}),
		"aud in capitals":        say(tokentest.Member{"aud": "https://GW.example.com/mcp"}),
		"aud, all wrong":         say(tokentest.Member{"aud": []string{"a", "b"}}),
		"aud, none":              say(tokentest.Member{"aud": []string{}}),
		"aud, empty":             say(tokentest.Member{"aud": ""}),
		"aud of another kind":    say(tokentest.Member{"aud": tokentest.Member{"x": resource}}),
		"aud, a number among":    say(tokentest.Member{"aud": []any{resource, 1}}),
		"no aud":                 say(tokentest.Member{"aud": nil}),
		"wrong iss":              say(tokentest.Member{"iss": "https://evil.example.com"}),
		"iss with a slash":       say(tokentest.Member{"iss": w.URL + "/"}),
		"iss in capitals":        say(tokentest.Member{"iss": strings.ToUpper(w.URL)}),
		"iss in an array":        say(tokentest.Member{"iss": []string{w.URL}}),
		"no iss":                 say(tokentest.Member{"iss": nil}),
		"expired":                say(tokentest.Member{"exp": unix(-skew - 2*time.Second)}),
		"expired long ago":       say(tokentest.Member{"exp": 1}),
		"no exp":                 say(tokentest.Member{"exp": nil}),
		"exp, a text":            say(tokentest.Member{"exp": "9999999999"}),
		"exp, beyond all":        say(tokentest.Member{"exp": 1e300}),
		"exp, negative":          say(tokentest.Member{"exp": -1}),
		"not yet valid":          say(tokentest.Member{"nbf": unix(skew + 5*time.Second)}),
		"nbf, a text":            say(tokentest.Member{"nbf": "0"}),
		"issued in the future":   say(tokentest.Member{"iat": unix(skew + 5*time.Second)}),
		"no sub":                 say(tokentest.Member{"sub": nil}),
		"sub, empty":             say(tokentest.Member{"sub": ""}),
		"sub, a number":          say(tokentest.Member{"sub": 7}),
		"sub, with a line break": say(tokentest.Member{"sub": "ana\nowner"}),
		"sub, with white space":  say(tokentest.Member{"sub": " ana"}),
		"sub, right to left":     say(tokentest.Member{"sub": "ana\u202e"}),
		"sub, too long":          say(tokentest.Member{"sub": strings.Repeat("a", maxText+1)}),
		"nonce, an ID token":     say(tokentest.Member{"nonce": "n"}),
		"at_hash, an ID token":   say(tokentest.Member{"at_hash": "h"}),
		"token_use id":           say(tokentest.Member{"token_use": "id"}),
		"typ Refresh":            say(tokentest.Member{"typ": "Refresh"}),
		"bound to a key":         say(tokentest.Member{"cnf": tokentest.Member{"jkt": "x"}}),
		"groups, a number":       say(tokentest.Member{"groups": []any{"dev", 1}}),
		"groups, empty name":     say(tokentest.Member{"groups": []string{""}}),
		"groups, too many":       say(tokentest.Member{"groups": strings.Split(strings.Repeat("g,", maxGroups)+"g", ",")}),
		"groups elsewhere":       say(tokentest.Member{"_claim_names": tokentest.Member{"groups": "src1"}}),
		"groups, only that":      say(tokentest.Member{"groups": nil, "hasgroups": true}),
		"groups, that, in text":  say(tokentest.Member{"groups": nil, "hasgroups": "true"}),
		"client_id, a number":    say(tokentest.Member{"client_id": 1}),
		"jti, a number":          say(tokentest.Member{"jti": 1}),
	}
}

func (w *world) formAttacks(t *testing.T) map[string]string {
	good := w.say(nil)
	parts := strings.Split(good, ".")
	head := `"alg":"ES256","kid":"ec","typ":"at+jwt"`
	claims := func(json string) string {
		signed := parts[0] + "." + raw(json)
		return signed + "." + base64.RawURLEncoding.EncodeToString(tokentest.Signature(t, w.Key("ec").Private, "ES256", signed))
	}
	body := strings.TrimSuffix(decoded(t, parts[1]), "}")
	header := func(json string) string {
		signed := raw(json) + "." + parts[1]
		return signed + "." + base64.RawURLEncoding.EncodeToString(tokentest.Signature(t, w.Key("ec").Private, "ES256", signed))
	}
	return map[string]string{
		"64 KiB":                   w.say(tokentest.Member{"x": strings.Repeat("x", 48<<10)}),
		"two signatures":           good + "." + parts[2],
		"two parts":                parts[0] + "." + parts[1],
		"five parts, a JWE":        good + ".AAAA.AAAA",
		"JSON form":                `{"protected":"` + parts[0] + `","payload":"` + parts[1] + `","signature":"` + parts[2] + `"}.`,
		"empty signature":          parts[0] + "." + parts[1] + ".",
		"short signature":          good[:len(good)-4],
		"changed payload":          w.splice("", raw(body+`,"x":1}`), ""),
		"changed header":           w.splice(raw(`{`+head+`,"x":1}`), "", ""),
		"padding":                  parts[0] + "." + parts[1] + "." + parts[2] + "==",
		"a line break":             parts[0] + "." + parts[1] + "." + parts[2][:4] + "\n" + parts[2][4:],
		"standard base64":          strings.NewReplacer("-", "+", "_", "/").Replace(w.Token("rsa", w.claims(tokentest.Member{"x": "???>>>"}))) + "+",
		"header, no object":        header(`["ES256"]`),
		"header, null":             header(`null`),
		"header, alg twice":        header(`{"alg":"none",` + head + `}`),
		"header, alg escaped":      header(`{"a\u006cg":"none",` + head + `}`),
		"header, trailing":         header(`{` + head + `}{}`),
		"payload, no object":       claims(`[]`),
		"payload, null":            claims(`null`),
		"payload, sub twice":       claims(body + `,"sub":"owner"}`),
		"payload, sub escaped":     claims(body + `,"s\u0075b":"owner"}`),
		"payload, twice deep down": claims(body + `,"x":{"a":1,"a":2}}`),
		"payload, trailing":        claims(body + `}x`),
		"payload, invalid UTF-8":   claims(body + ",\"x\":\"\xff\"}"),
		"payload, lone surrogate":  claims(body + `,"x":"\ud800"}`),
		"payload, SUB":             claims(strings.Replace(body, `"sub"`, `"SUB"`, 1) + `}`),
		"zero signature":           parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 64)),
	}
}

func decoded(t *testing.T, part string) string {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// T-15: of the whole matrix, only the controls are let in, the first time and again.
func TestT15_NoTokenButAGoodOneIsLetIn(t *testing.T) {
	w := newWorld(t)
	for name, text := range w.controls() {
		for range 2 {
			if got, refusal := w.verify(text); refusal != nil || got.User != "ana" {
				t.Errorf("control %s: %v %v", name, got, refusal)
			}
		}
	}
	attacks := w.attacks(t)
	if len(attacks) < 100 {
		t.Errorf("the matrix has %d attacks", len(attacks))
	}
	for name, text := range attacks {
		for range 2 {
			got, refusal := w.verify(text)
			if got != nil || refusal == nil {
				t.Errorf("%s was let in as %+v", name, got)
				continue
			}
			if refusal.Text == "" || strings.ContainsAny(refusal.Text, `"\`) || refusal.Reason == ReasonUnavailable {
				t.Errorf("%s: reason %s, text %q", name, refusal.Reason, refusal.Text)
			}
		}
	}
}

// Every bit of a token is signed or refused.
func TestT15_NoBitOfATokenMayChange(t *testing.T) {
	w := newWorld(t)
	good := w.say(nil)
	if _, refusal := w.verify(good); refusal != nil {
		t.Fatal(refusal)
	}
	for i := range len(good) {
		for bit := range 7 {
			changed := []byte(good)
			changed[i] ^= 1 << bit
			if got, _ := w.verify(string(changed)); got != nil {
				t.Fatalf("bit %d of byte %d may change", bit, i)
			}
		}
	}
}

func TestClaimsAreMappedAsTheIssuerSays(t *testing.T) {
	w := newWorld(t, func(i *snapshotv1.Issuer) {
		i.Audiences, i.UserClaim, i.UserPrefix = []string{"api://warder"}, "email", "corp:"
		i.GroupsClaim, i.ApplicationClaim = "roles", "app"
		i.GroupRoles = []*snapshotv1.GroupRole{{Group: "dev", Role: "writer"}, {Group: "ops", Role: "owner"}}
	})
	claims := tokentest.Member{"aud": "api://warder", "email": "ana@example.com", "email_verified": true, "roles": []string{"qa", "dev", "qa"}, "app": "cursor"}
	got, refusal := w.verify(w.say(claims))
	if refusal != nil {
		t.Fatal(refusal)
	}
	want := []any{"corp", "corp:ana@example.com", "cursor", "token-1", []string{"dev", "qa"}, []string{"writer"}}
	if diff := cmp.Diff(want, []any{got.Issuer, got.User, got.Application, got.ID, got.Groups, got.GroupRoles}); diff != "" {
		t.Error(diff)
	}
	for name, change := range map[string]tokentest.Member{
		"endpoint as audience": {"aud": resource}, "address not verified": {"email_verified": false},
		"no application": {"app": nil}, "group is a number": {"roles": 5},
	} {
		bad := tokentest.Member{}
		for _, m := range []tokentest.Member{claims, change} {
			for k, v := range m {
				bad[k] = v
			}
		}
		if got, _ := w.verify(w.say(bad)); got != nil {
			t.Errorf("%s: let in", name)
		}
	}
	claims["roles"] = "ops" // one group needs no array
	if got, refusal := w.verify(w.say(claims)); refusal != nil || got.GroupRoles[0] != "owner" {
		t.Errorf("%+v %v", got, refusal)
	}
}

func TestScopesAreNeededWhereTheIssuerHasThem(t *testing.T) {
	w := newWorld(t, func(i *snapshotv1.Issuer) { i.Scopes = []string{"mcp:tools", "mcp:read"} })
	for _, claims := range []tokentest.Member{
		{"scope": "openid mcp:read mcp:tools"}, {"scp": []string{"mcp:tools", "mcp:read"}}, {"scp": "mcp:tools mcp:read"},
	} {
		if _, refusal := w.verify(w.say(claims)); refusal != nil {
			t.Errorf("%v: %v", claims, refusal)
		}
	}
	for _, claims := range []tokentest.Member{{}, {"scope": "mcp:tools"}, {"scope": "mcp:tools2 mcp:read"}} {
		_, refusal := w.verify(w.say(claims))
		if refusal == nil || refusal.Reason != ReasonScope || len(refusal.Scopes) != 2 {
			t.Errorf("%v: %+v", claims, refusal)
		}
	}
}

func TestVerdictsEndWithTheIssuersSettings(t *testing.T) {
	w := newWorld(t)
	text := w.say(nil)
	if _, refusal := w.verify(text); refusal != nil {
		t.Fatal(refusal)
	}
	before := w.all
	w.settle(t, func(i *snapshotv1.Issuer) { i.Algorithms = []string{"RS256"} })
	if _, refusal := w.verify(text); refusal == nil || refusal.Reason != ReasonUnsupported {
		t.Errorf("with other algorithms: %v", refusal)
	}
	w.all = table(t)
	w.keeper.Retain(w.all)
	if _, refusal := w.verify(text); refusal == nil || refusal.Reason != ReasonIssuer {
		t.Errorf("without the issuer: %v", refusal)
	}
	w.all = before // a request that still sees the snapshot before
	if _, refusal := w.verify(text); refusal == nil {
		t.Error("let in after the issuer's keys were let go")
	}
}
