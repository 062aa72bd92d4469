// What a check says of a document: shown under the editor, and before an earlier
// version is brought back.

import { Anchor, Card, Code, Group, Stack, Text } from "@mantine/core";
import type { Remark, RuleChange } from "../gen/warder/admin/v1/policy_pb";
import { VisibleText } from "../text/VisibleText";
import { ChangeBadge, RemarkBadge } from "../ui/badges";
import { LineDiff } from "../ui/LineDiff";
import { excerpt, isError } from "./remarks";

interface RemarksProps {
  document: string;
  remarks: readonly Remark[];
  /** Goes to the place of a remark; undefined where there is nothing to go to. */
  onGo?: (remark: Remark) => void;
}

/** Each remark with the line that it is about, and a mark under the column. */
export function Remarks({ document, remarks, onGo }: RemarksProps) {
  if (remarks.length === 0) {
    return null;
  }
  return (
    <Stack gap="xs" component="ul" p={0} m={0} style={{ listStyle: "none" }} aria-label="Remarks">
      {remarks.map((remark, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: two remarks may say the same.
        <Card key={index} component="li" withBorder padding="xs">
          <Stack gap={4}>
            <Group gap="xs">
              <RemarkBadge error={isError(remark)} />
              <Where remark={remark} onGo={onGo} />
              <Text size="sm" c="dimmed">
                {remark.check}
              </Text>
            </Group>
            <Text size="sm" component="div">
              <VisibleText text={remark.text} />
            </Text>
            {remark.line > 0 && <Excerpt document={document} remark={remark} />}
          </Stack>
        </Card>
      ))}
    </Stack>
  );
}

function Where({ remark, onGo }: { remark: Remark; onGo: RemarksProps["onGo"] }) {
  if (remark.line === 0) {
    return <Text size="sm">The document</Text>;
  }
  const place = `Line ${remark.line}, column ${remark.column}`;
  return onGo === undefined ? (
    <Text size="sm">{place}</Text>
  ) : (
    <Anchor size="sm" component="button" type="button" onClick={() => onGo(remark)}>
      {place}
    </Anchor>
  );
}

function Excerpt({ document, remark }: { document: string; remark: Remark }) {
  const { text, mark } = excerpt(document, remark);
  return (
    <Code block tabIndex={0} style={{ whiteSpace: "pre", overflowX: "auto" }}>
      {text}
      {"\n"}
      <span aria-hidden="true">{mark}</span>
    </Code>
  );
}

/** How rules and limits differ, one by one. */
export function RuleChanges({ changes }: { changes: readonly RuleChange[] }) {
  if (changes.length === 0) {
    return (
      <Text size="sm" c="dimmed">
        No rule and no limit differs.
      </Text>
    );
  }
  return changes.map((change) => (
    <Card key={`${change.what} ${change.name}`} withBorder padding="xs">
      <Stack gap={6}>
        <Group gap="xs">
          <ChangeBadge change={change.change} />
          <Text size="sm" component="div">
            {change.what} <VisibleText text={change.name} />
          </Text>
        </Group>
        <LineDiff before={change.before} after={change.after} />
      </Stack>
    </Card>
  ));
}

/** The same in a line: "rule no-deletes is added". */
export function ChangeSummary({ changes }: { changes: readonly RuleChange[] }) {
  if (changes.length === 0) {
    return <Text size="sm">No rule and no limit changes.</Text>;
  }
  return (
    <Text size="sm" component="ul" m={0} ps="lg">
      {changes.map((change) => (
        <li key={`${change.what} ${change.name}`}>
          {change.what} <VisibleText text={change.name} /> is {change.change}
        </li>
      ))}
    </Text>
  );
}
