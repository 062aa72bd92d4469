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
	// Given are the permissions that those of his roles carry which are not built
	// in; of the others this package knows them.
	Given []Permission
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

// Holds reports whether one of the caller's roles carries the permission.
func (c Caller) Holds(p Permission) bool {
	for _, role := range c.Roles {
		if slices.Contains(held[role], p) {
			return true
		}
	}
	return slices.Contains(c.Given, p)
}

// Owner reports whether the caller holds everything there is.
func (c Caller) Owner() bool { return slices.Contains(c.Roles, RoleOwner) }

// Permissions returns the permissions that the caller holds, in the order of
// Permissions.
func (c Caller) Permissions() (permissions []Permission) {
	for _, d := range described {
		if c.Holds(d.Permission) {
			permissions = append(permissions, d.Permission)
		}
	}
	return permissions
}

// Session returns the session that the cookie named; nil over the Unix socket. It
// is not to be changed.
func (c Caller) Session() *Session { return c.session }

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
