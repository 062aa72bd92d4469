import { Group, Stack, Text } from "@mantine/core";
import { useSuspenseQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { useState } from "react";
import * as queries from "../api/queries";
import { useApiMutation } from "../api/useApiMutation";
import { type Denial, DenialService } from "../gen/warder/admin/v1/denial_pb";
import { denialKinds } from "../paths";
import { VisibleText } from "../text/VisibleText";
import { ActButton } from "../ui/ActButton";
import { type Column, DataTable } from "../ui/DataTable";
import { ReasonModal } from "../ui/ReasonModal";
import { Time } from "../ui/Time";
import { AccessFilter } from "./AccessFilter";
import { DenyForm } from "./DenyForm";
import { denialsLike, named, notLiftable } from "./denials";

const route = getRouteApi("/signed-in/access");

/** What is denied ahead of all rules. */
export function DenialsPanel() {
  const { transport } = route.useRouteContext();
  const { data } = useSuspenseQuery(queries.denials(transport));
  const search = route.useSearch();
  const [adding, setAdding] = useState(false);
  const [lifting, setLifting] = useState<Denial>();
  return (
    <Stack align="stretch">
      <Group justify="space-between" align="flex-end">
        <AccessFilter
          label="Part of the name"
          choice={{ label: "Kind", sets: "kind", values: [...denialKinds, "key"], none: "All" }}
        />
        <ActButton needs="denials:write" onClick={() => setAdding(true)}>
          Deny something
        </ActButton>
      </Group>
      <DataTable
        caption="Denials"
        columns={columns(setLifting)}
        rows={denialsLike(data.denials, search)}
        rowKey={(denial) => `${denial.cause} ${denial.kind} ${denial.name}`}
        minWidth={860}
        empty={
          data.denials.length === 0
            ? "Nothing is denied but by the policy. What must stop at once is denied here, or with: warder deny add KIND NAME"
            : "No denial like that. Take a filter away to see more."
        }
      />
      {adding && <DenyForm onClose={() => setAdding(false)} />}
      {lifting && <Lift denial={lifting} onClose={() => setLifting(undefined)} />}
    </Stack>
  );
}

const columns = (onLift: (denial: Denial) => void): Column<Denial>[] => [
  { title: "Kind", cell: ({ kind }) => kind },
  {
    title: "Name",
    cell: ({ kind, name }) =>
      kind === "all" ? <Text fw={700}>everything</Text> : <VisibleText text={name} />,
  },
  { title: "Reason", cell: ({ reason }) => <VisibleText text={reason} /> },
  { title: "Since", cell: (denial) => <Since of={denial} /> },
  { title: "Until", cell: ({ expiresAt }) => <Time at={expiresAt} absent="it is lifted" /> },
  {
    title: "Actions",
    cell: (denial) => (
      <ActButton
        needs="denials:write"
        unless={notLiftable(denial)}
        size="xs"
        variant="default"
        aria-label={`Lift the denial of ${named(denial)}`}
        onClick={() => onLift(denial)}
      >
        Lift
      </ActButton>
    ),
  },
];

function Since({ of: { createdAt, createdBy } }: { of: Denial }) {
  return (
    <>
      <Time at={createdAt} />
      <Text size="xs" c="dimmed">
        {`by ${createdBy}`}
      </Text>
    </>
  );
}

function Lift({ denial, onClose }: { denial: Denial; onClose: () => void }) {
  const remove = useApiMutation(DenialService.method.removeDenial, {
    done: () => `The denial of ${named(denial)} is lifted`,
    onSuccess: onClose,
  });
  return (
    <ReasonModal
      title={`Lift the denial of ${named(denial)}?`}
      explanation="From then on the policy decides again."
      verb="Lift"
      pending={remove.isPending}
      error={remove.error}
      onConfirm={() => remove.mutate({ kind: denial.kind, name: denial.name })}
      onClose={onClose}
    />
  );
}
