import { Anchor, Code, Drawer, Group, Loader, Stack, Text, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import * as queries from "../api/queries";
import type { Server } from "../gen/warder/admin/v1/server_pb";
import { Kind, type Tool } from "../gen/warder/admin/v1/tool_pb";
import { pb } from "../paths";
import { countHidden } from "../text/invisible";
import { indentJson } from "../text/json";
import { VisibleText } from "../text/VisibleText";
import { ToolBadges } from "../ui/badges";
import { ErrorNote } from "../ui/ErrorNote";
import { Facts } from "../ui/Facts";
import { Latency, Time } from "../ui/Time";

const route = getRouteApi("/signed-in/servers");

/** One server: how it is spoken to, and what it tells models about itself. */
export function ServerDrawer({ name, onClose }: { name: string; onClose: () => void }) {
  const { transport } = route.useRouteContext();
  const { data, error, isPending } = useQuery(queries.server(transport, name));
  const instructions = data?.others.find((entry) => entry.kind === Kind.INSTRUCTIONS);
  return (
    <Drawer
      opened
      onClose={onClose}
      position="right"
      size="xl"
      title={<VisibleText text={name} />}
      closeButtonProps={{ "aria-label": "Close" }}
    >
      {isPending && <Loader role="status" aria-label="Loading" />}
      <ErrorNote error={error} />
      {data?.server && (
        <Stack>
          <Details server={data.server} />
          {instructions && <Instructions entry={instructions} />}
        </Stack>
      )}
    </Drawer>
  );
}

function Details({ server }: { server: Server }) {
  return (
    <Facts
      rows={[
        ["Address", <VisibleText key="url" text={server.url} />],
        ["Protocol", server.protocolVersion && <VisibleText text={server.protocolVersion} />],
        ["Last error", server.lastError && <VisibleText text={server.lastError} />],
        ["Authorities", server.caCertificates === "" ? "of the system" : "of its own"],
        ["Call timeout", server.callTimeout && <Latency value={server.callTimeout} />],
        ["Calls at a time", server.maxInFlight > 0 ? `${server.maxInFlight} per node` : ""],
        ["Discovered", server.discoveredAt && <Time at={server.discoveredAt} />],
        [
          "Capabilities, as declared",
          server.capabilities && (
            <Code block>
              <VisibleText text={indentJson(server.capabilities)} />
            </Code>
          ),
        ],
      ]}
    />
  );
}

function Instructions({ entry }: { entry: Tool }) {
  const link = pb.tools({
    kind: "instructions",
    server: entry.server,
    tool: `${entry.server}/${entry.name}`,
  });
  return (
    <Stack gap="xs" component="section">
      <Group gap="xs">
        <Title order={2} size="h5">
          Instructions
        </Title>
        <ToolBadges tool={entry} />
      </Group>
      {countHidden(entry.description) > 0 && (
        <Text fw={700} role="alert">
          They hold hidden characters. They are marked below.
        </Text>
      )}
      <Code block>
        <VisibleText text={entry.description} />
      </Code>
      <Anchor size="sm" renderRoot={(props) => <Link {...props} {...link} />}>
        Review its instructions
      </Anchor>
    </Stack>
  );
}
