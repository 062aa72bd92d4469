import { Tabs } from "@mantine/core";
import { getRouteApi, useNavigate } from "@tanstack/react-router";
import { type ComponentType, Suspense } from "react";
import { pb, type TrustTab, trustTabs } from "../paths";
import { Page } from "../ui/Page";
import { PagePending } from "../ui/pageStates";
import { IssuersPanel } from "./IssuersPanel";
import { ProvidersPanel } from "./ProvidersPanel";
import { SecretsPanel } from "./SecretsPanel";

const route = getRouteApi("/signed-in/trust");

const panels: Record<TrustTab, [title: string, panel: ComponentType]> = {
  issuers: ["Token issuers", IssuersPanel],
  providers: ["Sign-on providers", ProvidersPanel],
  secrets: ["Secrets", SecretsPanel],
};

/** Whose word is taken for who somebody is, and under which keys secrets are sealed. */
export function TrustPage() {
  const { tab = "issuers" } = route.useSearch();
  const navigate = useNavigate();
  const open = (value: string | null) =>
    navigate(pb.trust({ tab: trustTabs.find((known) => known === value) }));
  return (
    <Page title="Trust">
      <Tabs value={tab} onChange={open} keepMounted={false}>
        <Tabs.List>
          {trustTabs.map((each) => (
            <Tabs.Tab key={each} value={each}>
              {panels[each][0]}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        {trustTabs.map((each) => {
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
