package admin

import (
	"context"
	"fmt"
	"slices"

	"github.com/warder-gateway/warder/controlplane/internal/login"
	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/policy"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// giver is the caller as far as he may give (security.md P-16): nobody gives what
// he does not hold himself. What one holds is
//
//   - the permissions and grants of one's roles, and
//   - the allow rules whose lists of users, roles and groups one is in.
//
// Not looked at are conditions of rules, and deny rules: whoever is denied
// something by his name or role may make a user whom it does not name. Lists of
// applications say nothing either, since whoever makes a key chooses one.
type giver struct {
	owner   bool
	caller  person
	power   login.Power
	powers  map[string]login.Power // of every role
	allowed []*snapshotv1.Rule     // allow rules that name users, roles or groups
}

// person is somebody as rules see him. An absent list is one that could hold
// anything.
type person struct {
	user          string
	roles, groups []string
}

// newGiver reads what the caller holds now. Read it in the transaction that gives.
func newGiver(ctx context.Context, q *db.Queries) (*giver, error) {
	c := login.From(ctx)
	if c.Local {
		return &giver{owner: true}, nil
	}
	row, err := q.GetUser(ctx, c.Name)
	if err != nil {
		return nil, fmt.Errorf("read caller: %w", err)
	}
	g := &giver{owner: slices.Contains(row.Roles, login.RoleOwner), caller: personOf(row)}
	if g.owner {
		return g, nil
	}
	if g.powers, err = readPowers(ctx, q); err != nil {
		return nil, err
	}
	for _, role := range row.Roles {
		g.power.Permissions = append(g.power.Permissions, g.powers[role].Permissions...)
		g.power.Grants = append(g.power.Grants, g.powers[role].Grants...)
	}
	g.allowed, err = readAllowed(ctx, q)
	return g, err
}

func personOf(row db.GetUserRow) person {
	return person{user: row.Name, roles: row.Roles, groups: sorted(row.Groups)}
}

// readPowers returns what each role carries.
func readPowers(ctx context.Context, q *db.Queries) (map[string]login.Power, error) {
	roles, err := readRoles(ctx, q)
	if err != nil {
		return nil, err
	}
	powers := make(map[string]login.Power, len(roles))
	for _, role := range roles {
		powers[role.GetName()] = powerOf(role)
	}
	return powers, nil
}

func powerOf(role *adminv1.Role) (p login.Power) {
	for _, name := range role.GetPermissions() {
		p.Permissions = append(p.Permissions, login.Permission(name))
	}
	for _, g := range role.GetGrants() {
		p.Grants = append(p.Grants, login.Grant{
			Tools: g.GetTools(), Prompts: g.GetPrompts(), Resources: g.GetResources(), Risks: g.GetRisks(),
		})
	}
	return p
}

// readAllowed returns the rules of the policy in force by which some may do what
// others may not.
func readAllowed(ctx context.Context, q *db.Queries) (rules []*snapshotv1.Rule, err error) {
	row, err := q.GetPolicy(ctx)
	if fault.Is(err, fault.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	document, err := policy.ParseDocument([]byte(row.Document))
	if err != nil {
		return nil, fmt.Errorf("read policy version %d: %w", row.Version, err)
	}
	for _, rule := range document.Rules {
		if rule.GetEffect() == snapshotv1.Effect_EFFECT_ALLOW && len(rule.GetUsers())+len(rule.GetRoles())+len(rule.GetGroups()) > 0 {
			rules = append(rules, rule)
		}
	}
	return rules, nil
}

// mayGive says whether the caller may make somebody what p is, or give away what p
// has: nil, or fault.Denied that names what he lacks.
func (g *giver) mayGive(p person) error {
	if g.owner {
		return nil
	}
	for _, role := range p.roles {
		if lacks := g.power.Lacks(g.powers[role]); lacks != "" {
			return fault.Newf(fault.Denied, "you do not hold %s, which the role %s has, so you cannot give it, nor act for who has it; ask an owner", lacks, role)
		}
	}
	for _, rule := range g.allowed {
		if p.in(rule) && !g.caller.in(rule) {
			return fault.Newf(fault.Denied, "you do not hold what the policy's rule %s allows to some by name, so you cannot give it, nor act for who has it; ask an owner", rule.GetName())
		}
	}
	return nil
}

// mayMake says whether the caller may make a role this, or change one that is so.
func (g *giver) mayMake(role *adminv1.Role) error {
	if g.owner {
		return nil
	}
	if lacks := g.power.Lacks(powerOf(role)); lacks != "" {
		return fault.Newf(fault.Denied, "you do not hold %s, so no role that has it is yours to make or to change; ask an owner", lacks)
	}
	return nil
}

// in reports whether the rule's lists of users, roles and groups hold the person.
func (p person) in(rule *snapshotv1.Rule) bool {
	return (p.user == "" || named(rule.GetUsers(), p.user)) && named(rule.GetRoles(), p.roles...) &&
		(p.groups == nil || named(rule.GetGroups(), p.groups...))
}

// named reports whether a list is absent or holds one of the names.
func named(list []string, names ...string) bool {
	return len(list) == 0 || slices.ContainsFunc(names, func(name string) bool { return slices.Contains(list, name) })
}

// mayGive says whether the caller may let roles be given to people who are not
// known yet: by groups that a provider or an issuer claims.
func mayGive(ctx context.Context, q *db.Queries, roles []string) error {
	g, err := newGiver(ctx, q)
	if err != nil || g.owner {
		return err
	}
	for _, role := range roles { // One at a time: any of them may be all that somebody gets.
		if _, found := g.powers[role]; !found {
			return store.Missing(fault.New(fault.NotFound, "not found"), fmt.Sprintf("role %q; 'warder role list' shows the roles", role))
		}
		if err := g.mayGive(person{roles: []string{role}}); err != nil {
			return err
		}
	}
	return nil
}

// mayActFor says whether the caller may make keys for the user, or do with him
// what would let the caller, or somebody else, act as him.
func mayActFor(ctx context.Context, q *db.Queries, user db.GetUserRow) error {
	g, err := newGiver(ctx, q)
	if err != nil {
		return err
	}
	return g.mayGive(personOf(user))
}
