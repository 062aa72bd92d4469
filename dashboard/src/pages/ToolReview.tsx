// What stands before whoever decides about an entry, beside its definition.

import { Alert, Card, Code, Group, Stack, Text, Title } from "@mantine/core";
import type { ReactNode } from "react";
import type { Difference, Finding, Tool, Verdict } from "../gen/warder/admin/v1/tool_pb";
import { indentJson } from "../text/json";
import { VisibleText } from "../text/VisibleText";
import { ChangeBadge, VerdictBadge } from "../ui/badges";
import { type Column, DataTable } from "../ui/DataTable";
import { Icon } from "../ui/icons";
import { LineDiff } from "../ui/LineDiff";
import { Time } from "../ui/Time";
import { FindingList, Place } from "./FindingList";
import { findingsWithin } from "./scan";

export function Part({ title, children }: { title: string; children: ReactNode }) {
  return (
    <Stack gap="xs" component="section">
      <Title order={2} size="h5">
        {title}
      </Title>
      {children}
    </Stack>
  );
}

export function Findings({ findings }: { findings: readonly Finding[] }) {
  return (
    <Part title="What the scanner found">
      {findings.length === 0 ? (
        <Text size="sm" c="dimmed">
          Nothing. That is no proof of innocence: read the definition.
        </Text>
      ) : (
        <FindingList findings={findings} />
      )}
    </Part>
  );
}

/** Place by place, each with what may be dangerous in it. */
export function Differences({ tool }: { tool: Tool }) {
  return (
    <Part title="What changed since it was approved">
      {tool.differences.map((difference) => (
        <Card key={`${difference.change} ${difference.path}`} withBorder padding="xs">
          <Stack gap={6}>
            <Group gap="xs">
              <ChangeBadge change={difference.change} />
              <Place path={difference.path} />
            </Group>
            <Notes difference={difference} findings={tool.findings} />
            <LineDiff before={indentJson(difference.before)} after={indentJson(difference.after)} />
          </Stack>
        </Card>
      ))}
      <details>
        <summary>The whole definition, line by line</summary>
        <LineDiff
          before={indentJson(tool.approvedDefinition)}
          after={indentJson(tool.definition)}
        />
      </details>
    </Part>
  );
}

function Notes({ difference, findings }: { difference: Difference; findings: readonly Finding[] }) {
  const here = findingsWithin(findings, difference);
  if (difference.note === "" && here.length === 0) {
    return null;
  }
  return (
    <Alert color="orange" p="xs" icon={<Icon name="changed" />}>
      {difference.note !== "" && (
        <div>
          <VisibleText text={difference.note} />
        </div>
      )}
      {here.length > 0 && (
        <div>The scanner found {here.map((each) => each.check).join(", ")} here.</div>
      )}
    </Alert>
  );
}

/** Who decided what, newest first. */
export function History({ verdicts }: { verdicts: readonly Verdict[] }) {
  return (
    <Part title="History">
      <DataTable
        caption="History"
        columns={historyColumns}
        rows={verdicts}
        rowKey={(verdict) => `${verdicts.indexOf(verdict)}`}
        empty="Nobody has decided about it yet."
        minWidth={560}
      />
    </Part>
  );
}

const historyColumns: Column<Verdict>[] = [
  { title: "Decision", cell: (verdict) => <VerdictBadge verdict={verdict.verdict} /> },
  {
    title: "By",
    cell: (verdict) => (
      <Text size="sm" component="div">
        <VisibleText text={verdict.actor} />
        <div>
          <Time at={verdict.at} />
        </div>
      </Text>
    ),
  },
  { title: "Reason", cell: (verdict) => <VisibleText text={verdict.reason || "–"} /> },
  {
    title: "Found by then",
    cell: (verdict) => (verdict.findings.length === 0 ? "nothing" : verdict.findings.join(", ")),
  },
  {
    title: "Definition",
    cell: (verdict) => (
      <Code title={verdict.definitionHash}>{verdict.definitionHash.slice(0, 8)}</Code>
    ),
  },
];
