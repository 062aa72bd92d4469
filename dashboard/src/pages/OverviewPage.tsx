import { Button, Card, Group, SimpleGrid, Stack, Text, Title } from "@mantine/core";
import { useSuspenseQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import * as queries from "../api/queries";
import type { Node } from "../gen/warder/admin/v1/node_pb";
import { type Server, ServerState } from "../gen/warder/admin/v1/server_pb";
import { pb } from "../paths";
import { VisibleText } from "../text/VisibleText";
import { HealthBadge } from "../ui/badges";
import { CallsTable } from "../ui/CallsTable";
import { type Column, DataTable } from "../ui/DataTable";
import { Page } from "../ui/Page";
import { PageLink } from "../ui/PageLink";
import { Section } from "../ui/Section";
import { Time } from "../ui/Time";
import { behind, lag, peerState } from "./fleet";
import { PeerStateBadge } from "./fleetBadges";

const route = getRouteApi("/signed-in/");

export function OverviewPage() {
  const { transport } = route.useRouteContext();
  const polled = { refetchInterval: queries.pollInterval };
  const { data: health } = useSuspenseQuery({ ...queries.health(transport), ...polled });
  const { data: serverList } = useSuspenseQuery({ ...queries.servers(transport), ...polled });
  const { data: nodeList } = useSuspenseQuery({ ...queries.nodes(transport), ...polled });
  const { data: last } = useSuspenseQuery({ ...queries.lastCalls(transport), ...polled });
  return (
    <Page title="Overview">
      <Tiles
        servers={serverList.servers}
        nodes={nodeList.nodes}
        revision={health.revision}
        databaseReady={health.databaseReady}
      />
      {serverList.servers.length === 0 && <FirstSteps />}
      <Section title="Nodes">
        <DataTable
          caption="Nodes"
          columns={nodeColumns}
          rows={nodeList.nodes}
          rowKey={(node) => node.name}
          empty="No node has connected yet. Without one, no call is served. Let one in with: warder join-token create --kind node --name NAME"
        />
      </Section>
      <Section title="Last calls">
        <CallsTable
          calls={last.calls}
          link={(call) => pb.audit({ call: call.id })}
          empty="No call was made yet. Create a key on the page Access and give it to a client; its first call shows here."
        />
      </Section>
      <Text size="sm" c="dimmed">
        Warder {health.version}, started <Time at={health.startedAt} />
      </Text>
    </Page>
  );
}

interface TilesProps {
  servers: Server[];
  nodes: Node[];
  revision: bigint;
  databaseReady: boolean;
}

function Tiles({ servers, nodes, revision, databaseReady }: TilesProps) {
  const ready = servers.filter((server) => server.state === ServerState.READY).length;
  const pending = sum(servers, (server) => server.toolsPending);
  const changed = sum(servers, (server) => server.toolsChanged);
  const others = sum(servers, (server) => server.waiting) - pending - changed;
  const current = nodes.filter(
    (node) => peerState(node) === "connected" && lag(node) === 0n,
  ).length;
  return (
    <SimpleGrid cols={{ base: 1, xs: 2, lg: 4 }}>
      <Tile name="Control plane" value={`revision ${revision}`}>
        <HealthBadge
          ok={databaseReady}
          label={databaseReady ? "Database ready" : "Database away"}
        />
      </Tile>
      <Tile name="Servers ready" value={`${ready} of ${servers.length}`}>
        <PageLink to={pb.servers()}>Servers</PageLink>
      </Tile>
      <Tile name="Waiting for a decision" value={`${pending + changed + Math.max(others, 0)}`}>
        <Group gap="xs">
          <PageLink to={pb.tools({ state: "pending" })}>{`${pending} tools pending`}</PageLink>
          <PageLink to={pb.tools({ state: "changed" })}>{`${changed} changed`}</PageLink>
          {others > 0 && (
            <PageLink to={pb.servers()}>{`${others} prompts, resources and others`}</PageLink>
          )}
        </Group>
      </Tile>
      <Tile name="Nodes up to date" value={`${current} of ${nodes.length}`}>
        <HealthBadge
          ok={nodes.length > 0 && current === nodes.length}
          label={
            nodes.length === 0
              ? "No node"
              : current === nodes.length
                ? "All current"
                : "Some behind"
          }
        />
        <PageLink to={pb.fleet()}>Nodes and agents</PageLink>
      </Tile>
    </SimpleGrid>
  );
}

function Tile({ name, value, children }: { name: string; value: string; children: ReactNode }) {
  return (
    <Card withBorder>
      <Text size="sm">{name}</Text>
      <Text size="xl" fw={700}>
        {value}
      </Text>
      {children}
    </Card>
  );
}

function FirstSteps() {
  return (
    <Card withBorder>
      <Stack align="flex-start" gap="xs">
        <Title order={2} size="h4">
          Begin with a server
        </Title>
        <Text>
          Add an MCP server, approve its tools, give a client a key, and its first call will show
          here. The same from a terminal: <code>warder server add NAME --url URL</code>, or{" "}
          <code>--agent AGENT -- COMMAND</code> for one that an agent runs.
        </Text>
        <Button renderRoot={(props) => <Link {...props} {...pb.servers()} />}>Add a server</Button>
      </Stack>
    </Card>
  );
}

const nodeColumns: Column<Node>[] = [
  { title: "Name", cell: (node) => <VisibleText text={node.name} /> },
  { title: "State", cell: (node) => <PeerStateBadge state={peerState(node)} /> },
  { title: "Revision", cell: (node) => `${node.revision} of ${node.desiredRevision}` },
  { title: "Behind", cell: behind },
  {
    title: "Refused the last update",
    cell: (node) => (node.refusal === "" ? "no" : <VisibleText text={node.refusal} />),
  },
  { title: "Version", cell: (node) => <VisibleText text={node.version} /> },
  { title: "Last seen", cell: (node) => <Time at={node.lastSeenAt} /> },
];

function sum<T>(items: T[], count: (item: T) => number): number {
  return items.reduce((total, item) => total + count(item), 0);
}
