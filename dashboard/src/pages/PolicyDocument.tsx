import { durationMs } from "@bufbuild/protobuf/wkt";
import { Code, Stack, Text } from "@mantine/core";
import type { Limit, Policy, Rule } from "../gen/warder/admin/v1/policy_pb";
import { pb } from "../paths";
import { VisibleText } from "../text/VisibleText";
import { EffectBadge } from "../ui/badges";
import { type Column, DataTable } from "../ui/DataTable";
import { PageLink } from "../ui/PageLink";
import { Section } from "../ui/Section";
import { Time } from "../ui/Time";

/** A version of the policy: its rules, its limits, and the document that they are from. */
export function PolicyDocument({ policy }: { policy: Policy | undefined }) {
  if (policy === undefined || policy.version === 0n) {
    return (
      <Text c="dimmed">
        No document was applied yet: only what a role grants is allowed, and all else is denied.{" "}
        <PageLink to={pb.policy({ tab: "change" })} inherit underline="always">
          Write one
        </PageLink>
        , or: warder policy apply -f policy.yaml
      </Text>
    );
  }
  return (
    <Stack gap="lg">
      <VersionLine policy={policy} />
      <Section title="Rules, in the order they are asked">
        <DataTable
          caption="Rules"
          columns={ruleColumns}
          rows={policy.rules}
          rowKey={(rule) => rule.name}
          empty="No rule. Only what a role grants is allowed; all else is denied."
          minWidth={820}
        />
      </Section>
      <Section title="Limits, all of which must admit a call">
        <DataTable
          caption="Limits"
          columns={limitColumns}
          rows={policy.limits}
          rowKey={(limit) => limit.name}
          empty="No limit. Whoever may call, may call as often as the nodes can."
        />
      </Section>
      <Section title="Document">
        <Code block>
          <VisibleText text={policy.document} />
        </Code>
      </Section>
    </Stack>
  );
}

/** Who applied a version when, and why. */
export function VersionLine({ policy }: { policy: Policy }) {
  return (
    <Text size="sm" component="div">
      Version {String(policy.version)}, by <VisibleText text={policy.createdBy} />,{" "}
      <Time at={policy.createdAt} />
      {policy.rollbackOf > 0n && `, which brought version ${policy.rollbackOf} back`}
      {policy.reason !== "" && (
        <div>
          <VisibleText text={policy.reason} />
        </div>
      )}
    </Text>
  );
}

const ruleColumns: Column<Rule>[] = [
  { title: "Priority", cell: (rule) => rule.priority },
  { title: "Name", cell: (rule) => <VisibleText text={rule.name} /> },
  { title: "Effect", cell: (rule) => <EffectBadge effect={rule.effect} /> },
  { title: "Applies to", cell: (rule) => <VisibleText text={scope(rule)} /> },
  {
    title: "When",
    cell: (rule) =>
      rule.when && (
        <Code>
          <VisibleText text={rule.when} />
        </Code>
      ),
  },
  { title: "Reason", cell: (rule) => <VisibleText text={rule.reason} /> },
];

const limitColumns: Column<Limit>[] = [
  { title: "Name", cell: (limit) => <VisibleText text={limit.name} /> },
  { title: "At most", cell: pace },
  { title: "At once", cell: (limit) => limit.burst },
  {
    title: "For",
    cell: (limit) => (limit.per === "all" ? "all together" : `each ${limit.per}`),
  },
  { title: "Applies to", cell: (limit) => <VisibleText text={scope(limit)} /> },
];

/** How many calls a limit admits in which time. */
function pace(limit: Limit): string {
  const seconds = limit.window === undefined ? 0 : durationMs(limit.window) / 1000;
  const [amount, unit] =
    seconds % 3600 === 0
      ? [seconds / 3600, "h"]
      : seconds % 60 === 0
        ? [seconds / 60, "min"]
        : [seconds, "s"];
  return `${limit.calls} in ${amount} ${unit}`;
}

/** What a rule or a limit matches, one kind to a line. */
function scope(of: Rule | Limit): string {
  const kinds: [string, string[]][] = [
    ["users", of.users],
    ["groups", of.groups],
    ["roles", of.roles],
    ["applications", of.applications],
    ["tools", of.tools],
    ["prompts", of.prompts],
    ["resources", of.resources],
    ["risk", of.risks],
    ["methods", "methods" in of ? of.methods : []],
  ];
  const named = kinds.filter(([, values]) => values.length > 0);
  return named.length === 0
    ? "everything"
    : named.map(([kind, values]) => `${kind}: ${values.join(", ")}`).join("\n");
}
