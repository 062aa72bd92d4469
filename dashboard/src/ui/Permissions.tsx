import { Code, Group, Text } from "@mantine/core";

interface Props {
  names: readonly string[];
  /** What to say when there are none. */
  none: string;
}

/** Permissions of the administration, by name. */
export function Permissions({ names, none }: Props) {
  return names.length === 0 ? (
    <Text size="sm" c="dimmed">
      {none}
    </Text>
  ) : (
    <Group gap={4}>
      {names.map((name) => (
        <Code key={name}>{name}</Code>
      ))}
    </Group>
  );
}
