package listener

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/warder-gateway/warder/dataplane/internal/credential"
	"github.com/warder-gateway/warder/dataplane/internal/token"
	"github.com/warder-gateway/warder/internal/address"
	"github.com/warder-gateway/warder/internal/mcp"
)

// MetadataPath stands before the path of an endpoint in the URL of its metadata
// (RFC 9728 section 3).
const MetadataPath = "/.well-known/oauth-protected-resource"

// metadata says to an OAuth client which issuers' tokens an endpoint takes.
type metadata struct {
	Resource             string   `json:"resource"`
	AuthorizationServers []string `json:"authorization_servers"`
	ScopesSupported      []string `json:"scopes_supported,omitzero"`
	BearerMethods        []string `json:"bearer_methods_supported"`
	Name                 string   `json:"resource_name"`
}

// Endpoint names the endpoint of a request as its client knows it: by the public
// URL of the host that was called, or else the first. Without any, the Host header
// is believed on loopback only; elsewhere there is no base.
func (l *Listener) Endpoint(r *http.Request) token.Endpoint {
	return token.Endpoint{Base: l.base(r), Path: r.URL.Path}
}

func (l *Listener) base(r *http.Request) string {
	if known := l.config.PublicURLs; len(known) > 0 {
		for _, base := range known {
			if _, host, _ := strings.Cut(base, "://"); strings.EqualFold(host, r.Host) {
				return base
			}
		}
		return known[0]
	}
	if !l.config.Loopback || !address.IsLoopback(hostname(r.Host)) {
		return ""
	}
	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	return scheme + strings.ToLower(r.Host)
}

// Metadata serves the metadata of every endpoint. There is one for each slug that
// could be a server's, so that it tells nobody which servers exist.
func (l *Listener) Metadata() http.Handler {
	return l.Named(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Access-Control-Allow-Origin", "*") // It is the same for everybody.
		switch r.Method {
		case http.MethodOptions:
			header.Set("Access-Control-Allow-Methods", "GET")
			header.Set("Access-Control-Allow-Headers", "mcp-protocol-version, content-type, accept")
			header.Set("Access-Control-Max-Age", "600")
			w.WriteHeader(http.StatusNoContent)
			return
		case http.MethodGet, http.MethodHead:
		default:
			header.Set("Allow", "GET, HEAD, OPTIONS")
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		document := l.metadata(r)
		if document == nil {
			http.Error(w, "There is no metadata here: no issuer of tokens is configured, so use an API key; or this is no endpoint's path. That of /mcp would be at "+MetadataPath+"/mcp.", http.StatusNotFound)
			return
		}
		body, err := json.Marshal(document)
		if err != nil {
			http.Error(w, "The metadata cannot be written.", http.StatusInternalServerError)
			return
		}
		header.Set("Content-Type", "application/json")
		header.Set("Cache-Control", "max-age=60")
		_, _ = w.Write(body) // If that fails, the client has gone.
	}))
}

// metadata returns the metadata that a request asks for; nil if there is none.
func (l *Listener) metadata(r *http.Request) *metadata {
	path, _ := strings.CutPrefix(r.URL.Path, MetadataPath)
	index, base := l.config.Current(), l.base(r)
	if server, ok := endpoint(path); !ok || server != "" && !mcp.ValidSlug(server) || index == nil || base == "" {
		return nil
	}
	issuers := index.Credentials().Issuers()
	if issuers.Len() == 0 {
		return nil
	}
	m := &metadata{Resource: base + path, ScopesSupported: commonScopes(issuers), BearerMethods: []string{"header"}, Name: "Warder"}
	for _, issuer := range issuers.Sorted() {
		m.AuthorizationServers = append(m.AuthorizationServers, issuer.Item.GetUrl())
	}
	return m
}

// commonScopes are what clients are told to ask for where they have not chosen an
// issuer yet: only what all issuers have, or one would be asked for what it does not
// know.
func commonScopes(issuers *token.Issuers) []string {
	var common []string
	for i, issuer := range issuers.Sorted() {
		scopes := slices.Clone(issuer.Item.GetScopes())
		if i > 0 {
			scopes = slices.DeleteFunc(scopes, func(s string) bool { return !slices.Contains(common, s) })
		}
		common = scopes
	}
	return common
}

// challenge is the WWW-Authenticate header that goes with a refusal (mcp.md 3);
// empty means none. Where tokens are taken, it leads to the metadata.
func (x *exchange) challenge(refused *credential.Refusal) string {
	if refused.Status != http.StatusUnauthorized && refused.Status != http.StatusForbidden {
		return ""
	}
	var parts []string
	add := func(name, value string) {
		if value != "" {
			parts = append(parts, name+`="`+value+`"`)
		}
	}
	base, issuers := x.base(x.r), x.index.Credentials().Issuers()
	leads := issuers.Len() > 0 && base != "" && (x.server == "" || mcp.ValidSlug(x.server))
	if !leads {
		add("realm", "warder")
	}
	add("error", refused.Error)
	if refused.Error != "" {
		add("error_description", refused.Text)
	}
	if leads {
		add("resource_metadata", base+MetadataPath+(&url.URL{Path: x.r.URL.Path}).EscapedPath())
		scopes := refused.Scopes
		if len(scopes) == 0 {
			scopes = commonScopes(issuers)
		}
		add("scope", strings.Join(scopes, " "))
	}
	return "Bearer " + strings.Join(parts, ", ")
}
