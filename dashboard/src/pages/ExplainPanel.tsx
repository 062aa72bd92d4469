import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  Alert,
  Autocomplete,
  Button,
  Group,
  Loader,
  Select,
  SimpleGrid,
  Stack,
  TagsInput,
  Text,
  Textarea,
  TextInput,
  Title,
} from "@mantine/core";
import { useForm } from "@mantine/form";
import { useQuery } from "@tanstack/react-query";
import { getRouteApi, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import * as queries from "../api/queries";
import type { Call } from "../gen/warder/admin/v1/audit_pb";
import type { ExplainDecisionResponse, ExplainStep } from "../gen/warder/admin/v1/policy_pb";
import { methods, pb, type TargetName, targets } from "../paths";
import { VisibleText } from "../text/VisibleText";
import { DecisionBadge } from "../ui/badges";
import { callTarget } from "../ui/CallsTable";
import { type Column, DataTable } from "../ui/DataTable";
import { ErrorNote } from "../ui/ErrorNote";
import { Facts } from "../ui/Facts";
import * as rules from "../ui/fieldRules";
import { PageLink } from "../ui/PageLink";
import { Section } from "../ui/Section";
import { Time } from "../ui/Time";
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

const nothing: queries.ExplainFacts = {
  arguments: "",
  groups: [],
  clientName: "",
  clientVersion: "",
  at: undefined,
};

/** Asks what a node would decide, and shows the way to the answer. */
export function ExplainPanel() {
  const { call } = route.useSearch();
  return call === undefined ? <AnyCall /> : <RecordedCall key={call} id={call} />;
}

/** A call that somebody describes. */
function AnyCall() {
  const { transport } = route.useRouteContext();
  const search = route.useSearch();
  // Arguments may hold secrets, so they stay out of the address.
  const [facts, setFacts] = useState(nothing);
  const complete = search.user !== undefined && search.tool !== undefined;
  const { data, error, isFetching } = useQuery({
    ...queries.explanation(transport, search, facts),
    enabled: complete,
  });
  return (
    <Section title="Why would a call be allowed or denied?">
      <ExplainForm pending={isFetching} onFacts={setFacts} />
      <ErrorNote error={error} />
      {complete && data && <Explanation of={data} />}
    </Section>
  );
}

/** A call of the ledger, as it was asked, by the policy of now. */
function RecordedCall({ id }: { id: string }) {
  const { transport } = route.useRouteContext();
  const [args, setArgs] = useState("");
  const { data, error, isFetching } = useQuery(queries.recordedExplanation(transport, id, args));
  const form = useForm({ initialValues: { args: "" }, validate: { args: jsonObject } });
  return (
    <Section title="Why was this call allowed or denied?">
      {data?.recorded && <Recorded call={data.recorded} />}
      {isFetching && data === undefined && <Loader role="status" aria-label="Loading" />}
      <ErrorNote error={error} title="This call cannot be explained" />
      {data && (
        <>
          <Title order={3} size="h5">
            By the policy of now
          </Title>
          <Explanation of={data} />
        </>
      )}
      {(data?.open || args !== "") && (
        <form onSubmit={form.onSubmit((values) => setArgs(values.args))}>
          <Stack align="flex-start">
            <Textarea
              label="Arguments"
              description="Nobody keeps the arguments of calls. Give those that it may have had."
              placeholder="{}"
              autosize
              minRows={2}
              maxRows={12}
              w="100%"
              spellCheck={false}
              {...form.getInputProps("args")}
            />
            <Button type="submit" variant="default" loading={isFetching}>
              Explain with them
            </Button>
          </Stack>
        </form>
      )}
      <PageLink to={pb.policy({ tab: "explain" })} size="sm">
        Explain any other call
      </PageLink>
    </Section>
  );
}

/** Who asked for what, and what was decided then. */
function Recorded({ call }: { call: Call }) {
  return (
    <Facts
      rows={[
        ["Called", <VisibleText key="called" text={callTarget(call)} />],
        ["Method", <VisibleText key="method" text={call.method} />],
        ["Time", <Time key="at" at={call.at} />],
        [
          "Caller",
          <VisibleText
            key="caller"
            text={[call.user, call.application].filter(Boolean).join(", ")}
          />,
        ],
        ["Roles then", call.roles.length > 0 && <VisibleText text={call.roles.join(", ")} />],
        ["Groups then", call.groups.length > 0 && <VisibleText text={call.groups.join(", ")} />],
        [
          "Decided then",
          <Group key="then" gap="xs">
            <DecisionBadge decision={call.decision} rule={call.rule} />
            <Text size="sm" component="div">
              by <VisibleText text={call.rule} />, at revision {String(call.revision)}
            </Text>
          </Group>,
        ],
        ["Reason then", call.reason && <VisibleText text={call.reason} />],
      ]}
    />
  );
}

interface FormProps {
  pending: boolean;
  onFacts: (facts: queries.ExplainFacts) => void;
}

function ExplainForm({ pending, onFacts }: FormProps) {
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
      args: "",
      groups: [] as string[],
      clientName: "",
      clientVersion: "",
      at: "",
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
        onFacts({
          arguments: values.args,
          groups: values.groups,
          clientName: values.clientName,
          clientVersion: values.clientVersion,
          at: values.at === "" ? undefined : timestampFromDate(new Date(values.at)),
        });
        const search = {
          tab: "explain" as const,
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
        <SimpleGrid cols={{ base: 1, xs: 2, lg: 4 }}>
          <TagsInput
            label="Groups beside the user's"
            placeholder="Those that a token claims"
            {...form.getInputProps("groups")}
          />
          <TextInput label="Client" {...form.getInputProps("clientName")} />
          <TextInput label="Its version" {...form.getInputProps("clientVersion")} />
          <TextInput label="Time" type="datetime-local" {...form.getInputProps("at")} />
        </SimpleGrid>
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
    <Stack gap="xs" role="status" aria-label="Decision">
      <Group gap="xs">
        <DecisionBadge decision={answer.decision} rule={answer.rule} />
        <Text size="sm" component="div">
          by <VisibleText text={answer.rule} />, at revision {String(answer.revision)}
        </Text>
      </Group>
      <Text size="sm" component="div">
        <VisibleText text={answer.reason} />
      </Text>
      {answer.open && (
        <Alert color="orange">
          It depends on arguments or a client that were not given, and is as if they were absent.
        </Alert>
      )}
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
  { title: "Rule, role or limit", cell: (step) => <VisibleText text={step.name} /> },
  { title: "Matched", cell: matched },
  { title: "Why", cell: (step) => <VisibleText text={step.detail} /> },
];

/** Limits are listed, not asked: how much of them is left only nodes know. */
function matched(step: ExplainStep) {
  if (step.stage === "limit") {
    return "applies";
  }
  return (
    <>
      {step.matched ? <strong>yes</strong> : "no"}
      {step.open && ", open"}
    </>
  );
}
