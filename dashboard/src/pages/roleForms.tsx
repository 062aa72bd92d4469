import { Checkbox, Group, MultiSelect, TagsInput, Text, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import * as queries from "../api/queries";
import { useApiMutation } from "../api/useApiMutation";
import { type Role, RoleService } from "../gen/warder/admin/v1/role_pb";
import { risks } from "../paths";
import { ErrorNote } from "../ui/ErrorNote";
import { FormModal } from "../ui/FormModal";
import * as rules from "../ui/fieldRules";
import { describe, type GrantValues, isEmpty, noGrant } from "./grants";

const route = getRouteApi("/signed-in/access");

export function CreateRole({ onClose }: { onClose: () => void }) {
  const create = useApiMutation(RoleService.method.createRole, {
    done: ({ role }) => `${role?.name} is created`,
    onSuccess: onClose,
  });
  const form = useForm({
    initialValues: { name: "", description: "", permissions: [] as string[], ...noGrant },
    validate: { name: rules.roleName },
  });
  return (
    <FormModal
      title="Create a role"
      verb="Create"
      pending={create.isPending}
      error={create.error}
      onSubmit={form.onSubmit(({ name, description, permissions, ...grant }) =>
        create.mutate({ name, description, permissions, grants: isEmpty(grant) ? [] : [grant] }),
      )}
      onClose={onClose}
    >
      <TextInput label="Name" data-autofocus {...form.getInputProps("name")} />
      <TextInput label="Description" maxLength={1000} {...form.getInputProps("description")} />
      <GrantFields field={(name) => form.getInputProps(name)} />
      <PermissionField {...form.getInputProps("permissions")} />
    </FormModal>
  );
}

/** Changes what a role carries. What was not touched is not sent, and stays as it is. */
export function ChangeRole({ role, onClose }: { role: Role; onClose: () => void }) {
  const update = useApiMutation(RoleService.method.updateRole, {
    done: () => `${role.name} is changed`,
    onSuccess: onClose,
  });
  const form = useForm({
    initialValues: {
      description: role.description,
      permissions: role.permissions,
      dropped: [] as string[], // indices of grants
    },
  });
  const submit = ({ description, permissions, dropped }: typeof form.values) =>
    update.mutate({
      name: role.name,
      description: form.isDirty("description") ? description : undefined,
      permissions: form.isDirty("permissions") ? { permissions } : undefined,
      grants:
        dropped.length > 0
          ? { grants: role.grants.filter((_, index) => !dropped.includes(String(index))) }
          : undefined,
    });
  return (
    <FormModal
      title={`Change ${role.name}`}
      verb="Change"
      pending={update.isPending}
      error={update.error}
      onSubmit={form.onSubmit(submit)}
      onClose={onClose}
    >
      <TextInput
        label="Description"
        maxLength={1000}
        data-autofocus
        {...form.getInputProps("description")}
      />
      {role.grants.length > 0 && (
        <Checkbox.Group label="Grants to take away" {...form.getInputProps("dropped")}>
          {role.grants.map((grant, index) => (
            <Checkbox
              // biome-ignore lint/suspicious/noArrayIndexKey: grants have no name, and the form holds them by index.
              key={index}
              mt={4}
              value={String(index)}
              label={describe(grant)}
            />
          ))}
        </Checkbox.Group>
      )}
      <PermissionField {...form.getInputProps("permissions")} />
      <Text size="sm">
        {form.isDirty()
          ? "It holds at the next request of everybody who has the role."
          : "Nothing is changed yet."}
      </Text>
    </FormModal>
  );
}

export function AddGrant({ role, onClose }: { role: string; onClose: () => void }) {
  const grant = useApiMutation(RoleService.method.grantRole, {
    done: () => `${role} has a further grant`,
    onSuccess: onClose,
  });
  const form = useForm<GrantValues>({
    initialValues: noGrant,
    validate: (values) => (isEmpty(values) ? { tools: "Name globs, or risks, or both" } : {}),
  });
  return (
    <FormModal
      title={`Add a grant to ${role}`}
      verb="Grant"
      pending={grant.isPending}
      error={grant.error}
      onSubmit={form.onSubmit((values) => grant.mutate({ name: role, grant: values }))}
      onClose={onClose}
    >
      <GrantFields field={(name) => form.getInputProps(name)} />
    </FormModal>
  );
}

function GrantFields({ field }: { field: (name: keyof GrantValues) => object }) {
  return (
    <>
      <Group align="flex-start" grow>
        <TagsInput
          label="Tools"
          description="Globs such as github/*, each ended by Enter."
          {...field("tools")}
        />
        <MultiSelect label="Risks" description="Empty: any." data={risks} {...field("risks")} />
      </Group>
      <Group align="flex-start" grow>
        <TagsInput label="Prompts" description="Globs on server/prompt." {...field("prompts")} />
        <TagsInput label="Resources" description="Globs on server/URI." {...field("resources")} />
      </Group>
    </>
  );
}

interface PermissionFieldProps {
  value?: string[];
  onChange?: (value: string[]) => void;
}

/** What holders may do here. Nobody gives what he does not hold, so that cannot be ticked. */
function PermissionField({ value, onChange }: PermissionFieldProps) {
  const { transport } = route.useRouteContext();
  const { data, error } = useQuery(queries.permissions(transport));
  return (
    <>
      <ErrorNote error={error} />
      <Checkbox.Group
        label="Permissions"
        description="What holders may do in the administration."
        value={value}
        onChange={onChange}
      >
        {data?.permissions.map(({ name, description, held }) => (
          <Checkbox
            key={name}
            mt="xs"
            value={name}
            label={name}
            description={
              held ? description : `${description}. You do not hold it, so you cannot give it.`
            }
            disabled={!held}
          />
        ))}
      </Checkbox.Group>
    </>
  );
}
