// Grants of roles, as people read and write them.

import type { Grant } from "../gen/warder/admin/v1/role_pb";

/** What a form holds of a grant. */
export interface GrantValues {
  tools: string[];
  prompts: string[];
  resources: string[];
  risks: string[];
}

export const noGrant: GrantValues = { tools: [], prompts: [], resources: [], risks: [] };

/** Empty lists would grant everything; a form left blank must not mean that. */
export function isEmpty({ tools, prompts, resources, risks }: GrantValues): boolean {
  return [tools, prompts, resources, risks].every((list) => list.length === 0);
}

/** A grant in words. */
export function describe(grant: Pick<Grant, keyof GrantValues>): string {
  const named = [
    ["tools", grant.tools],
    ["prompts", grant.prompts],
    ["resources", grant.resources],
  ] as const;
  const parts = named.filter(([, globs]) => globs.length > 0);
  const what = parts.map(([kind, globs]) => `${kind} ${globs.join(", ")}`).join("; ");
  const risk = grant.risks.length === 0 ? "of any risk" : `of risk ${grant.risks.join(", ")}`;
  return `${what === "" ? "anything" : what} ${risk}`;
}
