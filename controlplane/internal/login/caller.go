package login

import (
	"context"
	"net/http"
	"slices"
)

// localName is the actor of what comes over the Unix socket. No user can have
// it: names of users begin with a letter or a digit.
const localName = "@local"

// Caller is who asks. The zero value is a stranger. It is immutable.
type Caller struct {
	// Name of the user; "@local" over the Unix socket; empty for a stranger.
	Name string
	// Roles by name.
	Roles []string
	// Local says that the request came over the Unix socket.
	Local bool
	// session is the session that the cookie named.
	session *Session
}

// LocalOwner is whoever may open the Unix socket of the data directory: as
// trusted as the files beside it.
func LocalOwner() Caller {
	return Caller{Name: localName, Roles: []string{RoleOwner}, Local: true}
}

// Anonymous reports whether nobody is signed in.
func (c Caller) Anonymous() bool { return c.Name == "" }

// Holds reports whether one of the caller's roles holds the permission.
func (c Caller) Holds(p Permission) bool {
	for _, role := range c.Roles {
		if slices.Contains(held[role], p) {
			return true
		}
	}
	return false
}

// Covers reports whether the caller may hand the role to somebody: an owner may
// hand out all, others only what they hold themselves (security.md P-16).
func (c Caller) Covers(role string) bool {
	for _, own := range c.Roles {
		if own == RoleOwner || own == role || slices.Contains(covered[own], role) {
			return true
		}
	}
	return false
}

type callerKey struct{}

// WithCaller returns a context that carries the caller.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// From returns the caller of a request; a stranger if nobody put one there.
func From(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}

// Local marks every request as the local owner's. It belongs on the Unix socket
// and nowhere else; who may open that socket, its file mode and the credentials
// of the peer decide.
func Local(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := WithCaller(r.Context(), LocalOwner())
		ctx = withOrigin(ctx, origin{address: localName, secure: true, loopback: true})
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}
