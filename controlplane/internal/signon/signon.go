package signon

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/warder-gateway/warder/controlplane/internal/login"
	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/address"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/seal"
)

// Prefix is what the paths of this package begin with.
const Prefix = "/login/oidc/"

// Path returns where a browser goes to begin to sign in by a provider.
func Path(provider string) string { return Prefix + provider }

// Config is what a SignOn is made of. Store, Desk, Keys, CookieKey and Log are
// required.
type Config struct {
	Store *store.Store
	Desk  *login.Desk
	// Keys open the secrets of clients.
	Keys *seal.Vault
	// CookieKey seals what browsers carry to a provider and back; it is the same
	// for all replicas. 32 bytes. Secret.
	CookieKey []byte
	// PublicURL is the origin under which browsers reach the administration; empty:
	// nobody said, and nobody can sign in by a provider.
	PublicURL string
	Log       *slog.Logger
	Now       func() time.Time // nil: time.Now
}

// SignOn lets people sign in by providers. It is safe for concurrent use.
type SignOn struct {
	Config
	cookies *seal.Keyring
	peers   *peers
	now     func() time.Time
}

// New returns a SignOn.
func New(c Config) (*SignOn, error) {
	cookies, err := seal.NewKeyring(c.CookieKey)
	if err != nil {
		return nil, err
	}
	s := &SignOn{Config: c, cookies: cookies, now: c.Now}
	if s.now == nil {
		s.now = time.Now
	}
	s.peers = newPeers(s.now)
	return s, nil
}

// Check fetches the provider's metadata, and so finds out whether people could
// be sent there.
func (s *SignOn) Check(ctx context.Context, p Provider) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	peer, err := discover(ctx, p, s.now)
	if err != nil {
		return err
	}
	peer.transport.CloseIdleConnections()
	return nil
}

// RedirectURL returns what is registered at the provider; fault.Precondition if
// the administration does not know how browsers reach it.
func (s *SignOn) RedirectURL(provider string) (string, error) {
	if s.PublicURL == "" {
		return "", fault.New(fault.Precondition, "a provider sends people back to the address at which they reach the administration, "+
			"and nobody said which that is; start the control plane with --public-url https://HOST")
	}
	return s.PublicURL + Path(provider) + "/callback", nil
}

// provider reads a provider's settings.
func (s *SignOn) provider(ctx context.Context, name string) (Provider, error) {
	row, err := s.Store.GetProvider(ctx, name)
	if err != nil {
		return Provider{}, store.Missing(err, "provider of this name; go back to the sign-in page")
	}
	return FromRow(s.Keys, new(row))
}

// spend notes that a way was walked, and refuses one that was before.
func (s *SignOn) spend(ctx context.Context, w *way) error {
	if err := s.Store.DeleteExpiredSignOns(ctx); err != nil {
		return err
	}
	n, err := s.Store.SpendSignOn(ctx, db.SpendSignOnParams{StateHash: w.stateHash(), ExpiresAt: w.Expires})
	if err == nil && n == 0 {
		return errAstray()
	}
	return err
}

// ParsePublicURL returns the origin of a URL as browsers write it. It must be an
// origin and no more; http only for loopback.
func ParsePublicURL(raw string) (origin string, err error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http",
		u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path != "" && u.Path != "/":
		return "", fault.New(fault.Invalid, "--public-url must be an origin such as https://warder.example.com, without a path")
	case u.Scheme == "http" && !address.IsLoopback(u.Hostname()):
		return "", fault.New(fault.Invalid, "--public-url must begin with https://; http:// is for loopback alone")
	}
	return u.Scheme + "://" + strings.ToLower(u.Host), nil
}

// LoopbackURL returns the origin of an administration that listens on loopback;
// empty for any other address.
func LoopbackURL(listen string, secure bool) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil || !address.IsLoopback(host) {
		return ""
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		host = ip.Unmap().String()
	}
	scheme := "http"
	if secure {
		scheme = "https"
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

// atPublicURL reports whether a browser came by the public URL, to which its
// cookies belong.
func (s *SignOn) atPublicURL(r *http.Request) bool {
	_, host, _ := strings.Cut(s.PublicURL, "://")
	return strings.EqualFold(host, r.Host)
}
