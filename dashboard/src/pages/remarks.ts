// Where in a document the remarks of a check are.

import type { Remark } from "../gen/warder/admin/v1/policy_pb";

type Place = Pick<Remark, "line" | "column">;

/** Whether a remark keeps a document from being applied. What the page does not know counts as such. */
export function isError(remark: Pick<Remark, "severity">): boolean {
  return remark.severity !== "warning";
}

/** The line of a place, and that many spaces as stand before the column, for a mark beneath it. */
export function excerpt(document: string, { line, column }: Place): { text: string; mark: string } {
  const text = document.split("\n")[line - 1] ?? "";
  const before = [...text].slice(0, Math.max(column - 1, 0));
  return {
    text,
    mark: `${before.map((character) => (character === "\t" ? "\t" : " ")).join("")}^`,
  };
}

/** The selection, in UTF-16 units as text fields count, from a place to the end of its line. */
export function selection(document: string, { line, column }: Place): [start: number, end: number] {
  const lines = document.split("\n");
  const index = Math.min(Math.max(line - 1, 0), lines.length - 1);
  const text = lines[index] ?? "";
  const lineStart = lines.slice(0, index).reduce((sum, each) => sum + each.length + 1, 0);
  const before = [...text].slice(0, Math.max(column - 1, 0)).join("");
  return [lineStart + before.length, lineStart + text.length];
}

/** The lines that have remarks, each with whether one of them is an error. */
export function markedLines(remarks: readonly Remark[]): Map<number, boolean> {
  const lines = new Map<number, boolean>();
  for (const remark of remarks) {
    if (remark.line > 0) {
      lines.set(remark.line, (lines.get(remark.line) ?? false) || isError(remark));
    }
  }
  return lines;
}

/** What a check says, in a sentence or two. */
export function verdictOf(
  remarks: readonly Remark[],
  { tests, failedTests }: { tests: number; failedTests: number },
): string {
  const errors = remarks.filter(isError).length;
  const warnings = remarks.length - errors;
  const run =
    tests === 0
      ? "No test was run."
      : failedTests === 0
        ? `${count(tests, "test")} passed.`
        : `${failedTests} of ${count(tests, "test")} failed.`;
  return `${errors === 0 ? "No errors" : count(errors, "error")}, ${
    warnings === 0 ? "no warnings" : count(warnings, "warning")
  }. ${run}`;
}

function count(number: number, what: string): string {
  return number === 1 ? `1 ${what}` : `${number} ${what}s`;
}
