import { expect, test } from "vitest";
import { clients } from "./clients";

test.each(clients)(
  "$name: the settings name the gateway and refer to a secret kept elsewhere",
  ({ snippet }) => {
    const text = snippet("https://gate.example/mcp");
    expect(() => JSON.parse(text)).not.toThrow();
    expect(text).toContain('"https://gate.example/mcp"');
    expect(text).toMatch(/"Bearer \$\{(WARDER_KEY|env:WARDER_KEY|input:warder-key)\}"/);
    expect(text).not.toContain("wdr_");
  },
);
