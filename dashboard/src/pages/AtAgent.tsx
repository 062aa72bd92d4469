// What the pages of servers say of those that an agent has.

import { Text } from "@mantine/core";
import type { Agent, AgentServer } from "../gen/warder/admin/v1/agent_pb";
import type { Server } from "../gen/warder/admin/v1/server_pb";
import { pb } from "../paths";
import { VisibleText } from "../text/VisibleText";
import { PageLink } from "../ui/PageLink";
import { remedy, standing } from "./fleet";
import { StandingBadge } from "./fleetBadges";

export function AgentLink({ name }: { name: string }) {
  return (
    <PageLink to={pb.fleet({ tab: "agents", name })} size="sm" lh="24px">
      <VisibleText text={name} />
    </PageLink>
  );
}

/** What the program of a server that is starting said last, which need not be an error. */
export function LastLine({ report }: { report: AgentServer | undefined }) {
  if (!report?.lastLine) {
    return null;
  }
  return (
    <Text size="xs" c="dimmed" style={{ overflowWrap: "anywhere" }}>
      its last line: <VisibleText text={report.lastLine} />
    </Text>
  );
}

interface Props {
  server: Server;
  /** Absent: they are not known yet, and nothing is said. */
  agents: readonly Agent[] | undefined;
}

/** How a server is at its agent: its state there, the error, and what to do. */
export function AtAgent({ server, agents }: Props) {
  const there = standing(server, agents);
  if (there === undefined) {
    return null;
  }
  const error = there.report?.lastError ?? "";
  const advice = remedy(there, server.agent);
  return (
    <>
      <StandingBadge standing={there.standing} />
      {error !== "" && !server.lastError.includes(error) && (
        <Text size="xs" style={{ overflowWrap: "anywhere" }}>
          <VisibleText text={error} />
        </Text>
      )}
      <LastLine report={there.report} />
      {advice && (
        <Text size="xs" c="dimmed">
          <VisibleText text={advice} />
        </Text>
      )}
    </>
  );
}
