import { getRouteApi, useNavigate } from "@tanstack/react-router";
import type { ComponentType } from "react";
import { pb, type TrustTab, trustTabs } from "../paths";
import { TabbedPage } from "../ui/TabbedPage";
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
  return (
    <TabbedPage
      title="Trust"
      tabs={trustTabs}
      panels={panels}
      open={tab}
      onOpen={(next) => navigate(pb.trust({ tab: next }))}
    />
  );
}
