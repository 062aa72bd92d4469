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
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/policy"
	"github.com/warder-gateway/warder/internal/principal"
	"github.com/warder-gateway/warder/internal/snapshot"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// Build makes an index of a snapshot. An error means that the snapshot must not
// be used; what makes one is in the package comment.
func Build(set *snapshot.Set) (*Index, error) {
	var b builder
	for key, item := range set.All() {
		if err := b.sort(item); err != nil {
			return nil, fmt.Errorf("read item %s: %w", key, err)
		}
	}
	compiled, err := policy.Compile(set.Revision(), b.rules, b.roles, b.denies)
	if err != nil {
		return nil, fmt.Errorf("compile policy: %w", err)
	}
	if err := checkSettings(b.settings); err != nil {
		return nil, err
	}
	b.index = &Index{revision: set.Revision(), policy: compiled}
	b.index.setDigestKey(b.settings.GetDigestKey())
	b.addServers()
	b.addTools()
	b.addKeys()
	b.index.prepare()
	return b.index, nil
}

// builder sorts the items of a set by kind and makes an index of them.
type builder struct {
	servers  []*snapshotv1.Server
	tools    []*snapshotv1.Tool
	rules    []*snapshotv1.Rule
	roles    []*snapshotv1.Role
	users    []*snapshotv1.User
	keys     []*snapshotv1.Key
	denies   []*snapshotv1.Deny
	settings *snapshotv1.Settings
	index    *Index
}

func (b *builder) sort(item *snapshotv1.Item) error {
	switch kind := item.GetKind().(type) {
	case *snapshotv1.Item_Server:
		b.servers = append(b.servers, kind.Server)
	case *snapshotv1.Item_Tool:
		b.tools = append(b.tools, kind.Tool)
	case *snapshotv1.Item_Rule:
		b.rules = append(b.rules, kind.Rule)
	case *snapshotv1.Item_Role:
		b.roles = append(b.roles, kind.Role)
	case *snapshotv1.Item_User:
		b.users = append(b.users, kind.User)
	case *snapshotv1.Item_Key:
		b.keys = append(b.keys, kind.Key)
	case *snapshotv1.Item_Deny:
		b.denies = append(b.denies, kind.Deny)
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
		if err := checkServer(item); err != nil {
			b.setAside("server", item.GetName(), err.Error())
			continue
		}
		b.index.servers[item.GetName()] = &Server{Item: item, tools: make(map[string]*Tool)}
	}
}

func checkServer(item *snapshotv1.Server) error {
	if !mcp.ValidSlug(item.GetName()) {
		return errors.New("its name is not a valid slug")
	}
	endpoint, err := url.Parse(item.GetUrl())
	if err != nil || endpoint.Host == "" || endpoint.Scheme != "http" && endpoint.Scheme != "https" {
		return errors.New("its URL is not an absolute http or https URL")
	}
	return nil
}

func (b *builder) addTools() {
	usable := make([]*Tool, 0, len(b.tools))
	claims := make(map[string]int, len(b.tools))
	for _, item := range b.tools {
		tool, err := b.newTool(item)
		if err != nil {
			b.setAside("tool", item.GetServer()+"/"+item.GetName(), err.Error())
			continue
		}
		claims[item.GetExposedName()]++
		usable = append(usable, tool)
	}
	b.index.exposed = make(map[string]*Tool, len(usable))
	for _, tool := range usable {
		if claims[tool.Item.GetExposedName()] > 1 {
			b.setAside("tool", tool.Server.Name()+"/"+tool.Name(), "another tool has the same exposed name")
			continue
		}
		b.index.exposed[tool.Item.GetExposedName()] = tool
		tool.Server.tools[tool.Name()] = tool
		b.index.tools = append(b.index.tools, tool)
	}
	slices.SortFunc(b.index.tools, byPosition)
	for i, tool := range b.index.tools {
		tool.index = i
	}
}

// byPosition is the order of lists: by server, then as the server lists them.
func byPosition(a, b *Tool) int {
	return cmp.Or(
		cmp.Compare(a.Server.Name(), b.Server.Name()),
		cmp.Compare(a.Item.GetPosition(), b.Item.GetPosition()),
		cmp.Compare(a.Name(), b.Name()),
	)
}

func (b *builder) newTool(item *snapshotv1.Tool) (*Tool, error) {
	server, ok := b.index.servers[item.GetServer()]
	if !ok {
		return nil, errors.New("its server is missing or set aside")
	}
	if !exposable(item.GetExposedName()) {
		return nil, errors.New("its exposed name is not 1 to 64 of A-Z, a-z, 0-9, _ and -")
	}
	risk, err := knownRisk(item.GetRisk())
	if err != nil {
		return nil, err
	}
	exposed, err := renamed(item.GetDefinition(), item.GetName(), item.GetExposedName())
	if err != nil {
		return nil, err
	}
	params, err := paramsOf(item.GetDefinition())
	if err != nil {
		return nil, err
	}
	return &Tool{Item: item, Server: server, Risk: risk, Params: params, exposed: exposed}, nil
}

// exposable reports whether language models' tool interfaces take the name.
func exposable(name string) bool {
	for _, r := range name {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '-' {
			return false
		}
	}
	return name != "" && len(name) <= 64
}

func knownRisk(risk snapshotv1.Risk) (snapshotv1.Risk, error) {
	if risk == snapshotv1.Risk_RISK_UNSPECIFIED {
		return snapshotv1.Risk_RISK_UNCLASSIFIED, nil
	}
	if _, ok := snapshotv1.Risk_name[int32(risk)]; !ok {
		return 0, fmt.Errorf("its risk %d is not known to this node; upgrade the node", risk)
	}
	return risk, nil
}

// renamed returns the definition with another name in it, all other bytes as
// they were. The name that it has must be the one that is given.
func renamed(definition []byte, name, exposed string) ([]byte, error) {
	var token mcp.Span
	err := mcp.Members(definition, func(member string, value mcp.Span) error {
		if member == "name" {
			token = value
		}
		return nil
	})
	if err != nil {
		return nil, errors.New("its definition is not one JSON object")
	}
	if token.Empty() {
		return nil, errors.New("its definition has no name")
	}
	if got, err := mcp.String(token.Of(definition)); err != nil || got != name {
		return nil, errors.New("its definition has another name")
	}
	out := make([]byte, 0, len(definition)+len(exposed)+2)
	out = append(out, definition[:token.Start]...)
	out = mcp.AppendString(out, exposed)
	return append(out, definition[token.End:]...), nil
}

func (b *builder) addKeys() {
	users := b.usableUsers()
	revoked := make(map[string]bool)
	for _, deny := range b.denies {
		if deny.GetKind() == snapshotv1.DenyKind_DENY_KIND_KEY {
			revoked[deny.GetName()] = true
		}
	}
	keys := make([]*credential.Key, 0, len(b.keys))
	profiles := make(map[*policy.Profile]*Profile)
	b.index.profiles = make(map[*credential.Key]*Profile, len(b.keys))
	for _, item := range b.keys {
		user, why := users[item.GetUser()], ""
		switch {
		case user == nil:
			why = "its user is missing or set aside"
		case len(item.GetHash()) != sha256.Size:
			why = "its hash has the wrong length"
		case revoked[item.GetId()]:
			why = "it is revoked"
		}
		if why != "" {
			b.setAside("key", item.GetId(), why)
			continue
		}
		key := newKey(item, user)
		keys = append(keys, key)
		seen := b.index.policy.Profile(key.Principal)
		if profiles[seen] == nil {
			profiles[seen] = &Profile{index: b.index, policy: seen}
		}
		b.index.profiles[key] = profiles[seen]
	}
	b.index.credentials = credential.NewTable(b.settings.GetKeyPepper(), keys)
}

func newKey(item *snapshotv1.Key, user *snapshotv1.User) *credential.Key {
	var expires time.Time
	if item.GetExpiresAt() != nil {
		expires = item.GetExpiresAt().AsTime()
	}
	return &credential.Key{Hash: item.GetHash(), Expires: expires, Principal: &principal.Principal{
		User:        user.GetName(),
		Groups:      user.GetGroups(),
		Roles:       user.GetRoles(),
		Application: item.GetApplication(),
		KeyID:       item.GetId(),
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
		missing := slices.IndexFunc(user.GetRoles(), func(role string) bool { return !roles[role] })
		if missing >= 0 {
			b.setAside("user", user.GetName(), "its role "+mcp.EscapeName(user.GetRoles()[missing], 64)+" does not exist")
			continue
		}
		users[user.GetName()] = user
	}
	return users
}
