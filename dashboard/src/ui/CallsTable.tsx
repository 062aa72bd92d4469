import { Text } from "@mantine/core";
import type { ReactNode } from "react";
import type { Call } from "../gen/warder/admin/v1/audit_pb";
import { pb } from "../paths";
import { VisibleText } from "../text/VisibleText";
import { DecisionBadge, OutcomeBadge } from "./badges";
import { type Column, DataTable } from "./DataTable";
import { PageLink } from "./PageLink";
import { RowLink } from "./RowLink";
import { Latency, Time } from "./Time";

interface Props {
  calls: readonly Call[];
  /** Where the details of a call are. */
  link: (call: Call) => ReturnType<typeof pb.audit>;
  empty: ReactNode;
}

/** A method of MCP fits on a line; what was refused may have any, which does not. */
function Method({ name }: { name: string }) {
  return (
    <Text span size="sm" style={{ whiteSpace: name.length <= 24 ? "nowrap" : "normal" }}>
      <VisibleText text={name} />
    </Text>
  );
}

/** Calls of the ledger, in the order given. */
export function CallsTable({ calls, link, empty }: Props) {
  const columns: Column<Call>[] = [
    {
      title: "Time",
      cell: (call) => (
        <RowLink to={link(call)}>
          <Time at={call.at} />
        </RowLink>
      ),
    },
    ...rest,
  ];
  return (
    <DataTable
      caption="Calls"
      columns={columns}
      rows={calls}
      rowKey={(call) => call.id}
      empty={empty}
      minWidth={960}
    />
  );
}

const rest: Column<Call>[] = [
  { title: "User", cell: (call) => call.user },
  { title: "Application", cell: (call) => call.application },
  { title: "Method", cell: (call) => <Method name={call.method} /> },
  { title: "Called", cell: (call) => <VisibleText text={callTarget(call)} /> },
  { title: "Decision", cell: (call) => <Decision call={call} /> },
  { title: "Outcome", cell: (call) => <OutcomeBadge outcome={call.outcome} /> },
  { title: "Latency", cell: (call) => <Latency value={call.latency} /> },
];

/** The decision, the rule behind a refusal, and the way to the whole answer. */
function Decision({ call }: { call: Call }) {
  return (
    <>
      <DecisionBadge decision={call.decision} rule={call.rule} />
      <Text size="xs" component="div">
        {call.decision !== "allow" && call.rule !== "" && (
          <>
            <VisibleText text={call.rule} />{" "}
          </>
        )}
        {call.tool !== "" && (
          <PageLink
            to={pb.policy({ tab: "explain", call: call.id })}
            inherit
            underline="always"
            aria-label={`Why? ${callTarget(call)}`}
          >
            Why?
          </PageLink>
        )}
      </Text>
    </>
  );
}

/** What was called: the tool, or the method when it named none. */
export function callTarget(call: Call): string {
  return call.tool === "" ? call.method : `${call.server}/${call.tool}`;
}
