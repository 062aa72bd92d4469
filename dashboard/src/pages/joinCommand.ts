// How somebody is started whom a join token lets in. The token goes by the
// environment: other people of a machine can read the arguments of its programs.

import type { JoinToken } from "../gen/warder/admin/v1/agent_pb";

export const shells = [
  { id: "sh", name: "Linux, macOS" },
  { id: "powershell", name: "Windows" },
] as const;
export type Shell = (typeof shells)[number]["id"];

/** A host and a port, which no shell reads as anything else. */
const address = /^[A-Za-z0-9._:[\]-]+:[0-9]+$/;

/** Where the control plane takes nodes and agents, as it says itself. Where it does not know
 * its host, that of the dashboard is likely. */
export const likelyAddress = (controlPlane: string, hostname: string) =>
  controlPlane.startsWith(":") ? `${hostname}${controlPlane}` : controlPlane;

/** What starts a node or an agent with its token. */
export function joinCommand(
  { kind }: Pick<JoinToken, "kind">,
  controlPlane: string,
  token: string,
  shell: Shell,
): string {
  const program = kind === "node" ? "warder dataplane" : "warder-agent run";
  const start = `${program} --control-plane ${address.test(controlPlane) ? controlPlane : "HOST:PORT"}`;
  return shell === "sh"
    ? `WARDER_JOIN_TOKEN=${token} ${start}`
    : `$env:WARDER_JOIN_TOKEN = '${token}'; ${start}`;
}
