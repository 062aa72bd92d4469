import { Button, MultiSelect, PasswordInput, Stack, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useSuspenseQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { useState } from "react";
import * as queries from "../api/queries";
import { useApiMutation } from "../api/useApiMutation";
import { type User, UserService } from "../gen/warder/admin/v1/user_pb";
import { type Column, DataTable } from "../ui/DataTable";
import { FormModal } from "../ui/FormModal";
import * as rules from "../ui/fieldRules";
import { Time } from "../ui/Time";

const route = getRouteApi("/signed-in/access");

export function UsersPanel() {
  const { transport } = route.useRouteContext();
  const { data } = useSuspenseQuery(queries.users(transport));
  const [creating, setCreating] = useState(false);
  return (
    <Stack align="stretch">
      <Button style={{ alignSelf: "flex-start" }} onClick={() => setCreating(true)}>
        Create a user
      </Button>
      <DataTable
        caption="Users"
        columns={columns}
        rows={data.users}
        rowKey={(user) => user.name}
        empty="No user yet. Create one here, or with: warder user create NAME --role ROLE"
      />
      {creating && <CreateUser onClose={() => setCreating(false)} />}
    </Stack>
  );
}

const columns: Column<User>[] = [
  { title: "Name", cell: (user) => user.name },
  { title: "Roles", cell: (user) => user.roles.join(", ") },
  { title: "Can sign in here", cell: (user) => (user.hasPassword ? "yes" : "no") },
  { title: "Created", cell: (user) => <Time at={user.createdAt} /> },
];

function CreateUser({ onClose }: { onClose: () => void }) {
  const { transport } = route.useRouteContext();
  const { data } = useSuspenseQuery(queries.roles(transport));
  const create = useApiMutation(UserService.method.createUser, {
    done: ({ user }) => `${user?.name} is created`,
    onSuccess: onClose,
  });
  const form = useForm({
    initialValues: { name: "", roles: [] as string[], password: "" },
    validate: { name: rules.userName, password: rules.optional(rules.newPassword) },
  });
  return (
    <FormModal
      title="Create a user"
      verb="Create"
      pending={create.isPending}
      error={create.error}
      onSubmit={form.onSubmit((values) => create.mutate(values))}
      onClose={onClose}
    >
      <TextInput
        label="Name"
        autoCapitalize="none"
        autoComplete="off"
        data-autofocus
        {...form.getInputProps("name")}
      />
      <MultiSelect
        label="Roles"
        description="They decide which tools the user may call."
        data={data.roles.map((role) => role.name)}
        {...form.getInputProps("roles")}
      />
      <PasswordInput
        label="Password"
        description="Only for those who sign in to this dashboard. Leave it empty otherwise."
        autoComplete="new-password"
        {...form.getInputProps("password")}
      />
    </FormModal>
  );
}
