package policy

import (
	"errors"
	"fmt"
	"strings"

	"github.com/warder-gateway/warder/internal/principal"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// overlay is the deny overlay: what is revoked, by what it names, with the
// reason. It goes ahead of everything.
type overlay struct {
	all                       string // the reason, if all is denied
	keys, users, applications map[string]string
	servers                   map[string]string
	tools                     map[place]string
	tokens                    map[place]string // by issuer and jti
}

func compileOverlay(denies []*snapshotv1.Deny) (overlay, error) {
	o := overlay{
		keys: map[string]string{}, users: map[string]string{}, applications: map[string]string{},
		servers: map[string]string{}, tools: map[place]string{}, tokens: map[place]string{},
	}
	for _, deny := range denies {
		if deny == nil {
			return overlay{}, errors.New("a deny is missing")
		}
		if err := known(deny); err != nil {
			return overlay{}, fmt.Errorf("deny of %q: %w", deny.GetName(), err)
		}
		if err := o.add(deny); err != nil {
			return overlay{}, err
		}
	}
	return o, nil
}

func (o *overlay) add(deny *snapshotv1.Deny) error {
	name := deny.GetName()
	switch deny.GetKind() {
	case snapshotv1.DenyKind_DENY_KIND_ALL:
		if name != "" || o.all != "" {
			return errors.New("the deny of all has a name or occurs twice")
		}
		o.all = because(deny, "all access is suspended")
		return nil
	case snapshotv1.DenyKind_DENY_KIND_KEY:
		return enter(o.keys, name, name, because(deny, "this key is revoked"))
	case snapshotv1.DenyKind_DENY_KIND_USER:
		return enter(o.users, name, name, because(deny, "access of user "+name+" is revoked"))
	case snapshotv1.DenyKind_DENY_KIND_APPLICATION:
		return enter(o.applications, name, name, because(deny, "access of application "+name+" is revoked"))
	case snapshotv1.DenyKind_DENY_KIND_SERVER:
		return enter(o.servers, name, name, because(deny, "access to server "+name+" is revoked"))
	case snapshotv1.DenyKind_DENY_KIND_TOOL:
		server, tool, _ := strings.Cut(name, "/")
		if server == "" || tool == "" {
			return fmt.Errorf("deny of tool %q: the name is not \"server/tool\"", name)
		}
		return enter(o.tools, place{server, tool}, name, because(deny, "access to tool "+name+" is revoked"))
	case snapshotv1.DenyKind_DENY_KIND_TOKEN:
		issuer, id, _ := strings.Cut(name, "/")
		if issuer == "" || id == "" {
			return fmt.Errorf("deny of token %q: the name is not \"issuer/jti\"", name)
		}
		return enter(o.tokens, place{issuer, id}, name, because(deny, "this token is revoked"))
	case snapshotv1.DenyKind_DENY_KIND_AGENT, snapshotv1.DenyKind_DENY_KIND_NODE:
		if name == "" {
			return errors.New("the deny of an agent or a node has no name")
		}
		return nil // It is about tunnels; no call is decided by it.
	default:
		return fmt.Errorf("deny of %q: kind %d is not known", name, deny.GetKind())
	}
}

// enter adds one entry under a name that is given and new.
func enter[K comparable](entries map[K]string, at K, name, reason string) error {
	if _, twice := entries[at]; twice || name == "" {
		return fmt.Errorf("deny of %q: the name is empty or occurs twice", name)
	}
	entries[at] = reason
	return nil
}

func because(deny *snapshotv1.Deny, reason string) string {
	if deny.GetReason() != "" {
		return deny.GetReason()
	}
	return reason
}

// caller returns why everything that the caller asks is denied, or "".
func (o *overlay) caller(p *principal.Principal) string {
	if o.all != "" {
		return o.all
	}
	if reason, denied := o.keys[p.KeyID]; denied {
		return reason
	}
	if reason, denied := o.tokens[place{p.Issuer, p.TokenID}]; denied {
		return reason
	}
	if reason, denied := o.users[p.User]; denied {
		return reason
	}
	return o.applications[p.Application]
}

// target returns why a target is denied to all, or "". A deny of a tool says
// nothing of a prompt or a resource that has its name.
func (o *overlay) target(t *Target) string {
	if reason, denied := o.servers[t.Server]; denied {
		return reason
	}
	if t.Kind != Tool {
		return ""
	}
	return o.tools[place{t.Server, t.Name}]
}
