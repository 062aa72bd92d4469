import { Checkbox, Code, Group, Stack, Text, Title } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useSuspenseQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { type ReactNode, useState } from "react";
import * as queries from "../api/queries";
import { useApiMutation } from "../api/useApiMutation";
import { type SealKey, SealKeyService } from "../gen/warder/admin/v1/seal_key_pb";
import { type KeyEncryptionKey, SecretService } from "../gen/warder/admin/v1/secret_pb";
import { ActButton } from "../ui/ActButton";
import { HealthBadge } from "../ui/badges";
import { type Column, DataTable } from "../ui/DataTable";
import { FormModal } from "../ui/FormModal";
import { ReasonModal } from "../ui/ReasonModal";
import { Time } from "../ui/Time";
import { rewrapState } from "./secrets";

const route = getRouteApi("/signed-in/trust");

/** Under which keys secrets are sealed at rest, and what clients carry on the way. */
export function SecretsPanel() {
  return (
    <Stack gap="xl">
      <KeyEncryptionKeys />
      <SealKeys />
    </Stack>
  );
}

interface SectionProps {
  title: string;
  explanation: string;
  action: ReactNode;
  children: ReactNode;
}

function Section({ title, explanation, action, children }: SectionProps) {
  return (
    <Stack component="section" gap="xs">
      <Group justify="space-between">
        <Title order={2} size="h4">
          {title}
        </Title>
        {action}
      </Group>
      <Text size="sm">{explanation}</Text>
      {children}
    </Stack>
  );
}

function KeyEncryptionKeys() {
  const { transport } = route.useRouteContext();
  const { data } = useSuspenseQuery(queries.keyEncryptionKeys(transport));
  const [asking, setAsking] = useState(false);
  const state = rewrapState(data.keys);
  return (
    <Section
      title="Secrets at rest"
      explanation="Headers for servers, client secrets and the installation's own keys are sealed under these. The keys themselves are in the control plane's file or environment, and never here."
      action={
        <ActButton
          needs="secrets:rewrap"
          unless={state.older === 0 ? "Every secret is sealed under the newest key." : undefined}
          onClick={() => setAsking(true)}
        >
          Seal anew
        </ActButton>
      }
    >
      <Text size="sm" role="status">
        {state.words}
      </Text>
      <DataTable
        caption="Key-encryption keys"
        columns={kekColumns}
        rows={data.keys}
        rowKey={(key) => key.id}
        empty="No key-encryption key."
      />
      {asking && <Rewrap onClose={() => setAsking(false)} />}
    </Section>
  );
}

const kekColumns: Column<KeyEncryptionKey>[] = [
  { title: "Key", cell: ({ id }) => <Code>{id}</Code> },
  { title: "Turn", cell: ({ seals }) => (seals ? "seals" : "opens only") },
  { title: "Secrets", cell: ({ secrets }) => String(secrets) },
  {
    title: "Here",
    cell: ({ present }) => <HealthBadge ok={present} label={present ? "Present" : "Missing"} />,
  },
];

function Rewrap({ onClose }: { onClose: () => void }) {
  const rewrap = useApiMutation(SecretService.method.rewrapSecrets, {
    done: ({ rewrapped }) => `${rewrapped} secrets are sealed anew`,
    onSuccess: onClose,
  });
  return (
    <ReasonModal
      title="Seal every secret under the newest key?"
      explanation="Row by row, while everything goes on. Afterwards the older keys can be taken away; keep them with the backups that they sealed."
      verb="Seal anew"
      pending={rewrap.isPending}
      error={rewrap.error}
      onConfirm={() => rewrap.mutate({})}
      onClose={onClose}
    />
  );
}

function SealKeys() {
  const { transport } = route.useRouteContext();
  const { data } = useSuspenseQuery(queries.sealKeys(transport));
  const [rotating, setRotating] = useState(false);
  return (
    <Section
      title="What clients carry"
      explanation="Session ids, cursors and request states are sealed with these, which every node has. A new one takes its turn every thirty days by itself."
      action={
        <ActButton needs="seal-keys:rotate" onClick={() => setRotating(true)}>
          Rotate
        </ActButton>
      }
    >
      <DataTable
        caption="Seal keys"
        columns={sealColumns}
        rows={data.keys}
        rowKey={(key) => key.name}
        empty="No key yet."
      />
      {rotating && <Rotate onClose={() => setRotating(false)} />}
    </Section>
  );
}

const sealColumns: Column<SealKey>[] = [
  { title: "Key", cell: ({ name }) => <Code>{name}</Code> },
  { title: "Turn", cell: ({ seals }) => (seals ? "seals" : "opens only, or waits") },
  { title: "Seals from", cell: ({ sealsFrom }) => <Time at={sealsFrom} /> },
  { title: "Created", cell: ({ createdAt }) => <Time at={createdAt} /> },
];

function Rotate({ onClose }: { onClose: () => void }) {
  const rotate = useApiMutation(SealKeyService.method.rotateSealKeys, {
    done: () => "A new key takes over",
    onSuccess: onClose,
  });
  const form = useForm({ initialValues: { now: false, forget: false } });
  const { now } = form.values;
  return (
    <FormModal
      title="Rotate the seal keys?"
      verb={now && form.values.forget ? "Rotate, and end all sessions" : "Rotate"}
      pending={rotate.isPending}
      error={rotate.error}
      onSubmit={form.onSubmit(({ now, forget }) => rotate.mutate({ now, forget: now && forget }))}
      onClose={onClose}
    >
      <Text>A new key takes over in a few minutes. No session ends with that.</Text>
      <Checkbox
        label="At once"
        description="Until a node has the key, it refuses what others have sealed with it."
        {...form.getInputProps("now", { type: "checkbox" })}
      />
      <Checkbox
        label="Forget all other keys"
        description="If one may be known to somebody. All sessions, cursors and request states of all clients end."
        disabled={!now}
        {...form.getInputProps("forget", { type: "checkbox" })}
      />
    </FormModal>
  );
}
