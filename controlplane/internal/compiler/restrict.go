package compiler

import (
	"bytes"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/warder-gateway/warder/controlplane/internal/catalog"
	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/internal/snapshot"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// Restrict is for rows that do not compile: it returns the last set that did,
// with everything that the rows take away and nothing that they give. Keys,
// entries and servers that are not in the rows any more leave it; denies of the
// rows join it, and so does what they withhold. So a policy that nobody can read
// does not hold up a revocation. The seal keys are those of the rows: they hang
// on nothing else, and some may have had to be forgotten.
//
// The revision stays that of last: what else changed since is not in force.
func Restrict(last *snapshot.Set, rows *store.Rows, secrets Secrets) (*snapshot.Set, error) {
	if last.Epoch() != rows.Epoch {
		return nil, fmt.Errorf("restrict revision %d: the rows are of epoch %s, the set of %s", last.Revision(), rows.Epoch, last.Epoch())
	}
	var b builder
	b.denies(rows.Denies)
	b.withheld(rows.Withheld)
	if b.err != nil {
		return nil, fmt.Errorf("restrict revision %d: %w", last.Revision(), b.err)
	}
	forbidden := make(map[string]bool, len(b.items))
	for _, item := range b.items {
		key, err := snapshot.Key(item)
		if err != nil {
			return nil, fmt.Errorf("restrict revision %d: %w", last.Revision(), err)
		}
		forbidden[key] = true
	}
	what := newStanding(rows)
	// Of rows that do not open the keys stay those of the set.
	what.sealKeys = new(builder).sealKeys(rows.SealKeys, secrets.Keys)
	for key, item := range last.All() {
		if forbidden[key] {
			continue
		}
		if left := what.leave(item); left != nil {
			b.add(left)
		}
	}
	set, err := snapshot.New(last.Epoch(), last.Revision(), b.items)
	if err != nil {
		return nil, fmt.Errorf("restrict revision %d: %w", last.Revision(), err)
	}
	return set, nil
}

// standing is what rows leave in force, by name.
type standing struct {
	keys, servers map[string]bool
	// entries are the approved hashes, by Kind.FullName.
	entries map[string][]byte
	// issuers are those of the rows, whole: one that was changed leaves.
	issuers  map[string]*snapshotv1.Issuer
	sealKeys []*snapshotv1.SealKey
}

func newStanding(rows *store.Rows) *standing {
	s := &standing{keys: make(map[string]bool), servers: make(map[string]bool), entries: make(map[string][]byte), issuers: make(map[string]*snapshotv1.Issuer)}
	for _, row := range rows.Keys {
		s.keys[row.ID] = true
	}
	for _, row := range rows.Servers {
		s.servers[row.Name] = true
	}
	var b builder
	b.issuers(rows.Issuers, rows.GroupRoles)
	for _, item := range b.items {
		s.issuers[item.GetIssuer().GetName()] = item.GetIssuer()
	}
	for _, row := range rows.Entries {
		s.entries[catalog.Kind(row.Kind).FullName(row.Server, row.Name)] = row.ApprovedHash
	}
	return s
}

// leave returns what stays of an item of an earlier set; nil for nothing. Of a
// kind that only forbids, or that nothing can be taken from, all stays.
func (s *standing) leave(item *snapshotv1.Item) *snapshotv1.Item {
	stands := true
	switch kind := item.GetKind().(type) {
	case *snapshotv1.Item_Settings:
		if len(s.sealKeys) == 0 {
			return item
		}
		left := proto.CloneOf(item)
		left.GetSettings().SealKeys = s.sealKeys
		return left
	case *snapshotv1.Item_Key:
		stands = s.keys[kind.Key.GetId()]
	case *snapshotv1.Item_Issuer:
		stands = proto.Equal(s.issuers[kind.Issuer.GetName()], kind.Issuer)
	case *snapshotv1.Item_Server:
		if stands = s.servers[kind.Server.GetName()]; stands {
			return s.instructions(item)
		}
	case *snapshotv1.Item_Tool:
		stands = s.entry(catalog.Tool, kind.Tool.GetServer(), kind.Tool.GetName(), kind.Tool.GetDefinitionHash())
	case *snapshotv1.Item_Prompt:
		stands = s.entry(catalog.Prompt, kind.Prompt.GetServer(), kind.Prompt.GetName(), kind.Prompt.GetDefinitionHash())
	case *snapshotv1.Item_Resource:
		r := kind.Resource
		stands = s.servers[r.GetServer()] && (r.GetWithheld() ||
			s.entry(catalog.Resource, r.GetServer(), r.GetUri(), r.GetDefinitionHash()))
	case *snapshotv1.Item_Template:
		t := kind.Template
		stands = s.servers[t.GetServer()] && (t.GetWithheld() ||
			s.entry(catalog.Template, t.GetServer(), t.GetUriTemplate(), t.GetDefinitionHash()))
	}
	if !stands {
		return nil
	}
	return item
}

// entry reports whether an entry is approved still, as it was.
func (s *standing) entry(kind catalog.Kind, server, name string, hash []byte) bool {
	approved, found := s.entries[kind.FullName(server, name)]
	return found && bytes.Equal(approved, hash)
}

// instructions takes the instructions of a server away if nobody approves them
// any more. Another text that was approved since is not in force yet, and the
// old one has gone with it.
func (s *standing) instructions(item *snapshotv1.Item) *snapshotv1.Item {
	server := item.GetServer()
	if server.GetInstructions() == "" {
		return item
	}
	if _, found := s.entries[catalog.Instructions.FullName(server.GetName(), catalog.InstructionsName)]; found {
		return item
	}
	left := proto.CloneOf(item)
	left.GetServer().Instructions = ""
	return left
}
