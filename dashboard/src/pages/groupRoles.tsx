// Roles by group, in the forms of issuers and of providers.

import { Button, Group, Select, Stack, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import * as queries from "../api/queries";
import type { GroupRole } from "../gen/warder/admin/v1/issuer_pb";
import * as rules from "../ui/fieldRules";
import type { RowsForm } from "../ui/rowsForm";

const route = getRouteApi("/signed-in/trust");

/** One row of the form. */
export interface GroupRoleRow {
  id: number;
  group: string;
  role: string;
}

export const groupRoleRules = { group: rules.required, role: rules.required };

export const toRows = (given: readonly GroupRole[]): GroupRoleRow[] =>
  given.map(({ group, role }, id) => ({ id, group, role }));

export const fromRows = (rows: GroupRoleRow[]) => rows.map(({ group, role }) => ({ group, role }));

export const nextRow = (rows: GroupRoleRow[]): GroupRoleRow => ({
  id: Math.max(-1, ...rows.map((row) => row.id)) + 1,
  group: "",
  role: "",
});

/** In words: "platform gives owner". */
export const inWords = (given: readonly GroupRole[]) =>
  given.map(({ group, role }) => `${group} gives ${role}`).join(", ");

export function GroupRoleFields({ form }: { form: RowsForm<"groupRoles", GroupRoleRow> }) {
  const { transport } = route.useRouteContext();
  const { data } = useQuery(queries.roles(transport));
  const rows = form.values.groupRoles;
  return (
    <Stack gap="xs" role="group" aria-label="Roles by group">
      {rows.map(({ id }, index) => (
        <Group key={id} align="flex-start">
          <TextInput
            label={`Group ${index + 1}`}
            autoComplete="off"
            flex="1 1 140px"
            {...form.getInputProps(`groupRoles.${index}.group`)}
          />
          <Select
            label={`Role ${index + 1}`}
            data={data?.roles.map((role) => role.name) ?? []}
            flex="1 1 140px"
            {...form.getInputProps(`groupRoles.${index}.role`)}
          />
          <Button
            variant="default"
            mt={25}
            aria-label={`Remove the role of group ${index + 1}`}
            onClick={() => form.removeListItem("groupRoles", index)}
          >
            Remove
          </Button>
        </Group>
      ))}
      <Button
        variant="default"
        size="xs"
        onClick={() => form.insertListItem("groupRoles", nextRow(rows))}
        style={{ alignSelf: "flex-start" }}
      >
        Give a group a role
      </Button>
    </Stack>
  );
}
