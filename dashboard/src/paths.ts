// Every link of the dashboard is made here, so that a path is written once and
// the search parameters of a page have one type.

export const toolStates = ["pending", "approved", "changed", "rejected"] as const;
export type ToolStateName = (typeof toolStates)[number];

/** What an entry of the catalogue is, in the order of the tabs. */
export const kinds = ["tool", "prompt", "resource", "template", "instructions"] as const;
export type KindName = (typeof kinds)[number];

/** What a decision can be explained about. */
export const targets = ["tool", "prompt", "resource"] as const;
export type TargetName = (typeof targets)[number];

/**
 * What a decision is made about for each, the main one first: internal/policy has
 * the same. The last ones are what a server asks of the client meanwhile.
 */
const asked = ["sampling/createMessage", "elicitation/create", "roots/list"] as const;
export const methods: Record<TargetName, readonly [string, ...string[]]> = {
  tool: ["tools/call", ...asked],
  prompt: ["prompts/get", "completion/complete", ...asked],
  resource: ["resources/read", "resources/subscribe", "completion/complete", ...asked],
};

/** The risk categories, as in internal/risk. */
export const risks = [
  "read",
  "write",
  "destructive",
  "admin",
  "execute",
  "external",
  "unclassified",
] as const;
export type RiskName = (typeof risks)[number];

/** What the scanner found: hard findings, any, or none. */
export const findingFilters = ["hard", "any", "none"] as const;
export type FindingFilter = (typeof findingFilters)[number];

export const policyTabs = ["document", "change", "history", "explain"] as const;
export type PolicyTab = (typeof policyTabs)[number];

export const decisions = ["allow", "deny"] as const;
export type DecisionName = (typeof decisions)[number];

export const accessTabs = [
  "users",
  "roles",
  "keys",
  "applications",
  "sessions",
  "denials",
] as const;
export type AccessTab = (typeof accessTabs)[number];

export const trustTabs = ["issuers", "providers", "secrets"] as const;
export type TrustTab = (typeof trustTabs)[number];

export const fleetTabs = ["nodes", "agents", "tokens", "authority"] as const;
export type FleetTab = (typeof fleetTabs)[number];

/** States of users, and of keys. */
export const userStates = ["active", "disabled", "removed"] as const;
export type UserStateName = (typeof userStates)[number];
export const keyStates = ["valid", "expired", "revoked"] as const;
export type KeyStateName = (typeof keyStates)[number];

/** What can be denied, as in proto/warder/admin/v1/denial.proto. */
export const denialKinds = ["user", "application", "server", "tool", "token", "all"] as const;
export type DenialKind = (typeof denialKinds)[number];

export interface LoginSearch {
  /** Where to go after signing in: a path of this dashboard. */
  next?: string;
}

export interface ServersSearch {
  /** The server in the drawer. */
  server?: string;
}

export interface ToolsSearch {
  /** Absent: tools. */
  kind?: KindName;
  server?: string;
  state?: ToolStateName;
  risk?: RiskName;
  findings?: FindingFilter;
  /** Part of a name. */
  q?: string;
  /** The entry in the drawer, "server/name". */
  tool?: string;
}

export interface AlertsSearch {
  /** Also those that are closed. */
  closed?: boolean;
}

export interface AccessSearch {
  /** Absent: users. */
  tab?: AccessTab;
  /** Part of what a row of the tab says: a name, an id, an address. */
  q?: string;
  /** Of users or keys. Absent: users who are not removed, and all keys. */
  state?: UserStateName | KeyStateName;
  /** Of denials. */
  kind?: DenialKind | "key";
  /** The user in the drawer. */
  user?: string;
}

export interface TrustSearch {
  /** Absent: issuers. */
  tab?: TrustTab;
  /** The issuer or the provider in the drawer. */
  name?: string;
}

export interface FleetSearch {
  /** Absent: nodes. */
  tab?: FleetTab;
  /** The agent in the drawer. */
  name?: string;
}

export interface PolicySearch {
  /** Absent: the document in force. */
  tab?: PolicyTab;
  /** The version in the drawer of the history. */
  version?: number;
  /** The recorded call that is explained; the rest below is about any other. */
  call?: string;
  user?: string;
  application?: string;
  /** What tool names. Absent: a tool. */
  kind?: TargetName;
  /** "server/name". */
  tool?: string;
  /** What is done with it, or asked by its server. Absent: the main one of its kind. */
  method?: string;
}

export interface AuditSearch {
  user?: string;
  application?: string;
  /** "server/tool", or only "server". */
  tool?: string;
  decision?: DecisionName;
  outcome?: string;
  /** ISO 8601, in UTC. */
  since?: string;
  until?: string;
  /** The call in the drawer. */
  call?: string;
  /** Follow new calls instead of reading old ones. */
  live?: boolean;
}

export const pb = {
  overview: () => ({ to: "/" }) as const,
  setup: () => ({ to: "/setup" }) as const,
  login: (search: LoginSearch = {}) => ({ to: "/login", search }) as const,
  servers: (search: ServersSearch = {}) => ({ to: "/servers", search }) as const,
  tools: (search: ToolsSearch = {}) => ({ to: "/tools", search }) as const,
  alerts: (search: AlertsSearch = {}) => ({ to: "/alerts", search }) as const,
  access: (search: AccessSearch = {}) => ({ to: "/access", search }) as const,
  trust: (search: TrustSearch = {}) => ({ to: "/trust", search }) as const,
  fleet: (search: FleetSearch = {}) => ({ to: "/fleet", search }) as const,
  account: () => ({ to: "/account" }) as const,
  policy: (search: PolicySearch = {}) => ({ to: "/policy", search }) as const,
  audit: (search: AuditSearch = {}) => ({ to: "/audit", search }) as const,
};

/** Where a link of the dashboard leads. */
export type PageAddress = ReturnType<(typeof pb)[keyof typeof pb]>;

type Raw = Record<string, unknown>;

/** A parameter as text, or undefined when it is absent, empty or no text. */
function text(raw: Raw, name: string): string | undefined {
  const value = raw[name];
  // The router reads ?q=5 as a number.
  const asText = typeof value === "number" ? String(value) : value;
  return typeof asText === "string" && asText !== "" ? asText : undefined;
}

function oneOf<T extends string>(raw: Raw, name: string, allowed: readonly T[]): T | undefined {
  return allowed.find((value) => value === raw[name]);
}

function instant(raw: Raw, name: string): string | undefined {
  const value = text(raw, name);
  return value !== undefined && !Number.isNaN(Date.parse(value)) ? value : undefined;
}

/** What an address says of each page's state; what it does not know is left out. */
export const parseSearch = {
  login: (raw: Raw): LoginSearch => ({ next: text(raw, "next") }),
  servers: (raw: Raw): ServersSearch => ({ server: text(raw, "server") }),
  tools: (raw: Raw): ToolsSearch => ({
    kind: oneOf(raw, "kind", kinds),
    server: text(raw, "server"),
    state: oneOf(raw, "state", toolStates),
    risk: oneOf(raw, "risk", risks),
    findings: oneOf(raw, "findings", findingFilters),
    q: text(raw, "q"),
    tool: text(raw, "tool"),
  }),
  alerts: (raw: Raw): AlertsSearch => ({ closed: raw.closed === true ? true : undefined }),
  access: (raw: Raw): AccessSearch => ({
    tab: oneOf(raw, "tab", accessTabs),
    q: text(raw, "q"),
    state: oneOf(raw, "state", [...userStates, ...keyStates]),
    kind: oneOf(raw, "kind", [...denialKinds, "key"]),
    user: text(raw, "user"),
  }),
  trust: (raw: Raw): TrustSearch => ({
    tab: oneOf(raw, "tab", trustTabs),
    name: text(raw, "name"),
  }),
  fleet: (raw: Raw): FleetSearch => ({
    tab: oneOf(raw, "tab", fleetTabs),
    name: text(raw, "name"),
  }),
  policy: (raw: Raw): PolicySearch => ({
    tab: oneOf(raw, "tab", policyTabs),
    version:
      Number.isSafeInteger(raw.version) && Number(raw.version) > 0
        ? Number(raw.version)
        : undefined,
    call: text(raw, "call"),
    user: text(raw, "user"),
    application: text(raw, "application"),
    kind: oneOf(raw, "kind", targets),
    tool: text(raw, "tool"),
    method: oneOf(raw, "method", methods[oneOf(raw, "kind", targets) ?? "tool"]),
  }),
  audit: (raw: Raw): AuditSearch => ({
    user: text(raw, "user"),
    application: text(raw, "application"),
    tool: text(raw, "tool"),
    decision: oneOf(raw, "decision", decisions),
    outcome: text(raw, "outcome"),
    since: instant(raw, "since"),
    until: instant(raw, "until"),
    call: text(raw, "call"),
    live: raw.live === true ? true : undefined,
  }),
};

/**
 * The path to return to after signing in. Anything that could lead to another
 * origin becomes the overview.
 */
export function safeReturn(next: string | undefined): string {
  const origin = "https://warder.invalid";
  if (next === undefined || !URL.canParse(next, origin)) {
    return "/";
  }
  const url = new URL(next, origin);
  return next.startsWith("/") && url.origin === origin ? url.pathname + url.search : "/";
}
