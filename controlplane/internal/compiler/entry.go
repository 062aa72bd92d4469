package compiler

import (
	"github.com/warder-gateway/warder/controlplane/internal/catalog"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// entries adds what the catalogue offers; the query gives approved, enabled,
// present entries only. Instructions are part of their server's item.
func (b *builder) entries(rows []db.ListEntryItemsRow) {
	for _, row := range rows {
		kind := catalog.Kind(row.Kind)
		of := kind.FullName(row.Server, row.Name)
		category := b.risk(row.Risk, of)
		if row.Position < 0 || len(row.ApprovedHash) == 0 {
			b.fail("%s: position %d, approved hash of %d bytes", of, row.Position, len(row.ApprovedHash))
		}
		if kind == catalog.Instructions {
			continue
		}
		item := entryItem(kind, row, category)
		if item == nil {
			b.fail("%s: kind %q is not known", of, row.Kind)
			return
		}
		b.add(item)
	}
}

// entryItem returns the item of an entry; nil if its kind is not known.
func entryItem(kind catalog.Kind, row db.ListEntryItemsRow, category snapshotv1.Risk) *snapshotv1.Item {
	position := uint32(row.Position)
	switch kind {
	case catalog.Tool:
		return &snapshotv1.Item{Kind: &snapshotv1.Item_Tool{Tool: &snapshotv1.Tool{
			Server: row.Server, Name: row.Name, ExposedName: row.ExposedName, Definition: row.Definition,
			DefinitionHash: row.ApprovedHash, Risk: category, Position: position,
		}}}
	case catalog.Prompt:
		return &snapshotv1.Item{Kind: &snapshotv1.Item_Prompt{Prompt: &snapshotv1.Prompt{
			Server: row.Server, Name: row.Name, ExposedName: row.ExposedName, Definition: row.Definition,
			DefinitionHash: row.ApprovedHash, Risk: category, Position: position,
		}}}
	case catalog.Resource:
		return &snapshotv1.Item{Kind: &snapshotv1.Item_Resource{Resource: &snapshotv1.Resource{
			Server: row.Server, Uri: row.Name, Definition: row.Definition,
			DefinitionHash: row.ApprovedHash, Risk: category, Position: position,
		}}}
	case catalog.Template:
		return &snapshotv1.Item{Kind: &snapshotv1.Item_Template{Template: &snapshotv1.Template{
			Server: row.Server, UriTemplate: row.Name, Definition: row.Definition,
			DefinitionHash: row.ApprovedHash, Risk: category, Position: position,
		}}}
	}
	return nil
}

// withheld adds the resources and templates that nodes must keep from clients.
func (b *builder) withheld(rows []db.ListWithheldItemsRow) {
	for _, row := range rows {
		if row.Position < 0 {
			b.fail("%s: position %d", catalog.Kind(row.Kind).FullName(row.Server, row.Name), row.Position)
		}
		position := uint32(row.Position)
		switch catalog.Kind(row.Kind) {
		case catalog.Resource:
			b.add(&snapshotv1.Item{Kind: &snapshotv1.Item_Resource{Resource: &snapshotv1.Resource{
				Server: row.Server, Uri: row.Name, Withheld: true, Position: position,
			}}})
		case catalog.Template:
			b.add(&snapshotv1.Item{Kind: &snapshotv1.Item_Template{Template: &snapshotv1.Template{
				Server: row.Server, UriTemplate: row.Name, Withheld: true, Position: position,
			}}})
		default:
			b.fail("withheld %s/%s: kind %q is not known", row.Server, row.Name, row.Kind)
			return
		}
	}
}

// instructionsOf returns the definitions of approved instructions by server.
func instructionsOf(rows []db.ListEntryItemsRow) map[string][]byte {
	definitions := make(map[string][]byte)
	for _, row := range rows {
		if catalog.Kind(row.Kind) == catalog.Instructions {
			definitions[row.Server] = row.Definition
		}
	}
	return definitions
}
