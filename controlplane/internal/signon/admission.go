package signon

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/warder-gateway/warder/controlplane/internal/login"
	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/mcp"
)

// errUnchanged rolls back where a person came back as he was.
var errUnchanged = errors.New("nothing has changed")

// admit makes the person the user whom his subject stands for, with the groups he
// has and the roles that they give, and returns the user's name. Who gets no role
// loses what he had, and is refused.
func (s *SignOn) admit(ctx context.Context, p *Provider, who *person) (name string, err error) {
	var a *admission
	_, err = s.Store.Change(ctx, "provider:"+p.Name, func(tx *store.Tx) error {
		a = &admission{tx: tx, provider: p, who: who}
		return a.run(ctx)
	})
	switch {
	case err != nil && !errors.Is(err, errUnchanged):
		return "", fmt.Errorf("admit by provider %s: %w", p.Name, err)
	case len(a.roles) == 0:
		return "", fault.Newf(fault.Denied, "none of your groups at %s has a role here; ask an owner; 'warder provider set %s' gives roles to groups, anew to all of them each time", p.Name, p.Name)
	}
	return a.user.Name, nil
}

// admission is one transaction of admit.
type admission struct {
	tx       *store.Tx
	provider *Provider
	who      *person

	user  db.GetProviderSubjectRow
	roles []string // that the groups give
	fresh bool     // the user was made by this
}

// run finds or makes the user, and gives him what is his. It returns errUnchanged
// where that is what he has.
func (a *admission) run(ctx context.Context) error {
	if err := a.tx.LockUsers(ctx); err != nil {
		return err
	}
	if err := a.readRoles(ctx); err != nil {
		return err
	}
	user, err := a.tx.GetProviderSubject(ctx, db.GetProviderSubjectParams{Provider: a.provider.Name, Subject: a.who.subject})
	switch {
	case fault.Is(err, fault.NotFound) && len(a.roles) == 0:
		return errUnchanged // Nobody is made who could not come in.
	case fault.Is(err, fault.NotFound):
		err = a.makeUser(ctx)
	case err == nil && user.DisabledAt != nil:
		return fault.New(fault.Denied, "your account here is disabled; ask an owner")
	case err == nil:
		a.user = user
	}
	if err != nil {
		return err
	}
	return a.give(ctx)
}

// readRoles finds out what the groups give. The provider must still be the one
// by which the person proved himself.
func (a *admission) readRoles(ctx context.Context) error {
	row, err := a.tx.LockProvider(ctx, a.provider.Name)
	if err != nil {
		return store.Missing(err, "such provider any more")
	}
	if row.URL != a.provider.URL || row.ClientID != a.provider.ClientID {
		return fault.New(fault.Conflict, "the provider was changed at this moment; begin again")
	}
	given, err := a.tx.ListProviderGroupRoles(ctx, a.provider.Name)
	if err != nil {
		return err
	}
	for _, g := range given {
		if slices.Contains(a.who.groups, g.GroupName) {
			a.roles = append(a.roles, g.Role)
		}
	}
	slices.Sort(a.roles)
	a.roles = slices.Compact(a.roles)
	return nil
}

// makeUser makes a user of the name that the provider says. One who exists is
// somebody else until an administrator says that he is not.
func (a *admission) makeUser(ctx context.Context) error {
	if a.who.noName != nil {
		return a.who.noName
	}
	_, err := a.tx.GetUser(ctx, a.who.name)
	if err == nil {
		return fault.Newf(fault.Denied, "a user %s exists here already, and is not this account of %s; if it is you, an owner can say so: warder provider link %s %s --subject '%s'",
			a.who.name, a.provider.Name, a.provider.Name, a.who.name, mcp.EscapeName(a.who.subject, maxShown))
	}
	if !fault.Is(err, fault.NotFound) {
		return err
	}
	a.user.Name, a.fresh = a.who.name, true
	row, err := a.tx.InsertUser(ctx, db.InsertUserParams{Name: a.who.name, Provider: a.provider.Name})
	if err != nil {
		return err
	}
	a.user.ID = row.ID
	return a.tx.InsertProviderSubject(ctx, db.InsertProviderSubjectParams{
		Provider: a.provider.Name, Subject: a.who.subject, UserID: a.user.ID,
	})
}

// give sets the user's groups and roles, and records it if they are others.
func (a *admission) give(ctx context.Context) error {
	if !a.fresh && slices.Equal(a.user.Roles, a.roles) && slices.Equal(a.user.Groups, a.who.groups) {
		return errUnchanged
	}
	err := a.tx.SetProviderUser(ctx, db.SetProviderUserParams{ID: a.user.ID, Groups: a.who.groups, Provider: a.provider.Name})
	if err != nil {
		return err
	}
	if err := a.tx.DeleteUserRoles(ctx, a.user.ID); err != nil {
		return err
	}
	roles := append([]string{}, a.roles...)
	if err := a.tx.InsertUserRoles(ctx, db.InsertUserRolesParams{UserID: a.user.ID, Roles: roles}); err != nil {
		return err
	}
	if err := a.keptAnOwner(ctx); err != nil {
		return err
	}
	if len(roles) == 0 {
		_, err := a.tx.DeleteProviderSessions(ctx, db.DeleteProviderSessionsParams{Provider: a.provider.Name, UserID: &a.user.ID})
		if err != nil {
			return err
		}
	}
	action := "user.update"
	if a.fresh {
		action = "user.create"
	}
	a.tx.Record(action, a.user.Name, map[string]any{"provider": a.provider.Name, "roles": roles, "groups": a.who.groups})
	return nil
}

// keptAnOwner refuses to let groups take the role of the last owner who can sign
// in: nobody would be left to put it right.
func (a *admission) keptAnOwner(ctx context.Context) error {
	if !slices.Contains(a.user.Roles, login.RoleOwner) {
		return nil
	}
	left, err := a.tx.AdministratorExists(ctx)
	if err != nil || left {
		return err
	}
	return fault.Newf(fault.Precondition, "you are the last owner, and your groups at %s do not give that role; on the machine itself, give it to one of them: warder provider set %s --group-role GROUP=owner",
		a.provider.Name, a.provider.Name)
}
