// Roles by group, in the forms of issuers and of providers.

import { Button, Group, Select, Stack, TextInput } from "@mantine/core";
import type { GroupRole } from "../gen/warder/admin/v1/issuer_pb";
import * as rules from "../ui/fieldRules";

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

interface Props {
  rows: GroupRoleRow[];
  roles: string[];
  field: (index: number, part: "group" | "role") => object;
  onAdd: () => void;
  onRemove: (index: number) => void;
}

export function GroupRoleFields({ rows, roles, field, onAdd, onRemove }: Props) {
  return (
    <Stack gap="xs" role="group" aria-label="Roles by group">
      {rows.map(({ id }, index) => (
        <Group key={id} align="flex-start">
          <TextInput
            label={`Group ${index + 1}`}
            autoComplete="off"
            flex="1 1 140px"
            {...field(index, "group")}
          />
          <Select
            label={`Role ${index + 1}`}
            data={roles}
            flex="1 1 140px"
            {...field(index, "role")}
          />
          <Button
            variant="default"
            mt={25}
            aria-label={`Remove the role of group ${index + 1}`}
            onClick={() => onRemove(index)}
          >
            Remove
          </Button>
        </Group>
      ))}
      <Button variant="default" size="xs" onClick={onAdd} style={{ alignSelf: "flex-start" }}>
        Give a group a role
      </Button>
    </Stack>
  );
}
