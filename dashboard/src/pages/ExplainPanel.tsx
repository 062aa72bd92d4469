import {
  Autocomplete,
  Button,
  Group,
  Select,
  SimpleGrid,
  Stack,
  Text,
  Textarea,
  Title,
} from "@mantine/core";
import { useForm } from "@mantine/form";
import { useQuery } from "@tanstack/react-query";
import { getRouteApi, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import * as queries from "../api/queries";
import type { ExplainDecisionResponse, ExplainStep } from "../gen/warder/admin/v1/policy_pb";
import { methods, pb, type TargetName, targets } from "../paths";
import { VisibleText } from "../text/VisibleText";
import { DecisionBadge } from "../ui/badges";
import { type Column, DataTable } from "../ui/DataTable";
import { ErrorNote } from "../ui/ErrorNote";
import * as rules from "../ui/fieldRules";
import { fullName, words } from "./toolName";

const route = getRouteApi("/signed-in/policy");

const jsonObject = (value: string) => {
  try {
    const parsed: unknown = value === "" ? {} : JSON.parse(value);
    return typeof parsed === "object" && parsed !== null && !Array.isArray(parsed)
      ? null
      : "A JSON object";
  } catch {
    return "A JSON object";
  }
};

/** Asks what a node would decide, and shows the way to the answer. */
export function ExplainPanel() {
  const { transport } = route.useRouteContext();
  const search = route.useSearch();
  // Arguments may hold secrets, so they stay out of the address.
  const [args, setArgs] = useState("");
  const complete = search.user !== undefined && search.tool !== undefined;
  const { data, error, isFetching } = useQuery({
    ...queries.explanation(transport, search, args),
    enabled: complete,
  });
  return (
    <Stack component="section">
      <Title order={2} size="h4">
        Why would a call be allowed or denied?
      </Title>
      <ExplainForm pending={isFetching} args={args} onArguments={setArgs} />
      <ErrorNote error={error} />
      {complete && data && <Explanation of={data} />}
    </Stack>
  );
}

interface FormProps {
  pending: boolean;
  args: string;
  onArguments: (args: string) => void;
}

function ExplainForm({ pending, args, onArguments }: FormProps) {
  const { transport } = route.useRouteContext();
  const {
    user = "",
    application = "",
    kind: asked = "tool",
    tool = "",
    method,
  } = route.useSearch();
  const navigate = useNavigate();
  const { data: users } = useQuery(queries.users(transport));
  const { data: applications } = useQuery(queries.applications(transport));
  const form = useForm({
    initialValues: {
      user,
      application,
      kind: asked,
      tool,
      method: method ?? methods[asked][0],
      args,
    },
    validate: { user: rules.required, tool: rules.required, args: jsonObject },
  });
  const { kind } = form.values;
  // Another kind has other methods: what it does not have becomes its main one.
  form.watch("kind", ({ value }) => {
    if (!methods[value].includes(form.values.method)) {
      form.setFieldValue("method", methods[value][0]);
    }
  });
  const { data: tools } = useQuery(queries.tools(transport, { kind }));
  return (
    <form
      onSubmit={form.onSubmit((values) => {
        onArguments(values.args);
        const search = {
          user: values.user,
          application: values.application || undefined,
          kind: values.kind === "tool" ? undefined : values.kind,
          tool: values.tool,
          method: values.method === methods[values.kind][0] ? undefined : values.method,
        };
        void navigate({ ...pb.policy(search), resetScroll: false });
      })}
    >
      <Stack>
        <SimpleGrid cols={{ base: 1, xs: 2, lg: 5 }}>
          <Select
            label="User"
            searchable
            nothingFoundMessage="No such user"
            data={users?.users.map((each) => each.name) ?? []}
            {...form.getInputProps("user")}
          />
          <Autocomplete
            label="Application"
            data={applications?.applications.map((each) => each.name) ?? []}
            {...form.getInputProps("application")}
          />
          <Select
            label="Kind"
            allowDeselect={false}
            data={targets.map((value) => ({ value, label: words[value].one }))}
            {...form.getInputProps("kind")}
          />
          <Autocomplete
            label={words[kind].one}
            placeholder={kind === "resource" ? "server/URI" : `server/${kind}`}
            limit={50}
            data={tools?.tools.map(fullName) ?? []}
            {...form.getInputProps("tool")}
          />
          <Select
            label="Method"
            allowDeselect={false}
            data={methodChoices(kind)}
            {...form.getInputProps("method")}
          />
        </SimpleGrid>
        <Textarea
          label="Arguments"
          placeholder="{}"
          autosize
          minRows={2}
          maxRows={12}
          spellCheck={false}
          {...form.getInputProps("args")}
        />
        <Group>
          <Button type="submit" variant="default" loading={pending}>
            Explain
          </Button>
        </Group>
      </Stack>
    </form>
  );
}

/** The methods of a kind: what clients do, and what its server asks of them meanwhile. */
function methodChoices(kind: TargetName) {
  const asked = (method: string) => /^(sampling|elicitation|roots)\//.test(method);
  return [
    { group: "The client", items: methods[kind].filter((method) => !asked(method)) },
    { group: "The server asks", items: methods[kind].filter(asked) },
  ];
}

function Explanation({ of: answer }: { of: ExplainDecisionResponse }) {
  return (
    <Stack gap="xs" role="status">
      <Group gap="xs">
        <DecisionBadge decision={answer.decision} />
        <Text size="sm">
          by <VisibleText text={answer.rule} />, at revision {String(answer.revision)}
        </Text>
      </Group>
      <Text size="sm">
        <VisibleText text={answer.reason} />
      </Text>
      <DataTable
        caption="Steps to the decision"
        columns={columns}
        rows={answer.steps}
        rowKey={(step) => `${step.stage}:${step.name}:${answer.steps.indexOf(step)}`}
        empty="Nothing was looked at."
      />
    </Stack>
  );
}

const columns: Column<ExplainStep>[] = [
  { title: "Stage", cell: (step) => step.stage },
  { title: "Rule or role", cell: (step) => <VisibleText text={step.name} /> },
  { title: "Matched", cell: (step) => (step.matched ? <strong>yes</strong> : "no") },
  { title: "Why", cell: (step) => <VisibleText text={step.detail} /> },
];
