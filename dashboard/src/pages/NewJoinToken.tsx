import { Alert, Code, Group, Stack, Tabs, Text, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { useState } from "react";
import * as queries from "../api/queries";
import type { JoinToken } from "../gen/warder/admin/v1/agent_pb";
import { CopyButton } from "../ui/CopyButton";
import { Icon } from "../ui/icons";
import { Secret, ShownOnce } from "../ui/ShownOnce";
import { agentFile } from "./agentFile";
import { joinCommand, likelyAddress, shells } from "./joinCommand";

const route = getRouteApi("/signed-in/fleet");

/** How often it is asked whether somebody has joined, while a person waits for that. */
const joinedInterval = 2_000;

interface Props {
  joinToken: JoinToken;
  /** The whole token. It is in no other answer. */
  secret: string;
  /** Where the control plane takes whom it lets in. */
  controlPlane: string;
  onClose: () => void;
}

/** A join token that was just made: this once, with what starts whom it lets in. */
export function NewJoinToken({ joinToken, secret, controlPlane, onClose }: Props) {
  return (
    <ShownOnce title="The join token is created" done="Done" onClose={onClose}>
      <Alert color="orange" title="Use it now" icon={<Icon name="changed" />}>
        It is shown this once, and lets the {joinToken.kind} {joinToken.name} in, once.
      </Alert>
      <Secret label="Join token" value={secret} copy="Copy the token" />
      <Commands joinToken={joinToken} secret={secret} controlPlane={controlPlane} />
      {joinToken.kind === "agent" ? <AgentFile /> : <NodeNote />}
      <Joined joinToken={joinToken} />
    </ShownOnce>
  );
}

function Commands({ joinToken, secret, controlPlane }: Omit<Props, "onClose">) {
  const [address, setAddress] = useState(likelyAddress(controlPlane, window.location.hostname));
  return (
    <Stack gap="xs">
      <TextInput
        label="Address of the control plane for nodes and agents"
        description="Its --node-listen, as the other machine reaches it."
        value={address}
        onChange={(event) => setAddress(event.currentTarget.value)}
      />
      <Tabs defaultValue={shells[0].id}>
        <Tabs.List>
          {shells.map(({ id, name }) => (
            <Tabs.Tab key={id} value={id}>
              {name}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        {shells.map(({ id }) => {
          const command = joinCommand(joinToken, address, secret, id);
          return (
            <Tabs.Panel key={id} value={id} pt="xs">
              <Group justify="space-between">
                <Text size="sm">Run there:</Text>
                <CopyButton value={command} label="Copy the command" />
              </Group>
              <Code block mt="xs" style={{ whiteSpace: "pre-wrap", overflowWrap: "anywhere" }}>
                {command}
              </Code>
            </Tabs.Panel>
          );
        })}
      </Tabs>
    </Stack>
  );
}

function AgentFile() {
  return (
    <Stack gap="xs">
      <Group justify="space-between">
        <Text size="sm" flex="1 1 200px">
          The agent runs only what its own file allows: <Code>warder/agent.yaml</Code> in the
          configuration directory (on Linux <Code>~/.config</Code>), or <Code>--config</Code>. For
          example:
        </Text>
        <CopyButton value={agentFile} label="Copy the file" />
      </Group>
      <Code block>{agentFile}</Code>
    </Stack>
  );
}

function NodeNote() {
  return (
    <Text size="sm">
      It serves clients of its own machine so. For others give it <Code>--listen</Code>,{" "}
      <Code>--tls-cert</Code> and <Code>--tls-key</Code>; for agents <Code>--tunnel-listen</Code>.
    </Text>
  );
}

/** Says when whom the token lets in has come. */
function Joined({ joinToken: { id, name } }: { joinToken: JoinToken }) {
  const { transport } = route.useRouteContext();
  const { data } = useQuery({
    ...queries.joinTokens(transport),
    refetchInterval: joinedInterval,
  });
  const used = data?.joinTokens.some((token) => token.id === id && token.usedAt !== undefined);
  return (
    <Group gap="xs" role="status" wrap="nowrap">
      <Icon name={used ? "allow" : "wait"} />
      <Text size="sm" fw={used ? 700 : undefined}>
        {used ? `${name} has joined.` : `${name} has not joined yet.`}
      </Text>
    </Group>
  );
}
