package login

import (
	"maps"
	"slices"

	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/proto/gen/warder/admin/v1/adminv1connect"
)

// Permission is something that a caller may do.
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
	IssueNodes        Permission = "nodes:issue"
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

// held is what each built-in role may do in the administration. Other roles
// grant tools only.
var held = map[string][]Permission{
	RoleViewer: {Read},
	RoleOperator: {
		Read, WriteServers, ApproveTools, WriteKeys, WriteApplications, WritePolicy, WriteDenials, WriteAlerts,
	},
	RoleOwner: {
		Read, WriteServers, ApproveTools, WriteKeys, WriteApplications, WritePolicy,
		WriteDenials, WriteAlerts, WriteUsers, WriteRoles, IssueNodes, RotateSealKeys, WriteIssuers, WriteProviders, RewrapSecrets,
	},
}

// covered is which built-in roles the holder of a built-in role may hand out:
// those whose permissions and tool grants are no wider than his own. An owner
// covers every role, so it is not listed.
var covered = map[string][]string{
	RoleViewer:   {RoleViewer},
	RoleOperator: {RoleOperator, RoleViewer},
}

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

	adminv1connect.NodeServiceListNodesProcedure: Read,
	adminv1connect.NodeServiceIssueNodeProcedure: IssueNodes,

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
