package dashboard

import (
	"bytes"
	"crypto/rand"
	"io/fs"
	"net/http"
	"path"
	"strings"
)

const (
	indexName       = "index.html"
	placeholderName = "placeholder.html"

	// assetDir holds files whose names carry a hash of their content.
	assetDir = "assets/"

	// noncePlaceholder is what the built page has where a nonce must stand.
	// dashboard/index.html holds the same word.
	noncePlaceholder = "WARDER_CSP_NONCE"
)

// handler serves one built application. It is immutable after newHandler.
type handler struct {
	files fs.FS
	page  []byte
}

// newHandler reads the page once. It panics when files has neither the page nor
// its placeholder, which only a broken build can bring about.
func newHandler(files fs.FS) *handler {
	page, err := fs.ReadFile(files, indexName)
	if err != nil {
		page, err = fs.ReadFile(files, placeholderName)
	}
	if err != nil {
		panic("dashboard: neither page nor placeholder is embedded: " + err.Error())
	}
	return &handler{files: files, page: page}
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Referrer-Policy", "no-referrer")

	name := strings.TrimPrefix(path.Clean("/"+r.URL.Path), "/")
	if isPage(name) {
		h.servePage(w, r)
		return
	}
	h.serveFile(w, r, name)
}

// isPage reports whether a path belongs to the router in the browser rather
// than to a file. Files lie in assetDir, or at the top with an extension; a
// deeper path may hold dots, for it may name a user or a tool.
func isPage(name string) bool {
	switch {
	case name == indexName, name == placeholderName:
		return true
	case strings.HasPrefix(name+"/", assetDir):
		return false
	default:
		return strings.Contains(name, "/") || path.Ext(name) == ""
	}
}

// servePage answers with the page, made for this request alone: its nonce
// allows the style element that the component library writes, and no other.
func (h *handler) servePage(w http.ResponseWriter, r *http.Request) {
	nonce := rand.Text()
	body := bytes.ReplaceAll(h.page, []byte(noncePlaceholder), []byte(nonce))

	w.Header().Set("Content-Security-Policy", contentSecurityPolicy(nonce))
	w.Header().Set("Cross-Origin-Opener-Policy", "same-origin")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if r.Method == http.MethodHead {
		return
	}
	_, _ = w.Write(body) // The client left; nobody is there to tell.
}

// contentSecurityPolicy allows the application its own scripts, styles and API,
// and nothing else. Text of MCP servers is shown by it (security.md T-14), so
// no inline script and no foreign address may ever work.
func contentSecurityPolicy(nonce string) string {
	return strings.Join([]string{
		"default-src 'none'",
		"script-src 'self'",
		"style-src 'self' 'nonce-" + nonce + "'",
		"connect-src 'self'",
		"img-src 'self' data:",
		"font-src 'self'",
		"frame-ancestors 'none'",
		"base-uri 'none'",
		"form-action 'self'",
		"require-trusted-types-for 'script'",
		"trusted-types default", // src/trustedTypes.ts; it lets no markup pass.
	}, "; ")
}
