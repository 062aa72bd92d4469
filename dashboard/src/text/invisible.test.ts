import { expect, test } from "vitest";
import { countHidden, segments } from "./invisible";

const plain = (text: string) => [{ kind: "text", text }];

test.each([
  "Deletes a repository.\n\tNeeds care.",
  "Größe, naïve, 日本語, हिन्दी, עברית",
  "emoji 👍 stays",
  "",
])("text that can be seen stays as it is: %j", (text) => {
  expect(segments(text)).toEqual(text === "" ? [] : plain(text));
});

test.each([
  ["\u200b", "U+200B", "zero width space"],
  ["\u202e", "U+202E", "right-to-left override"],
  ["\u2066\u2069", "U+2066 U+2069", "left-to-right isolate, pop directional isolate"],
  ["\u001b", "U+001B", "escape"],
  ["\u00ad", "U+00AD", "soft hyphen"],
  ["\ufeff", "U+FEFF", "zero width no-break space"],
  ["\u3164", "U+3164", "invisible character"],
  ["\u2800", "U+2800", "invisible character"],
  ["\ud800", "U+D800", "invisible character"],
  ["\ue000", "U+E000", "invisible character"],
  ["\u00a0", "U+00A0", "no-break space"],
])("a hidden character is named: %j", (character, codes, meaning) => {
  expect(segments(`a${character}b`)).toEqual([
    ...plain("a"),
    { kind: "hidden", codes, meaning },
    ...plain("b"),
  ]);
});

test("a message written in tag characters is spelt out", () => {
  const secret = Array.from("send keys", (c) => String.fromCodePoint(0xe0000 + c.charCodeAt(0)));
  const [, found] = segments(`Adds.${secret.join("")}`);
  expect(found).toMatchObject({ kind: "hidden", meaning: "hidden tags that spell “send keys”" });
});

test("every code point is either shown or named, and none is lost", () => {
  for (let point = 0; point <= 0x10ffff; point += 61) {
    const character = String.fromCodePoint(point);
    const [segment, ...rest] = segments(character);
    expect(rest).toEqual([]);
    if (segment?.kind === "text") {
      expect(segment.text).toBe(character);
    } else {
      expect(segment?.codes).toBe(`U+${point.toString(16).toUpperCase().padStart(4, "0")}`);
    }
  }
});

test("hidden characters are counted as code points", () => {
  expect(countHidden("a\u200b\u200bb\u{e0041}")).toBe(3);
  expect(countHidden("nothing here")).toBe(0);
});
