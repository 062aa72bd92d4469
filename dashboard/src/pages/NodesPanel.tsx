import { Code, Stack, Text } from "@mantine/core";
import { useSuspenseQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { useState } from "react";
import * as queries from "../api/queries";
import type { Node } from "../gen/warder/admin/v1/node_pb";
import { pb } from "../paths";
import { VisibleText } from "../text/VisibleText";
import { type Column, DataTable } from "../ui/DataTable";
import { PageLink } from "../ui/PageLink";
import { Time } from "../ui/Time";
import { CertificateEnd } from "./CertificateEnd";
import { behind, lag, peerState } from "./fleet";
import { PeerStateBadge } from "./fleetBadges";
import { type PeerAct, PeerActs, PeerConfirmation } from "./peerActs";

const route = getRouteApi("/signed-in/fleet");

/** The nodes, which serve clients. */
export function NodesPanel() {
  const { transport } = route.useRouteContext();
  const { data } = useSuspenseQuery({
    ...queries.nodes(transport),
    refetchInterval: queries.pollInterval,
  });
  const [asked, setAsked] = useState<Asked>();
  return (
    <Stack align="stretch">
      <Text size="sm">
        Nodes serve clients. Each has the whole configuration, and goes on without the control
        plane.
      </Text>
      <DataTable
        caption="Nodes"
        columns={columns(setAsked)}
        rows={data.nodes}
        rowKey={(node) => node.name}
        minWidth={960}
        empty={
          <>
            No node yet: no call is served.{" "}
            <PageLink to={pb.fleet({ tab: "tokens" })} underline="always">
              Make a join token
            </PageLink>
            , or: <Code>warder join-token create --kind node --name NAME</Code>, then start the
            node: <Code>warder dataplane --control-plane HOST:8444 --join-token-file FILE</Code>
          </>
        }
      />
      {asked && <PeerConfirmation kind="node" {...asked} onClose={() => setAsked(undefined)} />}
    </Stack>
  );
}

/** What somebody is about to do to a node. */
interface Asked {
  act: PeerAct;
  name: string;
}

const columns = (onAct: (asked: Asked) => void): Column<Node>[] => [
  { title: "Name", cell: (node) => <Name node={node} /> },
  { title: "State", cell: (node) => <State node={node} /> },
  { title: "Revision", cell: (node) => <Revision node={node} /> },
  { title: "Agents", cell: (node) => <Agents names={node.agents} /> },
  { title: "Version", cell: (node) => <VisibleText text={node.version} /> },
  { title: "Last seen", cell: (node) => <Time at={node.lastSeenAt} /> },
  { title: "Certificate until", cell: (node) => <CertificateEnd at={node.certificateEndsAt} /> },
  {
    title: "Actions",
    cell: (node) => (
      <PeerActs
        revoked={node.revoked}
        stays={node.connected ? "It is connected. Stop it first." : undefined}
        of={node.name}
        onAct={(act) => onAct({ act, name: node.name })}
      />
    ),
  },
];

function Name({ node }: { node: Node }) {
  return (
    <>
      <Text size="sm" fw={700}>
        <VisibleText text={node.name} />
      </Text>
      {node.region !== "" && (
        <Text size="xs" c="dimmed">
          region <VisibleText text={node.region} />
        </Text>
      )}
      {node.tunnelAddress !== "" && (
        <Text size="xs" c="dimmed">
          tunnels at <VisibleText text={node.tunnelAddress} />
        </Text>
      )}
    </>
  );
}

function State({ node }: { node: Node }) {
  return (
    <>
      <PeerStateBadge state={peerState(node)} />
      {node.refusal !== "" && (
        <Text size="xs">
          It refused the last update: <VisibleText text={node.refusal} />
        </Text>
      )}
    </>
  );
}

function Revision({ node }: { node: Node }) {
  return (
    <Text size="sm" style={{ whiteSpace: "nowrap" }}>
      {`${node.revision} of ${node.desiredRevision}`}
      {lag(node) > 0n && (
        <Text span display="block" size="xs" fw={700}>
          {behind(node)} behind
        </Text>
      )}
    </Text>
  );
}

/** Agents that have a tunnel to a node. */
function Agents({ names }: { names: string[] }) {
  return names.length === 0
    ? "none"
    : names.map((name) => (
        <PageLink
          to={pb.fleet({ tab: "agents", name })}
          key={name}
          size="sm"
          display="block"
          lh="24px"
        >
          <VisibleText text={name} />
        </PageLink>
      ));
}
