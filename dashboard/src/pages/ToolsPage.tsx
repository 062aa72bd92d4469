import { Anchor, Button, Checkbox, Group, Select, Tabs, Text, TextInput } from "@mantine/core";
import { useSuspenseQuery } from "@tanstack/react-query";
import { getRouteApi, Link, useNavigate } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import * as queries from "../api/queries";
import type { Tool } from "../gen/warder/admin/v1/tool_pb";
import { kinds, pb, type ToolsSearch, toolStates } from "../paths";
import { countHidden } from "../text/invisible";
import { VisibleText } from "../text/VisibleText";
import { ToolBadges } from "../ui/badges";
import { type Column, DataTable } from "../ui/DataTable";
import { Page } from "../ui/Page";
import { ToolActions } from "./ToolActions";
import { ToolDrawer } from "./ToolDrawer";
import { fullName, words } from "./toolName";

const route = getRouteApi("/signed-in/tools");

export function ToolsPage() {
  const { transport } = route.useRouteContext();
  const search = route.useSearch();
  const { data } = useSuspenseQuery(queries.tools(transport, search));
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const navigate = useNavigate();

  const shown = data.tools.filter((tool) => matches(tool, search.q));
  const kind = search.kind ?? "tool";
  const selected = shown.filter((tool) => chosen.has(fullName(tool)));
  return (
    <Page title={words[kind].many}>
      <KindTabs />
      <Filters key={JSON.stringify([kind, search.server, search.state, search.q])} />
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

function matches(tool: Tool, part = ""): boolean {
  return fullName(tool).toLowerCase().includes(part.toLowerCase());
}

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
          clearable
          placeholder="All"
          data={data.servers.map((server) => server.name)}
          value={search.server ?? null}
          onChange={(server) => go({ server: server ?? undefined })}
        />
        <Select
          label="State"
          clearable
          placeholder="All"
          data={toolStates}
          value={search.state ?? null}
          onChange={(value) => go({ state: toolStates.find((state) => state === value) })}
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
      <Anchor
        size="sm"
        renderRoot={(props) => (
          <Link {...props} {...pb.tools({ ...search, tool: fullName(tool) })} resetScroll={false} />
        )}
      >
        <VisibleText text={fullName(tool)} />
      </Anchor>
    ),
  },
  { title: "State", cell: (tool) => <ToolBadges tool={tool} /> },
  { title: "Risk", cell: (tool) => tool.risk },
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
