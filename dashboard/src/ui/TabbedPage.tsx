import { Tabs } from "@mantine/core";
import { type ComponentType, Suspense } from "react";
import { Page } from "./Page";
import { PagePending } from "./pageStates";

interface Props<Tab extends string> {
  title: string;
  /** In the order in which they stand. */
  tabs: readonly Tab[];
  panels: Record<Tab, [title: string, panel: ComponentType]>;
  open: Tab;
  onOpen: (tab: Tab | undefined) => void;
}

/** A page of tabs, of which the open one loads what it shows. The address says which is open. */
export function TabbedPage<Tab extends string>({ title, tabs, panels, open, onOpen }: Props<Tab>) {
  return (
    <Page title={title}>
      <Tabs
        value={open}
        onChange={(value) => onOpen(tabs.find((known) => known === value))}
        keepMounted={false}
      >
        <Tabs.List>
          {tabs.map((each) => (
            <Tabs.Tab key={each} value={each}>
              {panels[each][0]}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        {tabs.map((each) => {
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
