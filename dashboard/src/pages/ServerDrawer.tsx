import { durationMs } from "@bufbuild/protobuf/wkt";
import { Anchor, Code, Drawer, Group, Loader, Stack, Text, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { useState } from "react";
import * as queries from "../api/queries";
import type { Agent } from "../gen/warder/admin/v1/agent_pb";
import type { DiscoveryReport, Server } from "../gen/warder/admin/v1/server_pb";
import { Kind, type Tool } from "../gen/warder/admin/v1/tool_pb";
import { type KindName, pb } from "../paths";
import { countHidden } from "../text/invisible";
import { indentJson } from "../text/json";
import { VisibleText } from "../text/VisibleText";
import { ActButton } from "../ui/ActButton";
import { ServerStateBadge, ToolBadges } from "../ui/badges";
import { CopyButton } from "../ui/CopyButton";
import { ErrorNote } from "../ui/ErrorNote";
import { Facts } from "../ui/Facts";
import { PageLink } from "../ui/PageLink";
import { Time } from "../ui/Time";
import { AgentLink, AtAgent } from "./AtAgent";
import { allowRule } from "./agentFile";
import { ChangeServerForm } from "./ChangeServerForm";
import { Words } from "./CommandField";
import { since, standing } from "./fleet";
import { words } from "./toolName";

const route = getRouteApi("/signed-in/servers");

interface Props {
  name: string;
  /** Absent: they are not known, or no server has one. */
  agents: readonly Agent[] | undefined;
  /** Told what a change made discovery find. */
  onChanged: (found: { server: Server; report: DiscoveryReport | undefined }) => void;
  onClose: () => void;
}

/** One server: how it is spoken to, and what it tells models about itself. */
export function ServerDrawer({ name, agents, onChanged, onClose }: Props) {
  const { transport } = route.useRouteContext();
  const { data, error, isPending } = useQuery({
    ...queries.server(transport, name),
    refetchInterval: ({ state }) => Boolean(state.data?.server?.agent) && queries.pollInterval,
  });
  const [changing, setChanging] = useState(false);
  const instructions = data?.others.find((entry) => entry.kind === Kind.INSTRUCTIONS);
  return (
    <Drawer opened onClose={onClose} size="xl" title={<VisibleText text={name} />}>
      {isPending && <Loader role="status" aria-label="Loading" />}
      <ErrorNote error={error} />
      {data?.server && (
        <Stack>
          <Group>
            <ActButton
              variant="default"
              size="xs"
              needs="servers:write"
              onClick={() => setChanging(true)}
            >
              Change
            </ActButton>
          </Group>
          <Offer server={data.server} />
          {standing(data.server, agents)?.standing === "refused" && (
            <Refused server={data.server} />
          )}
          <Details server={data.server} agents={agents} />
          {instructions && <Instructions entry={instructions} />}
        </Stack>
      )}
      {changing && data?.server && (
        <ChangeServerForm
          server={data.server}
          onChanged={onChanged}
          onClose={() => setChanging(false)}
        />
      )}
    </Drawer>
  );
}

/** What the agent's file lacks, to be copied there. */
function Refused({ server }: { server: Server }) {
  const rule = allowRule(server);
  return (
    <Stack gap="xs" component="section">
      <Group justify="space-between">
        <Title order={2} size="h5">
          What the file of <VisibleText text={server.agent} /> lacks
        </Title>
        <CopyButton value={rule} label="Copy the rule" />
      </Group>
      <Text size="sm">
        Whoever has that machine decides. A file that has <Code>allow:</Code> gets the lines below
        it.
      </Text>
      <Code block>
        <VisibleText text={rule} />
      </Code>
    </Stack>
  );
}

interface DetailsProps {
  server: Server;
  agents: readonly Agent[] | undefined;
}

function Details({ server, agents }: DetailsProps) {
  const direct = server.agent === "";
  return (
    <Facts
      rows={[
        ["State", <ServerStateBadge key="state" state={server.state} />],
        ["Agent", !direct && <AgentLink name={server.agent} />],
        ["There", !direct && <AtAgent server={server} agents={agents} />],
        ["Process", !direct && server.url === "" && <Process server={server} agents={agents} />],
        ["Command", server.command.length > 0 && <Words of={server.command} label="Command" />],
        [
          "Warning",
          server.warnings.length > 0 && <VisibleText text={server.warnings.join("; ")} />,
        ],
        ["Declared", server.declared && "by the agent's own file"],
        ["Directory", server.directory && <VisibleText text={server.directory} />],
        ["Environment", server.environmentNames.length > 0 && sealedNames(server)],
        [
          "Sessions",
          server.command.length > 0 &&
            (server.shared ? "one process for all" : "a process for each"),
        ],
        ["Address", server.url && <VisibleText text={server.url} />],
        ["Calls itself", server.claimedName && <VisibleText text={server.claimedName} />],
        ["Private address", direct && (server.private ? "allowed" : "not allowed")],
        ["Headers", server.headerNames.join(", ")],
        ["Protocol", server.protocolVersion && <VisibleText text={server.protocolVersion} />],
        ["Last error", server.lastError && <VisibleText text={server.lastError} />],
        ["Failing since", server.failingSince && <Time at={server.failingSince} />],
        ["Last tried", server.failingSince && <Time at={server.checkedAt} />],
        ["Authorities", direct && (server.caCertificates === "" ? "of the system" : "of its own")],
        ["Call timeout", server.callTimeout && `${durationMs(server.callTimeout) / 1000} s`],
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

const sealedNames = ({ environmentNames }: Server) => `${environmentNames.join(", ")} (sealed)`;

/** What runs there, as the agent reports it. */
function Process({ server, agents }: DetailsProps) {
  const report = standing(server, agents)?.report;
  if (report === undefined) {
    return "not reported";
  }
  const { pid, startedAt, processes, restarts } = report;
  const parts = [
    pid > 0 ? `process ${pid}` : "no process now",
    startedAt && pid > 0 && `up ${since(startedAt, new Date())}`,
    processes > 1 && `${processes} processes in all`,
    `${restarts} ${restarts === 1n ? "restart" : "restarts"}`,
  ];
  return parts.filter(Boolean).join(", ");
}

/** What it offers, by kind, each leading to where it is reviewed. */
function Offer({ server }: { server: Server }) {
  const counts: [KindName, number][] = [
    ["tool", server.tools],
    ["prompt", server.prompts],
    ["resource", server.resources],
    ["template", server.templates],
  ];
  return (
    <Group gap="md">
      {counts.map(([kind, count]) => (
        <PageLink
          to={pb.tools({ kind: kind === "tool" ? undefined : kind, server: server.name })}
          key={kind}
          size="sm"
        >
          {`${words[kind].many}: ${count}`}
        </PageLink>
      ))}
      <Text size="sm">{server.waiting === 0 ? "Nothing waits" : `${server.waiting} waiting`}</Text>
    </Group>
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
