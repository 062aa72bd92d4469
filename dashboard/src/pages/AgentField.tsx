import { Select, type SelectProps, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import * as queries from "../api/queries";
import type { Agent } from "../gen/warder/admin/v1/agent_pb";
import { pb } from "../paths";
import { ErrorNote } from "../ui/ErrorNote";
import { PageLink } from "../ui/PageLink";
import { peerState } from "./fleet";

const route = getRouteApi("/signed-in/servers");

/** One of the agents that were let in. */
export function AgentField(props: SelectProps) {
  const { transport } = route.useRouteContext();
  const { data, error } = useQuery(queries.agents(transport));
  if (data !== undefined && data.agents.length === 0) {
    return (
      <Text size="sm">
        No agent was let in yet.{" "}
        <PageLink to={pb.fleet({ tab: "tokens" })} underline="always">
          Make a join token
        </PageLink>{" "}
        and start one beside the server.
      </Text>
    );
  }
  return (
    <>
      <Select
        label="Agent"
        data={data?.agents.map((agent) => ({ value: agent.name, label: agentLabel(agent) })) ?? []}
        searchable
        {...props}
      />
      <ErrorNote error={error} />
    </>
  );
}

function agentLabel(agent: Agent): string {
  const state = peerState(agent);
  return state === "connected" ? agent.name : `${agent.name} (${state})`;
}
