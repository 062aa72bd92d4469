import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { Autocomplete, Button, Select, Stack } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useSuspenseQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { useState } from "react";
import * as queries from "../api/queries";
import { useApiMutation } from "../api/useApiMutation";
import { type Key, KeyService } from "../gen/warder/admin/v1/key_pb";
import { HealthBadge } from "../ui/badges";
import { type Column, DataTable } from "../ui/DataTable";
import { FormModal } from "../ui/FormModal";
import * as rules from "../ui/fieldRules";
import { ReasonModal } from "../ui/ReasonModal";
import { Time } from "../ui/Time";
import { NewKey } from "./NewKey";

const route = getRouteApi("/signed-in/access");
const dayInMs = 24 * 60 * 60 * 1000;

const lifetimes = [
  { value: "7", label: "7 days" },
  { value: "30", label: "30 days" },
  { value: "90", label: "90 days" },
  { value: "365", label: "A year" },
  { value: "", label: "Does not expire" },
];

export function KeysPanel() {
  const { transport } = route.useRouteContext();
  const { data } = useSuspenseQuery(queries.keys(transport));
  const [creating, setCreating] = useState(false);
  const [revoking, setRevoking] = useState<Key>();
  return (
    <Stack align="stretch">
      <Button style={{ alignSelf: "flex-start" }} onClick={() => setCreating(true)}>
        Create a key
      </Button>
      <DataTable
        caption="Keys"
        columns={columns(setRevoking)}
        rows={data.keys}
        rowKey={(key) => key.id}
        empty="No key yet: no client can call. Create one here, or with: warder key create --user USER --application APPLICATION"
      />
      {creating && <CreateKey onClose={() => setCreating(false)} />}
      {revoking && <RevokeKey revoked={revoking} onClose={() => setRevoking(undefined)} />}
    </Stack>
  );
}

const columns = (onRevoke: (key: Key) => void): Column<Key>[] => [
  { title: "Id", cell: (key) => <code>{key.id}</code> },
  { title: "User", cell: (key) => key.user },
  { title: "Application", cell: (key) => key.application },
  { title: "State", cell: (key) => <KeyState of={key} /> },
  { title: "Created", cell: (key) => <Time at={key.createdAt} /> },
  { title: "Expires", cell: (key) => <Time at={key.expiresAt} /> },
  {
    title: "Actions",
    cell: (key) =>
      key.revokedAt === undefined && (
        <Button
          size="xs"
          variant="default"
          aria-label={`Revoke ${key.id}`}
          onClick={() => onRevoke(key)}
        >
          Revoke
        </Button>
      ),
  },
];

function KeyState({ of: key }: { of: Key }) {
  if (key.revokedAt !== undefined) {
    return <HealthBadge ok={false} label="Revoked" />;
  }
  const expired = key.expiresAt !== undefined && Number(key.expiresAt.seconds) * 1000 <= Date.now();
  return <HealthBadge ok={!expired} label={expired ? "Expired" : "Valid"} />;
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

function CreateKey({ onClose }: { onClose: () => void }) {
  const { transport } = route.useRouteContext();
  const { data: users } = useSuspenseQuery(queries.users(transport));
  const { data: applications } = useSuspenseQuery(queries.applications(transport));
  const create = useApiMutation(KeyService.method.createKey);
  const form = useForm({
    initialValues: { user: "", application: "", days: "30" },
    validate: { user: rules.required, application: rules.applicationName },
  });
  if (create.data !== undefined) {
    return <NewKey secret={create.data.key} onClose={onClose} />;
  }
  return (
    <FormModal
      title="Create a key"
      verb="Create"
      pending={create.isPending}
      error={create.error}
      onSubmit={form.onSubmit(({ user, application, days }) =>
        create.mutate({
          user,
          application,
          expiresIn: days === "" ? undefined : durationFromMs(Number(days) * dayInMs),
        }),
      )}
      onClose={onClose}
    >
      <Select
        label="User"
        data={users.users.map((user) => user.name)}
        searchable
        data-autofocus
        {...form.getInputProps("user")}
      />
      <Autocomplete
        label="Application"
        description="The client program, for example cursor. A new name makes a new application."
        data={applications.applications.map((application) => application.name)}
        {...form.getInputProps("application")}
      />
      <Select
        label="Expires"
        data={lifetimes}
        allowDeselect={false}
        {...form.getInputProps("days")}
      />
    </FormModal>
  );
}
