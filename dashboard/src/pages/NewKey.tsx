import { Alert, Code, Group, Stack, Tabs, Text, TextInput } from "@mantine/core";
import { useState } from "react";
import { CopyButton } from "../ui/CopyButton";
import { Icon } from "../ui/icons";
import { Secret, ShownOnce } from "../ui/ShownOnce";
import { clients, keyVariable } from "./clients";

interface Props {
  title: string;
  /** The whole key. It is in no other answer. */
  secret: string;
  onClose: () => void;
}

/** A key that was just made: its secret, this once, and what to do with it. */
export function NewKey({ title, secret, onClose }: Props) {
  return (
    <ShownOnce title={title} done="I have copied it" onClose={onClose}>
      <Alert color="orange" title="Copy it now" icon={<Icon name="changed" />}>
        It is shown this once. Warder keeps only a hash of it.
      </Alert>
      <Secret label="Key" value={secret} copy="Copy the key" />
      <Snippets />
    </ShownOnce>
  );
}

function Snippets() {
  const [endpoint, setEndpoint] = useState(`${window.location.origin}/mcp`);
  return (
    <Stack gap="xs">
      <TextInput
        label="Address of the gateway"
        description="If your nodes are elsewhere, put their address here."
        value={endpoint}
        onChange={(event) => setEndpoint(event.currentTarget.value)}
      />
      <Text size="sm">
        Put the key into the environment of the client as <Code>{keyVariable}</Code>; the settings
        below refer to it.
      </Text>
      <Tabs defaultValue={clients[0]?.id ?? null}>
        <Tabs.List>
          {clients.map(({ id, name }) => (
            <Tabs.Tab key={id} value={id}>
              {name}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        {clients.map(({ id, place, snippet }) => (
          <Tabs.Panel key={id} value={id} pt="xs">
            <Group justify="space-between">
              <Text size="sm">{place}</Text>
              <CopyButton value={snippet(endpoint)} label="Copy the settings" />
            </Group>
            <Code block mt="xs">
              {snippet(endpoint)}
            </Code>
          </Tabs.Panel>
        ))}
      </Tabs>
    </Stack>
  );
}
