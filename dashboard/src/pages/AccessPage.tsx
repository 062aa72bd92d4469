import { Tabs } from "@mantine/core";
import { getRouteApi, useNavigate } from "@tanstack/react-router";
import { accessTabs, pb } from "../paths";
import { Page } from "../ui/Page";
import { KeysPanel } from "./KeysPanel";
import { RolesPanel } from "./RolesPanel";
import { UsersPanel } from "./UsersPanel";

const route = getRouteApi("/signed-in/access");

export function AccessPage() {
  const { tab = "users" } = route.useSearch();
  const navigate = useNavigate();
  const open = (value: string | null) =>
    navigate(pb.access({ tab: accessTabs.find((known) => known === value) }));
  return (
    <Page title="Access">
      <Tabs value={tab} onChange={open} keepMounted={false}>
        <Tabs.List>
          <Tabs.Tab value="users">Users</Tabs.Tab>
          <Tabs.Tab value="roles">Roles</Tabs.Tab>
          <Tabs.Tab value="keys">Keys</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="users" pt="md">
          <UsersPanel />
        </Tabs.Panel>
        <Tabs.Panel value="roles" pt="md">
          <RolesPanel />
        </Tabs.Panel>
        <Tabs.Panel value="keys" pt="md">
          <KeysPanel />
        </Tabs.Panel>
      </Tabs>
    </Page>
  );
}
