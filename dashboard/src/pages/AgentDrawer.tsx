import { Text } from "@mantine/core";
import { useState } from "react";
import { useApiMutation } from "../api/useApiMutation";
import type { Agent, AgentServer } from "../gen/warder/admin/v1/agent_pb";
import { ServerService } from "../gen/warder/admin/v1/server_pb";
import { pb } from "../paths";
import { VisibleText } from "../text/VisibleText";
import { ActButton } from "../ui/ActButton";
import { type Column, DataTable } from "../ui/DataTable";
import { Facts } from "../ui/Facts";
import { serverName } from "../ui/fieldRules";
import { SideDrawer } from "../ui/ItemDrawer";
import { PageLink } from "../ui/PageLink";
import { ReasonModal } from "../ui/ReasonModal";
import { Section } from "../ui/Section";
import { Time } from "../ui/Time";
import { LastLine } from "./AtAgent";
import { CertificateEnd } from "./CertificateEnd";
import { peerState, phaseOf, remedy, since, tunnelWords } from "./fleet";
import { PeerStateBadge, StandingBadge } from "./fleetBadges";
import { type PeerAct, PeerActs, PeerConfirmation } from "./peerActs";

interface Props {
  name: string;
  /** Absent: there is none of this name. */
  agent: Agent | undefined;
  onClose: () => void;
}

/** One agent: where it is, what its servers do, and what can be done about it. */
export function AgentDrawer({ name, agent, onClose }: Props) {
  const [adding, setAdding] = useState<string>();
  return (
    <SideDrawer name={name} missing="There is no agent of this name." onClose={onClose}>
      {agent && (
        <>
          <Acts agent={agent} onGone={onClose} />
          <Details agent={agent} />
          <Section title="Its servers">
            {peerState(agent) !== "connected" && agent.servers.length > 0 && (
              <Text size="sm">As it reported them last.</Text>
            )}
            <DataTable
              caption="Servers of the agent"
              columns={columns(agent, setAdding)}
              rows={agent.servers}
              rowKey={(server) => server.name}
              empty={`It reports none. Give it one on the page Servers, or with: warder server add NAME --agent ${agent.name} -- COMMAND`}
            />
          </Section>
          {adding !== undefined && (
            <AddDeclared agent={agent.name} server={adding} onClose={() => setAdding(undefined)} />
          )}
        </>
      )}
    </SideDrawer>
  );
}

function Details({ agent }: { agent: Agent }) {
  const state = peerState(agent);
  return (
    <Facts
      rows={[
        ["State", <PeerStateBadge key="state" state={state} />],
        [
          state === "connected" ? "Last heard of" : "Away since",
          <Time key="seen" at={agent.lastSeenAt} />,
        ],
        ["Region", agent.region && <VisibleText text={agent.region} />],
        ["Version", agent.version && <VisibleText text={agent.version} />],
        ["Platform", agent.platform && <VisibleText text={agent.platform} />],
        ["Certificate until", <CertificateEnd key="end" at={agent.certificateEndsAt} />],
        [
          "Tunnels to",
          agent.connected &&
            (agent.tunnels.length > 0 ? (
              <VisibleText text={agent.tunnels.map(tunnelWords).join(", ")} />
            ) : (
              "no node: calls of its servers fail"
            )),
        ],
      ]}
    />
  );
}

const columns = (agent: Agent, onAdd: (server: string) => void): Column<AgentServer>[] => [
  { title: "Name", cell: (server) => <ServerName server={server} /> },
  { title: "State", cell: (server) => <State agent={agent.name} server={server} /> },
  { title: "Process", cell: (server) => <Process server={server} /> },
  { title: "Restarts", cell: ({ restarts }) => String(restarts) },
  {
    title: "Actions",
    cell: ({ name, known }) =>
      !known &&
      serverName(name) === null && (
        <ActButton
          needs="servers:write"
          size="xs"
          variant="default"
          aria-label={`Add ${name}`}
          onClick={() => onAdd(name)}
        >
          Add
        </ActButton>
      ),
  },
];

function ServerName({ server: { name, known, declared, what } }: { server: AgentServer }) {
  return (
    <>
      {known ? (
        <PageLink to={pb.servers({ server: name })} size="sm" fw={700}>
          <VisibleText text={name} />
        </PageLink>
      ) : (
        <Text size="sm" fw={700}>
          <VisibleText text={name} />
        </Text>
      )}
      <Text size="xs" c="dimmed" style={{ overflowWrap: "anywhere" }}>
        <VisibleText text={what} />
      </Text>
      {declared && (
        <Text size="xs" c="dimmed">
          {known
            ? "of its own file"
            : serverName(name) === null
              ? "of its own file; nobody can use it until it is added"
              : "of its own file, under a name that no server can have"}
        </Text>
      )}
    </>
  );
}

function State({ agent, server }: { agent: string; server: AgentServer }) {
  const standing = phaseOf(server);
  const advice = remedy({ standing }, agent);
  return (
    <>
      <StandingBadge standing={standing} />
      {server.lastError !== "" && (
        <Text size="xs" style={{ overflowWrap: "anywhere" }}>
          <VisibleText text={server.lastError} />
        </Text>
      )}
      <LastLine report={server} />
      {advice && (
        <Text size="xs" c="dimmed">
          <VisibleText text={advice} />
        </Text>
      )}
    </>
  );
}

function Process({ server: { pid, processes, startedAt } }: { server: AgentServer }) {
  if (pid === 0) {
    return processes > 0 ? String(processes) : "none";
  }
  return (
    <>
      {pid}
      <Text size="xs" c="dimmed">
        {startedAt && `up ${since(startedAt, new Date())}`}
        {processes > 1 && `, and ${processes - 1} more`}
      </Text>
    </>
  );
}

function Acts({ agent, onGone }: { agent: Agent; onGone: () => void }) {
  const [act, setAct] = useState<PeerAct>();
  const owned = agent.servers.filter(({ known }) => known).map(({ name }) => name);
  return (
    <>
      <PeerActs
        revoked={agent.revoked}
        stays={
          owned.length > 0
            ? `Remove its servers first, on the page Servers: ${owned.join(", ")}.`
            : undefined
        }
        onAct={setAct}
      />
      {act && (
        <PeerConfirmation
          kind="agent"
          act={act}
          name={agent.name}
          onClose={() => setAct(undefined)}
          onGone={onGone}
        />
      )}
    </>
  );
}

interface AddProps {
  agent: string;
  server: string;
  onClose: () => void;
}

/** Makes a server of the installation of one that an agent's own file declares. */
function AddDeclared({ agent, server, onClose }: AddProps) {
  const add = useApiMutation(ServerService.method.addServer, {
    done: () => `${server} is added; what it offers waits for your approval`,
    onSuccess: onClose,
  });
  return (
    <ReasonModal
      title={`Add the server ${server}?`}
      explanation={`The file of ${agent} declares it, and says how it is run. What it offers is discovered now, and waits for your approval.`}
      verb="Add"
      pending={add.isPending}
      error={add.error}
      onConfirm={() => add.mutate({ name: server, agent })}
      onClose={onClose}
    />
  );
}
