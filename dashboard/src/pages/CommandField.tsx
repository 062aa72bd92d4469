import { Code, Group, Stack, Text, Textarea, type TextareaProps } from "@mantine/core";
import { VisibleText } from "../text/VisibleText";
import { wantsShell, wordsOf } from "./commandLine";

/** A command and its arguments, with what the agent is going to run. */
export function CommandField({ value, ...props }: TextareaProps & { value?: string }) {
  const words = wordsOf(value ?? "");
  return (
    <Stack gap={4}>
      <Textarea
        label="Command"
        description="The program and its arguments, parted by white space; quotes keep together. No shell reads it."
        placeholder="npx -y @modelcontextprotocol/server-filesystem /srv/notes"
        autosize
        minRows={2}
        maxRows={8}
        spellCheck={false}
        styles={{ input: { fontFamily: "var(--mantine-font-family-monospace)" } }}
        value={value}
        {...props}
      />
      {words.length > 0 && <Words of={words} label="What runs" />}
      {wantsShell(words) && (
        <Text size="xs" fw={700}>
          The program gets $, ~, * and operators of a shell as they stand here. To have a shell read
          them, name it as the program.
        </Text>
      )}
    </Stack>
  );
}

/** A program and its arguments, each in a frame of its own. */
export function Words({ of: words, label }: { of: readonly string[]; label: string }) {
  return (
    <Group gap={4} role="list" aria-label={label}>
      {words.map((word, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: a word is known by its place alone.
        <Code key={index} role="listitem" style={{ overflowWrap: "anywhere" }}>
          {word === "" ? "(empty)" : <VisibleText text={word} />}
        </Code>
      ))}
    </Group>
  );
}
