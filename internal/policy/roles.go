package policy

import snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"

// BuiltInRoles returns the roles that every installation has: viewer grants what
// reads, operator what reads or writes, owner everything, also what is
// unclassified. They speak of tools, prompts and resources alike. The caller owns
// what it gets.
func BuiltInRoles() []*snapshotv1.Role {
	const read, write = snapshotv1.Risk_RISK_READ, snapshotv1.Risk_RISK_WRITE
	return []*snapshotv1.Role{
		builtIn("viewer", read),
		builtIn("operator", read, write),
		builtIn("owner"),
	}
}

func builtIn(name string, risks ...snapshotv1.Risk) *snapshotv1.Role {
	return &snapshotv1.Role{Name: name, Grants: []*snapshotv1.Grant{{Risks: risks}}}
}
