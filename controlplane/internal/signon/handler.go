package signon

import (
	"context"
	"net/http"
	"net/url"

	"golang.org/x/oauth2"

	"github.com/warder-gateway/warder/controlplane/internal/login"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/mcp"
)

const (
	// maxQuery bounds what comes back from a provider, in bytes.
	maxQuery = 8 << 10
	// callbackTimeout bounds all that is asked of the provider for one sign-in.
	callbackTimeout = 3 * requestTimeout
)

// Handler serves the two paths of each provider. It belongs behind login.Guard
// and login.Desk, which know whose address and whose old session it is. Only a
// browser that navigates comes further: nothing that a page fetches, embeds or
// posts.
func (s *SignOn) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+Prefix+"{name}", func(w http.ResponseWriter, r *http.Request) { s.answer(w, r, s.begin) })
	mux.HandleFunc("GET "+Prefix+"{name}/callback", func(w http.ResponseWriter, r *http.Request) { s.answer(w, r, s.callback) })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			w.Header().Set("Allow", http.MethodGet)
			http.Error(w, "browsers come here by GET", http.StatusMethodNotAllowed)
			return
		}
		if !navigates(r) {
			http.Error(w, "only a browser that goes to this address itself is served here", http.StatusForbidden)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// navigates reports whether the request is one that a browser makes when a person
// goes somewhere. Programs that are no browsers send none of these headers.
func navigates(r *http.Request) bool {
	mode, dest := r.Header.Get("Sec-Fetch-Mode"), r.Header.Get("Sec-Fetch-Dest")
	return r.Header.Get("Origin") == "" && (mode == "" || mode == "navigate") && (dest == "" || dest == "document")
}

// answer serves one step: a redirect, or a page that says why there is none.
func (s *SignOn) answer(w http.ResponseWriter, r *http.Request, step func(http.ResponseWriter, *http.Request) (target string, err error)) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	target, err := step(w, r)
	if err != nil {
		s.Log.WarnContext(r.Context(), "sign-on refused", "provider", mcp.EscapeName(r.PathValue("name"), maxShown),
			"error", mcp.EscapeName(err.Error(), 512))
		servePage(w, err)
		return
	}
	w.Header().Set("Location", target)
	w.WriteHeader(http.StatusSeeOther)
}

// begin sends the browser to the provider.
func (s *SignOn) begin(w http.ResponseWriter, r *http.Request) (target string, err error) {
	name, next := r.PathValue("name"), r.URL.Query().Get("next")
	redirect, err := s.RedirectURL(name)
	if err != nil {
		return "", err
	}
	if !s.atPublicURL(r) {
		// The cookie would stay where the provider does not send people back to.
		return s.PublicURL + "/login?" + url.Values{"next": {localPath(next)}}.Encode(), nil
	}
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		return "", fault.New(fault.Denied, "another site sent you here; begin on the sign-in page")
	}
	cookie, err := s.cookieName(r.Context())
	if err != nil {
		return "", err
	}
	p, err := s.provider(r.Context(), name)
	if err != nil {
		return "", err
	}
	peer, err := s.peers.get(r.Context(), p)
	if err != nil {
		return "", err
	}
	way := newWay(next, s.now())
	sealed, err := s.seal(name, way)
	if err != nil {
		return "", err
	}
	http.SetCookie(w, wayCookie(cookie, sealed))
	return peer.oauth(redirect).AuthCodeURL(way.State, oauth2.S256ChallengeOption(way.Verifier), oauth2.SetAuthURLParam("nonce", way.Nonce)), nil
}

// cookieName returns the cookie for a way, or why none can be kept.
func (s *SignOn) cookieName(ctx context.Context) (string, error) {
	secure, err := login.Secure(ctx)
	if err != nil {
		return "", err
	}
	if secure {
		return secureCookie, nil
	}
	return plainCookie, nil
}

// callback lets in who comes back from the provider.
func (s *SignOn) callback(w http.ResponseWriter, r *http.Request) (target string, err error) {
	cookie, err := s.cookieName(r.Context())
	if err != nil {
		return "", err
	}
	http.SetCookie(w, wayCookie(cookie, "")) // Walked, wherever it leads.
	release, err := s.Desk.Attempt(r.Context())
	if err != nil {
		return "", err
	}
	back, err := parseReply(r)
	if err != nil {
		return "", err
	}
	name := r.PathValue("name")
	way, err := s.reopen(r, cookie, name, back.state)
	if err != nil {
		return "", err
	}
	if err := s.spend(r.Context(), &way); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(r.Context(), callbackTimeout)
	defer cancel()
	user, err := s.arrive(ctx, name, back, &way)
	if err != nil {
		return "", err
	}
	session, err := s.Desk.Admit(r.Context(), user, name)
	if err != nil {
		return "", err
	}
	release()
	for _, c := range session {
		http.SetCookie(w, c)
	}
	return s.PublicURL + way.Return, nil
}

// arrive finds out who came back, and makes him a user.
func (s *SignOn) arrive(ctx context.Context, name string, back *reply, w *way) (user string, err error) {
	redirect, err := s.RedirectURL(name)
	if err != nil {
		return "", err
	}
	p, err := s.provider(ctx, name)
	if err != nil {
		return "", err
	}
	peer, err := s.peers.get(ctx, p)
	if err != nil {
		return "", err
	}
	if err := back.check(peer); err != nil {
		return "", err
	}
	said, err := peer.redeem(ctx, redirect, back.code, w)
	if err != nil {
		return "", err
	}
	who, err := p.person(said)
	if err != nil {
		return "", err
	}
	return s.admit(ctx, &p, who)
}

// reply is what the provider sent the browser back with.
type reply struct{ state, code, issuer, refusal string }

// parseReply reads the query. A parameter that comes twice means nothing
// (RFC 6749, section 3.1).
func parseReply(r *http.Request) (*reply, error) {
	bad := fault.New(fault.Invalid, "what the provider sent you back with cannot be read; begin again")
	if len(r.URL.RawQuery) > maxQuery {
		return nil, bad
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, bad
	}
	for _, values := range query {
		if len(values) != 1 {
			return nil, bad
		}
	}
	return &reply{state: query.Get("state"), code: query.Get("code"), issuer: query.Get("iss"), refusal: query.Get("error")}, nil
}

// refusals are the words of RFC 6749, section 4.1.2.1, and OpenID Connect Core 1.0,
// section 3.1.2.6, that say more than that the provider said no.
var refusals = map[string]string{
	"access_denied":             "the provider says that access was denied to you; ask who runs it",
	"login_required":            "the provider wants you to sign in there first",
	"consent_required":          "the provider wants your consent; begin again and give it",
	"unauthorized_client":       "the provider does not let this client ask for a code; correct the client there",
	"invalid_scope":             "the provider does not know a scope that it was asked for; correct it with 'warder provider set --scope'",
	"temporarily_unavailable":   "the provider is overloaded; try again in a moment",
	"server_error":              "something failed at the provider; try again in a moment",
	"unsupported_response_type": "the provider does not give this client a code; correct the client there",
}

// check refuses a reply of another provider (RFC 9207) and one without a code,
// before anything is sent anywhere.
func (b *reply) check(p *peer) error {
	if b.issuer != p.URL && (b.issuer != "" || p.SendsIssuer) {
		return fault.New(fault.Denied, "the answer does not come from the provider that you were sent to; begin again, and tell an owner if it goes on")
	}
	if b.refusal != "" {
		text, known := refusals[b.refusal]
		if !known {
			text = "the provider refused; the log of the control plane has its word"
		}
		return fault.Wrap(fault.Denied, text, errWord(b.refusal))
	}
	if b.code == "" {
		return fault.New(fault.Invalid, "the provider sent you back without a code; begin again")
	}
	return nil
}

// errWord is a provider's word for why it refused. It is for the log.
type errWord string

// Error returns the beginning of the word.
func (e errWord) Error() string { return "error " + mcp.EscapeName(string(e), maxShown) }
