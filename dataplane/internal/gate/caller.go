package gate

import (
	"slices"
	"sync"

	"github.com/warder-gateway/warder/dataplane/internal/credential"
	"github.com/warder-gateway/warder/dataplane/internal/token"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/policy"
	"github.com/warder-gateway/warder/internal/principal"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// callers is what an index knows of who may call.
type callers struct {
	users map[string]*snapshotv1.User
	// lost are users that were set aside: who bears a token of that name is not let
	// in, for what his roles were meant to keep him from is not known.
	lost map[string]bool

	mu sync.Mutex
	// profiles are shared by callers whom the policy cannot tell apart.
	profiles map[*policy.Profile]*Profile
}

// maxTokenProfiles bounds the profiles that an index keeps. Callers by token who
// come after get profiles of their own, which are let go with their tokens.
const maxTokenProfiles = 1 << 14

// profileOf returns the profile of a principal.
func (x *core) profileOf(p *principal.Principal) *Profile {
	seen := x.policy.Profile(p)
	x.callers.mu.Lock()
	defer x.callers.mu.Unlock()
	if profile := x.callers.profiles[seen]; profile != nil {
		return profile
	}
	made := &Profile{index: x, policy: seen, memos: new(memos)}
	if len(x.callers.profiles) < maxTokenProfiles {
		x.callers.profiles[seen] = made
	}
	return made
}

// addIssuers has the table of credentials take tokens of the issuers.
func (b *builder) addIssuers(users map[string]*snapshotv1.User) {
	known := &b.index.callers
	known.users, known.lost = users, make(map[string]bool)
	for _, user := range b.users {
		known.lost[user.GetName()] = users[user.GetName()] == nil
	}
	var usable []*token.Issuer
	for _, item := range b.issuers {
		issuer, err := b.issuer(item)
		if err != "" {
			b.setAside("issuer", item.GetName(), err)
			continue
		}
		usable = append(usable, issuer)
	}
	b.index.keys.Trust(b.distinctIssuers(usable), b.index.admit)
}

// issuer returns an issuer, or why it is set aside.
func (b *builder) issuer(item *snapshotv1.Issuer) (*token.Issuer, string) {
	for _, given := range item.GetGroupRoles() {
		if !slices.ContainsFunc(b.roles, func(r *snapshotv1.Role) bool { return r.GetName() == given.GetRole() }) {
			return nil, "its role " + mcp.EscapeName(given.GetRole(), 64) + " does not exist"
		}
	}
	issuer, err := token.NewIssuer(item)
	if err != nil {
		return nil, err.Error()
	}
	return issuer, ""
}

// distinctIssuers sets all issuers aside if two have the same URL: whose settings a
// token falls under could not be told.
func (b *builder) distinctIssuers(usable []*token.Issuer) *token.Issuers {
	all, err := token.NewIssuers(usable)
	if err == nil {
		return all
	}
	for _, issuer := range usable {
		b.setAside("issuer", issuer.Name(), err.Error())
	}
	return nil
}

// admit makes a caller of a verified token. What the user of that name has here
// comes on top of what the token says: prefix or not, they are one person.
func (x *core) admit(t *token.Token) *credential.Caller {
	if x.callers.lost[t.User] {
		return nil
	}
	user := x.callers.users[t.User]
	p := &principal.Principal{
		User: t.User, Application: t.Application, Issuer: t.Issuer, TokenID: t.ID,
		Roles: union(user.GetRoles(), t.GroupRoles), Groups: union(user.GetGroups(), t.Groups),
	}
	return &credential.Caller{Principal: p, Standing: x.profileOf(p)}
}

// union returns the names of both lists, sorted, each once.
func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}
