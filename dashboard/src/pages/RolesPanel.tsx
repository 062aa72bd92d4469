import { Box, Group, List, Stack, Text } from "@mantine/core";
import { useSuspenseQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { useState } from "react";
import * as queries from "../api/queries";
import { useApiMutation } from "../api/useApiMutation";
import { type Role, RoleService } from "../gen/warder/admin/v1/role_pb";
import { VisibleText } from "../text/VisibleText";
import { ActButton } from "../ui/ActButton";
import { type Column, DataTable } from "../ui/DataTable";
import { Permissions } from "../ui/Permissions";
import { ReasonModal } from "../ui/ReasonModal";
import { describe } from "./grants";
import { AddGrant, ChangeRole, CreateRole } from "./roleForms";

const route = getRouteApi("/signed-in/access");

export function RolesPanel() {
  const { transport } = route.useRouteContext();
  const { data } = useSuspenseQuery(queries.roles(transport));
  const [creating, setCreating] = useState(false);
  const [acting, setActing] = useState<{ act: Act; role: Role }>();
  const close = () => setActing(undefined);
  return (
    <Stack align="stretch">
      <Group justify="flex-end">
        <ActButton needs="roles:write" onClick={() => setCreating(true)}>
          Create a role
        </ActButton>
      </Group>
      <DataTable
        caption="Roles"
        columns={columns((act, role) => setActing({ act, role }))}
        rows={data.roles}
        rowKey={(role) => role.name}
        minWidth={960}
        empty="No role yet."
      />
      {creating && <CreateRole onClose={() => setCreating(false)} />}
      {acting?.act === "change" && <ChangeRole role={acting.role} onClose={close} />}
      {acting?.act === "grant" && <AddGrant role={acting.role.name} onClose={close} />}
      {acting?.act === "remove" && <RemoveRole role={acting.role.name} onClose={close} />}
    </Stack>
  );
}

type Act = "change" | "grant" | "remove";

const acts: [Act, verb: string, label: (role: string) => string][] = [
  ["change", "Change", (role) => `Change ${role}`],
  ["grant", "Add a grant", (role) => `Add a grant to ${role}`],
  ["remove", "Remove", (role) => `Remove ${role}`],
];

const columns = (onAct: (act: Act, role: Role) => void): Column<Role>[] => [
  { title: "Name", cell: (role) => <Name role={role} /> },
  {
    title: "Permissions",
    cell: (role) => (
      <Box maw={420}>
        <Permissions names={role.permissions} none="none" />
      </Box>
    ),
  },
  {
    title: "Grants",
    cell: (role) => <Grants lines={role.grants.map(describe)} />,
  },
  {
    title: "Actions",
    cell: (role) =>
      role.builtIn ? (
        <Text size="sm" c="dimmed">
          cannot be changed
        </Text>
      ) : (
        <Group gap={4}>
          {acts.map(([act, verb, label]) => (
            <ActButton
              key={act}
              needs="roles:write"
              size="xs"
              variant="default"
              aria-label={label(role.name)}
              onClick={() => onAct(act, role)}
            >
              {verb}
            </ActButton>
          ))}
        </Group>
      ),
  },
];

function Name({ role }: { role: Role }) {
  return (
    <>
      <Text size="sm" fw={700}>
        {role.name}
      </Text>
      {role.builtIn && (
        <Text size="xs" c="dimmed">
          built in
        </Text>
      )}
      <Text size="sm" component="div">
        <VisibleText text={role.description} />
      </Text>
    </>
  );
}

function Grants({ lines }: { lines: string[] }) {
  return lines.length === 0 ? (
    <Text size="sm" c="dimmed">
      none
    </Text>
  ) : (
    <List size="sm" listStyleType="none" miw={200}>
      {lines.map((line) => (
        <List.Item key={line}>
          <VisibleText text={line} />
        </List.Item>
      ))}
    </List>
  );
}

function RemoveRole({ role, onClose }: { role: string; onClose: () => void }) {
  const remove = useApiMutation(RoleService.method.removeRole, {
    done: () => `${role} is removed`,
    onSuccess: onClose,
  });
  return (
    <ReasonModal
      title={`Remove the role ${role}?`}
      explanation="Only a role that nobody holds can be removed, be it by a user, or by a group of an issuer or a provider."
      verb="Remove"
      pending={remove.isPending}
      error={remove.error}
      onConfirm={() => remove.mutate({ name: role })}
      onClose={onClose}
    />
  );
}
