// Lays out JSON without parsing it: only white space between tokens changes, so
// that numbers, escapes, duplicate names and unknown members are shown as the
// server sent them.

const token = /"(?:[^"\\]|\\[\s\S])*"?|[[\]{},:]|[^\s"[\]{},:]+/g;

/** Returns the tokens of a JSON text, one member or element to a line. */
export function indentJson(json: string): string {
  let depth = 0;
  let result = "";
  let previous = "";
  const newLine = () => `\n${"  ".repeat(Math.max(depth, 0))}`;

  for (const [piece] of json.matchAll(token)) {
    if (piece === "}" || piece === "]") {
      depth--;
      result += previous === "{" || previous === "[" ? piece : newLine() + piece;
    } else {
      const startsLine = previous === "," || previous === "{" || previous === "[";
      result += (startsLine ? newLine() : "") + (piece === ":" ? ": " : piece);
    }
    if (piece === "{" || piece === "[") {
      depth++;
    }
    previous = piece;
  }
  return result;
}
