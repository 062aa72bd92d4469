// Text of MCP servers may hold characters that a person cannot see but a model
// reads: zero-width ones, direction marks, tags, control sequences. The
// dashboard shows each of them by name, so that what is approved is what was
// seen.

export type Segment =
  | { kind: "text"; text: string }
  | { kind: "hidden"; codes: string; meaning: string };

// Controls, formats, unassigned and private characters, lone surrogates,
// separators other than a space, and all that Unicode says may be drawn as
// nothing. A tab and a line feed are layout; the Braille blank only looks empty.
const hidden = /(?:(?![\n\t ])[\p{C}\p{Z}\p{Default_Ignorable_Code_Point}\u2800])+/gu;

const tagBase = 0xe0000;

const names: Record<number, string> = {
  13: "carriage return",
  27: "escape",
  160: "no-break space",
  173: "soft hyphen",
  8203: "zero width space",
  8204: "zero width non-joiner",
  8205: "zero width joiner",
  8206: "left-to-right mark",
  8207: "right-to-left mark",
  8232: "line separator",
  8233: "paragraph separator",
  8234: "left-to-right embedding",
  8235: "right-to-left embedding",
  8236: "pop directional formatting",
  8237: "left-to-right override",
  8238: "right-to-left override",
  8288: "word joiner",
  8294: "left-to-right isolate",
  8295: "right-to-left isolate",
  8296: "first strong isolate",
  8297: "pop directional isolate",
  65039: "variation selector 16",
  65279: "zero width no-break space",
};

/** Splits text into what can be seen and runs of what cannot; loses nothing. */
export function segments(text: string): Segment[] {
  const result: Segment[] = [];
  let end = 0;
  for (const match of text.matchAll(hidden)) {
    if (match.index > end) {
      result.push({ kind: "text", text: text.slice(end, match.index) });
    }
    result.push(describe(match[0]));
    end = match.index + match[0].length;
  }
  if (end < text.length) {
    result.push({ kind: "text", text: text.slice(end) });
  }
  return result;
}

/** How many characters of a text cannot be seen. */
export function countHidden(text: string): number {
  return Array.from(text.matchAll(hidden)).reduce((sum, match) => sum + [...match[0]].length, 0);
}

function describe(run: string): Segment {
  const points = Array.from(run, (character) => character.codePointAt(0) ?? 0);
  const codes = points.map((point) => `U+${point.toString(16).toUpperCase().padStart(4, "0")}`);
  return { kind: "hidden", codes: codes.join(" "), meaning: meaning(points) };
}

function meaning(points: number[]): string {
  const tags = points.filter((point) => point > tagBase + 0x1f && point < tagBase + 0x7f);
  if (tags.length > 0) {
    return `hidden tags that spell “${String.fromCharCode(...tags.map((tag) => tag - tagBase))}”`;
  }
  return points.map((point) => names[point] ?? "invisible character").join(", ");
}
