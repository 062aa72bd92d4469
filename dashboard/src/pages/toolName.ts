import { Kind, type Tool } from "../gen/warder/admin/v1/tool_pb";
import type { KindName } from "../paths";

/** The name by which the API knows an entry of the catalogue: "server/name". */
export function fullName(tool: Pick<Tool, "server" | "name">): string {
  return `${tool.server}/${tool.name}`;
}

/** How entries of a kind are called, and what becomes of them. */
export const words: Record<KindName, { many: string; one: string; use: string }> = {
  tool: { many: "Tools", one: "Tool", use: "called or listed" },
  prompt: { many: "Prompts", one: "Prompt", use: "asked for or listed" },
  resource: { many: "Resources", one: "Resource", use: "read or listed" },
  template: { many: "Templates", one: "Template", use: "used or listed" },
  instructions: { many: "Instructions", one: "Instructions", use: "told to clients" },
};

const names: Partial<Record<Kind, KindName>> = {
  [Kind.PROMPT]: "prompt",
  [Kind.RESOURCE]: "resource",
  [Kind.TEMPLATE]: "template",
  [Kind.INSTRUCTIONS]: "instructions",
};

/** What an entry is; the API means a tool where it says nothing. */
export function kindName(tool: Pick<Tool, "kind">): KindName {
  return names[tool.kind] ?? "tool";
}

/** What a question about entries of one kind calls them. */
export function asked(tools: readonly Tool[]): string {
  return tools.length === 1 && tools[0] !== undefined
    ? fullName(tools[0])
    : `${tools.length} ${wordsOf(tools).many.toLowerCase()}`;
}

/** What becomes of them: "called or listed". */
export function use(tools: readonly Tool[]): string {
  return wordsOf(tools).use;
}

function wordsOf(tools: readonly Tool[]) {
  return words[kindName(tools[0] ?? { kind: Kind.TOOL })];
}

/** How requests name entries, which are of one kind. */
export function named(tools: readonly Tool[]) {
  const kinds = [...new Set(tools.map((tool) => tool.kind))];
  return { names: tools.map(fullName), kinds: kinds.filter((kind) => kind !== Kind.UNSPECIFIED) };
}
