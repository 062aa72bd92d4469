import { Code, Group, Stack, Text } from "@mantine/core";
import { useSuspenseQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { useState } from "react";
import * as queries from "../api/queries";
import { useApiMutation } from "../api/useApiMutation";
import { type Authority, EnrollmentService } from "../gen/warder/admin/v1/agent_pb";
import { ActButton } from "../ui/ActButton";
import { type Column, DataTable } from "../ui/DataTable";
import { ReasonModal } from "../ui/ReasonModal";
import { Time } from "../ui/Time";
import { type AuthorityTurn, notRotatable, turns } from "./fleet";
import { AuthorityBadge } from "./fleetBadges";

const route = getRouteApi("/signed-in/fleet");

interface Row {
  authority: Authority;
  turn: AuthorityTurn;
}

/** Who signs for nodes and agents. */
export function AuthorityPanel() {
  const { transport } = route.useRouteContext();
  const { data } = useSuspenseQuery({
    ...queries.authorities(transport),
    refetchInterval: queries.pollInterval,
  });
  const [rotating, setRotating] = useState(false);
  const now = new Date();
  const order = turns(data.authorities, now);
  const rows = data.authorities.map((authority, index) => ({
    authority,
    turn: order[index] ?? "retires",
  }));
  return (
    <Stack align="stretch">
      <Group justify="space-between">
        <Text size="sm" flex="1 1 300px">
          The authority signs the certificates by which nodes, agents and the control plane know
          each other. All that stand here are trusted.
        </Text>
        <ActButton
          needs="authority:rotate"
          unless={notRotatable(data.authorities, now)}
          onClick={() => setRotating(true)}
        >
          Rotate
        </ActButton>
      </Group>
      <DataTable
        caption="Authorities"
        columns={columns}
        rows={rows}
        rowKey={({ authority }) => authority.fingerprint}
        minWidth={860}
        empty="No authority yet. The control plane makes one when it starts."
      />
      {rotating && <Rotate onClose={() => setRotating(false)} />}
    </Stack>
  );
}

const columns: Column<Row>[] = [
  {
    title: "Fingerprint",
    cell: ({ authority }) => (
      <Code title={authority.fingerprint}>{authority.fingerprint.slice(0, 16)}</Code>
    ),
  },
  { title: "Turn", cell: ({ turn }) => <AuthorityBadge turn={turn} /> },
  { title: "Signs from", cell: ({ authority }) => <Time at={authority.signsFrom} /> },
  {
    title: "Forgotten at",
    cell: ({ authority }) => <Time at={authority.retiresAt} absent="not yet" />,
  },
  { title: "Expires", cell: ({ authority }) => <Time at={authority.expiresAt} /> },
];

function Rotate({ onClose }: { onClose: () => void }) {
  const rotate = useApiMutation(EnrollmentService.method.rotateAuthority, {
    done: () => "A new authority takes over in about an hour",
    onSuccess: onClose,
  });
  return (
    <ReasonModal
      title="Rotate the authority?"
      explanation="All trust the new one as soon as they renew, within half an hour. It signs when an hour has gone, and the one before is forgotten an hour after that. No connection ends. A node or an agent that is not to be trusted any more is revoked instead, which works at once."
      verb="Rotate"
      pending={rotate.isPending}
      error={rotate.error}
      onConfirm={() => rotate.mutate({})}
      onClose={onClose}
    />
  );
}
