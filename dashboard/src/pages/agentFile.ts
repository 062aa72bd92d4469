// What stands in the file of an agent: docs/agents.md.

import type { Server } from "../gen/warder/admin/v1/server_pb";

/** The least that a file needs, with a rule as an example. */
export const agentFile = `allow:
  - command: npx
    args: ["-y", "@modelcontextprotocol/*", "..."]
`;

/**
 * The rule that allows a server and hardly another: in it a star of the server's own
 * would stand for other text, too. Text in YAML is quoted as in JSON. The agent says
 * the same rule, in one line, where it refuses a server (ruleFor in package manifest).
 */
export function allowRule(
  server: Pick<Server, "command" | "url" | "environmentNames" | "directory">,
): string {
  const [program, ...args] = server.command;
  if (program === undefined) {
    return `allow:\n  - url: ${JSON.stringify(server.url)}\n`;
  }
  const list = (words: readonly string[]) =>
    `[${words.map((word) => JSON.stringify(word)).join(", ")}]`;
  const lines = [
    `command: ${JSON.stringify(program)}`,
    args.length > 0 && `args: ${list(args)}`,
    server.environmentNames.length > 0 && `environment: ${list(server.environmentNames)}`,
    server.directory !== "" && `directories: ${list([server.directory])}`,
  ].filter((line) => line !== false);
  return `allow:\n  - ${lines.join("\n    ")}\n`;
}
