// What the pages read, once each: loaders prefetch by these, and components
// read the same entry of the cache by them.

import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Timestamp, timestampFromDate } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import { createInfiniteQueryOptions, createQueryOptions } from "@connectrpc/connect-query";
import { AgentService, EnrollmentService } from "../gen/warder/admin/v1/agent_pb";
import { AlertService } from "../gen/warder/admin/v1/alert_pb";
import { ApplicationService } from "../gen/warder/admin/v1/application_pb";
import { AuditService, type CallFilterSchema } from "../gen/warder/admin/v1/audit_pb";
import { DenialService } from "../gen/warder/admin/v1/denial_pb";
import { HealthService } from "../gen/warder/admin/v1/health_pb";
import { IssuerService } from "../gen/warder/admin/v1/issuer_pb";
import { KeyService } from "../gen/warder/admin/v1/key_pb";
import { LoginService } from "../gen/warder/admin/v1/login_pb";
import { NodeService } from "../gen/warder/admin/v1/node_pb";
import { PolicyService } from "../gen/warder/admin/v1/policy_pb";
import { ProviderService } from "../gen/warder/admin/v1/provider_pb";
import { RoleService } from "../gen/warder/admin/v1/role_pb";
import { SealKeyService } from "../gen/warder/admin/v1/seal_key_pb";
import { SecretService } from "../gen/warder/admin/v1/secret_pb";
import { ServerService } from "../gen/warder/admin/v1/server_pb";
import { Kind, ToolService, ToolState } from "../gen/warder/admin/v1/tool_pb";
import { UserService } from "../gen/warder/admin/v1/user_pb";
import type { AuditSearch, KindName, PolicySearch, ToolStateName, ToolsSearch } from "../paths";

const callsPerPage = 100;
const callsOnOverview = 8;

/** How often pages ask again that show how things are. */
export const pollInterval = 5_000;

export const whoAmI = (transport: Transport) => ({
  ...createQueryOptions(LoginService.method.whoAmI, {}, { transport }),
  // Being signed out is an answer to this question, not a failure.
  meta: { expectsSignedOut: true },
  staleTime: 60_000,
});

export const health = (transport: Transport) =>
  createQueryOptions(HealthService.method.getHealth, {}, { transport });

/** The ways to sign in. */
export const signOns = (transport: Transport) =>
  createQueryOptions(LoginService.method.listSignOns, {}, { transport });

export const servers = (transport: Transport) =>
  createQueryOptions(ServerService.method.listServers, {}, { transport });

const stateByName: Record<ToolStateName, ToolState> = {
  pending: ToolState.PENDING,
  approved: ToolState.APPROVED,
  changed: ToolState.CHANGED,
  rejected: ToolState.REJECTED,
};

const kindByName: Record<KindName, Kind> = {
  tool: Kind.TOOL,
  prompt: Kind.PROMPT,
  resource: Kind.RESOURCE,
  template: Kind.TEMPLATE,
  instructions: Kind.INSTRUCTIONS,
};

export const tools = (
  transport: Transport,
  { kind = "tool", server, state }: Pick<ToolsSearch, "kind" | "server" | "state">,
) =>
  createQueryOptions(
    ToolService.method.listTools,
    { kinds: [kindByName[kind]], server, state: state && stateByName[state] },
    { transport },
  );

export const tool = (transport: Transport, kind: KindName, name: string) =>
  createQueryOptions(ToolService.method.getTool, { kind: kindByName[kind], name }, { transport });

export const server = (transport: Transport, name: string) =>
  createQueryOptions(ServerService.method.getServer, { name }, { transport });

/** How often alerts are asked for again. */
export const alertsInterval = 15_000;

export const alerts = (transport: Transport, closed: boolean) =>
  createQueryOptions(AlertService.method.listAlerts, { closed }, { transport });

export const users = (transport: Transport) =>
  createQueryOptions(UserService.method.listUsers, {}, { transport });

export const roles = (transport: Transport) =>
  createQueryOptions(RoleService.method.listRoles, {}, { transport });

export const keys = (transport: Transport) =>
  createQueryOptions(KeyService.method.listKeys, {}, { transport });

export const applications = (transport: Transport) =>
  createQueryOptions(ApplicationService.method.listApplications, {}, { transport });

export const permissions = (transport: Transport) =>
  createQueryOptions(RoleService.method.listPermissions, {}, { transport });

/** Sessions of a user; "": of the person signed in; "*": of everybody. */
export const sessions = (transport: Transport, user: string) =>
  createQueryOptions(LoginService.method.listSessions, { user }, { transport });

export const denials = (transport: Transport) =>
  createQueryOptions(DenialService.method.listDenials, {}, { transport });

export const issuers = (transport: Transport) =>
  createQueryOptions(IssuerService.method.listIssuers, {}, { transport });

export const providers = (transport: Transport) =>
  createQueryOptions(ProviderService.method.listProviders, {}, { transport });

export const keyEncryptionKeys = (transport: Transport) =>
  createQueryOptions(SecretService.method.listKeyEncryptionKeys, {}, { transport });

export const sealKeys = (transport: Transport) =>
  createQueryOptions(SealKeyService.method.listSealKeys, {}, { transport });

export const policy = (transport: Transport) =>
  createQueryOptions(PolicyService.method.getPolicy, {}, { transport });

/** What conditions see beside the caller and the target. */
export interface ExplainFacts {
  /** A JSON object. */
  arguments: string;
  groups: string[];
  clientName: string;
  clientVersion: string;
  /** Absent: now. */
  at: Timestamp | undefined;
}

const versionsPerPage = 50;

export const policyVersion = (transport: Transport, version: number) =>
  createQueryOptions(PolicyService.method.getPolicy, { version: BigInt(version) }, { transport });

export const policyVersions = (transport: Transport) =>
  createInfiniteQueryOptions(
    PolicyService.method.listPolicies,
    { pageSize: versionsPerPage, pageToken: "" },
    {
      transport,
      pageParamKey: "pageToken",
      getNextPageParam: (last, _pages, token) =>
        last.nextPageToken === "" || last.nextPageToken === token ? undefined : last.nextPageToken,
    },
  );

/** What a check says of a document, in comparison with the version in force. */
export const policyCheck = (transport: Transport, document: string) =>
  createQueryOptions(PolicyService.method.checkPolicy, { document }, { transport });

/** The way to the decision about a recorded call, under the policy in force. */
export const recordedExplanation = (transport: Transport, callId: string, args: string) =>
  createQueryOptions(
    PolicyService.method.explainDecision,
    { callId, arguments: args },
    { transport },
  );

export const explanation = (
  transport: Transport,
  { user = "", application = "", kind = "tool", tool = "", method = "" }: PolicySearch,
  facts: ExplainFacts,
) =>
  createQueryOptions(
    PolicyService.method.explainDecision,
    { user, application, [kind]: tool, method, ...facts },
    { transport },
  );

export const nodes = (transport: Transport) =>
  createQueryOptions(NodeService.method.listNodes, {}, { transport });

export const agents = (transport: Transport) =>
  createQueryOptions(AgentService.method.listAgents, {}, { transport });

export const joinTokens = (transport: Transport) =>
  createQueryOptions(EnrollmentService.method.listJoinTokens, {}, { transport });

export const authorities = (transport: Transport) =>
  createQueryOptions(EnrollmentService.method.listAuthorities, {}, { transport });

/** The filter that an address stands for. */
export function callFilter(search: AuditSearch): MessageInitShape<typeof CallFilterSchema> {
  return {
    user: search.user,
    application: search.application,
    tool: search.tool,
    decision: search.decision,
    outcome: search.outcome,
    since: search.since === undefined ? undefined : timestampFromDate(new Date(search.since)),
    until: search.until === undefined ? undefined : timestampFromDate(new Date(search.until)),
  };
}

export const lastCalls = (transport: Transport) =>
  createQueryOptions(AuditService.method.listCalls, { pageSize: callsOnOverview }, { transport });

export const calls = (transport: Transport, search: AuditSearch) =>
  createInfiniteQueryOptions(
    AuditService.method.listCalls,
    { filter: callFilter(search), pageSize: callsPerPage, pageToken: "" },
    {
      transport,
      pageParamKey: "pageToken",
      // A token that does not advance would load the same page for ever.
      getNextPageParam: (last, _pages, token) =>
        last.nextPageToken === "" || last.nextPageToken === token ? undefined : last.nextPageToken,
    },
  );

/** Whether an error says that nobody is signed in. */
export function isSignedOut(error: unknown): boolean {
  return ConnectError.from(error).code === Code.Unauthenticated;
}
