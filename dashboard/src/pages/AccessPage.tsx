import { Tabs } from "@mantine/core";
import { getRouteApi, useNavigate } from "@tanstack/react-router";
import { type ComponentType, Suspense } from "react";
import { type AccessTab, accessTabs, pb } from "../paths";
import { Page } from "../ui/Page";
import { PagePending } from "../ui/pageStates";
import { ApplicationsPanel } from "./ApplicationsPanel";
import { DenialsPanel } from "./DenialsPanel";
import { KeysPanel } from "./KeysPanel";
import { RolesPanel } from "./RolesPanel";
import { SessionsPanel } from "./SessionsPanel";
import { UsersPanel } from "./UsersPanel";

const route = getRouteApi("/signed-in/access");

const panels: Record<AccessTab, [title: string, panel: ComponentType]> = {
  users: ["Users", UsersPanel],
  roles: ["Roles", RolesPanel],
  keys: ["Keys", KeysPanel],
  applications: ["Applications", ApplicationsPanel],
  sessions: ["Sessions", SessionsPanel],
  denials: ["Denials", DenialsPanel],
};

/** Who may come in, and with what. */
export function AccessPage() {
  const { tab = "users" } = route.useSearch();
  const navigate = useNavigate();
  const open = (value: string | null) =>
    navigate(pb.access({ tab: accessTabs.find((known) => known === value) }));
  return (
    <Page title="Access">
      <Tabs value={tab} onChange={open} keepMounted={false}>
        <Tabs.List>
          {accessTabs.map((each) => (
            <Tabs.Tab key={each} value={each}>
              {panels[each][0]}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        {accessTabs.map((each) => {
          const Panel = panels[each][1];
          return (
            <Tabs.Panel key={each} value={each} pt="md">
              <Suspense fallback={<PagePending />}>
                <Panel />
              </Suspense>
            </Tabs.Panel>
          );
        })}
      </Tabs>
    </Page>
  );
}
