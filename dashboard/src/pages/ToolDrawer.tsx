import { Code, Drawer, Loader, SimpleGrid, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import * as queries from "../api/queries";
import type { Tool } from "../gen/warder/admin/v1/tool_pb";
import type { KindName } from "../paths";
import { countHidden } from "../text/invisible";
import { indentJson } from "../text/json";
import { VisibleText } from "../text/VisibleText";
import { ToolBadges } from "../ui/badges";
import { ErrorNote } from "../ui/ErrorNote";
import { Facts } from "../ui/Facts";
import { Time } from "../ui/Time";
import { ToolActions } from "./ToolActions";
import { Differences, Findings, History, Part } from "./ToolReview";
import { ToolRisk } from "./ToolRisk";

const route = getRouteApi("/signed-in/tools");

interface Props {
  kind: KindName;
  name: string;
  onClose: () => void;
}

/** One entry of the catalogue with its definition, and the acts on it. */
export function ToolDrawer({ kind, name, onClose }: Props) {
  const { transport } = route.useRouteContext();
  const { data, error, isPending } = useQuery(queries.tool(transport, kind, name));
  return (
    <Drawer opened onClose={onClose} size="min(72rem, 100%)" title={<VisibleText text={name} />}>
      {isPending && <Loader role="status" aria-label="Loading" />}
      <ErrorNote error={error} />
      {data?.tool && <Details tool={data.tool} />}
    </Drawer>
  );
}

function Details({ tool }: { tool: Tool }) {
  const hidden = countHidden(tool.description) + countHidden(tool.definition);
  return (
    <Stack>
      <ToolBadges tool={tool} />
      <ToolActions tools={[tool]} />
      {hidden > 0 && (
        <Text fw={700} role="alert">
          This definition holds hidden characters. They are marked below.
        </Text>
      )}
      <Facts
        rows={[
          ["Title", tool.title && <VisibleText text={tool.title} />],
          ["Description", tool.description && <VisibleText text={tool.description} />],
          ["Name for clients", tool.exposedName && <VisibleText text={tool.exposedName} />],
          ["First seen", <Time key="seen" at={tool.firstSeenAt} />],
          ["Hash", <Code key="hash">{tool.definitionHash}</Code>],
        ]}
      />
      <SimpleGrid type="container" cols={{ base: 1, "800px": 2 }}>
        {tool.approvedDefinition === "" ? (
          <Definition text={tool.definition} />
        ) : (
          <Differences tool={tool} />
        )}
        <Findings findings={tool.findings} />
      </SimpleGrid>
      <ToolRisk tool={tool} />
      <History verdicts={tool.verdicts} />
    </Stack>
  );
}

function Definition({ text }: { text: string }) {
  return (
    <Part title="Definition">
      <Code block>
        <VisibleText text={indentJson(text)} />
      </Code>
    </Part>
  );
}
