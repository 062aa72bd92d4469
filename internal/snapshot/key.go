package snapshot

import (
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// Key returns the name of an item in a snapshot:
//
//	server/<slug>   tool/<slug>/<name>   prompt/<slug>/<name>
//	resource/<slug>/<uri>   template/<slug>/<uri template>
//	rule/<id>   role/<name>   user/<name>   key/<id>
//	issuer/<name>   deny/<kind>/<name>   deny/all   settings
//
// Only the last part of a key may hold a "/" itself, so keys are as distinct as
// what they name. It fails on a kind that this build does not know and where a
// name that the key needs is missing.
func Key(item *snapshotv1.Item) (string, error) {
	switch kind := item.GetKind().(type) {
	case *snapshotv1.Item_Server:
		return join("server", slug(kind.Server.GetName()))
	case *snapshotv1.Item_Tool:
		return join("tool", slug(kind.Tool.GetServer()), kind.Tool.GetName())
	case *snapshotv1.Item_Prompt:
		return join("prompt", slug(kind.Prompt.GetServer()), kind.Prompt.GetName())
	case *snapshotv1.Item_Resource:
		return join("resource", slug(kind.Resource.GetServer()), kind.Resource.GetUri())
	case *snapshotv1.Item_Template:
		return join("template", slug(kind.Template.GetServer()), kind.Template.GetUriTemplate())
	case *snapshotv1.Item_Rule:
		return join("rule", kind.Rule.GetId())
	case *snapshotv1.Item_Role:
		return join("role", kind.Role.GetName())
	case *snapshotv1.Item_User:
		return join("user", kind.User.GetName())
	case *snapshotv1.Item_Key:
		return join("key", kind.Key.GetId())
	case *snapshotv1.Item_Deny:
		return denyKey(kind.Deny)
	case *snapshotv1.Item_Limit:
		return join("limit", kind.Limit.GetName())
	case *snapshotv1.Item_Issuer:
		return join("issuer", kind.Issuer.GetName())
	case *snapshotv1.Item_Settings:
		return "settings", nil
	default:
		return "", errors.New("item of a kind that this version does not know; nodes are upgraded before the control plane")
	}
}

// denyKinds names the kinds of the overlay that take a name.
var denyKinds = map[snapshotv1.DenyKind]string{
	snapshotv1.DenyKind_DENY_KIND_KEY:         "key",
	snapshotv1.DenyKind_DENY_KIND_USER:        "user",
	snapshotv1.DenyKind_DENY_KIND_APPLICATION: "application",
	snapshotv1.DenyKind_DENY_KIND_SERVER:      "server",
	snapshotv1.DenyKind_DENY_KIND_TOOL:        "tool",
	snapshotv1.DenyKind_DENY_KIND_TOKEN:       "token",
	snapshotv1.DenyKind_DENY_KIND_AGENT:       "agent",
	snapshotv1.DenyKind_DENY_KIND_NODE:        "node",
}

func denyKey(deny *snapshotv1.Deny) (string, error) {
	if deny.GetKind() == snapshotv1.DenyKind_DENY_KIND_ALL {
		if deny.GetName() != "" {
			return "", fmt.Errorf("deny of all has the name %q", deny.GetName())
		}
		return "deny/all", nil
	}
	kind, known := denyKinds[deny.GetKind()]
	if !known {
		return "", fmt.Errorf("deny of a kind that this version does not know (%d)", deny.GetKind())
	}
	return join("deny", kind, deny.GetName())
}

// slug returns name, or nothing if it would make a key ambiguous.
func slug(name string) string {
	if strings.Contains(name, "/") {
		return ""
	}
	return name
}

func join(kind string, names ...string) (string, error) {
	for _, name := range names {
		if name == "" {
			return "", fmt.Errorf("%s without a proper name: %q", kind, names)
		}
	}
	return kind + "/" + strings.Join(names, "/"), nil
}

// known fails if the message, or one within it, holds a field that this build
// does not know. What it does not know might be what forbids something, so it
// is not passed over.
func known(message proto.Message) error {
	return knownIn(message.ProtoReflect())
}

func knownIn(m protoreflect.Message) (err error) {
	if len(m.GetUnknown()) > 0 {
		return fmt.Errorf("%s has a field that this version does not know; nodes are upgraded before the control plane", m.Descriptor().Name())
	}
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		if field.Message() == nil {
			return true
		}
		if !field.IsList() {
			err = knownIn(value.Message())
			return err == nil
		}
		for list, i := value.List(), 0; i < list.Len() && err == nil; i++ {
			err = knownIn(list.Get(i).Message())
		}
		return err == nil
	})
	return err
}
