// What the pages say of nodes, of agents and their servers, and of what lets them in.

import { durationMs, type Timestamp, timestampDate } from "@bufbuild/protobuf/wkt";
import type {
  Agent,
  AgentServer,
  AgentTunnel,
  Authority,
  JoinToken,
} from "../gen/warder/admin/v1/agent_pb";
import type { Node } from "../gen/warder/admin/v1/node_pb";
import type { Server } from "../gen/warder/admin/v1/server_pb";

export type PeerState = "connected" | "away" | "revoked";

/** Whether a node or an agent is there. */
export function peerState({ connected, revoked }: Pick<Agent, "connected" | "revoked">): PeerState {
  return revoked ? "revoked" : connected ? "connected" : "away";
}

/** How many revisions a node is behind. */
export function lag({
  revision,
  desiredRevision,
}: Pick<Node, "revision" | "desiredRevision">): bigint {
  return desiredRevision > revision ? desiredRevision - revision : 0n;
}

/** The same in words. */
export function behind(node: Pick<Node, "revision" | "desiredRevision">): string {
  const revisions = lag(node);
  return revisions === 0n ? "no" : revisions === 1n ? "1 revision" : `${revisions} revisions`;
}

/** Peers renew at half an hour: internal/identity. With less than this left, one is late. */
const renewedBefore = 25 * 60_000;

/** What is to be said of a certificate, beside its end; undefined: nothing. */
export function certificateRemark(
  ends: Timestamp | undefined,
  now: Date,
): "over" | "not renewed" | undefined {
  if (ends === undefined) {
    return undefined;
  }
  const left = timestampDate(ends).getTime() - now.getTime();
  return left <= 0 ? "over" : left < renewedBefore ? "not renewed" : undefined;
}

export type JoinTokenState = "good" | "used" | "expired";

/** Whether a join token lets somebody in. */
export function joinTokenState(
  { usedAt, expiresAt }: Pick<JoinToken, "usedAt" | "expiresAt">,
  now: Date,
): JoinTokenState {
  if (usedAt !== undefined) {
    return "used";
  }
  return expiresAt !== undefined && timestampDate(expiresAt) > now ? "good" : "expired";
}

export type AuthorityTurn = "signs" | "waits" | "retires";

const isLater = (at: Timestamp | undefined, now: Date) =>
  at !== undefined && timestampDate(at) > now;

/** What each authority does, in the order in which they sign: the last whose time has come signs. */
export function turns(authorities: readonly Authority[], now: Date): AuthorityTurn[] {
  const signing = Math.max(
    0,
    authorities.findLastIndex(({ signsFrom }) => !isLater(signsFrom, now)),
  );
  return authorities.map((_, index) =>
    index === signing ? "signs" : index > signing ? "waits" : "retires",
  );
}

/** Why the authority cannot be rotated now; undefined if it can. The control plane refuses the same. */
export function notRotatable(authorities: readonly Authority[], now: Date): string | undefined {
  if (authorities.some(({ signsFrom }) => isLater(signsFrom, now))) {
    return "A new authority takes over already.";
  }
  return authorities.some(({ retiresAt }) => isLater(retiresAt, now))
    ? "The authority before this one is still trusted. Rotate again when it is forgotten."
    : undefined;
}

/** What a server of an agent does there: the phases of its agent, and why there is none. */
export type Standing =
  | "idle"
  | "starting"
  | "running"
  | "waiting"
  | "refused"
  | "away"
  | "revoked"
  | "unreported"
  | "unknown";

const phases = ["idle", "starting", "running", "waiting", "refused"] as const;

/** The phase that an agent reports of a server. */
export function phaseOf({ phase }: Pick<AgentServer, "phase">): Standing {
  return phases.find((known) => known === phase) ?? "unknown";
}

export interface There {
  standing: Standing;
  /** What the agent says of it; absent: nothing. */
  report?: AgentServer;
}

/** How a server is at its agent; undefined: it has none, or agents are not known yet. */
export function standing(
  server: Pick<Server, "name" | "agent">,
  agents: readonly Agent[] | undefined,
): There | undefined {
  if (server.agent === "" || agents === undefined) {
    return undefined;
  }
  const agent = agents.find(({ name }) => name === server.agent);
  const report = agent?.servers.find(({ name }) => name === server.name);
  if (agent === undefined) {
    return { standing: "unknown" };
  }
  const state = peerState(agent);
  if (state !== "connected") {
    return { standing: state, report };
  }
  return report === undefined ? { standing: "unreported" } : { standing: phaseOf(report), report };
}

/** What to do about a server that its agent does not serve; undefined: nothing. */
export function remedy({ standing }: There, agent: string): string | undefined {
  switch (standing) {
    case "refused":
      return `The file of ${agent} does not allow it. Allow it there, in agent.yaml, which is read again by itself.`;
    case "away":
      return `Calls fail until ${agent} is back. Start it where it runs: warder-agent run`;
    case "revoked":
      return `${agent} is shut out. A new join token lets it in again.`;
    case "waiting":
      return "It is started again by itself.";
    default:
      return undefined;
  }
}

/** How many servers of an agent do what, in words: "2 running, 1 refused". */
export function tally(servers: readonly AgentServer[]): string {
  const counts = new Map<string, number>();
  for (const server of servers) {
    const phase = phaseOf(server);
    counts.set(phase, (counts.get(phase) ?? 0) + 1);
  }
  return [...counts].map(([phase, count]) => `${count} ${phase}`).join(", ") || "none";
}

/** A tunnel in words: the node, and how far it is. */
export function tunnelWords({ node, roundTrip }: Pick<AgentTunnel, "node" | "roundTrip">): string {
  const milliseconds = roundTrip === undefined ? 0 : durationMs(roundTrip);
  // Until it is measured, it is zero.
  return milliseconds === 0 ? node : `${node} (${Number(milliseconds.toPrecision(2))} ms)`;
}

/** How long ago something began, in its largest unit: "3 h". */
export function since(at: Timestamp | undefined, now: Date): string {
  if (at === undefined) {
    return "";
  }
  const seconds = Math.max(0, Math.floor((now.getTime() - timestampDate(at).getTime()) / 1000));
  for (const [unit, size] of [
    ["d", 86_400],
    ["h", 3_600],
    ["min", 60],
  ] as const) {
    if (seconds >= size) {
      return `${Math.floor(seconds / size)} ${unit}`;
    }
  }
  return `${seconds} s`;
}
