import { Button, Group, Select, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { getRouteApi, useNavigate } from "@tanstack/react-router";
import { decisions, pb } from "../paths";
import { outcomes } from "../ui/badges";

const route = getRouteApi("/signed-in/audit");

/** The filter of the audit, which lives in the address. Give it a key made of that. */
export function AuditFilters() {
  const { call: _, ...search } = route.useSearch();
  const navigate = useNavigate();
  const form = useForm({
    initialValues: {
      user: search.user ?? "",
      application: search.application ?? "",
      tool: search.tool ?? "",
      decision: search.decision ?? null,
      outcome: search.outcome ?? null,
      since: toLocal(search.since),
      until: toLocal(search.until),
    },
  });
  const apply = (values: typeof form.values) =>
    navigate(
      pb.audit({
        live: search.live,
        user: values.user || undefined,
        application: values.application || undefined,
        tool: values.tool || undefined,
        decision: values.decision ?? undefined,
        outcome: values.outcome ?? undefined,
        since: fromLocal(values.since),
        until: fromLocal(values.until),
      }),
    );
  return (
    <form onSubmit={form.onSubmit(apply)} aria-label="Filter">
      <Group align="flex-end">
        <TextInput label="User" w={140} {...form.getInputProps("user")} />
        <TextInput label="Application" w={140} {...form.getInputProps("application")} />
        <TextInput
          label="Tool or server"
          placeholder="server/tool"
          w={180}
          {...form.getInputProps("tool")}
        />
        <Select
          label="Decision"
          w={120}
          clearable
          placeholder="Any"
          data={decisions}
          {...form.getInputProps("decision")}
        />
        <Select
          label="Outcome"
          w={160}
          clearable
          placeholder="Any"
          data={outcomes}
          {...form.getInputProps("outcome")}
        />
        <TextInput label="From" type="datetime-local" {...form.getInputProps("since")} />
        <TextInput label="Until" type="datetime-local" {...form.getInputProps("until")} />
        <Button type="submit" variant="default">
          Filter
        </Button>
        <Button variant="subtle" onClick={() => navigate(pb.audit({ live: search.live }))}>
          Clear
        </Button>
      </Group>
    </form>
  );
}

/** An instant as a date field writes it: local time, to the minute. */
function toLocal(iso: string | undefined): string {
  if (iso === undefined) {
    return "";
  }
  const date = new Date(iso);
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

function fromLocal(local: string): string | undefined {
  return local === "" ? undefined : new Date(local).toISOString();
}
