import { expect, test } from "vitest";
import { commandText, parseCommand, wantsShell, wordsOf } from "./commandLine";

test.each([
  ["npx -y @scope/server /srv/notes", ["npx", "-y", "@scope/server", "/srv/notes"]],
  ["  a \t b\n c ", ["a", "b", "c"]],
  ["a 'two words' \"and three of them\"", ["a", "two words", "and three of them"]],
  ["--name='x y'z", ["--name=x yz"]],
  ["a '' \"\"", ["a", "", ""]],
  ['a "say \\"hi\\""', ["a", 'say "hi"']],
  ['C:\\bin\\run.exe "C:\\My Files"', ["C:\\bin\\run.exe", "C:\\My Files"]],
  ["npx \\\n  -y \\\r\n  x", ["npx", "-y", "x"]],
  ["a '$HOME' \"it's\"", ["a", "$HOME", "it's"]],
  ["", []],
])("%j is %j", (typed, words) => {
  expect(parseCommand(typed)).toEqual({ words });
});

test("a quote that is not closed is a mistake, and no shorter command", () => {
  expect(parseCommand("rm 'a b")).toEqual({ mistake: "A quote ' is opened and not closed" });
  expect(parseCommand('x "C:\\dir\\"')).toHaveProperty("mistake");
  expect(wordsOf("rm 'a b")).toEqual([]);
});

test("what only a shell would do is seen", () => {
  for (const typed of ["a $HOME", "a ~/x", "a | b", "a && b", "ls *.md", "a > b", "a `b`"]) {
    expect(wantsShell(wordsOf(typed)), typed).toBe(true);
  }
  expect(wantsShell(["npx", "-y", "@scope/server@1.0.0", "a~b", "x;y", "k=v"])).toBe(false);
});

test("a command is typed again as it was meant", () => {
  for (const words of [
    ["npx", "-y", "two words"],
    ["", "it's", 'say "hi"', "C:\\My Files"],
    ["'\"'", "\t", "it's \\"],
  ]) {
    expect(parseCommand(commandText(words))).toEqual({ words });
  }
});
