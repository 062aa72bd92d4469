import { getRouteApi, useNavigate } from "@tanstack/react-router";
import type { ComponentType } from "react";
import { type FleetTab, fleetTabs, pb } from "../paths";
import { TabbedPage } from "../ui/TabbedPage";
import { AgentsPanel } from "./AgentsPanel";
import { AuthorityPanel } from "./AuthorityPanel";
import { JoinTokensPanel } from "./JoinTokensPanel";
import { NodesPanel } from "./NodesPanel";

const route = getRouteApi("/signed-in/fleet");

const panels: Record<FleetTab, [title: string, panel: ComponentType]> = {
  nodes: ["Nodes", NodesPanel],
  agents: ["Agents", AgentsPanel],
  tokens: ["Join tokens", JoinTokensPanel],
  authority: ["Authority", AuthorityPanel],
};

/** The nodes and the agents, and how they are let in. */
export function FleetPage() {
  const { tab = "nodes" } = route.useSearch();
  const navigate = useNavigate();
  return (
    <TabbedPage
      title="Fleet"
      tabs={fleetTabs}
      panels={panels}
      open={tab}
      onOpen={(next) => navigate(pb.fleet({ tab: next }))}
    />
  );
}
