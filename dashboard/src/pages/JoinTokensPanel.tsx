import { Code, Group, Stack, Text } from "@mantine/core";
import { useSuspenseQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { useState } from "react";
import * as queries from "../api/queries";
import { useApiMutation } from "../api/useApiMutation";
import { EnrollmentService, type JoinToken } from "../gen/warder/admin/v1/agent_pb";
import { VisibleText } from "../text/VisibleText";
import { ActButton } from "../ui/ActButton";
import { type Column, DataTable } from "../ui/DataTable";
import { ReasonModal } from "../ui/ReasonModal";
import { Time } from "../ui/Time";
import { joinTokenState } from "./fleet";
import { JoinTokenBadge } from "./fleetBadges";
import { CreateJoinToken } from "./joinTokenForms";

const route = getRouteApi("/signed-in/fleet");

/** What lets nodes and agents in, once each. */
export function JoinTokensPanel() {
  const { transport } = route.useRouteContext();
  const { data } = useSuspenseQuery({
    ...queries.joinTokens(transport),
    refetchInterval: queries.pollInterval,
  });
  const [creating, setCreating] = useState(false);
  const [revoking, setRevoking] = useState<JoinToken>();
  return (
    <Stack align="stretch">
      <Group justify="space-between">
        <Text size="sm" flex="1 1 300px">
          A join token lets one node or agent in, once. It buys a certificate of an hour, which its
          holder renews by itself. Here are those of the last day.
        </Text>
        <ActButton needs="peers:write" onClick={() => setCreating(true)}>
          Create a join token
        </ActButton>
      </Group>
      <DataTable
        caption="Join tokens"
        columns={columns(setRevoking)}
        rows={data.joinTokens}
        rowKey={(token) => token.id}
        minWidth={860}
        empty={
          <>
            No join token of the last day. Create one here, or with:{" "}
            <Code>warder join-token create --kind agent --name NAME</Code>
          </>
        }
      />
      {creating && <CreateJoinToken onClose={() => setCreating(false)} />}
      {revoking && <RevokeJoinToken token={revoking} onClose={() => setRevoking(undefined)} />}
    </Stack>
  );
}

const columns = (onRevoke: (token: JoinToken) => void): Column<JoinToken>[] => [
  {
    title: "Lets in",
    cell: ({ kind, name, region }) => (
      <>
        <Text size="sm" fw={700}>
          <VisibleText text={`${kind} ${name}`} />
        </Text>
        {region !== "" && (
          <Text size="xs" c="dimmed">
            region <VisibleText text={region} />
          </Text>
        )}
      </>
    ),
  },
  { title: "Id", cell: ({ id }) => <Code>{id}</Code> },
  {
    title: "State",
    cell: (token) => (
      <>
        <JoinTokenBadge state={joinTokenState(token, new Date())} />
        {token.usedAt && (
          <Text size="xs" c="dimmed">
            <Time at={token.usedAt} />
          </Text>
        )}
      </>
    ),
  },
  { title: "Good until", cell: ({ expiresAt }) => <Time at={expiresAt} /> },
  {
    title: "Created",
    cell: ({ createdAt, createdBy }) => (
      <>
        <Time at={createdAt} />
        <Text size="xs" c="dimmed">
          by <VisibleText text={createdBy} />
        </Text>
      </>
    ),
  },
  {
    title: "Actions",
    cell: (token) =>
      joinTokenState(token, new Date()) === "good" && (
        <ActButton
          needs="peers:write"
          size="xs"
          variant="default"
          aria-label={`Revoke ${token.id}`}
          onClick={() => onRevoke(token)}
        >
          Revoke
        </ActButton>
      ),
  },
];

function RevokeJoinToken({ token, onClose }: { token: JoinToken; onClose: () => void }) {
  const revoke = useApiMutation(EnrollmentService.method.revokeJoinToken, {
    done: () => `The join token ${token.id} is revoked`,
    onSuccess: onClose,
  });
  return (
    <ReasonModal
      title={`Revoke join token ${token.id}?`}
      explanation={`It lets the ${token.kind} ${token.name} in no more.`}
      verb="Revoke"
      pending={revoke.isPending}
      error={revoke.error}
      onConfirm={() => revoke.mutate({ id: token.id })}
      onClose={onClose}
    />
  );
}
