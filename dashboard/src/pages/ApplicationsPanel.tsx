import { Group, Stack, Text, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useSuspenseQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { useState } from "react";
import * as queries from "../api/queries";
import { useApiMutation } from "../api/useApiMutation";
import { type Application, ApplicationService } from "../gen/warder/admin/v1/application_pb";
import { pb } from "../paths";
import { VisibleText } from "../text/VisibleText";
import { ActButton } from "../ui/ActButton";
import { UserStateBadge } from "../ui/badges";
import { type Column, DataTable } from "../ui/DataTable";
import { FormModal } from "../ui/FormModal";
import * as rules from "../ui/fieldRules";
import { PageLink } from "../ui/PageLink";
import { ReasonModal } from "../ui/ReasonModal";
import { Time } from "../ui/Time";

const route = getRouteApi("/signed-in/access");

export function ApplicationsPanel() {
  const { transport } = route.useRouteContext();
  const { data } = useSuspenseQuery(queries.applications(transport));
  const [creating, setCreating] = useState(false);
  const [turning, setTurning] = useState<Application>();
  return (
    <Stack align="stretch">
      <Group justify="flex-end">
        <ActButton needs="applications:write" onClick={() => setCreating(true)}>
          Create an application
        </ActButton>
      </Group>
      <DataTable
        caption="Applications"
        columns={columns(setTurning)}
        rows={data.applications}
        rowKey={(application) => application.name}
        empty="No application yet. Each key belongs to one: the client program that uses it. A key for a new name makes one."
      />
      {creating && <CreateApplication onClose={() => setCreating(false)} />}
      {turning && <Turn application={turning} onClose={() => setTurning(undefined)} />}
    </Stack>
  );
}

const columns = (onTurn: (application: Application) => void): Column<Application>[] => [
  {
    title: "Name",
    cell: ({ name }) => (
      <PageLink to={pb.access({ tab: "keys", q: name })} size="sm" fw={700}>
        {name}
      </PageLink>
    ),
  },
  { title: "State", cell: (application) => <State of={application} /> },
  { title: "Created", cell: ({ createdAt }) => <Time at={createdAt} /> },
  {
    title: "Actions",
    cell: (application) => {
      const verb = application.disabled ? "Enable" : "Disable";
      return (
        <ActButton
          needs="applications:write"
          size="xs"
          variant="default"
          aria-label={`${verb} ${application.name}`}
          onClick={() => onTurn(application)}
        >
          {verb}
        </ActButton>
      );
    },
  },
];

function State({ of: { disabled, disabledReason } }: { of: Application }) {
  return (
    <>
      <UserStateBadge state={disabled ? "disabled" : "active"} />
      {disabledReason !== "" && (
        <Text size="xs" component="div">
          <VisibleText text={disabledReason} />
        </Text>
      )}
    </>
  );
}

function CreateApplication({ onClose }: { onClose: () => void }) {
  const create = useApiMutation(ApplicationService.method.createApplication, {
    done: ({ application }) => `${application?.name} is created`,
    onSuccess: onClose,
  });
  const form = useForm({
    initialValues: { name: "" },
    validate: { name: rules.applicationName },
  });
  return (
    <FormModal
      title="Create an application"
      verb="Create"
      pending={create.isPending}
      error={create.error}
      onSubmit={form.onSubmit((values) => create.mutate(values))}
      onClose={onClose}
    >
      <TextInput label="Name" data-autofocus {...form.getInputProps("name")} />
    </FormModal>
  );
}

/** Asks before an application is disabled, or enabled again. */
function Turn({ application, onClose }: { application: Application; onClose: () => void }) {
  const { name, disabled } = application;
  const told = {
    done: () => `${name} is ${disabled ? "enabled" : "disabled"}`,
    onSuccess: onClose,
  };
  const disable = useApiMutation(ApplicationService.method.disableApplication, told);
  const enable = useApiMutation(ApplicationService.method.enableApplication, told);
  const run = disabled ? enable : disable;
  const verb = disabled ? "Enable" : "Disable";
  return (
    <ReasonModal
      title={`${verb} ${name}?`}
      explanation={
        disabled
          ? "Its keys and tokens work again. What else denies it stays."
          : "Every connected node refuses its keys and tokens within a second, whoever they belong to."
      }
      verb={verb}
      withReason={!disabled}
      pending={run.isPending}
      error={run.error}
      onConfirm={(reason) => run.mutate({ name, reason })}
      onClose={onClose}
    />
  );
}
