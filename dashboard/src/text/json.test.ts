import { expect, test } from "vitest";
import { indentJson } from "./json";

test("one member to a line, and empty ones stay together", () => {
  expect(indentJson('{"a":[1,{"b":"c, {d}"}],"e":{},"f":[]}')).toBe(
    '{\n  "a": [\n    1,\n    {\n      "b": "c, {d}"\n    }\n  ],\n  "e": {},\n  "f": []\n}',
  );
});

test.each([
  '{"n":1.0e+00,"n":12345678901234567890}',
  '{"d":"\\u200b \\" \\\\ é","x":null}',
  '{"broken":"no end',
  "not json at all",
])("no token changes: %s", (json) => {
  const tokens = (text: string) => text.match(/"(?:[^"\\]|\\.)*"?|[^\s"]/g);
  expect(tokens(indentJson(json))).toEqual(tokens(json));
});
