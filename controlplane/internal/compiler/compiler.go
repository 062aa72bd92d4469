// Package compiler turns rows into a snapshot.
//
//	store.Rows (one state of the database) + secrets ──▶ items ──▶ snapshot.Set ──▶ publisher
//
// It is pure: the same rows and secrets give the same bytes and the same digest,
// in every replica and at any time. It is total in the other direction: what it
// does not understand (a risk, a kind of deny, a policy that does not parse) is
// an error that names it, and the snapshot that nodes have stays in force, but for
// what the rows take away (Restrict). It never guesses, and never leaves out what
// might forbid something.
package compiler

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/controlplane/internal/catalog"
	"github.com/warder-gateway/warder/controlplane/internal/header"
	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/policy"
	"github.com/warder-gateway/warder/internal/risk"
	"github.com/warder-gateway/warder/internal/seal"
	"github.com/warder-gateway/warder/internal/snapshot"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// Secrets are what a snapshot holds besides rows.
type Secrets struct {
	// Keys open the headers of servers and the seal keys.
	Keys *seal.Vault
	// Pepper and DigestKey become the settings.
	Pepper, DigestKey []byte
}

// Compile returns the snapshot of rows. The set shares no memory with rows that
// anybody changes.
func Compile(rows *store.Rows, secrets Secrets) (*snapshot.Set, error) {
	items, err := Items(rows, secrets)
	if err != nil {
		return nil, fmt.Errorf("compile revision %d: %w", rows.Revision, err)
	}
	set, err := snapshot.New(rows.Epoch, rows.Revision, items)
	if err != nil {
		return nil, fmt.Errorf("compile revision %d: %w", rows.Revision, err)
	}
	return set, nil
}

// Items returns the items of a snapshot, in the order of the rows. The policy
// among them compiles: a node would refuse what does not.
func Items(rows *store.Rows, secrets Secrets) ([]*snapshotv1.Item, error) {
	var b builder
	b.servers(rows.Servers, instructionsOf(rows.Entries), secrets.Keys)
	b.entries(rows.Entries)
	b.withheld(rows.Withheld)
	b.roles(rows.Roles, rows.Grants)
	b.users(rows.Users)
	b.keys(rows.Keys)
	b.issuers(rows.Issuers, rows.GroupRoles)
	b.denies(rows.Denies)
	b.policy(rows.Policy)
	b.checkPolicy(rows.Revision)
	b.add(&snapshotv1.Item{Kind: &snapshotv1.Item_Settings{Settings: &snapshotv1.Settings{
		KeyPepper: secrets.Pepper,
		DigestKey: secrets.DigestKey,
		SealKeys:  b.sealKeys(rows.SealKeys, secrets.Keys),
	}}})
	if b.err != nil {
		return nil, b.err
	}
	return b.items, nil
}

// builder collects items up to the first error, after which it does nothing.
type builder struct {
	items []*snapshotv1.Item
	err   error

	compiledRules  []*snapshotv1.Rule
	compiledLimits []*snapshotv1.Limit
	compiledRoles  []*snapshotv1.Role
	compiledDenies []*snapshotv1.Deny
}

// add appends an item.
func (b *builder) add(item *snapshotv1.Item) { b.items = append(b.items, item) }

// fail keeps the first error.
func (b *builder) fail(format string, args ...any) {
	if b.err == nil {
		b.err = fmt.Errorf(format, args...)
	}
}

// servers adds every server, with its headers opened and the instructions that
// people approved.
func (b *builder) servers(rows []db.ListServerItemsRow, instructions map[string][]byte, keys *seal.Vault) {
	for _, row := range rows {
		headers, err := header.Open(keys, row.Name, row.HeadersSealed)
		if err != nil {
			b.fail("%w", err)
			return
		}
		server := &snapshotv1.Server{
			Name: row.Name, Url: row.URL, Private: row.Private, Headers: headers, ProtocolVersion: row.ProtocolVersion,
			Capabilities: row.Capabilities, CaCertificates: []byte(row.CaCertificates), MaxInFlight: uint32(row.MaxInFlight),
			Agent: row.Agent,
		}
		if row.Agent != "" {
			server.Url = "" // Of concern to the agent alone, which has it.
		}
		if definition, found := instructions[row.Name]; found {
			if server.Instructions, err = catalog.InstructionsText(definition); err != nil {
				b.fail("instructions of %s: %w", row.Name, err)
			}
		}
		if row.CallTimeoutMs > 0 {
			server.CallTimeout = durationpb.New(time.Duration(row.CallTimeoutMs) * time.Millisecond)
		}
		b.add(&snapshotv1.Item{Kind: &snapshotv1.Item_Server{Server: server}})
	}
}

// risk reads a category; of names what it belongs to.
func (b *builder) risk(name, of string) snapshotv1.Risk {
	category, err := risk.Parse(name)
	if err != nil {
		b.fail("%s: %w", of, err)
	}
	return category
}

// roles adds every role with its grants.
func (b *builder) roles(rows []db.Role, grants []db.RoleGrant) {
	byRole := make(map[string][]*snapshotv1.Grant, len(rows))
	for _, g := range grants {
		grant := &snapshotv1.Grant{Tools: g.Tools, Prompts: g.Prompts, Resources: g.Resources}
		for _, name := range g.Risks {
			grant.Risks = append(grant.Risks, b.risk(name, "role "+g.Role))
		}
		byRole[g.Role] = append(byRole[g.Role], grant)
	}
	for _, row := range rows {
		role := &snapshotv1.Role{Name: row.Name, Grants: byRole[row.Name]}
		b.compiledRoles = append(b.compiledRoles, role)
		b.add(&snapshotv1.Item{Kind: &snapshotv1.Item_Role{Role: role}})
	}
}

// users adds the users that hold keys.
func (b *builder) users(rows []db.ListUserItemsRow) {
	for _, row := range rows {
		b.add(&snapshotv1.Item{Kind: &snapshotv1.Item_User{User: &snapshotv1.User{Name: row.Name, Roles: row.Roles, Groups: row.Groups}}})
	}
}

// keys adds the keys that are not revoked. Nodes compare the time of expiry.
func (b *builder) keys(rows []db.ListKeyItemsRow) {
	for _, row := range rows {
		key := &snapshotv1.Key{Id: row.ID, Hash: row.Hash, User: row.UserName, Application: row.Application, Servers: row.Servers}
		if row.ExpiresAt != nil {
			key.ExpiresAt = timestamppb.New(*row.ExpiresAt)
		}
		b.add(&snapshotv1.Item{Kind: &snapshotv1.Item_Key{Key: key}})
	}
}

// denyKinds are the kinds of the deny table.
var denyKinds = map[string]snapshotv1.DenyKind{
	"key":         snapshotv1.DenyKind_DENY_KIND_KEY,
	"user":        snapshotv1.DenyKind_DENY_KIND_USER,
	"application": snapshotv1.DenyKind_DENY_KIND_APPLICATION,
	"server":      snapshotv1.DenyKind_DENY_KIND_SERVER,
	"tool":        snapshotv1.DenyKind_DENY_KIND_TOOL,
	"all":         snapshotv1.DenyKind_DENY_KIND_ALL,
	"token":       snapshotv1.DenyKind_DENY_KIND_TOKEN,
	"agent":       snapshotv1.DenyKind_DENY_KIND_AGENT,
	"node":        snapshotv1.DenyKind_DENY_KIND_NODE,
}

// denies adds the deny overlay: each thing once, whatever the number of causes, in
// the words of the first.
func (b *builder) denies(rows []db.Deny) {
	for i, row := range rows {
		if i > 0 && row.Kind == rows[i-1].Kind && row.Name == rows[i-1].Name {
			continue
		}
		kind, known := denyKinds[row.Kind]
		if !known {
			b.fail("deny of %q: kind %q is not known", row.Name, row.Kind)
			return
		}
		deny := &snapshotv1.Deny{Kind: kind, Name: row.Name, Reason: row.Reason}
		if row.IssuedBefore != nil {
			deny.IssuedBefore = timestamppb.New(*row.IssuedBefore)
		}
		b.compiledDenies = append(b.compiledDenies, deny)
		b.add(&snapshotv1.Item{Kind: &snapshotv1.Item_Deny{Deny: deny}})
	}
}

// policy adds the rules and limits of the document in force.
func (b *builder) policy(row *db.PolicyVersion) {
	if row == nil {
		return
	}
	document, err := policy.ParseDocument([]byte(row.Document))
	if err != nil {
		b.fail("policy version %d: %w", row.Version, err)
		return
	}
	b.compiledRules = document.Rules
	for _, rule := range document.Rules {
		b.add(&snapshotv1.Item{Kind: &snapshotv1.Item_Rule{Rule: rule}})
	}
	b.compiledLimits = document.Limits
	for _, limit := range document.Limits {
		b.add(&snapshotv1.Item{Kind: &snapshotv1.Item_Limit{Limit: limit}})
	}
}

// checkPolicy compiles rules, roles and denies as a node will.
func (b *builder) checkPolicy(revision uint64) {
	if b.err != nil {
		return
	}
	if _, err := policy.Compile(revision, b.compiledRules, b.compiledRoles, b.compiledDenies, b.compiledLimits...); err != nil {
		b.fail("policy: %w", err)
	}
}
