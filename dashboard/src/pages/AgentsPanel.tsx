import { Code, Stack, Text } from "@mantine/core";
import { useSuspenseQuery } from "@tanstack/react-query";
import { getRouteApi, useNavigate } from "@tanstack/react-router";
import * as queries from "../api/queries";
import type { Agent } from "../gen/warder/admin/v1/agent_pb";
import { pb } from "../paths";
import { VisibleText } from "../text/VisibleText";
import { type Column, DataTable } from "../ui/DataTable";
import { PageLink } from "../ui/PageLink";
import { RowLink } from "../ui/RowLink";
import { Time } from "../ui/Time";
import { AgentDrawer } from "./AgentDrawer";
import { CertificateEnd } from "./CertificateEnd";
import { peerState, tally, tunnelWords } from "./fleet";
import { PeerStateBadge } from "./fleetBadges";

const route = getRouteApi("/signed-in/fleet");

/** The agents, which have servers that no node can reach. */
export function AgentsPanel() {
  const { transport } = route.useRouteContext();
  const { data } = useSuspenseQuery({
    ...queries.agents(transport),
    refetchInterval: queries.pollInterval,
  });
  const { name } = route.useSearch();
  const navigate = useNavigate();
  return (
    <Stack align="stretch">
      <Text size="sm">
        Agents run beside servers that no node can reach: programs that speak over stdio, and HTTP
        servers of a laptop or a private network.
      </Text>
      <DataTable
        caption="Agents"
        columns={columns}
        rows={data.agents}
        rowKey={(agent) => agent.name}
        minWidth={1000}
        empty={
          <>
            No agent yet.{" "}
            <PageLink to={pb.fleet({ tab: "tokens" })} underline="always">
              Make a join token
            </PageLink>
            , or: <Code>warder join-token create --kind agent --name NAME</Code>, then start the
            agent: <Code>warder-agent run --control-plane HOST:8444 --join-token-file FILE</Code>
          </>
        }
      />
      {name !== undefined && (
        <AgentDrawer
          name={name}
          agent={data.agents.find((agent) => agent.name === name)}
          onClose={() => navigate({ ...pb.fleet({ tab: "agents" }), resetScroll: false })}
        />
      )}
    </Stack>
  );
}

const columns: Column<Agent>[] = [
  {
    title: "Name",
    cell: ({ name, region }) => (
      <>
        <RowLink bold to={pb.fleet({ tab: "agents", name })}>
          <VisibleText text={name} />
        </RowLink>
        {region !== "" && (
          <Text size="xs" c="dimmed">
            region <VisibleText text={region} />
          </Text>
        )}
      </>
    ),
  },
  { title: "State", cell: (agent) => <PeerStateBadge state={peerState(agent)} /> },
  { title: "Last seen", cell: ({ lastSeenAt }) => <Time at={lastSeenAt} /> },
  { title: "Servers", cell: ({ servers }) => tally(servers) },
  {
    title: "Tunnels to",
    cell: ({ connected, tunnels }) =>
      connected && tunnels.length > 0 ? (
        <VisibleText text={tunnels.map(tunnelWords).join(", ")} />
      ) : (
        "none"
      ),
  },
  {
    title: "Version",
    cell: ({ version, platform }) => (
      <>
        <VisibleText text={version} />
        <Text size="xs" c="dimmed">
          <VisibleText text={platform} />
        </Text>
      </>
    ),
  },
  { title: "Certificate until", cell: (agent) => <CertificateEnd at={agent.certificateEndsAt} /> },
];
