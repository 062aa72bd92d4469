// What the pages say of denials.

import type { Denial } from "../gen/warder/admin/v1/denial_pb";
import type { AccessSearch, DenialKind } from "../paths";

/** What is denied, in a few words. */
export function named({ kind, name }: Pick<Denial, "kind" | "name">): string {
  return kind === "all" ? "everything" : `${kind} ${name}`;
}

/** Why a denial cannot be lifted by itself; undefined if it can. The server refuses the same. */
export function notLiftable({ cause, kind }: Pick<Denial, "cause" | "kind">): string | undefined {
  switch (cause) {
    case "denial":
      return undefined;
    case "revoked":
      return kind === "agent" || kind === "node"
        ? `The ${kind} is revoked. A new join token lets it in again.`
        : "The key is revoked, which is final. Create a new one.";
    case "disabled":
      return `The ${kind} is disabled. To enable it lifts this.`;
    default:
      return "It goes with what it comes from.";
  }
}

/** The denials that an address asks for. */
export function denialsLike(
  denials: readonly Denial[],
  { q = "", kind }: Pick<AccessSearch, "q" | "kind">,
): Denial[] {
  return denials.filter(
    (denial) =>
      (kind === undefined || denial.kind === kind) &&
      denial.name.toLowerCase().includes(q.toLowerCase()),
  );
}

/** How the name of each kind is written. */
export const nameHints: Record<Exclude<DenialKind, "all">, string> = {
  user: "As in his key, or as an issuer's tokens name him, with the prefix.",
  application: "As in its keys, or as tokens name it.",
  server: "A server that clients reach through the gateway.",
  tool: "SERVER/TOOL, by the names that the server uses.",
  token: "ISSUER/JTI: the issuer's name here, and the token's claim jti.",
};
