import { getRouteApi, useNavigate } from "@tanstack/react-router";
import type { ComponentType } from "react";
import { type AccessTab, accessTabs, pb } from "../paths";
import { TabbedPage } from "../ui/TabbedPage";
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
  return (
    <TabbedPage
      title="Access"
      tabs={accessTabs}
      panels={panels}
      open={tab}
      onOpen={(next) => navigate(pb.access({ tab: next }))}
    />
  );
}
