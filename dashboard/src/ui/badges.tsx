// States, always as a word with a drawing; the colour only helps.

import { Badge, Group, type MantineColor } from "@mantine/core";
import { ServerState } from "../gen/warder/admin/v1/server_pb";
import { type Tool, ToolState } from "../gen/warder/admin/v1/tool_pb";
import type { KeyStateName, UserStateName } from "../paths";
import { Icon, type IconName } from "./icons";

export interface BadgeLook {
  icon: IconName;
  color: MantineColor;
  label: string;
}

/** A state: those of this file, and those of one page alone. */
export function StateBadge({ icon, color, label }: BadgeLook) {
  return (
    <Badge
      variant="outline"
      color={color}
      leftSection={<Icon name={icon} />}
      tt="none"
      miw="max-content"
      styles={{ label: { color: "var(--mantine-color-text)" } }}
    >
      {label}
    </Badge>
  );
}

const toolLooks: Record<ToolState, BadgeLook> = {
  [ToolState.UNSPECIFIED]: { icon: "unknown", color: "gray", label: "Unknown" },
  [ToolState.PENDING]: { icon: "wait", color: "orange", label: "Pending" },
  [ToolState.APPROVED]: { icon: "allow", color: "green", label: "Approved" },
  [ToolState.CHANGED]: { icon: "changed", color: "red", label: "Changed" },
  [ToolState.REJECTED]: { icon: "deny", color: "red", label: "Rejected" },
};

/** Whether a tool may be called, as far as its own state goes. */
export function ToolBadges({ tool }: { tool: Tool }) {
  return (
    <Group gap={4}>
      <StateBadge {...(toolLooks[tool.state] ?? toolLooks[ToolState.UNSPECIFIED])} />
      {tool.disabled && <StateBadge icon="off" color="gray" label="Disabled" />}
      {tool.missing && <StateBadge icon="missing" color="gray" label="No longer offered" />}
    </Group>
  );
}

/** How the rule of a refusal begins that a limit made; internal/policy has the same. */
const limitPrefix = "limit:";

/** A decision of the policy. Anything but "allow" is shown as a refusal. */
export function DecisionBadge({ decision, rule = "" }: { decision: string; rule?: string }) {
  return decision === "allow" ? (
    <StateBadge icon="allow" color="green" label="Allowed" />
  ) : rule.startsWith(limitPrefix) ? (
    <StateBadge icon="wait" color="orange" label="Over a limit" />
  ) : (
    <StateBadge icon="deny" color="red" label="Denied" />
  );
}

/** What a rule does. Anything but "allow" is shown as a refusal. */
export function EffectBadge({ effect }: { effect: string }) {
  return effect === "allow" ? (
    <StateBadge icon="allow" color="green" label="Allow" />
  ) : (
    <StateBadge icon="deny" color="red" label="Deny" />
  );
}

const outcomeLooks: Record<string, BadgeLook> = {
  ok: { icon: "allow", color: "green", label: "OK" },
  running: { icon: "running", color: "blue", label: "Running" },
  refused: { icon: "deny", color: "red", label: "Refused" },
  tool_error: { icon: "changed", color: "orange", label: "Tool error" },
  protocol_error: { icon: "changed", color: "orange", label: "Protocol error" },
  server_failed: { icon: "changed", color: "red", label: "Server failed" },
  cancelled: { icon: "off", color: "gray", label: "Cancelled" },
  input_required: { icon: "wait", color: "blue", label: "Input required" },
};

export const outcomes = [...Object.keys(outcomeLooks), "unknown"];

export function OutcomeBadge({ outcome }: { outcome: string }) {
  return (
    <StateBadge
      {...(outcomeLooks[outcome] ?? { icon: "unknown", color: "gray", label: "Unknown" })}
    />
  );
}

/** How grave a finding of the scanner is. */
export function SeverityBadge({ hard }: { hard: boolean }) {
  return hard ? (
    <StateBadge icon="changed" color="red" label="Hard" />
  ) : (
    <StateBadge icon="unknown" color="orange" label="Soft" />
  );
}

const serverLooks: Record<ServerState, BadgeLook> = {
  [ServerState.UNSPECIFIED]: { icon: "wait", color: "orange", label: "Not discovered yet" },
  [ServerState.READY]: { icon: "allow", color: "green", label: "Ready" },
  [ServerState.PARTIAL]: { icon: "changed", color: "red", label: "In part" },
  [ServerState.FAILED]: { icon: "changed", color: "red", label: "Failed" },
};

/** What the last discovery of a server came to. */
export function ServerStateBadge({ state }: { state: ServerState }) {
  return <StateBadge {...(serverLooks[state] ?? serverLooks[ServerState.UNSPECIFIED])} />;
}

const changeLooks: Record<string, BadgeLook> = {
  added: { icon: "added", color: "green", label: "Added" },
  removed: { icon: "missing", color: "red", label: "Removed" },
  changed: { icon: "changed", color: "orange", label: "Changed" },
};

/** What a check says of a document. */
export function RemarkBadge({ error }: { error: boolean }) {
  return error ? (
    <StateBadge icon="deny" color="red" label="Error" />
  ) : (
    <StateBadge icon="changed" color="orange" label="Warning" />
  );
}

/** How a place of a text differs from what it was. */
export function ChangeBadge({ change }: { change: string }) {
  return (
    <StateBadge {...(changeLooks[change] ?? { icon: "unknown", color: "gray", label: change })} />
  );
}

const verdictLooks: Record<string, BadgeLook> = {
  approved: { icon: "allow", color: "green", label: "Approved" },
  rejected: { icon: "deny", color: "red", label: "Rejected" },
  disabled: { icon: "off", color: "gray", label: "Disabled" },
  enabled: { icon: "allow", color: "gray", label: "Enabled" },
  risk: { icon: "changed", color: "blue", label: "Risk set" },
};

/** What a person decided about an entry. */
export function VerdictBadge({ verdict }: { verdict: string }) {
  return (
    <StateBadge
      {...(verdictLooks[verdict] ?? { icon: "unknown", color: "gray", label: verdict })}
    />
  );
}

/** What an alert is about, and whether somebody has seen to it. */
export function AlertBadge({ open, label }: { open: boolean; label: string }) {
  return (
    <StateBadge icon={open ? "changed" : "allow"} color={open ? "red" : "gray"} label={label} />
  );
}

const standingLooks: Record<UserStateName | KeyStateName, BadgeLook> = {
  active: { icon: "allow", color: "green", label: "Active" },
  disabled: { icon: "off", color: "orange", label: "Disabled" },
  removed: { icon: "missing", color: "gray", label: "Removed" },
  valid: { icon: "allow", color: "green", label: "Valid" },
  expired: { icon: "wait", color: "orange", label: "Expired" },
  revoked: { icon: "deny", color: "red", label: "Revoked" },
};

/** Whether a user, or an application, may come in. */
export function UserStateBadge({ state }: { state: UserStateName }) {
  return <StateBadge {...standingLooks[state]} />;
}

/** Whether a key works. */
export function KeyStateBadge({ state }: { state: KeyStateName }) {
  return <StateBadge {...standingLooks[state]} />;
}

/** Good, or in need of someone. */
export function HealthBadge({ ok, label }: { ok: boolean; label: string }) {
  return <StateBadge icon={ok ? "allow" : "changed"} color={ok ? "green" : "red"} label={label} />;
}
