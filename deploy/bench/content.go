package main

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/internal/apikey"
	"github.com/warder-gateway/warder/internal/snapshot"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// content is what the snapshots of a run are made of.
type content struct {
	load    string   // key of the load; it sees the echo servers
	lister  string   // of whoever sees the catalogue
	some    string   // of whoever sees filteredTools of it
	holders []string // of those who hold sessions: a key may have few streams

	items []*snapshotv1.Item
}

// pepper is the secret of all that is keyed; nothing here is one.
var pepper = make([]byte, 32)

const (
	// standardSuffix ends the slugs of the echo servers of net/http.
	standardSuffix = "-standard"

	// catalogueTools is how many tools there are that nobody calls.
	catalogueTools = 1000
	// filteredTools is how many of them match catalogue/tool-9*.
	filteredTools = 100

	// perHolder is how many sessions are held by one key.
	perHolder = 50
)

// echoServers are the servers that the echo plays, by slug, and the protocol
// version that each speaks.
var echoServers = map[string]string{
	"legacy-json": "2025-11-25", "legacy-sse": "2025-11-25", "modern-json": "2026-07-28", "modern-sse": "2026-07-28",
}

// newContent makes what each snapshot has: the echo servers, a catalogue, users
// with keys, and a policy of which the last of ten rules allows the calls.
func newContent(echo, standard string, sessions int) (*content, error) {
	c := &content{items: []*snapshotv1.Item{
		{Kind: &snapshotv1.Item_Settings{Settings: &snapshotv1.Settings{
			KeyPepper: pepper, DigestKey: pepper, SealKeys: []*snapshotv1.SealKey{{Key: pepper, SealsFrom: timestamppb.New(time.Now().Add(-time.Hour))}},
		}}},
		{Kind: &snapshotv1.Item_Role{Role: &snapshotv1.Role{Name: "nothing"}}},
	}}
	c.add(role("all", "catalogue/*"), role("some", "catalogue/tool-9*"), role("large", "large-*/*"),
		user("load", "nothing"), user("lister", "all"), user("some", "some"))
	keys := []*string{&c.load, &c.lister, &c.some}
	owners := []string{"load", "lister", "some"}
	c.holders = make([]string, (sessions+perHolder-1)/perHolder)
	for i := range c.holders {
		keys, owners = append(keys, &c.holders[i]), append(owners, "load")
	}
	for i, owner := range owners {
		key, err := apikey.New()
		if err != nil {
			return nil, err
		}
		*keys[i] = key.String()
		c.add(keyItem(key, owner))
	}
	for slug, version := range echoServers {
		path := "/" + strings.Replace(slug, "-", "/", 1)
		c.add(echoServer("http://"+echo+path, slug, version)...)
		c.add(echoServer("http://"+standard+standardPrefix+path, slug+standardSuffix, version)...)
	}
	c.add(catalogue("http://"+echo+"/legacy/json", "catalogue", catalogueTools, "")...)
	c.add(rules()...)
	return c, nil
}

func (c *content) add(items ...*snapshotv1.Item) { c.items = append(c.items, items...) }

// set returns a snapshot of the content and of more.
func (c *content) set(revision uint64, more ...*snapshotv1.Item) (*snapshot.Set, error) {
	return snapshot.New("bench", revision, append(c.items[:len(c.items):len(c.items)], more...))
}

// rules are ten, of which the last allows the load what it does.
func rules() []*snapshotv1.Item {
	var items []*snapshotv1.Item
	for i := range 10 {
		rule := &snapshotv1.Rule{
			Id: fmt.Sprintf("rule-%d", i), Name: fmt.Sprintf("rule-%d", i), Priority: int32(i),
			Effect: snapshotv1.Effect_EFFECT_DENY, Reason: "not this one", Tools: []string{fmt.Sprintf("other-%d/*", i)},
		}
		if i == 9 {
			rule.Effect, rule.Tools = snapshotv1.Effect_EFFECT_ALLOW, []string{"legacy-*/*", "modern-*/*"}
			rule.Users = []string{"load"}
		}
		items = append(items, &snapshotv1.Item{Kind: &snapshotv1.Item_Rule{Rule: rule}})
	}
	return items
}

func role(name string, tools ...string) *snapshotv1.Item {
	return &snapshotv1.Item{Kind: &snapshotv1.Item_Role{Role: &snapshotv1.Role{Name: name, Grants: []*snapshotv1.Grant{{Tools: tools}}}}}
}

func user(name, role string) *snapshotv1.Item {
	return &snapshotv1.Item{Kind: &snapshotv1.Item_User{User: &snapshotv1.User{Name: name, Roles: []string{role}}}}
}

func keyItem(key apikey.Key, user string) *snapshotv1.Item {
	return &snapshotv1.Item{Kind: &snapshotv1.Item_Key{Key: &snapshotv1.Key{
		Id: key.ID, Hash: apikey.Hash(pepper, key.Secret), User: user, Application: "bench",
	}}}
}

// catalogue returns the items of a server with many tools of usual size, so that
// a node holds what a node holds. The mark is in each description.
func catalogue(url, slug string, tools int, mark string) []*snapshotv1.Item {
	items := []*snapshotv1.Item{{Kind: &snapshotv1.Item_Server{Server: &snapshotv1.Server{
		Name: slug, Url: url, Private: true, ProtocolVersion: "2025-11-25",
	}}}}
	about := mark + strings.Repeat("What this tool does and when to use it. ", 12)
	for i := range tools {
		name := fmt.Sprintf("tool-%03d", i)
		items = append(items, tool(slug, name, `{"name":"`+name+`","description":"`+about+
			`","inputSchema":{"type":"object","properties":{"path":{"type":"string"},"limit":{"type":"integer"}}}}`))
	}
	return items
}

func tool(slug, name, definition string) *snapshotv1.Item {
	return &snapshotv1.Item{Kind: &snapshotv1.Item_Tool{Tool: &snapshotv1.Tool{
		Server: slug, Name: name, ExposedName: slug + "__" + name, Risk: snapshotv1.Risk_RISK_READ,
		Definition: []byte(definition), DefinitionHash: make([]byte, 32),
	}}}
}

// echoServer returns the items of one server.
func echoServer(url, slug, version string) []*snapshotv1.Item {
	return []*snapshotv1.Item{
		{Kind: &snapshotv1.Item_Server{Server: &snapshotv1.Server{Name: slug, Url: url, Private: true, ProtocolVersion: version}}},
		tool(slug, "echo", `{"name":"echo","inputSchema":{"type":"object"}}`),
	}
}

// perServer is how many tools a server of the large snapshot has.
const perServer = 200

// large returns the items of so many tools and keys. Those of another mark differ
// in one server's tools.
func large(url string, tools, keys int, mark string) []*snapshotv1.Item {
	var items []*snapshotv1.Item
	for i := 0; i < tools; i += perServer {
		items = append(items, catalogue(url, fmt.Sprintf("large-%d", i/perServer), min(perServer, tools-i), mark)...)
		mark = "" // but for the first
	}
	for i := range keys {
		name := fmt.Sprintf("user-%d", i)
		key := apikey.Key{ID: fmt.Sprintf("%012d", i), Secret: name} // nobody uses it
		items = append(items, user(name, []string{"large", "some"}[i%2]), keyItem(key, name))
	}
	return items
}
