import { Button, Group, Modal, Stack, Tabs, Text } from "@mantine/core";
import { useSuspenseQuery } from "@tanstack/react-query";
import { getRouteApi, useBlocker, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import * as queries from "../api/queries";
import { type PolicyTab, pb, policyTabs } from "../paths";
import { Page } from "../ui/Page";
import { ExplainPanel } from "./ExplainPanel";
import { PolicyDocument } from "./PolicyDocument";
import { type Draft, PolicyEditor } from "./PolicyEditor";
import { PolicyHistory } from "./PolicyHistory";

const route = getRouteApi("/signed-in/policy");

const titles: Record<PolicyTab, string> = {
  document: "In force",
  change: "Change",
  history: "History",
  explain: "Explain",
};

export function PolicyPage() {
  const { transport } = route.useRouteContext();
  const { data } = useSuspenseQuery(queries.policy(transport));
  const { tab = "document" } = route.useSearch();
  const navigate = useNavigate();
  // The draft outlives a look at another tab.
  const [draft, setDraft] = useState<Draft>();
  const open = (value: string | null) =>
    navigate(pb.policy({ tab: policyTabs.find((known) => known === value) }));
  return (
    <Page title="Policy">
      <Tabs value={tab} onChange={open} keepMounted={false}>
        <Tabs.List aria-label="Policy" mb="md">
          {policyTabs.map((each) => (
            <Tabs.Tab key={each} value={each}>
              {titles[each]}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        <Tabs.Panel value="document">
          <PolicyDocument policy={data.policy} />
        </Tabs.Panel>
        <Tabs.Panel value="change">
          <PolicyEditor
            inForce={data.policy}
            draft={draft}
            onDraft={setDraft}
            onApplied={() => {
              setDraft(undefined);
              void open("document");
            }}
          />
        </Tabs.Panel>
        <Tabs.Panel value="history">
          <PolicyHistory inForce={data.policy} />
        </Tabs.Panel>
        <Tabs.Panel value="explain">
          <ExplainPanel />
        </Tabs.Panel>
      </Tabs>
      <KeepDraft kept={draft !== undefined && draft.text !== data.policy?.document} />
    </Page>
  );
}

/** Asks before the page is left with a draft that nobody applied. */
function KeepDraft({ kept }: { kept: boolean }) {
  const blocker = useBlocker({
    shouldBlockFn: ({ current, next }) => kept && next.pathname !== current.pathname,
    enableBeforeUnload: () => kept,
    withResolver: true,
  });
  return (
    <Modal
      opened={blocker.status === "blocked"}
      onClose={() => blocker.reset?.()}
      title="Leave your draft behind?"
    >
      <Stack>
        <Text>What you changed in the policy document was not applied, and is not kept.</Text>
        <Group justify="flex-end">
          <Button variant="default" onClick={() => blocker.reset?.()}>
            Stay
          </Button>
          <Button onClick={() => blocker.proceed?.()}>Leave</Button>
        </Group>
      </Stack>
    </Modal>
  );
}
