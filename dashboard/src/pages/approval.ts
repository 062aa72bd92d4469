// The approval of several entries, one at a time.

import { Code, ConnectError } from "@connectrpc/connect";
import type { ApproveToolsResponse, Tool } from "../gen/warder/admin/v1/tool_pb";
import { checksOf, isHard, isSuspect } from "./scan";

/** What was left as it is, and why. */
export interface Skipped {
  tool: Tool;
  why: string;
}

/** Refusals that are about one entry; any other error is about all of them. */
const aboutOne = [Code.Aborted, Code.FailedPrecondition, Code.NotFound];

/**
 * Approves each entry by itself, and returns what was passed over. What has hard
 * findings is, unless they are accepted; so is what the control plane refuses, for
 * example because its definition is another one by now. A refusal of the only entry,
 * and any other error, is thrown.
 */
export async function approveEach(
  tools: readonly Tool[],
  acceptFindings: boolean,
  approve: (tool: Tool) => Promise<ApproveToolsResponse>,
): Promise<Skipped[]> {
  const skipped: Skipped[] = [];
  for (const tool of tools) {
    if (!acceptFindings && isSuspect(tool)) {
      skipped.push({
        tool,
        why: `It has hard findings: ${checksOf(tool.findings.filter(isHard)).join(", ")}`,
      });
      continue;
    }
    try {
      const answer = await approve(tool);
      skipped.push(...answer.skipped.map((tool) => ({ tool, why: "It has hard findings" })));
    } catch (error) {
      const { code, rawMessage } = ConnectError.from(error);
      if (tools.length === 1 || !aboutOne.includes(code)) {
        throw error;
      }
      skipped.push({ tool, why: rawMessage });
    }
  }
  return skipped;
}
