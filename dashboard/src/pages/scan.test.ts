import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { FindingSchema, ToolSchema } from "../gen/warder/admin/v1/tool_pb";
import { checksOf, findingsWithin, hardFirst, hasFindings, isSuspect } from "./scan";

const finding = (severity: string, path = "", check = "injection.command") =>
  create(FindingSchema, { check, severity, path });
const tool = (...severities: string[]) =>
  create(ToolSchema, { findings: severities.map((severity) => finding(severity)) });

test("an entry is suspect for a hard finding, and for one whose severity nobody knows", () => {
  expect(isSuspect(tool())).toBe(false);
  expect(isSuspect(tool("soft"))).toBe(false);
  expect(isSuspect(tool("soft", "hard"))).toBe(true);
  expect(isSuspect(tool(""))).toBe(true);
  expect(isSuspect(tool("deadly"))).toBe(true);
});

test("hard findings come first, and the order stays within each", () => {
  const all = [
    finding("soft", "/a"),
    finding("hard", "/b"),
    finding("soft", "/c"),
    finding("hard", "/d"),
  ];
  expect(hardFirst(all).map((each) => each.path)).toEqual(["/b", "/d", "/a", "/c"]);
});

test.each([
  [undefined, [true, true, true]],
  ["none", [true, false, false]],
  ["any", [false, true, true]],
  ["hard", [false, false, true]],
] as const)("the filter %s shows nothing, soft, hard: %j", (filter, want) => {
  const tools = [tool(), tool("soft"), tool("soft", "hard")];
  expect(tools.map((each) => hasFindings(each, filter))).toEqual(want);
});

test("a difference has the findings at and below its place, and of no neighbour", () => {
  const found = [
    finding("hard", "/description"),
    finding("hard", "/inputSchema/properties/a/title"),
  ];
  const within = (path: string, change = "changed") =>
    findingsWithin(found, { path, change }).map((each) => each.path);
  expect(within("/description")).toEqual(["/description"]);
  expect(within("/inputSchema/properties/a")).toEqual(["/inputSchema/properties/a/title"]);
  expect(within("/inputSchema/properties/a/t")).toEqual([]);
  expect(within("")).toEqual(found.map((each) => each.path));
  expect(within("/description", "removed")).toEqual([]);
});

test("a check that found much is named once", () => {
  expect(checksOf([finding("hard"), finding("soft"), finding("soft", "", "shadow.name")])).toEqual([
    "injection.command",
    "shadow.name",
  ]);
});
