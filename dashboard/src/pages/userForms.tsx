import { MultiSelect, PasswordInput, Select, TagsInput, Text, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useQuery, useSuspenseQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import * as queries from "../api/queries";
import { useApiMutation } from "../api/useApiMutation";
import { ProviderService } from "../gen/warder/admin/v1/provider_pb";
import { type User, UserService } from "../gen/warder/admin/v1/user_pb";
import { ErrorNote } from "../ui/ErrorNote";
import { FormModal } from "../ui/FormModal";
import * as rules from "../ui/fieldRules";

const route = getRouteApi("/signed-in/access");

function useRoleNames(): string[] {
  const { transport } = route.useRouteContext();
  const { data } = useSuspenseQuery(queries.roles(transport));
  return data.roles.map((role) => role.name);
}

export function CreateUser({ onClose }: { onClose: () => void }) {
  const roles = useRoleNames();
  const create = useApiMutation(UserService.method.createUser, {
    done: ({ user }) => `${user?.name} is created`,
    onSuccess: onClose,
  });
  const form = useForm({
    initialValues: { name: "", roles: [] as string[], groups: [] as string[], password: "" },
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
      <RoleAndGroupFields roles={roles} field={(name) => form.getInputProps(name)} />
      <PasswordInput
        label="Password"
        description="Only for those who sign in to this dashboard. Leave it empty otherwise."
        autoComplete="new-password"
        {...form.getInputProps("password")}
      />
    </FormModal>
  );
}

interface RoleAndGroupProps {
  roles: string[];
  field: (name: "roles" | "groups") => object;
}

function RoleAndGroupFields({ roles, field }: RoleAndGroupProps) {
  return (
    <>
      <MultiSelect
        label="Roles"
        description="They decide which tools the user may call, and what he may do here. You can give what you hold yourself."
        data={roles}
        {...field("roles")}
      />
      <TagsInput
        label="Groups"
        description="Names that rules of the policy may use, each ended by Enter."
        {...field("groups")}
      />
    </>
  );
}

/** Replaces roles and groups. What was not touched is not sent, and stays as it is. */
export function ChangeUser({ user, onClose }: { user: User; onClose: () => void }) {
  const roles = useRoleNames();
  const update = useApiMutation(UserService.method.updateUser, {
    done: () => `${user.name} is changed`,
    onSuccess: onClose,
  });
  const form = useForm({ initialValues: { roles: user.roles, groups: user.groups } });
  return (
    <FormModal
      title={`Change ${user.name}`}
      verb="Change"
      pending={update.isPending}
      error={update.error}
      onSubmit={form.onSubmit(({ roles, groups }) =>
        update.mutate({
          name: user.name,
          roles: form.isDirty("roles") ? { names: roles } : undefined,
          groups: form.isDirty("groups") ? { names: groups } : undefined,
        }),
      )}
      onClose={onClose}
    >
      <RoleAndGroupFields roles={roles} field={(name) => form.getInputProps(name)} />
      {user.provider !== "" && (
        <Text size="sm">
          {`At the next sign-in by ${user.provider}, the roles become those that the groups there give.`}
        </Text>
      )}
      <Text size="sm">
        {form.isDirty()
          ? "If the roles change, the sessions of the user end."
          : "Nothing is changed yet."}
      </Text>
    </FormModal>
  );
}

/** Says which account of a provider a user is. */
export function LinkUser({ user, onClose }: { user: User; onClose: () => void }) {
  const { transport } = route.useRouteContext();
  const { data, error } = useQuery(queries.providers(transport));
  const link = useApiMutation(ProviderService.method.linkUser, {
    done: () => `${user.name} can sign in by the provider`,
    onSuccess: onClose,
  });
  const form = useForm({
    initialValues: { provider: "", subject: "" },
    validate: { provider: rules.required, subject: rules.required },
  });
  return (
    <FormModal
      title={`Link ${user.name} to a provider`}
      verb="Link"
      pending={link.isPending}
      error={link.error}
      onSubmit={form.onSubmit((values) => link.mutate({ user: user.name, ...values }))}
      onClose={onClose}
    >
      <Text size="sm">
        Whoever has the account then is this user. From the next sign-in on, the roles are those
        that the groups at the provider give.
      </Text>
      <ErrorNote error={error} />
      <Select
        label="Provider"
        data={data?.providers.map((provider) => provider.name) ?? []}
        data-autofocus
        {...form.getInputProps("provider")}
      />
      <TextInput
        label="Subject"
        description="The claim sub of the account, as the page that refused the sign-in shows it."
        autoComplete="off"
        {...form.getInputProps("subject")}
      />
    </FormModal>
  );
}
