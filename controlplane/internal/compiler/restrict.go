package compiler

import (
	"bytes"
	"fmt"

	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/internal/snapshot"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// Restrict is for rows that do not compile: it returns the last set that did,
// with everything that the rows take away and nothing that they give. Keys,
// tools and servers that are not in the rows any more leave it, and denies of the
// rows join it. So a policy that nobody can read does not hold up a revocation.
//
// The revision stays that of last: what else changed since is not in force.
func Restrict(last *snapshot.Set, rows *store.Rows) (*snapshot.Set, error) {
	if last.Epoch() != rows.Epoch {
		return nil, fmt.Errorf("restrict revision %d: the rows are of epoch %s, the set of %s", last.Revision(), rows.Epoch, last.Epoch())
	}
	var b builder
	b.denies(rows.Denies)
	if b.err != nil {
		return nil, fmt.Errorf("restrict revision %d: %w", last.Revision(), b.err)
	}
	denied := make(map[string]bool, len(b.items))
	for _, item := range b.items {
		key, err := snapshot.Key(item)
		if err != nil {
			return nil, fmt.Errorf("restrict revision %d: %w", last.Revision(), err)
		}
		denied[key] = true
	}
	still := standing(rows)
	for key, item := range last.All() {
		if !denied[key] && still(item) {
			b.add(item)
		}
	}
	set, err := snapshot.New(last.Epoch(), last.Revision(), b.items)
	if err != nil {
		return nil, fmt.Errorf("restrict revision %d: %w", last.Revision(), err)
	}
	return set, nil
}

// standing returns whether rows leave an item of an earlier set in force. Of a
// kind that only forbids, or that nothing can be taken from, all stand.
func standing(rows *store.Rows) func(*snapshotv1.Item) bool {
	keys, servers, tools := make(map[string]bool), make(map[string]bool), make(map[string][]byte)
	for _, row := range rows.Keys {
		keys[row.ID] = true
	}
	for _, row := range rows.Servers {
		servers[row.Name] = true
	}
	for _, row := range rows.Tools {
		tools[row.Server+"/"+row.Name] = row.ApprovedHash
	}
	return func(item *snapshotv1.Item) bool {
		switch {
		case item.GetKey() != nil:
			return keys[item.GetKey().GetId()]
		case item.GetServer() != nil:
			return servers[item.GetServer().GetName()]
		case item.GetTool() != nil:
			t := item.GetTool()
			hash, found := tools[t.GetServer()+"/"+t.GetName()]
			return found && bytes.Equal(hash, t.GetDefinitionHash())
		}
		return true
	}
}
