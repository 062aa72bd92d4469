// Package gatetest makes snapshots for tests: a small world of servers, tools,
// people and rules, to which a test adds what it is about.
package gatetest

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/dataplane/internal/gate"
	"github.com/warder-gateway/warder/internal/apikey"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/snapshot"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// Pepper keys the hashes of the keys that a World makes.
var Pepper = []byte("the pepper of all test worlds...")

// World is a list of items in the making.
type World struct {
	t     testing.TB
	Items []*snapshotv1.Item
}

// New returns a world with settings and nothing else.
func New(t testing.TB) *World {
	w := &World{t: t}
	w.Add(&snapshotv1.Item{Kind: &snapshotv1.Item_Settings{Settings: &snapshotv1.Settings{
		KeyPepper: Pepper,
		DigestKey: []byte("the digest key of all test worlds"),
		SealKeys:  []*snapshotv1.SealKey{{Key: []byte("the seal key of all test worlds."), SealsFrom: timestamppb.New(time.Unix(0, 0))}},
	}}})
	return w
}

// Add adds an item.
func (w *World) Add(item *snapshotv1.Item) { w.Items = append(w.Items, item) }

// Server adds a server with tools that read, at positions in the order given.
func (w *World) Server(slug string, tools ...string) {
	w.Add(&snapshotv1.Item{Kind: &snapshotv1.Item_Server{Server: &snapshotv1.Server{
		Name: slug, Url: "http://127.0.0.1:1/" + slug, Private: true,
	}}})
	for i, tool := range tools {
		item := w.Tool(slug, tool, snapshotv1.Risk_RISK_READ)
		item.Position = uint32(i)
	}
}

// Tool adds a tool and returns it, to be changed before Set is called.
func (w *World) Tool(slug, name string, risk snapshotv1.Risk) *snapshotv1.Tool {
	tool := &snapshotv1.Tool{
		Server:         slug,
		Name:           name,
		ExposedName:    mcp.ExposedName(slug, name),
		Definition:     Definition(name),
		DefinitionHash: make([]byte, 32),
		Risk:           risk,
	}
	w.Add(&snapshotv1.Item{Kind: &snapshotv1.Item_Tool{Tool: tool}})
	return tool
}

// Prompt adds a prompt that reads and returns it, to be changed before Set is
// called.
func (w *World) Prompt(slug, name string) *snapshotv1.Prompt {
	prompt := &snapshotv1.Prompt{
		Server:         slug,
		Name:           name,
		ExposedName:    mcp.ExposedName(slug, name),
		Definition:     Definition(name),
		DefinitionHash: make([]byte, 32),
		Risk:           snapshotv1.Risk_RISK_READ,
	}
	w.Add(&snapshotv1.Item{Kind: &snapshotv1.Item_Prompt{Prompt: prompt}})
	return prompt
}

// Resource adds a resource that reads and returns it, to be changed before Set is
// called.
func (w *World) Resource(slug, uri string) *snapshotv1.Resource {
	resource := &snapshotv1.Resource{
		Server:         slug,
		Uri:            uri,
		Definition:     named("uri", uri),
		DefinitionHash: make([]byte, 32),
		Risk:           snapshotv1.Risk_RISK_READ,
	}
	w.Add(&snapshotv1.Item{Kind: &snapshotv1.Item_Resource{Resource: resource}})
	return resource
}

// Template adds a template of resources that read and returns it, to be changed
// before Set is called.
func (w *World) Template(slug, text string) *snapshotv1.Template {
	template := &snapshotv1.Template{
		Server:         slug,
		UriTemplate:    text,
		Definition:     named("uriTemplate", text),
		DefinitionHash: make([]byte, 32),
		Risk:           snapshotv1.Risk_RISK_READ,
	}
	w.Add(&snapshotv1.Item{Kind: &snapshotv1.Item_Template{Template: template}})
	return template
}

func named(member, text string) []byte {
	return fmt.Appendf(nil, `{"name":"x", "%s" : %s,"size":12345678901234567890}`, member, mcp.AppendString(nil, text))
}

// Definition returns a definition with members that nobody knows, and white
// space and numbers that nobody may touch.
func Definition(name string) []byte {
	return fmt.Appendf(nil, `{ "x-first": 1.10, "name":%s,"inputSchema":{"type":"object","name":"inner"}, "huge":12345678901234567890 }`,
		mcp.AppendString(nil, name))
}

// Role adds a role that grants tools by globs; without any, everything of all
// kinds.
func (w *World) Role(name string, globs ...string) {
	w.Add(&snapshotv1.Item{Kind: &snapshotv1.Item_Role{Role: &snapshotv1.Role{
		Name: name, Grants: []*snapshotv1.Grant{{Tools: globs}},
	}}})
}

// User adds a user.
func (w *World) User(name string, roles ...string) {
	w.Add(&snapshotv1.Item{Kind: &snapshotv1.Item_User{User: &snapshotv1.User{Name: name, Roles: roles}}})
}

// Rule adds a rule.
func (w *World) Rule(rule *snapshotv1.Rule) {
	w.Add(&snapshotv1.Item{Kind: &snapshotv1.Item_Rule{Rule: rule}})
}

// Limit adds a limit.
func (w *World) Limit(limit *snapshotv1.Limit) {
	w.Add(&snapshotv1.Item{Kind: &snapshotv1.Item_Limit{Limit: limit}})
}

// Deny adds an entry of the deny overlay.
func (w *World) Deny(kind snapshotv1.DenyKind, name, reason string) {
	w.Add(&snapshotv1.Item{Kind: &snapshotv1.Item_Deny{Deny: &snapshotv1.Deny{Kind: kind, Name: name, Reason: reason}}})
}

// Key adds a key and returns it in the clear. A zero expiry means none.
func (w *World) Key(user, application string, expires time.Time) apikey.Key {
	w.t.Helper()
	key, err := apikey.New()
	if err != nil {
		w.t.Fatal(err)
	}
	item := &snapshotv1.Key{Id: key.ID, Hash: apikey.Hash(Pepper, key.Secret), User: user, Application: application}
	if !expires.IsZero() {
		item.ExpiresAt = timestamppb.New(expires)
	}
	w.Add(&snapshotv1.Item{Kind: &snapshotv1.Item_Key{Key: item}})
	return key
}

// Set returns the snapshot of what has been added, at a revision.
func (w *World) Set(revision uint64) *snapshot.Set {
	w.t.Helper()
	set, err := snapshot.New("test-epoch", revision, w.Items)
	if err != nil {
		w.t.Fatal(err)
	}
	return set
}

// Index returns the index of what has been added, at a revision.
func (w *World) Index(revision uint64) *gate.Index {
	w.t.Helper()
	index, err := gate.Build(w.Set(revision))
	if err != nil {
		w.t.Fatal(err)
	}
	return index
}
