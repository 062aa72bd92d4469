import { Button, Checkbox, Group, Select, Tabs, Text, TextInput } from "@mantine/core";
import { useSuspenseQuery } from "@tanstack/react-query";
import { getRouteApi, useNavigate } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import * as queries from "../api/queries";
import type { Tool } from "../gen/warder/admin/v1/tool_pb";
import { findingFilters, kinds, pb, risks, type ToolsSearch, toolStates } from "../paths";
import { countHidden } from "../text/invisible";
import { VisibleText } from "../text/VisibleText";
import { SeverityBadge, ToolBadges } from "../ui/badges";
import { type Column, DataTable } from "../ui/DataTable";
import { Page } from "../ui/Page";
import { RowLink } from "../ui/RowLink";
import { checksOf, hasFindings, isSuspect } from "./scan";
import { ToolActions } from "./ToolActions";
import { ToolDrawer } from "./ToolDrawer";
import { RiskText } from "./ToolRisk";
import { fullName, words } from "./toolName";

const route = getRouteApi("/signed-in/tools");

export function ToolsPage() {
  const { transport } = route.useRouteContext();
  const search = route.useSearch();
  const { data } = useSuspenseQuery(queries.tools(transport, search));
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const navigate = useNavigate();

  const shown = data.tools.filter((tool) => matches(tool, search));
  const kind = search.kind ?? "tool";
  const selected = shown.filter((tool) => chosen.has(fullName(tool)));
  return (
    <Page title={words[kind].many}>
      <KindTabs />
      <Filters key={JSON.stringify({ ...search, tool: undefined })} />
      {selected.length > 0 && (
        <Group>
          <Text size="sm" role="status">
            {selected.length} selected
          </Text>
          <ToolActions tools={selected} onDone={() => setChosen(new Set())} />
        </Group>
      )}
      <DataTable
        caption={words[kind].many}
        columns={columns(search, shown, chosen, setChosen)}
        rows={shown}
        rowKey={fullName}
        empty={nothing(search, data.tools.length)}
        minWidth={860}
      />
      {search.tool !== undefined && (
        <ToolDrawer
          kind={kind}
          name={search.tool}
          onClose={() =>
            navigate({ ...pb.tools({ ...search, tool: undefined }), resetScroll: false })
          }
        />
      )}
    </Page>
  );
}

/** Why there is nothing to show, and what to do about it. */
function nothing(search: ToolsSearch, offered: number): string {
  const many = words[search.kind ?? "tool"].many.toLowerCase();
  if (offered > 0 || search.state !== undefined || search.q !== undefined) {
    return `No ${many} like that. Take a filter away to see more.`;
  }
  return search.server === undefined
    ? `No server offers ${many}. Add a server, or refresh one that should have some, on the page Servers.`
    : `${search.server} offers no ${many}. Refresh it on the page Servers if it should.`;
}

/** One tab a kind. Another one keeps the server, and nothing else. */
function KindTabs() {
  const { kind = "tool", server } = route.useSearch();
  const navigate = useNavigate();
  const open = (value: string | null) =>
    navigate(pb.tools({ kind: kinds.find((known) => known === value), server }));
  return (
    <Tabs value={kind} onChange={open}>
      <Tabs.List aria-label="Kinds">
        {kinds.map((each) => (
          <Tabs.Tab key={each} value={each}>
            {words[each].many}
          </Tabs.Tab>
        ))}
      </Tabs.List>
    </Tabs>
  );
}

/** Whether an entry is what the address asks for, as far as the control plane was not asked. */
function matches(tool: Tool, { q = "", risk, findings }: ToolsSearch): boolean {
  return (
    fullName(tool).toLowerCase().includes(q.toLowerCase()) &&
    (risk === undefined || tool.risk === risk) &&
    hasFindings(tool, findings)
  );
}

const findingLabels = { hard: "hard findings", any: "any finding", none: "no finding" };

function Filters() {
  const { transport } = route.useRouteContext();
  const search = route.useSearch();
  const navigate = useNavigate();
  const { data } = useSuspenseQuery(queries.servers(transport));
  const go = (change: ToolsSearch) => navigate(pb.tools({ ...search, ...change }));
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    void go({ q: String(new FormData(event.currentTarget).get("q") ?? "") || undefined });
  };
  return (
    <form onSubmit={submit} aria-label="Filter">
      <Group align="flex-end">
        <Select
          label="Server"
          w={180}
          clearable
          placeholder="All"
          data={data.servers.map((server) => server.name)}
          value={search.server ?? null}
          onChange={(server) => go({ server: server ?? undefined })}
        />
        <Select
          label="State"
          w={130}
          clearable
          placeholder="All"
          data={toolStates}
          value={search.state ?? null}
          onChange={(value) => go({ state: toolStates.find((state) => state === value) })}
        />
        <Select
          label="Risk"
          w={150}
          clearable
          placeholder="All"
          data={risks}
          value={search.risk ?? null}
          onChange={(value) => go({ risk: risks.find((risk) => risk === value) })}
        />
        <Select
          label="Found"
          w={180}
          clearable
          placeholder="All"
          data={findingFilters.map((value) => ({ value, label: findingLabels[value] }))}
          value={search.findings ?? null}
          onChange={(value) => go({ findings: findingFilters.find((filter) => filter === value) })}
        />
        <TextInput label="Part of the name" name="q" defaultValue={search.q} />
        <Button type="submit" variant="default">
          Filter
        </Button>
      </Group>
    </form>
  );
}

const columns = (
  search: ToolsSearch,
  shown: Tool[],
  chosen: ReadonlySet<string>,
  setChosen: (chosen: ReadonlySet<string>) => void,
): Column<Tool>[] => [
  {
    title: (
      <Checkbox
        aria-label="Select all"
        checked={shown.length > 0 && shown.every((tool) => chosen.has(fullName(tool)))}
        onChange={({ currentTarget }) =>
          setChosen(new Set(currentTarget.checked ? shown.map(fullName) : []))
        }
      />
    ),
    cell: (tool) => (
      <Checkbox
        aria-label={`Select ${fullName(tool)}`}
        checked={chosen.has(fullName(tool))}
        onChange={() => setChosen(toggled(chosen, fullName(tool)))}
      />
    ),
  },
  {
    title: words[search.kind ?? "tool"].one,
    cell: (tool) => (
      <RowLink to={pb.tools({ ...search, tool: fullName(tool) })}>
        <VisibleText text={fullName(tool)} />
      </RowLink>
    ),
  },
  { title: "State", cell: (tool) => <ToolBadges tool={tool} /> },
  { title: "Risk", cell: (tool) => <RiskText tool={tool} /> },
  { title: "Found", cell: (tool) => <Found tool={tool} /> },
  {
    title: "Description, as the server claims",
    cell: (tool) => <Description text={tool.description} />,
  },
];

function toggled(chosen: ReadonlySet<string>, name: string): ReadonlySet<string> {
  const next = new Set(chosen);
  if (!next.delete(name)) {
    next.add(name);
  }
  return next;
}

/** What the scanner found, at a glance. */
function Found({ tool }: { tool: Tool }) {
  if (tool.findings.length === 0) {
    return <Text size="sm">–</Text>;
  }
  return (
    <>
      <SeverityBadge hard={isSuspect(tool)} />
      <Text size="xs">{checksOf(tool.findings).join(", ")}</Text>
    </>
  );
}

function Description({ text }: { text: string }) {
  const hidden = countHidden(text);
  return (
    <>
      <Text size="sm" component="div" lineClamp={3}>
        <VisibleText text={text} />
      </Text>
      {hidden > 0 && (
        <Text size="xs" fw={700}>
          Holds {hidden} hidden characters
        </Text>
      )}
    </>
  );
}
