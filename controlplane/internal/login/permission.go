package login

import (
	"maps"
	"slices"

	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/proto/gen/warder/admin/v1/adminv1connect"
)

// Permission is something that a caller may do in the administration. Roles carry
// permissions: built-in ones those of this file, others those of their row.
type Permission string

// The permissions. Anyone and SignedIn are held without a role.
const (
	Anyone            Permission = "anyone"
	SignedIn          Permission = "signed-in"
	Read              Permission = "read"
	WriteServers      Permission = "servers:write"
	ApproveTools      Permission = "tools:approve"
	WriteKeys         Permission = "keys:write"
	WriteApplications Permission = "applications:write"
	WritePolicy       Permission = "policy:write"
	WriteUsers        Permission = "users:write"
	WriteRoles        Permission = "roles:write"
	WritePeers        Permission = "peers:write"
	RotateAuthority   Permission = "authority:rotate"
	RotateSealKeys    Permission = "seal-keys:rotate"
	WriteIssuers      Permission = "issuers:write"
	WriteProviders    Permission = "providers:write"
	WriteDenials      Permission = "denials:write"
	WriteAlerts       Permission = "alerts:write"
	RewrapSecrets     Permission = "secrets:rewrap"
)

// The names of the roles that are built in.
const (
	RoleViewer   = "viewer"
	RoleOperator = "operator"
	RoleOwner    = "owner"
)

// Permissions returns all that a role can carry, with what each allows, in the
// order in which people read them.
func Permissions() []Described { return slices.Clone(described) }

// Described is a permission with what it allows, for people.
type Described struct {
	Permission Permission
	Allows     string
}

var described = []Described{
	{Read, "See everything in the administration; secrets are never shown"},
	{WriteServers, "Add, change and remove servers"},
	{ApproveTools, "Approve, reject, switch off and classify what servers offer"},
	{WriteKeys, "Make, rotate and revoke keys, for users who hold no more than oneself"},
	{WriteApplications, "Make applications and switch them off"},
	{WriteDenials, "Deny at once what policy would allow, and lift it"},
	{WriteAlerts, "Close alerts"},
	{WritePolicy, "Change policy: whoever holds it decides who may use what, also for himself"},
	{WriteUsers, "Make, change, disable and remove users who hold no more than oneself; end their sessions"},
	{WriteRoles, "Make, change and remove roles that hold no more than oneself"},
	{WriteIssuers, "Say whose tokens are trusted, and so who their users are"},
	{WriteProviders, "Say by which providers people sign in"},
	{WritePeers, "Make join tokens, with which nodes get the configuration and agents offer servers; revoke nodes and agents"},
	{RotateAuthority, "Rotate the authority that signs for nodes and agents"},
	{RotateSealKeys, "Rotate and forget the keys that seal sessions of clients"},
	{RewrapSecrets, "Seal stored secrets anew under the current key-encryption key"},
}

// held is what each built-in role carries. What widens access for oneself
// (policy, users, roles, issuers, providers, nodes) is for owners, and for roles
// that owners make.
var held = map[string][]Permission{
	RoleViewer:   {Read},
	RoleOperator: {Read, WriteServers, ApproveTools, WriteKeys, WriteApplications, WriteDenials, WriteAlerts},
	RoleOwner:    all(),
}

// all returns every permission that a role can carry.
func all() (permissions []Permission) {
	for _, d := range described {
		permissions = append(permissions, d.Permission)
	}
	return permissions
}

// BuiltIn returns what a built-in role carries, and false for any other role.
func BuiltIn(role string) ([]Permission, bool) {
	permissions, found := held[role]
	return slices.Clone(permissions), found
}

// Known reports whether a role can carry the permission.
func (p Permission) Known() bool { return slices.Contains(held[RoleOwner], p) }

// needed is what each procedure needs. It is exact: what is not here is denied.
var needed = map[string]Permission{
	adminv1connect.HealthServiceGetHealthProcedure: Anyone,

	adminv1connect.LoginServiceSetUpProcedure:   Anyone,
	adminv1connect.LoginServiceSignInProcedure:  Anyone,
	adminv1connect.LoginServiceSignOutProcedure: SignedIn,
	adminv1connect.LoginServiceWhoAmIProcedure:  SignedIn,

	adminv1connect.ServerServiceListServersProcedure:   Read,
	adminv1connect.ServerServiceGetServerProcedure:     Read,
	adminv1connect.ServerServiceAddServerProcedure:     WriteServers,
	adminv1connect.ServerServiceUpdateServerProcedure:  WriteServers,
	adminv1connect.ServerServiceRemoveServerProcedure:  WriteServers,
	adminv1connect.ServerServiceRefreshServerProcedure: WriteServers,

	adminv1connect.ToolServiceListToolsProcedure:    Read,
	adminv1connect.ToolServiceGetToolProcedure:      Read,
	adminv1connect.ToolServiceApproveToolsProcedure: ApproveTools,
	adminv1connect.ToolServiceRejectToolsProcedure:  ApproveTools,
	adminv1connect.ToolServiceDisableToolsProcedure: ApproveTools,
	adminv1connect.ToolServiceEnableToolsProcedure:  ApproveTools,

	adminv1connect.ApplicationServiceListApplicationsProcedure:  Read,
	adminv1connect.ApplicationServiceCreateApplicationProcedure: WriteApplications,

	adminv1connect.KeyServiceListKeysProcedure:  Read,
	adminv1connect.KeyServiceCreateKeyProcedure: WriteKeys,
	adminv1connect.KeyServiceRevokeKeyProcedure: WriteKeys,

	adminv1connect.PolicyServiceGetPolicyProcedure:       Read,
	adminv1connect.PolicyServiceExplainDecisionProcedure: Read,
	adminv1connect.PolicyServiceApplyPolicyProcedure:     WritePolicy,

	adminv1connect.AuditServiceListCallsProcedure:   Read,
	adminv1connect.AuditServiceTailCallsProcedure:   Read,
	adminv1connect.AuditServiceListChangesProcedure: Read,

	adminv1connect.UserServiceListUsersProcedure:  Read,
	adminv1connect.UserServiceCreateUserProcedure: WriteUsers,

	adminv1connect.RoleServiceListRolesProcedure:  Read,
	adminv1connect.RoleServiceCreateRoleProcedure: WriteRoles,
	adminv1connect.RoleServiceGrantRoleProcedure:  WriteRoles,

	adminv1connect.NodeServiceListNodesProcedure:  Read,
	adminv1connect.NodeServiceRevokeNodeProcedure: WritePeers,
	adminv1connect.NodeServiceRemoveNodeProcedure: WritePeers,

	adminv1connect.AgentServiceListAgentsProcedure:  Read,
	adminv1connect.AgentServiceRevokeAgentProcedure: WritePeers,
	adminv1connect.AgentServiceRemoveAgentProcedure: WritePeers,

	adminv1connect.EnrollmentServiceListJoinTokensProcedure:  Read,
	adminv1connect.EnrollmentServiceCreateJoinTokenProcedure: WritePeers,
	adminv1connect.EnrollmentServiceRevokeJoinTokenProcedure: WritePeers,
	adminv1connect.EnrollmentServiceListAuthoritiesProcedure: Read,
	adminv1connect.EnrollmentServiceRotateAuthorityProcedure: RotateAuthority,

	adminv1connect.SealKeyServiceListSealKeysProcedure:   Read,
	adminv1connect.SealKeyServiceRotateSealKeysProcedure: RotateSealKeys,

	adminv1connect.LoginServiceListSignOnsProcedure:   Anyone,
	adminv1connect.LoginServiceListSessionsProcedure:  SignedIn,
	adminv1connect.LoginServiceRevokeSessionProcedure: SignedIn,

	adminv1connect.ToolServiceSetRiskProcedure: ApproveTools,

	adminv1connect.ApplicationServiceDisableApplicationProcedure: WriteApplications,
	adminv1connect.ApplicationServiceEnableApplicationProcedure:  WriteApplications,

	adminv1connect.KeyServiceRotateKeyProcedure: WriteKeys,

	adminv1connect.PolicyServiceListPoliciesProcedure:   Read,
	adminv1connect.PolicyServiceCheckPolicyProcedure:    Read,
	adminv1connect.PolicyServiceSimulatePolicyProcedure: Read,
	adminv1connect.PolicyServiceRollbackPolicyProcedure: WritePolicy,

	adminv1connect.UserServiceUpdateUserProcedure:  WriteUsers,
	adminv1connect.UserServiceDisableUserProcedure: WriteUsers,
	adminv1connect.UserServiceEnableUserProcedure:  WriteUsers,
	adminv1connect.UserServiceRemoveUserProcedure:  WriteUsers,
	// Everybody his own; that of another needs users:write, which the method asks.
	adminv1connect.UserServiceSetPasswordProcedure: SignedIn,

	adminv1connect.RoleServiceListPermissionsProcedure: Read,
	adminv1connect.RoleServiceUpdateRoleProcedure:      WriteRoles,
	adminv1connect.RoleServiceRemoveRoleProcedure:      WriteRoles,

	adminv1connect.AlertServiceListAlertsProcedure: Read,
	adminv1connect.AlertServiceCloseAlertProcedure: WriteAlerts,

	adminv1connect.DenialServiceListDenialsProcedure:  Read,
	adminv1connect.DenialServiceAddDenialProcedure:    WriteDenials,
	adminv1connect.DenialServiceRemoveDenialProcedure: WriteDenials,

	adminv1connect.IssuerServiceListIssuersProcedure:  Read,
	adminv1connect.IssuerServiceAddIssuerProcedure:    WriteIssuers,
	adminv1connect.IssuerServiceUpdateIssuerProcedure: WriteIssuers,
	adminv1connect.IssuerServiceRemoveIssuerProcedure: WriteIssuers,

	adminv1connect.ProviderServiceListProvidersProcedure:  Read,
	adminv1connect.ProviderServiceAddProviderProcedure:    WriteProviders,
	adminv1connect.ProviderServiceUpdateProviderProcedure: WriteProviders,
	adminv1connect.ProviderServiceRemoveProviderProcedure: WriteProviders,
	adminv1connect.ProviderServiceLinkUserProcedure:       WriteProviders,

	adminv1connect.SecretServiceListKeyEncryptionKeysProcedure: Read,
	adminv1connect.SecretServiceRewrapSecretsProcedure:         RewrapSecrets,
}

// Needed returns what a procedure needs, and false for one that is not known.
func Needed(procedure string) (Permission, bool) {
	p, found := needed[procedure]
	return p, found
}

// Procedures returns the procedures that have a permission, in order.
func Procedures() []string {
	return slices.Sorted(maps.Keys(needed))
}

// Require says whether the caller may use the procedure: nil, or
// fault.Unauthenticated for a stranger, or fault.Denied.
func Require(c Caller, procedure string) error {
	need, found := needed[procedure]
	if !found {
		return fault.New(fault.Denied, "this procedure is not open to anybody")
	}
	if need == Anyone {
		return nil
	}
	if c.Anonymous() {
		return fault.New(fault.Unauthenticated, "sign in first; on the machine itself, use the warder command with the same --data-dir")
	}
	if need == SignedIn || c.Holds(need) {
		return nil
	}
	return fault.Newf(fault.Denied, "%s needs the permission %s, which none of your roles holds; ask an owner", procedureName(procedure), need)
}

// procedureName returns the last part: "AddServer".
func procedureName(procedure string) string {
	for i := len(procedure) - 1; i >= 0; i-- {
		if procedure[i] == '/' {
			return procedure[i+1:]
		}
	}
	return procedure
}
