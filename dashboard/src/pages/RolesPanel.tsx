import { Button, Group, List, MultiSelect, Stack, TagsInput, TextInput } from "@mantine/core";
import { type UseFormReturnType, useForm } from "@mantine/form";
import { useSuspenseQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { useState } from "react";
import * as queries from "../api/queries";
import { useApiMutation } from "../api/useApiMutation";
import { type Grant, type Role, RoleService } from "../gen/warder/admin/v1/role_pb";
import { type Column, DataTable } from "../ui/DataTable";
import { FormModal } from "../ui/FormModal";
import * as rules from "../ui/fieldRules";

const route = getRouteApi("/signed-in/access");

// proto/warder/admin/v1/role.proto, Grant.risks.
const risks = ["read", "write", "destructive", "admin", "execute", "external", "unclassified"];

export function RolesPanel() {
  const { transport } = route.useRouteContext();
  const { data } = useSuspenseQuery(queries.roles(transport));
  const [creating, setCreating] = useState(false);
  const [granting, setGranting] = useState<string>();
  return (
    <Stack align="stretch">
      <Button style={{ alignSelf: "flex-start" }} onClick={() => setCreating(true)}>
        Create a role
      </Button>
      <DataTable
        caption="Roles"
        columns={columns(setGranting)}
        rows={data.roles}
        rowKey={(role) => role.name}
        empty="No role yet."
      />
      {creating && <CreateRole onClose={() => setCreating(false)} />}
      {granting !== undefined && (
        <AddGrant role={granting} onClose={() => setGranting(undefined)} />
      )}
    </Stack>
  );
}

const columns = (onGrant: (role: string) => void): Column<Role>[] => [
  { title: "Name", cell: (role) => (role.builtIn ? `${role.name} (built in)` : role.name) },
  { title: "Description", cell: (role) => role.description },
  {
    title: "Grants",
    cell: (role) => (
      <List size="sm" listStyleType="none">
        {role.grants.map((grant, index) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: grants have no name, and are only added.
          <List.Item key={index}>{describe(grant)}</List.Item>
        ))}
      </List>
    ),
  },
  {
    title: "Actions",
    cell: (role) =>
      role.builtIn ? (
        "cannot be changed"
      ) : (
        <Button
          size="xs"
          variant="default"
          aria-label={`Add a grant to ${role.name}`}
          onClick={() => onGrant(role.name)}
        >
          Add a grant
        </Button>
      ),
  },
];

function describe(grant: Grant): string {
  const named = [
    ["tools", grant.tools],
    ["prompts", grant.prompts],
    ["resources", grant.resources],
  ] as const;
  const parts = named.filter(([, globs]) => globs.length > 0);
  const what = parts.map(([kind, globs]) => `${kind} ${globs.join(", ")}`).join("; ");
  const risk = grant.risks.length === 0 ? "of any risk" : `of risk ${grant.risks.join(", ")}`;
  return `${what === "" ? "anything" : what} ${risk}`;
}

interface GrantValues {
  tools: string[];
  prompts: string[];
  resources: string[];
  risks: string[];
}

const noGrant: GrantValues = { tools: [], prompts: [], resources: [], risks: [] };

function CreateRole({ onClose }: { onClose: () => void }) {
  const create = useApiMutation(RoleService.method.createRole, {
    done: ({ role }) => `${role?.name} is created`,
    onSuccess: onClose,
  });
  const form = useForm({
    initialValues: { name: "", description: "", ...noGrant },
    validate: { name: rules.roleName },
  });
  return (
    <FormModal
      title="Create a role"
      verb="Create"
      pending={create.isPending}
      error={create.error}
      onSubmit={form.onSubmit(({ name, description, ...grant }) =>
        create.mutate({ name, description, grants: isEmpty(grant) ? [] : [grant] }),
      )}
      onClose={onClose}
    >
      <TextInput label="Name" data-autofocus {...form.getInputProps("name")} />
      <TextInput label="Description" maxLength={1000} {...form.getInputProps("description")} />
      <GrantFields field={(name) => form.getInputProps(name)} />
    </FormModal>
  );
}

/** Empty lists would grant everything; a form left blank must not mean that. */
function isEmpty(grant: GrantValues): boolean {
  return Object.values(grant).every((list) => list.length === 0);
}

function AddGrant({ role, onClose }: { role: string; onClose: () => void }) {
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

function GrantFields({
  field,
}: {
  field: (name: keyof GrantValues) => ReturnType<UseFormReturnType<GrantValues>["getInputProps"]>;
}) {
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
