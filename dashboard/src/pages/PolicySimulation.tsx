import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { useMutation } from "@connectrpc/connect-query";
import { Alert, Button, Group, Select, Stack, Text, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useState } from "react";
import {
  type Flip,
  PolicyService,
  type SimulatePolicyResponse,
} from "../gen/warder/admin/v1/policy_pb";
import { pb } from "../paths";
import { VisibleText } from "../text/VisibleText";
import { DecisionBadge } from "../ui/badges";
import { type Column, DataTable } from "../ui/DataTable";
import { ErrorNote } from "../ui/ErrorNote";
import { Facts } from "../ui/Facts";
import { PageLink } from "../ui/PageLink";
import { Section } from "../ui/Section";
import { Time } from "../ui/Time";

const spans = [
  { value: "1", label: "the last hour" },
  { value: "24", label: "the last 24 hours" },
  { value: "168", label: "the last 7 days" },
  { value: "720", label: "the last 30 days" },
];

/** Decides recorded calls again under a draft, on request. */
export function PolicySimulation({ document }: { document: string }) {
  const simulate = useMutation(PolicyService.method.simulatePolicy);
  const [simulated, setSimulated] = useState("");
  const form = useForm({ initialValues: { hours: "24", user: "", tool: "" } });
  const run = ({ hours, user, tool }: typeof form.values) => {
    setSimulated(document);
    simulate.mutate({
      document,
      filter: {
        since: timestampFromDate(new Date(Date.now() - Number(hours) * 3_600_000)),
        user,
        tool,
      },
    });
  };
  return (
    <Section title="What it would have done">
      <Text size="sm" c="dimmed">
        Decides recorded calls again by this document, with the groups and roles that callers had
        then. Nothing is called, and nothing changes.
      </Text>
      <form onSubmit={form.onSubmit(run)} aria-label="Simulate">
        <Group align="flex-end">
          <Select
            label="Calls of"
            allowDeselect={false}
            data={spans}
            {...form.getInputProps("hours")}
          />
          <TextInput label="Of this user" placeholder="Anybody" {...form.getInputProps("user")} />
          <TextInput
            label="Of this tool or server"
            placeholder="Anything"
            {...form.getInputProps("tool")}
          />
          <Button
            type="submit"
            variant="default"
            loading={simulate.isPending}
            disabled={document.trim() === ""}
          >
            Simulate
          </Button>
        </Group>
      </form>
      <ErrorNote error={simulate.error} title="It could not be simulated" />
      {simulate.data && (
        <>
          {simulated !== document && (
            <Alert color="orange">You changed the document since. Simulate again.</Alert>
          )}
          <Result of={simulate.data} />
        </>
      )}
    </Section>
  );
}

function Result({ of: answer }: { of: SimulatePolicyResponse }) {
  return (
    <Stack gap="xs">
      <div role="status" aria-label="Simulation">
        <Text fw={600}>
          {answer.calls === 0n
            ? "No call was recorded then."
            : answer.nowDenied + answer.nowAllowed === 0n
              ? "No answer would be another."
              : `${answer.nowDenied} would be denied now, ${answer.nowAllowed} allowed.`}
        </Text>
        {answer.truncated && (
          <Text size="sm">
            There were more calls than could be decided again: these are the newest, back to{" "}
            <Time at={answer.oldestAt} />.
          </Text>
        )}
      </div>
      {answer.calls > 0n && (
        <>
          <Facts
            rows={[
              ["Calls", String(answer.calls)],
              ["Same answer", String(answer.unchanged)],
              [
                "Open",
                answer.open > 0n && `${answer.open}, which depend on arguments: nobody keeps those`,
              ],
              [
                "Aside",
                answer.aside > 0n &&
                  `${answer.aside}, which neither rules nor roles decided: unknown or unapproved names, revocations, limits`,
              ],
            ].map(([name, value]) => [String(name), value || ""])}
          />
          <DataTable
            caption="Answers that would be others"
            columns={columns}
            rows={answer.flips}
            rowKey={(flip) => flip.exampleId}
            empty="Nobody would notice a difference."
            minWidth={900}
          />
          {answer.unlisted > 0n && (
            <Text size="sm">{String(answer.unlisted)} further calls are of other kinds.</Text>
          )}
        </>
      )}
    </Stack>
  );
}

const columns: Column<Flip>[] = [
  {
    title: "Caller",
    cell: (flip) => (
      <VisibleText text={[flip.user, flip.application].filter(Boolean).join(", ") || "nobody"} />
    ),
  },
  {
    title: "What",
    cell: (flip) => (
      <Text size="sm" component="div">
        <VisibleText text={`${flip.server}/${flip.tool}`} />
        <div>
          <VisibleText text={flip.method} />
        </div>
      </Text>
    ),
  },
  { title: "Then", cell: (flip) => <Answer decision={flip.before} rule={flip.beforeRule} /> },
  {
    title: "Now",
    cell: (flip) => (
      <>
        <Answer decision={flip.after} rule={flip.afterRule} />
        {flip.open && <Text size="xs">depends on arguments</Text>}
      </>
    ),
  },
  { title: "Calls", cell: (flip) => String(flip.calls) },
  {
    title: "Last",
    cell: (flip) => (
      <Text size="sm" component="div">
        <Time at={flip.lastAt} />
        <div>
          <PageLink to={pb.policy({ tab: "explain", call: flip.exampleId })} size="sm">
            Explain one
          </PageLink>
        </div>
      </Text>
    ),
  },
];

function Answer({ decision, rule }: { decision: string; rule: string }) {
  return (
    <>
      <DecisionBadge decision={decision} rule={rule} />
      <Text size="xs" component="div">
        <VisibleText text={rule} />
      </Text>
    </>
  );
}
