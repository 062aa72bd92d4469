package gate

import (
	"maps"
	"strings"
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	"github.com/warder-gateway/warder/dataplane/internal/credential"
	"github.com/warder-gateway/warder/internal/identity"
	"github.com/warder-gateway/warder/internal/policy"
	"github.com/warder-gateway/warder/internal/principal"
	"github.com/warder-gateway/warder/internal/snapshot"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// overlay is the deny overlay of an index. It is asked before the core, for each
// caller and each target; a nil one denies nothing.
type overlay struct {
	revision uint64
	denials  *policy.Denials
	// gone are keys that the core has and the snapshot has not any more.
	gone map[string]struct{}
	// agents and nodes are those that are denied, and why.
	agents, nodes identity.Denials
	// away are servers that can be called nowhere at the moment: they are not listed.
	away map[string]struct{}
	// masked has, for each profile of the core, the one that sees no denied target,
	// as they were asked for; at most so many of them as room says. Profiles that the
	// core does not keep come without end, and would all stay here.
	masked sync.Map
	room   atomic.Int64
}

// withOverlay returns an index with this core, of a snapshot that differs from the
// core's in its denials and in keys that are gone.
func (x *core) withOverlay(revision uint64, denies []*snapshotv1.Deny, gone map[string]struct{}) (*Index, error) {
	denials, err := policy.CompileDenials(denies)
	if err != nil {
		return nil, err
	}
	revoked := maps.Clone(gone)
	for _, deny := range denies {
		if deny.GetKind() != snapshotv1.DenyKind_DENY_KIND_KEY {
			continue
		}
		if revoked == nil {
			revoked = make(map[string]struct{})
		}
		revoked[deny.GetName()] = struct{}{}
	}
	index := &Index{core: x, revision: revision, credentials: x.keys}
	if len(revoked) > 0 {
		index.credentials = x.keys.Without(revoked)
	}
	if len(denies) > 0 || len(gone) > 0 {
		index.overlay = &overlay{
			revision: revision, denials: denials, gone: gone,
			agents: named(denies, snapshotv1.DenyKind_DENY_KIND_AGENT), nodes: named(denies, snapshotv1.DenyKind_DENY_KIND_NODE),
		}
		index.overlay.room.Store(maxTokenProfiles + int64(x.keys.Len()))
	}
	return index, nil
}

// Amend returns the index of a snapshot that differs from x's by a change, without
// building anything that stays as it was: it costs as much as there are denials. It
// is not ok where the change is of more than denials and of keys that are gone: then
// Build has to make the index. Both decide alike.
func (x *Index) Amend(set *snapshot.Set, upserts []*snapshotv1.Item, removals []string) (index *Index, ok bool, err error) {
	for _, item := range upserts {
		if item.GetDeny() == nil {
			return nil, false, nil
		}
	}
	var gone map[string]struct{}
	if x.overlay != nil {
		gone = x.overlay.gone
	}
	copied := false
	for _, key := range removals {
		id, isKey := strings.CutPrefix(key, snapshot.KeyPrefix)
		switch {
		case strings.HasPrefix(key, snapshot.DenyPrefix):
			continue
		case !isKey:
			return nil, false, nil
		case !copied:
			gone, copied = maps.Clone(gone), true
		}
		if gone == nil {
			gone = make(map[string]struct{})
		}
		gone[id] = struct{}{}
	}
	index, err = x.withOverlay(set.Revision(), deniesOf(set), gone)
	return index, err == nil, err
}

// Deny returns an index with further denials, which came ahead of the snapshot that
// has them. What is denied already stays so.
func (x *Index) Deny(denies []*snapshotv1.Deny, set *snapshot.Set) (*Index, error) {
	all := deniesOf(set)
	for _, deny := range denies {
		if key, err := snapshot.Key(&snapshotv1.Item{Kind: &snapshotv1.Item_Deny{Deny: deny}}); err != nil {
			return nil, err
		} else if known, there := set.Get(key); !there || !proto.Equal(known.GetDeny(), deny) {
			all = append(all, deny) // A peer may have joined anew, and be revoked again.
		}
	}
	var gone map[string]struct{}
	if x.overlay != nil {
		gone = x.overlay.gone
	}
	return x.withOverlay(x.revision, all, gone)
}

// Without returns an index that does not list these servers, by slug, because they can be called nowhere at the moment. It
// decides as x does: a call of what they have is let through or denied, and then finds that the server is away. What was
// away before is not any more.
func (x *Index) Without(away map[string]struct{}) *Index {
	if len(away) == 0 && (x.overlay == nil || len(x.overlay.away) == 0) {
		return x
	}
	next := &Index{core: x.core, revision: x.revision, credentials: x.credentials}
	next.overlay = &overlay{revision: x.revision, denials: noDenials, away: away}
	next.overlay.room.Store(maxTokenProfiles + int64(x.keys.Len()))
	if x.overlay != nil {
		next.overlay.denials, next.overlay.gone = x.overlay.denials, x.overlay.gone
		next.overlay.agents, next.overlay.nodes = x.overlay.agents, x.overlay.nodes
	}
	return next
}

// Away returns the servers, by slug, that x does not list. The caller must not change them.
func (x *Index) Away() map[string]struct{} {
	if x.overlay == nil {
		return nil
	}
	return x.overlay.away
}

// noDenials deny nothing.
var noDenials = new(policy.Denials)

// DeniedAgents and DeniedNodes return whose tunnels are to end. The caller must not change them.
func (x *Index) DeniedAgents() identity.Denials {
	if x.overlay == nil {
		return nil
	}
	return x.overlay.agents
}

// DeniedNodes is as DeniedAgents.
func (x *Index) DeniedNodes() identity.Denials {
	if x.overlay == nil {
		return nil
	}
	return x.overlay.nodes
}

// named returns the denials of a kind of peers.
func named(denies []*snapshotv1.Deny, kind snapshotv1.DenyKind) identity.Denials {
	names := make(identity.Denials)
	for _, deny := range denies {
		if deny.GetKind() != kind {
			continue
		}
		denial := identity.Denial{Reason: deny.GetReason()}
		if deny.GetIssuedBefore() != nil {
			denial.Before = deny.GetIssuedBefore().AsTime()
		}
		// Of two of one peer the later one holds, which voids what the other does.
		if before, there := names[deny.GetName()]; !there || !before.Before.IsZero() && denial.Covers(before.Before) {
			names[deny.GetName()] = denial
		}
	}
	return names
}

// deniesOf returns the overlay of a snapshot.
func deniesOf(set *snapshot.Set) (denies []*snapshotv1.Deny) {
	for item := range set.Under(snapshot.DenyPrefix) {
		denies = append(denies, item.GetDeny())
	}
	return denies
}

// Denied returns why the overlay denies a key's caller an entry, which may be one of
// an earlier index, or "".
func (x *Index) Denied(caller *credential.Caller, e *Entry) string {
	if x.overlay == nil {
		return ""
	}
	if reason := x.overlay.denials.Caller(caller.Principal); reason != "" {
		return reason
	}
	target := e.Target()
	return x.overlay.denials.Target(&target)
}

// over returns a caller's profile with the overlay ahead of it.
func (o *overlay) over(profile *Profile, p *principal.Principal) *Profile {
	if o == nil {
		return profile
	}
	if reason := o.denials.Caller(p); reason != "" {
		return o.refuse(profile, reason)
	}
	if _, gone := o.gone[p.KeyID]; gone && p.KeyID != "" {
		return o.refuse(profile, "this key is revoked")
	}
	if !o.denials.OfTargets() && len(o.away) == 0 {
		return profile
	}
	if masked, ok := o.masked.Load(profile); ok {
		return masked.(*Profile)
	}
	made := &Profile{index: profile.index, policy: profile.policy, memos: profile.memos, overlay: o}
	if o.room.Add(-1) < 0 {
		o.room.Add(1)
		return made // Which takes longer, and is never wrong.
	}
	masked, there := o.masked.LoadOrStore(profile, made)
	if there {
		o.room.Add(1)
	}
	return masked.(*Profile)
}

// refuse returns a profile that is denied everything.
func (o *overlay) refuse(profile *Profile, reason string) *Profile {
	return &Profile{
		index: profile.index, policy: profile.policy, memos: profile.memos, refusal: o.denials.Verdict(reason, o.revision),
	}
}

// bars returns the verdict about a target that is denied to all, or where the
// profile's callers are denied everything; nil where neither is so.
func (p *Profile) bars(e *Entry) *policy.Verdict {
	if p.refusal != nil || p.overlay == nil {
		return p.refusal
	}
	target := e.Target()
	if reason := p.overlay.denials.Target(&target); reason != "" {
		return p.overlay.denials.Verdict(reason, p.overlay.revision)
	}
	return nil
}
