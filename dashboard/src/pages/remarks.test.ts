import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { RemarkSchema } from "../gen/warder/admin/v1/policy_pb";
import { excerpt, isError, markedLines, selection, verdictOf } from "./remarks";

const remark = (line: number, severity: string) =>
  create(RemarkSchema, { line, column: 1, severity });
const document = "rules:\n  - name: 😀a\n\t efect: deny\n";

test("a mark stands under the column, beyond tabs and characters of two units", () => {
  expect(excerpt(document, { line: 2, column: 12 })).toEqual({
    text: "  - name: 😀a",
    mark: `${" ".repeat(11)}^`,
  });
  expect(excerpt(document, { line: 3, column: 3 })).toEqual({
    text: "\t efect: deny",
    mark: "\t ^",
  });
});

test("a place beyond the document is its end, and none its beginning", () => {
  expect(excerpt(document, { line: 99, column: 1 }).text).toBe("");
  expect(selection("a\nbc", { line: 99, column: 99 })).toEqual([4, 4]);
  expect(selection("a\nbc", { line: 0, column: 0 })).toEqual([0, 1]);
});

test("what is selected begins at the column and ends with the line", () => {
  const [start, end] = selection(document, { line: 2, column: 12 });
  expect(document.slice(start, end)).toBe("a");
  const [from, to] = selection(document, { line: 3, column: 3 });
  expect(document.slice(from, to)).toBe("efect: deny");
});

test("a line with an error and a warning is marked as an error, a remark without a line not at all", () => {
  const remarks = [
    remark(2, "warning"),
    remark(2, "error"),
    remark(4, "warning"),
    remark(0, "error"),
  ];
  expect([...markedLines(remarks)]).toEqual([
    [2, true],
    [4, false],
  ]);
});

test("a severity that nobody knows is an error", () => {
  expect(isError({ severity: "fatal" })).toBe(true);
  expect(isError({ severity: "warning" })).toBe(false);
});

test.each([
  [[], 0, 0, "No errors, no warnings. No test was run."],
  [["warning"], 1, 0, "No errors, 1 warning. 1 test passed."],
  [["error", "error", "warning"], 3, 2, "2 errors, 1 warning. 2 of 3 tests failed."],
])("remarks %j with %i tests, %i failed: %s", (severities, tests, failedTests, want) => {
  const remarks = severities.map((severity) => remark(1, severity));
  expect(verdictOf(remarks, { tests, failedTests })).toBe(want);
});
