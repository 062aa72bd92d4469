// A command as a person types it, taken apart into the program and its arguments.
// No shell runs it: quotes are all that means something here.

import * as rules from "../ui/fieldRules";

export type CommandLine = { words: string[] } | { mistake: string };

/**
 * Parts a command at white space. Quotes of both kinds keep together what stands
 * between them; in double ones \" is a quote. Any other backslash is one, as paths
 * of Windows have them, but for one at the end of a line, which continues it.
 */
export function parseCommand(typed: string): CommandLine {
  const words: string[] = [];
  let word: string | undefined;
  let quote = "";
  const text = typed.replaceAll(/\\\r?\n/g, " ");
  for (let i = 0; i < text.length; i++) {
    const character = text.charAt(i);
    if (quote === '"' && character === "\\" && text.charAt(i + 1) === '"') {
      word = `${word ?? ""}"`;
      i++;
    } else if (quote !== "") {
      quote = character === quote ? "" : quote;
      word = quote === "" ? (word ?? "") : (word ?? "") + character;
    } else if (character === '"' || character === "'") {
      quote = character;
      word ??= "";
    } else if (/\s/.test(character)) {
      if (word !== undefined) {
        words.push(word);
      }
      word = undefined;
    } else {
      word = (word ?? "") + character;
    }
  }
  if (quote !== "") {
    return { mistake: `A quote ${quote} is opened and not closed` };
  }
  if (word !== undefined) {
    words.push(word);
  }
  return { words };
}

/** What is wrong with a command as it is typed, or null. */
export function commandMistake(typed: string): string | null {
  const parsed = parseCommand(typed);
  return "mistake" in parsed ? parsed.mistake : rules.required(parsed.words[0] ?? "");
}

/** The words of a command that is well typed, else none. */
export function wordsOf(typed: string): string[] {
  const parsed = parseCommand(typed);
  return "words" in parsed ? parsed.words : [];
}

/** Whether words mean something to a shell that they do not mean here. */
export function wantsShell(words: readonly string[]): boolean {
  return words.some((word) => /^~|[$`*]|^(\|\|?|&&?|;|[<>]+)$/.test(word));
}

/** A command as it can be typed again. */
export function commandText(words: readonly string[]): string {
  return words.map(quoted).join(" ");
}

function quoted(word: string): string {
  if (word !== "" && !/[\s'"]/.test(word)) {
    return word;
  }
  return `'${word.replaceAll("'", `'"'"'`)}'`;
}
