import { expect, test } from "vitest";
import { lineDiff } from "./lineDiff";

const show = (before: string, after: string) =>
  lineDiff(before, after)
    .map(({ kind, text }) => ({ same: " ", added: "+", removed: "-" })[kind] + text)
    .join("|");

test.each([
  ["a\nb\nc", "a\nb\nc", " a| b| c"],
  ["a\nb\nc", "a\nx\nc", " a|-b|+x| c"],
  ["a", "a\nb", " a|+b"],
  ["a\nb", "b", "-a| b"],
])("%j to %j", (before, after, want) => {
  expect(show(before, after)).toBe(want);
});

test("texts too large to compare are still shown whole", () => {
  const before = Array.from({ length: 2100 }, (_, i) => `old ${i}`).join("\n");
  const after = Array.from({ length: 2100 }, (_, i) => `new ${i}`).join("\n");
  expect(lineDiff(before, after)).toHaveLength(4200);
});
