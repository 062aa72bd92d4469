// What the pages work out of the findings of the scanner.

import type { Difference, Finding, Tool } from "../gen/warder/admin/v1/tool_pb";
import type { FindingFilter } from "../paths";

/** Whether a finding has hardly an innocent explanation. What the page does not know counts as such. */
export function isHard(finding: Pick<Finding, "severity">): boolean {
  return finding.severity !== "soft";
}

/** Whether the approval of an entry needs somebody's word that he has seen its findings. */
export function isSuspect(tool: Pick<Tool, "findings">): boolean {
  return tool.findings.some(isHard);
}

/** Findings with those that are hard before the others. */
export function hardFirst<F extends Pick<Finding, "severity">>(findings: readonly F[]): F[] {
  return [...findings].sort((a, b) => Number(isHard(b)) - Number(isHard(a)));
}

/** The checks that found something, each once. */
export function checksOf(findings: readonly Pick<Finding, "check">[]): string[] {
  return [...new Set(findings.map((finding) => finding.check))];
}

/** Whether an entry is among those that a filter shows. */
export function hasFindings(
  tool: Pick<Tool, "findings">,
  filter: FindingFilter | undefined,
): boolean {
  switch (filter) {
    case "hard":
      return isSuspect(tool);
    case "any":
      return tool.findings.length > 0;
    case "none":
      return tool.findings.length === 0;
    default:
      return true;
  }
}

/** The findings within a place that differs: at its JSON pointer, or below it. */
export function findingsWithin<F extends Pick<Finding, "path">>(
  findings: readonly F[],
  { path, change }: Pick<Difference, "path" | "change">,
): F[] {
  return change === "removed"
    ? []
    : findings.filter((found) => found.path === path || found.path.startsWith(`${path}/`));
}
