import type { Tool } from "../gen/warder/admin/v1/tool_pb";

/** The name by which the API knows a tool: "server/tool". */
export function fullName(tool: Pick<Tool, "server" | "name">): string {
  return `${tool.server}/${tool.name}`;
}
