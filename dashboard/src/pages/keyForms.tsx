import { Autocomplete, MultiSelect, Select, Text } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useQuery, useSuspenseQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import * as queries from "../api/queries";
import { useApiMutation } from "../api/useApiMutation";
import { type Key, KeyService } from "../gen/warder/admin/v1/key_pb";
import { FormModal } from "../ui/FormModal";
import * as rules from "../ui/fieldRules";
import { keyLifetimes, lasting, overlaps, usualOverlap } from "./lifetime";
import { NewKey } from "./NewKey";

const route = getRouteApi("/signed-in/access");

export function CreateKey({ onClose }: { onClose: () => void }) {
  const { transport } = route.useRouteContext();
  const { data: users } = useSuspenseQuery(queries.users(transport));
  const { data: applications } = useQuery(queries.applications(transport));
  const { data: servers } = useQuery(queries.servers(transport));
  const create = useApiMutation(KeyService.method.createKey);
  const form = useForm({
    initialValues: { user: "", application: "", servers: [] as string[], lifetime: "43200" },
    validate: { user: rules.required, application: rules.applicationName },
  });
  if (create.data !== undefined) {
    return <NewKey title="The key is created" secret={create.data.key} onClose={onClose} />;
  }
  return (
    <FormModal
      title="Create a key"
      verb="Create"
      pending={create.isPending}
      error={create.error}
      onSubmit={form.onSubmit(({ lifetime, ...values }) =>
        create.mutate({ ...values, expiresIn: lasting(lifetime) }),
      )}
      onClose={onClose}
    >
      <Select
        label="User"
        data={users.users.filter((user) => !user.disabled).map((user) => user.name)}
        searchable
        data-autofocus
        {...form.getInputProps("user")}
      />
      <Autocomplete
        label="Application"
        description="The client program, for example cursor. A new name makes a new application."
        data={applications?.applications.map((application) => application.name) ?? []}
        {...form.getInputProps("application")}
      />
      <MultiSelect
        label="Servers"
        description="The key is good for these alone. Empty: for all, also those that come later."
        data={servers?.servers.map((server) => server.name) ?? []}
        searchable
        {...form.getInputProps("servers")}
      />
      <Select
        label="Expires"
        data={keyLifetimes}
        allowDeselect={false}
        {...form.getInputProps("lifetime")}
      />
    </FormModal>
  );
}

const asBefore = "as-before";

/** Makes a successor of a key; the old one works on for the overlap. */
export function RotateKey({ rotated, onClose }: { rotated: Key; onClose: () => void }) {
  const rotate = useApiMutation(KeyService.method.rotateKey);
  const form = useForm({ initialValues: { overlap: usualOverlap, lifetime: asBefore } });
  if (rotate.data !== undefined) {
    return <NewKey title="The key has a successor" secret={rotate.data.key} onClose={onClose} />;
  }
  return (
    <FormModal
      title={`Rotate key ${rotated.id}`}
      verb="Rotate"
      pending={rotate.isPending}
      error={rotate.error}
      onSubmit={form.onSubmit(({ overlap, lifetime }) =>
        rotate.mutate({
          id: rotated.id,
          overlap: lasting(overlap),
          expiresIn: lifetime === asBefore ? undefined : lasting(lifetime),
        }),
      )}
      onClose={onClose}
    >
      <Text>
        {`${rotated.application} of ${rotated.user} gets a new key, for the same servers. Put it in place before the old one ends.`}
      </Text>
      <Select
        label="The old key works on for"
        description="Never longer than it would have anyhow."
        data={overlaps}
        allowDeselect={false}
        data-autofocus
        {...form.getInputProps("overlap")}
      />
      <Select
        label="The new key expires"
        data={[
          {
            value: asBefore,
            label: rotated.expiresAt
              ? "After as long as the old one was given"
              : "Never, as the old one",
          },
          ...keyLifetimes.filter(({ value }) => lasting(value) !== undefined),
        ]}
        allowDeselect={false}
        {...form.getInputProps("lifetime")}
      />
    </FormModal>
  );
}
