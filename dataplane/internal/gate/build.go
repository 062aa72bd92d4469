package gate

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/credential"
	"github.com/warder-gateway/warder/dataplane/internal/handle"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/policy"
	"github.com/warder-gateway/warder/internal/principal"
	"github.com/warder-gateway/warder/internal/snapshot"
	"github.com/warder-gateway/warder/internal/uri"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// Build makes an index of a snapshot. An error means that the snapshot must not
// be used; what makes one is in the package comment.
func Build(set *snapshot.Set) (*Index, error) { return (*Index)(nil).Next(set, func() {}) }

// Next makes an index of the snapshot that comes after that of x; nil is before the
// first. What was made of an item that is still the same is taken over, and the
// requests that x serves of a key are counted on. It calls breathe again and again, with
// a few microseconds of computing in between, so that it can share a processor.
func (x *Index) Next(set *snapshot.Set, breathe func()) (*Index, error) {
	b := builder{former: x, breathe: breathe}
	for key, item := range set.All() {
		b.breathe()
		if err := b.sort(item); err != nil {
			return nil, fmt.Errorf("read item %s: %w", key, err)
		}
	}
	compiled, err := policy.Compile(set.Revision(), b.rules, b.roles, nil, b.limits...)
	if err != nil {
		return nil, fmt.Errorf("compile policy: %w", err)
	}
	if err := checkSettings(b.settings); err != nil {
		return nil, err
	}
	sealer, err := handle.New(b.settings.GetSealKeys())
	if err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	b.index = &core{policy: compiled, limited: len(b.limits) > 0, sealer: sealer, sealKeys: b.settings.GetSealKeys()}
	b.index.setDigestKey(b.settings.GetDigestKey())
	b.addServers()
	b.addEntries()
	b.addKeys()
	b.index.sortMethods()
	b.index.prepare(b.breathe)
	index, err := b.index.withOverlay(set.Revision(), b.denies, nil)
	if err != nil {
		return nil, fmt.Errorf("compile denials: %w", err)
	}
	return index, nil
}

// builder sorts the items of a set by kind and makes an index of them.
type builder struct {
	former  *Index // nil: there is none
	breathe func()

	servers  []*snapshotv1.Server
	offers   []*snapshotv1.Item // tools, prompts, resources and templates
	rules    []*snapshotv1.Rule
	limits   []*snapshotv1.Limit
	roles    []*snapshotv1.Role
	users    []*snapshotv1.User
	keys     []*snapshotv1.Key
	denies   []*snapshotv1.Deny
	issuers  []*snapshotv1.Issuer
	settings *snapshotv1.Settings
	index    *core
}

func (b *builder) sort(item *snapshotv1.Item) error {
	switch kind := item.GetKind().(type) {
	case *snapshotv1.Item_Server:
		b.servers = append(b.servers, kind.Server)
	case *snapshotv1.Item_Tool, *snapshotv1.Item_Prompt, *snapshotv1.Item_Resource, *snapshotv1.Item_Template:
		b.offers = append(b.offers, item)
	case *snapshotv1.Item_Rule:
		b.rules = append(b.rules, kind.Rule)
	case *snapshotv1.Item_Limit:
		b.limits = append(b.limits, kind.Limit)
	case *snapshotv1.Item_Role:
		b.roles = append(b.roles, kind.Role)
	case *snapshotv1.Item_User:
		b.users = append(b.users, kind.User)
	case *snapshotv1.Item_Key:
		b.keys = append(b.keys, kind.Key)
	case *snapshotv1.Item_Deny:
		b.denies = append(b.denies, kind.Deny)
	case *snapshotv1.Item_Issuer:
		b.issuers = append(b.issuers, kind.Issuer)
	case *snapshotv1.Item_Settings:
		b.settings = kind.Settings
	default:
		return errors.New("its kind is not known to this node; upgrade the node")
	}
	return nil
}

// minSecret is the length in bytes of the shortest secret that is worth a hash.
const minSecret = 16

func checkSettings(settings *snapshotv1.Settings) error {
	switch {
	case settings == nil:
		return errors.New("snapshot has no settings")
	case len(settings.GetKeyPepper()) < minSecret:
		return fmt.Errorf("settings: key pepper has fewer than %d bytes", minSecret)
	case len(settings.GetDigestKey()) < minSecret:
		return fmt.Errorf("settings: digest key has fewer than %d bytes", minSecret)
	}
	return nil
}

// setAside records an item that does not take part.
func (b *builder) setAside(kind, name, why string) {
	key := kind + "/" + mcp.EscapeName(name, 128)
	b.index.unusable = append(b.index.unusable, Unusable{Key: key, Why: why})
}

func (b *builder) addServers() {
	b.index.servers = make(map[string]*Server, len(b.servers))
	for _, item := range b.servers {
		server, err := newServer(item)
		if err != nil {
			b.setAside("server", item.GetName(), err.Error())
			continue
		}
		b.index.servers[item.GetName()] = server
		b.index.order = append(b.index.order, server)
	}
	slices.SortFunc(b.index.order, func(a, b *Server) int { return cmp.Compare(a.Name(), b.Name()) })
}

func newServer(item *snapshotv1.Server) (*Server, error) {
	if !mcp.ValidSlug(item.GetName()) {
		return nil, errors.New("its name is not a valid slug")
	}
	endpoint, err := url.Parse(item.GetUrl())
	if item.GetAgent() == "" && (err != nil || endpoint.Host == "" || endpoint.Scheme != "http" && endpoint.Scheme != "https") {
		return nil, errors.New("its URL is not an absolute http or https URL")
	}
	server := &Server{Item: item, prefix: mcp.URIPrefix(item.GetName()), withheld: make(map[string]bool), folded: make(map[string]*Entry)}
	for list := range server.listed {
		server.listed[list] = make(map[string]*Entry)
	}
	// What cannot be read declares nothing.
	server.Capabilities, _ = mcp.ParseServerCapabilities(item.GetCapabilities())
	server.extension = extensionOf(item.GetCapabilities())
	return server, nil
}

// addEntries makes entries of what the servers offer.
func (b *builder) addEntries() {
	made := make([]*Entry, 0, len(b.offers))
	for _, item := range b.offers {
		b.breathe()
		o := offerOf(item)
		server, ok := b.index.servers[o.server]
		if !ok {
			b.setAside(o.what.String(), o.server+"/"+o.name, "its server is missing or set aside")
			continue
		}
		if o.withheld {
			server.withhold(o.what, o.name)
			continue
		}
		e, err := b.entry(&o, server)
		if err != nil {
			b.dropEntry(o.what, server, o.name, err.Error())
			continue
		}
		made = append(made, e)
	}
	b.file(b.distinct(made))
	for _, server := range b.index.order {
		server.open(b.index)
	}
}

// entry makes an entry, out of that of the former index if the item is the same.
func (b *builder) entry(o *offer, server *Server) (*Entry, error) {
	if b.former != nil && b.former.servers[o.server] != nil {
		if e := b.former.servers[o.server].listed[o.what][o.name]; e != nil && e.item == o.item {
			return e.again(server), nil
		}
	}
	return newEntry(o, server)
}

// dropEntry sets an entry aside. It must not come back as one that its server
// does not list.
func (b *builder) dropEntry(what ListKind, server *Server, name, why string) {
	b.setAside(what.String(), server.Name()+"/"+name, why)
	server.withhold(what, name)
}

// withhold keeps a resource, or what a template names, away from everyone.
func (s *Server) withhold(what ListKind, name string) {
	switch what {
	case Resources:
		s.withheld[name], s.withheld[uri.Fold(name)] = true, true
	case Templates:
		s.barred = append(s.barred, newBar(name))
	}
}

// distinct returns the entries without the tools, and without the prompts, that
// claim the exposed name of another.
func (b *builder) distinct(made []*Entry) []*Entry {
	type claim struct {
		what ListKind
		name string
	}
	claims := make(map[claim]int, len(made))
	for _, e := range made {
		b.breathe()
		claims[claim{e.what, e.Exposed}]++
	}
	return slices.DeleteFunc(made, func(e *Entry) bool {
		b.breathe()
		if e.what > Prompts || claims[claim{e.what, e.Exposed}] == 1 {
			return false
		}
		b.dropEntry(e.what, e.Server, e.Name, "another "+e.what.String()+" has the same exposed name")
		return true
	})
}

// inOrder is the order of lists.
func inOrder(a, b *Entry) int {
	return cmp.Or(
		cmp.Compare(a.what, b.what),
		cmp.Compare(a.Server.Name(), b.Server.Name()),
		cmp.Compare(a.position, b.position),
		cmp.Compare(a.Name, b.Name),
	)
}

// file puts the entries in order and where look-ups find them.
func (b *builder) file(entries []*Entry) {
	x := b.index
	slices.SortFunc(entries, func(a, c *Entry) int {
		b.breathe()
		return inOrder(a, c)
	})
	x.entries = entries
	for list := range x.exposed {
		x.exposed[list] = make(map[string]*Entry)
	}
	for i, e := range entries {
		b.breathe()
		e.index, e.number = x, i
		e.Server.listed[e.what][e.Name] = e
		x.spans[e.what].add(i)
		e.Server.spans[e.what].add(i)
		if x.exposed[e.what][e.Exposed] == nil {
			x.exposed[e.what][e.Exposed] = e
		} else {
			e.hidden = true // A web address that a server before lists too.
		}
		e.Server.fileAside(e)
	}
}

// fileAside puts what resources that are not listed are held against where it is
// found.
func (s *Server) fileAside(e *Entry) {
	switch e.what {
	case Templates:
		s.templates = append(s.templates, e)
	case Resources:
		folded := uri.Fold(e.Name)
		if known := s.folded[folded]; known == nil || severity(e.Risk) > severity(known.Risk) {
			s.folded[folded] = e
		}
	}
}

// add takes in the place that follows those that the span has.
func (s *span) add(i int) {
	if s.from == s.to {
		s.from = i
	}
	s.to = i + 1
}

// open gives the server, once its entries are filed, what they have not.
func (s *Server) open(x *core) {
	if slices.ContainsFunc(s.templates, func(e *Entry) bool { return e.Exposed == e.Name }) {
		x.web = append(x.web, s)
	}
	if s.Capabilities.Resources || len(s.listed[Resources])+len(s.templates)+len(s.withheld)+len(s.barred) > 0 {
		s.unlisted = &Entry{
			Kind: policy.Resource, Server: s, Risk: snapshotv1.Risk_RISK_UNCLASSIFIED, index: x, number: -1, what: Resources,
		}
	}
}

func (b *builder) addKeys() {
	users := b.usableUsers()
	keys := make([]*credential.Caller, 0, len(b.keys))
	b.index.callers.profiles = make(map[*policy.Profile]*Profile)
	for _, item := range b.keys {
		b.breathe()
		user, why := users[item.GetUser()], ""
		switch {
		case user == nil:
			why = "its user is missing or set aside"
		case len(item.GetHash()) != sha256.Size:
			why = "its hash has the wrong length"
		}
		if why != "" {
			b.setAside("key", item.GetId(), why)
			continue
		}
		key := newKey(item, user)
		keys = append(keys, key)
		key.Standing = b.index.profileOf(key.Principal)
	}
	b.index.keys = credential.NewTable(b.settings.GetKeyPepper(), keys, b.breathe)
	if b.former != nil {
		b.index.keys.Follow(b.former.keys, b.breathe)
	}
	b.addIssuers(users)
}

func newKey(item *snapshotv1.Key, user *snapshotv1.User) *credential.Caller {
	var expires time.Time
	if item.GetExpiresAt() != nil {
		expires = item.GetExpiresAt().AsTime()
	}
	return &credential.Caller{Hash: item.GetHash(), Expires: expires, Principal: &principal.Principal{
		User:        user.GetName(),
		Groups:      user.GetGroups(),
		Roles:       user.GetRoles(),
		Application: item.GetApplication(),
		KeyID:       item.GetId(),
		Servers:     item.GetServers(), // none is nil: all
	}}
}

// usableUsers returns the users by name, without those who hold a role that is
// not there: whatever the role was meant to grant or to keep them from is lost.
func (b *builder) usableUsers() map[string]*snapshotv1.User {
	roles := make(map[string]bool, len(b.roles))
	for _, role := range b.roles {
		roles[role.GetName()] = true
	}
	users := make(map[string]*snapshotv1.User, len(b.users))
	for _, user := range b.users {
		b.breathe()
		missing := slices.IndexFunc(user.GetRoles(), func(role string) bool { return !roles[role] })
		if missing >= 0 {
			b.setAside("user", user.GetName(), "its role "+mcp.EscapeName(user.GetRoles()[missing], 64)+" does not exist")
			continue
		}
		users[user.GetName()] = user
	}
	return users
}
