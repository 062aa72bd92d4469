import { Alert, Button, Code, Group, Stack, Text, Textarea, Title } from "@mantine/core";
import { useSuspenseQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { useState } from "react";
import * as queries from "../api/queries";
import { useApiMutation } from "../api/useApiMutation";
import { type Policy, PolicyService, type Rule } from "../gen/warder/admin/v1/policy_pb";
import { VisibleText } from "../text/VisibleText";
import { EffectBadge } from "../ui/badges";
import { type Column, DataTable } from "../ui/DataTable";
import { ErrorNote } from "../ui/ErrorNote";
import { Page } from "../ui/Page";
import { Time } from "../ui/Time";
import { ExplainPanel } from "./ExplainPanel";

const route = getRouteApi("/signed-in/policy");

export function PolicyPage() {
  const { transport } = route.useRouteContext();
  const { data } = useSuspenseQuery(queries.policy(transport));
  const [editing, setEditing] = useState<Policy | true>();
  const { policy } = data;
  return (
    <Page
      title="Policy"
      action={
        editing === undefined && <Button onClick={() => setEditing(policy ?? true)}>Edit</Button>
      }
    >
      {editing === undefined ? (
        <Document policy={policy} />
      ) : (
        <Editor
          base={editing === true ? undefined : editing}
          onClose={() => setEditing(undefined)}
        />
      )}
      <Stack gap="xs" component="section">
        <Title order={2} size="h4">
          Rules, in the order they are asked
        </Title>
        <DataTable
          caption="Rules"
          columns={columns}
          rows={policy?.rules ?? []}
          rowKey={(rule) => rule.name}
          empty="No rule. Only what a role grants is allowed; all else is denied."
        />
      </Stack>
      <ExplainPanel />
    </Page>
  );
}

const columns: Column<Rule>[] = [
  { title: "Priority", cell: (rule) => rule.priority },
  { title: "Name", cell: (rule) => <VisibleText text={rule.name} /> },
  { title: "Effect", cell: (rule) => <EffectBadge effect={rule.effect} /> },
  { title: "Applies to", cell: (rule) => <VisibleText text={scope(rule)} /> },
  { title: "Reason", cell: (rule) => <VisibleText text={rule.reason} /> },
];

/** What a rule matches, one kind to a line. */
function scope(rule: Rule): string {
  const kinds: [string, string[]][] = [
    ["users", rule.users],
    ["groups", rule.groups],
    ["roles", rule.roles],
    ["applications", rule.applications],
    ["tools", rule.tools],
    ["prompts", rule.prompts],
    ["resources", rule.resources],
    ["risk", rule.risks],
    ["methods", rule.methods],
  ];
  const named = kinds.filter(([, values]) => values.length > 0);
  return named.length === 0
    ? "everything"
    : named.map(([kind, values]) => `${kind}: ${values.join(", ")}`).join("\n");
}

function Document({ policy }: { policy: Policy | undefined }) {
  if (policy === undefined || policy.version === 0n) {
    return (
      <Text c="dimmed">
        No document was applied yet. Edit one here, or: warder policy apply -f policy.yaml
      </Text>
    );
  }
  return (
    <Stack gap="xs">
      <Text size="sm">
        Version {String(policy.version)}, by {policy.createdBy}, <Time at={policy.createdAt} />
      </Text>
      <Code block>
        <VisibleText text={policy.document} />
      </Code>
    </Stack>
  );
}

const example = `rules:
  - name: no-deletes
    priority: 10
    effect: deny
    reason: Deleting needs a person
    risk: [destructive]
`;

/** Edits the document. base is what it started from: if another was applied since, the server refuses. */
function Editor({ base, onClose }: { base: Policy | undefined; onClose: () => void }) {
  const [document, setDocument] = useState(base?.document || example);
  const apply = useApiMutation(PolicyService.method.applyPolicy, {
    done: ({ policy, revision }) =>
      `Version ${policy?.version} is applied, at revision ${revision}`,
    onSuccess: onClose,
  });
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        apply.mutate({ document, expectedVersion: base?.version ?? 0n });
      }}
    >
      <Stack>
        <Textarea
          label="Policy document"
          description="YAML. It replaces the version in force as a whole."
          autosize
          minRows={12}
          maxRows={32}
          spellCheck={false}
          styles={{ input: { fontFamily: "var(--mantine-font-family-monospace)" } }}
          value={document}
          onChange={(event) => setDocument(event.currentTarget.value)}
        />
        <ErrorNote error={apply.error} title="The document was not applied" />
        {apply.error === null && (
          <Alert color="gray">Nodes apply a new version within seconds.</Alert>
        )}
        <Group>
          <Button type="submit" loading={apply.isPending}>
            Apply
          </Button>
          <Button variant="default" onClick={onClose}>
            Cancel
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
