// A difference of two texts by lines, by their longest common subsequence.

export interface DiffLine {
  kind: "same" | "added" | "removed";
  text: string;
}

// The table has a cell for each pair of lines. Above this the texts are shown
// as wholly removed and wholly added, which hides nothing.
const maxCells = 4_000_000;

/** Returns the lines of both texts, in order, each marked. */
export function lineDiff(before: string, after: string): DiffLine[] {
  const a = before.split("\n");
  const b = after.split("\n");
  if (a.length * b.length > maxCells) {
    return [...mark("removed", a), ...mark("added", b)];
  }
  const common = commonLengths(a, b);
  const result: DiffLine[] = [];
  let i = 0;
  let j = 0;
  while (i < a.length && j < b.length) {
    if (a[i] === b[j]) {
      result.push(...mark("same", a.slice(i, i + 1)));
      i++;
      j++;
    } else if (at(common, i + 1, j) >= at(common, i, j + 1)) {
      result.push(...mark("removed", a.slice(i, i + 1)));
      i++;
    } else {
      result.push(...mark("added", b.slice(j, j + 1)));
      j++;
    }
  }
  return [...result, ...mark("removed", a.slice(i)), ...mark("added", b.slice(j))];
}

function mark(kind: DiffLine["kind"], lines: string[]): DiffLine[] {
  return lines.map((text) => ({ kind, text }));
}

function at(table: Uint32Array[], i: number, j: number): number {
  return table[i]?.[j] ?? 0;
}

/** For each pair of positions, the length of the longest common tail. */
function commonLengths(a: string[], b: string[]): Uint32Array[] {
  const table = Array.from({ length: a.length + 1 }, () => new Uint32Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--) {
    const row = table[i] ?? new Uint32Array();
    for (let j = b.length - 1; j >= 0; j--) {
      row[j] =
        a[i] === b[j]
          ? at(table, i + 1, j + 1) + 1
          : Math.max(at(table, i + 1, j), at(table, i, j + 1));
    }
  }
  return table;
}
