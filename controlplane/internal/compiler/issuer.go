package compiler

import (
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// issuers adds the issuers of tokens, with the roles that they give to groups.
func (b *builder) issuers(rows []db.Issuer, given []db.IssuerGroupRole) {
	byIssuer := make(map[string][]*snapshotv1.GroupRole)
	for _, g := range given {
		byIssuer[g.Issuer] = append(byIssuer[g.Issuer], &snapshotv1.GroupRole{Group: g.GroupName, Role: g.Role})
	}
	for _, row := range rows {
		b.add(&snapshotv1.Item{Kind: &snapshotv1.Item_Issuer{Issuer: &snapshotv1.Issuer{
			Name: row.Name, Url: row.URL, Audiences: row.Audiences, JwksUrl: row.JwksURL, Algorithms: row.Algorithms,
			UserClaim: row.UserClaim, GroupsClaim: row.GroupsClaim, ApplicationClaim: row.ApplicationClaim,
			UserPrefix: row.UserPrefix, GroupRoles: byIssuer[row.Name], Private: row.Private,
			CaCertificates: []byte(row.CaCertificates), Scopes: row.Scopes,
		}}})
	}
}
