import { Alert, Group, List, Stack, Text } from "@mantine/core";
import { useQuery, useSuspenseQuery } from "@tanstack/react-query";
import { getRouteApi, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import * as queries from "../api/queries";
import { useApiMutation } from "../api/useApiMutation";
import type { Agent } from "../gen/warder/admin/v1/agent_pb";
import {
  type DiscoveryReport,
  type Server,
  ServerService,
  ServerState,
} from "../gen/warder/admin/v1/server_pb";
import { type KindName, pb } from "../paths";
import { VisibleText } from "../text/VisibleText";
import { ActButton } from "../ui/ActButton";
import { ServerStateBadge } from "../ui/badges";
import { type Column, DataTable } from "../ui/DataTable";
import { ErrorNote } from "../ui/ErrorNote";
import { Page } from "../ui/Page";
import { PageLink } from "../ui/PageLink";
import { ReasonModal } from "../ui/ReasonModal";
import { RowLink } from "../ui/RowLink";
import { Time } from "../ui/Time";
import { AddServerForm } from "./AddServerForm";
import { AgentLink, AtAgent } from "./AtAgent";
import { commandText } from "./commandLine";
import { ServerDrawer } from "./ServerDrawer";
import { words } from "./toolName";

const route = getRouteApi("/signed-in/servers");

/** What the last discovery of a server came to, for the note above the list. */
interface Discovered {
  server: Server;
  report: DiscoveryReport | undefined;
}

export function ServersPage() {
  const { transport } = route.useRouteContext();
  // How a server is at its agent changes without anybody doing something here.
  const { data } = useSuspenseQuery({
    ...queries.servers(transport),
    refetchInterval: ({ state }) =>
      state.data?.servers.some(hasAgent) === true && queries.pollInterval,
  });
  const { data: agentList } = useQuery({
    ...queries.agents(transport),
    enabled: data.servers.some(hasAgent),
    refetchInterval: queries.pollInterval,
  });
  const [adding, setAdding] = useState(false);
  const [discovered, setDiscovered] = useState<Discovered>();
  const search = route.useSearch();
  const navigate = useNavigate();
  return (
    <Page
      title="Servers"
      action={
        <ActButton needs="servers:write" onClick={() => setAdding(true)}>
          Add a server
        </ActButton>
      }
    >
      {discovered && <DiscoveryNote {...discovered} onClose={() => setDiscovered(undefined)} />}
      <DataTable
        caption="Servers"
        minWidth={960}
        columns={columns(setDiscovered, agentList?.agents)}
        rows={data.servers}
        rowKey={(server) => server.name}
        empty="No server yet. Add one here, or with: warder server add NAME --url URL, or warder server add NAME --agent AGENT -- COMMAND"
      />
      {search.server !== undefined && (
        <ServerDrawer
          name={search.server}
          agents={agentList?.agents}
          onChanged={setDiscovered}
          onClose={() => navigate({ ...pb.servers(), resetScroll: false })}
        />
      )}
      {adding && <AddServerForm onDiscovered={setDiscovered} onClose={() => setAdding(false)} />}
    </Page>
  );
}

const hasAgent = ({ agent }: Server) => agent !== "";

const columns = (
  onDiscovered: (found: Discovered) => void,
  agents: readonly Agent[] | undefined,
): Column<Server>[] => [
  { title: "Name", cell: (server) => <Name server={server} /> },
  { title: "Where", cell: (server) => <Where server={server} /> },
  { title: "State", cell: (server) => <State server={server} agents={agents} /> },
  { title: "Offers", cell: (server) => <Offers server={server} /> },
  {
    title: "Protocol",
    cell: (server) => (
      <Text span size="sm" style={{ whiteSpace: "nowrap" }}>
        <VisibleText text={server.protocolVersion} />
      </Text>
    ),
  },
  { title: "Discovered", cell: (server) => <Time at={server.discoveredAt} /> },
  { title: "Actions", cell: (server) => <Actions server={server} onDiscovered={onDiscovered} /> },
];

function Name({ server }: { server: Server }) {
  return (
    <RowLink bold to={pb.servers({ server: server.name })}>
      {server.name}
    </RowLink>
  );
}

function Where({ server }: { server: Server }) {
  return (
    <>
      {server.agent !== "" && (
        <Text size="sm">
          agent <AgentLink name={server.agent} />
        </Text>
      )}
      <VisibleText text={server.command.length > 0 ? commandText(server.command) : server.url} />
      {server.declared && (
        <Text size="xs" c="dimmed">
          declared by its file
        </Text>
      )}
      {server.shared && (
        <Text size="xs" c="dimmed">
          one process for all sessions
        </Text>
      )}
      {server.private && (
        <Text size="xs" c="dimmed">
          private address
        </Text>
      )}
      {server.headerNames.length > 0 && (
        <Text size="xs" c="dimmed">
          sends {server.headerNames.join(", ")}
        </Text>
      )}
    </>
  );
}

function State({ server, agents }: { server: Server; agents: readonly Agent[] | undefined }) {
  return (
    <>
      <ServerStateBadge state={server.state} />
      {server.lastError !== "" && (
        <Text size="xs">
          <VisibleText text={server.lastError} />
        </Text>
      )}
      {server.failingSince && (
        <Text size="xs" c="dimmed">
          since <Time at={server.failingSince} />; tried again by itself
        </Text>
      )}
      <AtAgent server={server} agents={agents} />
    </>
  );
}

function Offers({ server }: { server: Server }) {
  const counts: [KindName, number][] = [
    ["tool", server.tools],
    ["prompt", server.prompts],
    ["resource", server.resources],
    ["template", server.templates],
  ];
  return (
    <>
      {counts
        .filter(([kind, count]) => count > 0 || kind === "tool")
        .map(([kind, count]) => (
          <PageLink
            to={pb.tools({ kind: tabOf(kind), server: server.name })}
            key={kind}
            size="sm"
            display="block"
            lh="24px"
            style={{ whiteSpace: "nowrap" }}
          >
            {`${count} ${(count === 1 ? words[kind].one : words[kind].many).toLowerCase()}`}
          </PageLink>
        ))}
      {server.waiting > 0 && <Text size="xs">{server.waiting} waiting</Text>}
    </>
  );
}

/** How an address names a tab: tools are what it shows by itself. */
const tabOf = (kind: KindName) => (kind === "tool" ? undefined : kind);

function Actions({
  server,
  onDiscovered,
}: {
  server: Server;
  onDiscovered: (found: Discovered) => void;
}) {
  const [removing, setRemoving] = useState(false);
  const refresh = useApiMutation(ServerService.method.refreshServer, {
    onSuccess: (answer) =>
      onDiscovered({ server: answer.server ?? server, report: answer.discovery }),
  });
  const remove = useApiMutation(ServerService.method.removeServer, {
    done: () => `${server.name} is removed`,
  });
  return (
    <Stack gap={4}>
      <Group gap={4} wrap="nowrap">
        <ActButton
          size="xs"
          variant="default"
          needs="servers:write"
          loading={refresh.isPending}
          aria-label={`Refresh ${server.name}`}
          onClick={() => refresh.mutate({ name: server.name })}
        >
          Refresh
        </ActButton>
        <ActButton
          size="xs"
          variant="default"
          needs="servers:write"
          aria-label={`Remove ${server.name}`}
          onClick={() => setRemoving(true)}
        >
          Remove
        </ActButton>
      </Group>
      <ErrorNote error={refresh.error} />
      {removing && (
        <ReasonModal
          title={`Remove ${server.name}?`}
          explanation={`What it offers, ${server.tools} tools among it, can no longer be used, and the approvals are forgotten. Its audit stays.`}
          verb="Remove"
          pending={remove.isPending}
          error={remove.error}
          onConfirm={() => remove.mutate({ name: server.name })}
          onClose={() => setRemoving(false)}
        />
      )}
    </Stack>
  );
}

function DiscoveryNote({ server, report, onClose }: Discovered & { onClose: () => void }) {
  const failed = server.state === ServerState.FAILED;
  const waits = server.state === ServerState.UNSPECIFIED && server.agent !== "";
  return (
    <Alert
      role="status"
      color={failed ? "red" : "blue"}
      title={
        failed
          ? `${server.name} could not be discovered`
          : waits
            ? `${server.name} is saved`
            : `${server.name} was discovered`
      }
      withCloseButton
      closeButtonLabel="Close"
      onClose={onClose}
    >
      {failed ? (
        <>
          <VisibleText text={server.lastError} />
          <Text size="sm">The server is saved. Refresh it when it is up.</Text>
        </>
      ) : waits ? (
        <Text size="sm">What it offers is discovered when {server.agent} serves it.</Text>
      ) : (
        report && <Report server={server} report={report} />
      )}
    </Alert>
  );
}

function Report({ server, report }: { server: Server; report: DiscoveryReport }) {
  return (
    <Stack gap="xs">
      <Text size="sm">
        {report.added.length} new, {report.changed.length} changed, {report.missing.length} no
        longer offered, {report.unchanged} as before.
      </Text>
      {report.refused.length + report.failed.length > 0 && (
        <List size="sm">
          {report.failed.map((failure) => (
            <List.Item key={failure}>
              Not listed: <VisibleText text={failure} />
            </List.Item>
          ))}
          {report.refused.map((refusal) => (
            <List.Item key={refusal}>
              Refused: <VisibleText text={refusal} />
            </List.Item>
          ))}
        </List>
      )}
      <PageLink to={pb.tools({ server: server.name })} size="sm">
        Review what it offers
      </PageLink>
    </Stack>
  );
}
