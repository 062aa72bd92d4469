import { Code, Drawer, Loader, Stack, Text, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import * as queries from "../api/queries";
import type { RiskReason, Tool } from "../gen/warder/admin/v1/tool_pb";
import type { KindName } from "../paths";
import { countHidden } from "../text/invisible";
import { indentJson } from "../text/json";
import { type DiffLine, lineDiff } from "../text/lineDiff";
import { VisibleText } from "../text/VisibleText";
import { ToolBadges } from "../ui/badges";
import { ErrorNote } from "../ui/ErrorNote";
import { Facts } from "../ui/Facts";
import { Time } from "../ui/Time";
import { ToolActions } from "./ToolActions";
import classes from "./ToolDrawer.module.css";

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
    <Drawer
      opened
      onClose={onClose}
      position="right"
      size="xl"
      title={<VisibleText text={name} />}
      closeButtonProps={{ "aria-label": "Close" }}
    >
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
          ["Risk", tool.risk],
          [
            "Because",
            tool.riskReasons.length > 0 && <RiskReasons key="because" reasons={tool.riskReasons} />,
          ],
          ["Name for clients", tool.exposedName && <VisibleText text={tool.exposedName} />],
          ["Decided by", tool.decidedBy],
          ["Decided at", tool.decidedAt && <Time at={tool.decidedAt} />],
          ["Reason", tool.decidedReason && <VisibleText text={tool.decidedReason} />],
          ["First seen", <Time key="seen" at={tool.firstSeenAt} />],
          ["Hash", <Code key="hash">{tool.definitionHash}</Code>],
        ]}
      />
      {tool.approvedDefinition === "" ? (
        <Definition title="Definition" text={tool.definition} />
      ) : (
        <Difference before={tool.approvedDefinition} after={tool.definition} />
      )}
    </Stack>
  );
}

function RiskReasons({ reasons }: { reasons: RiskReason[] }) {
  return reasons.map(({ risk, what, where }) => (
    <div key={`${risk} ${what} ${where}`}>
      {risk}: <VisibleText text={where === "definition" ? what : `“${what}” in the ${where}`} />
    </div>
  ));
}

function Definition({ title, text }: { title: string; text: string }) {
  return (
    <Stack gap="xs" component="section">
      <Title order={2} size="h5">
        {title}
      </Title>
      <Code block>
        <VisibleText text={indentJson(text)} />
      </Code>
    </Stack>
  );
}

const marks: Record<DiffLine["kind"], { sign: string; word: string }> = {
  same: { sign: " ", word: "" },
  added: { sign: "+", word: "added: " },
  removed: { sign: "-", word: "removed: " },
};

/** What changed since the approval, line by line. */
function Difference({ before, after }: { before: string; after: string }) {
  const lines = lineDiff(indentJson(before), indentJson(after));
  return (
    <Stack gap="xs" component="section">
      <Title order={2} size="h5">
        What changed since it was approved
      </Title>
      <div className={classes.diff}>
        {lines.map((line, index) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: the lines of one difference never move.
          <div key={index} className={classes[line.kind]}>
            <span aria-hidden="true">{marks[line.kind].sign} </span>
            <span className={classes.word}>{marks[line.kind].word}</span>
            <VisibleText text={line.text} />
          </div>
        ))}
      </div>
    </Stack>
  );
}
