// The states of nodes, agents, their servers and what lets them in.

import { type BadgeLook, StateBadge } from "../ui/badges";
import type { AuthorityTurn, JoinTokenState, PeerState, Standing } from "./fleet";

const peerLooks: Record<PeerState, BadgeLook> = {
  connected: { icon: "allow", color: "green", label: "Connected" },
  away: { icon: "off", color: "orange", label: "Away" },
  revoked: { icon: "deny", color: "red", label: "Revoked" },
};

/** Whether a node or an agent is there. */
export function PeerStateBadge({ state }: { state: PeerState }) {
  return <StateBadge {...peerLooks[state]} />;
}

const thereLooks: Record<Standing, BadgeLook> = {
  idle: { icon: "allow", color: "green", label: "Idle" },
  starting: { icon: "running", color: "blue", label: "Starting" },
  running: { icon: "allow", color: "green", label: "Running" },
  waiting: { icon: "changed", color: "red", label: "Failed there" },
  refused: { icon: "deny", color: "red", label: "Refused there" },
  away: { icon: "off", color: "orange", label: "Agent away" },
  revoked: { icon: "deny", color: "red", label: "Agent revoked" },
  unreported: { icon: "wait", color: "orange", label: "Not reported yet" },
  unknown: { icon: "unknown", color: "gray", label: "Unknown" },
};

/** What a server of an agent does there. */
export function StandingBadge({ standing }: { standing: Standing }) {
  return <StateBadge {...thereLooks[standing]} />;
}

const tokenLooks: Record<JoinTokenState, BadgeLook> = {
  good: { icon: "wait", color: "blue", label: "Not used yet" },
  used: { icon: "allow", color: "green", label: "Used" },
  expired: { icon: "off", color: "gray", label: "Expired" },
};

/** Whether a join token lets somebody in. */
export function JoinTokenBadge({ state }: { state: JoinTokenState }) {
  return <StateBadge {...tokenLooks[state]} />;
}

const turnLooks: Record<AuthorityTurn, BadgeLook> = {
  signs: { icon: "allow", color: "green", label: "Signs" },
  waits: { icon: "wait", color: "blue", label: "Waits for its turn" },
  retires: { icon: "off", color: "gray", label: "Trusted, signs no more" },
};

/** What an authority does now. */
export function AuthorityBadge({ turn }: { turn: AuthorityTurn }) {
  return <StateBadge {...turnLooks[turn]} />;
}
