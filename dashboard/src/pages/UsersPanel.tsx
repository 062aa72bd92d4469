import { Group, Stack, Text } from "@mantine/core";
import { useSuspenseQuery } from "@tanstack/react-query";
import { getRouteApi, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import * as queries from "../api/queries";
import type { User } from "../gen/warder/admin/v1/user_pb";
import { type AccessSearch, pb, userStates } from "../paths";
import { ActButton } from "../ui/ActButton";
import { UserStateBadge } from "../ui/badges";
import { type Column, DataTable } from "../ui/DataTable";
import { RowLink } from "../ui/RowLink";
import { Time } from "../ui/Time";
import { AccessFilter } from "./AccessFilter";
import { UserDrawer } from "./UserDrawer";
import { CreateUser } from "./userForms";
import { signInWays, userState, usersLike } from "./userState";

const route = getRouteApi("/signed-in/access");

export function UsersPanel() {
  const { transport } = route.useRouteContext();
  const { data } = useSuspenseQuery(queries.users(transport));
  const search = route.useSearch();
  const navigate = useNavigate();
  const [creating, setCreating] = useState(false);
  const opened = data.users.find((user) => user.name === search.user);
  const close = () =>
    navigate({ ...pb.access({ ...search, user: undefined }), resetScroll: false });
  return (
    <Stack align="stretch">
      <Group justify="space-between" align="flex-end">
        <AccessFilter
          label="Part of the name, a role or a group"
          choice={{ label: "State", sets: "state", values: userStates, none: "Not removed" }}
        />
        <ActButton needs="users:write" onClick={() => setCreating(true)}>
          Create a user
        </ActButton>
      </Group>
      <DataTable
        caption="Users"
        columns={columns(search)}
        rows={usersLike(data.users, search)}
        rowKey={(user) => user.name}
        minWidth={860}
        empty={
          data.users.length === 0
            ? "No user yet. Create one here, or with: warder user create NAME --role ROLE"
            : "No user like that. Take a filter away to see more."
        }
      />
      {search.user !== undefined && <UserDrawer name={search.user} user={opened} onClose={close} />}
      {creating && <CreateUser onClose={() => setCreating(false)} />}
    </Stack>
  );
}

const columns = (search: AccessSearch): Column<User>[] => [
  {
    title: "Name",
    cell: (user) => (
      <RowLink bold to={pb.access({ ...search, user: user.name })}>
        {user.name}
      </RowLink>
    ),
  },
  { title: "State", cell: (user) => <UserStateBadge state={userState(user)} /> },
  { title: "Roles", cell: (user) => user.roles.join(", ") || <None /> },
  { title: "Signs in by", cell: (user) => signInWays(user).join(", ") || <None /> },
  { title: "Last sign-in", cell: (user) => <Time at={user.signedInAt} /> },
  { title: "Created", cell: (user) => <Time at={user.createdAt} /> },
];

function None() {
  return (
    <Text span size="sm" c="dimmed">
      none
    </Text>
  );
}
