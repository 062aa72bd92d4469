import { Code, Group, Stack, Text } from "@mantine/core";
import { useSuspenseQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { useState } from "react";
import * as queries from "../api/queries";
import { useApiMutation } from "../api/useApiMutation";
import { type Key, KeyService } from "../gen/warder/admin/v1/key_pb";
import { keyStates } from "../paths";
import { ActButton } from "../ui/ActButton";
import { KeyStateBadge } from "../ui/badges";
import { type Column, DataTable } from "../ui/DataTable";
import { ReasonModal } from "../ui/ReasonModal";
import { Time } from "../ui/Time";
import { AccessFilter } from "./AccessFilter";
import { CreateKey, RotateKey } from "./keyForms";
import { keyState, keysLike, notRotatable } from "./keyState";

const route = getRouteApi("/signed-in/access");

export function KeysPanel() {
  const { transport } = route.useRouteContext();
  const { data } = useSuspenseQuery(queries.keys(transport));
  const search = route.useSearch();
  const [creating, setCreating] = useState(false);
  const [acting, setActing] = useState<{ act: Act; key: Key }>();
  const close = () => setActing(undefined);
  return (
    <Stack align="stretch">
      <Group justify="space-between" align="flex-end">
        <AccessFilter
          label="Part of the id, user, application or server"
          choice={{ label: "State", sets: "state", values: keyStates, none: "All" }}
        />
        <ActButton needs="keys:write" onClick={() => setCreating(true)}>
          Create a key
        </ActButton>
      </Group>
      <DataTable
        caption="Keys"
        columns={columns((act, key) => setActing({ act, key }))}
        rows={keysLike(data.keys, search, new Date())}
        rowKey={(key) => key.id}
        minWidth={960}
        empty={
          data.keys.length === 0
            ? "No key yet: no client can call. Create one here, or with: warder key create --user USER --application APPLICATION"
            : "No key like that. Take a filter away to see more."
        }
      />
      {creating && <CreateKey onClose={() => setCreating(false)} />}
      {acting?.act === "Rotate" && <RotateKey rotated={acting.key} onClose={close} />}
      {acting?.act === "Revoke" && <RevokeKey revoked={acting.key} onClose={close} />}
    </Stack>
  );
}

type Act = "Rotate" | "Revoke";

const columns = (onAct: (act: Act, key: Key) => void): Column<Key>[] => [
  { title: "Id", cell: (key) => <Id of={key} /> },
  { title: "User", cell: (key) => key.user },
  { title: "Application", cell: (key) => key.application },
  { title: "Servers", cell: (key) => key.servers.join(", ") || "all" },
  { title: "State", cell: (key) => <KeyStateBadge state={keyState(key, new Date())} /> },
  { title: "Last used", cell: (key) => <Time at={key.lastUsedAt} /> },
  { title: "Expires", cell: (key) => <Time at={key.expiresAt} /> },
  {
    title: "Actions",
    cell: (key) => keyState(key, new Date()) === "valid" && <Actions of={key} onAct={onAct} />,
  },
];

function Id({ of: key }: { of: Key }) {
  return (
    <>
      <Code>{key.id}</Code>
      <Text size="xs" c="dimmed">
        made <Time at={key.createdAt} />
      </Text>
      <Text size="xs" c="dimmed">
        {`by ${key.createdBy}`}
      </Text>
      {key.successor !== "" && (
        <Text size="xs" c="dimmed">
          {`followed by ${key.successor}`}
        </Text>
      )}
    </>
  );
}

function Actions({ of: key, onAct }: { of: Key; onAct: (act: Act, key: Key) => void }) {
  return (
    <Group gap={4} wrap="nowrap">
      {(["Rotate", "Revoke"] as const).map((act) => (
        <ActButton
          key={act}
          needs="keys:write"
          unless={act === "Rotate" ? notRotatable(key) : undefined}
          size="xs"
          variant="default"
          aria-label={`${act} ${key.id}`}
          onClick={() => onAct(act, key)}
        >
          {act}
        </ActButton>
      ))}
    </Group>
  );
}

function RevokeKey({ revoked, onClose }: { revoked: Key; onClose: () => void }) {
  const revoke = useApiMutation(KeyService.method.revokeKey, {
    done: () => `Key ${revoked.id} is revoked`,
    onSuccess: onClose,
  });
  return (
    <ReasonModal
      title={`Revoke key ${revoked.id}?`}
      explanation={`${revoked.application} of ${revoked.user} is refused within a second. This is final.`}
      verb="Revoke"
      withReason
      pending={revoke.isPending}
      error={revoke.error}
      onConfirm={(reason) => revoke.mutate({ id: revoked.id, reason })}
      onClose={onClose}
    />
  );
}
