import { Code, Drawer, Group, Stack, Text } from "@mantine/core";
import type { Call } from "../gen/warder/admin/v1/audit_pb";
import { pb } from "../paths";
import { VisibleText } from "../text/VisibleText";
import { DecisionBadge, OutcomeBadge } from "../ui/badges";
import { callTarget } from "../ui/CallsTable";
import { Facts } from "../ui/Facts";
import { PageLink } from "../ui/PageLink";
import { Latency, Time } from "../ui/Time";

/** One call. It is among those that the page has loaded, or it cannot be shown. */
export function CallDrawer({ call, onClose }: { call: Call | undefined; onClose: () => void }) {
  return (
    <Drawer opened onClose={onClose} size="lg" title="Call">
      {call === undefined ? (
        <Text>This call is not among those shown. Widen the filter or load older calls.</Text>
      ) : (
        <Details call={call} />
      )}
    </Drawer>
  );
}

function Details({ call }: { call: Call }) {
  const text = (value: string) => value && <VisibleText text={value} />;
  const code = (value: string) => value && <Code>{value}</Code>;
  return (
    <Stack>
      <Group gap="xs">
        <DecisionBadge decision={call.decision} rule={call.rule} />
        <OutcomeBadge outcome={call.outcome} />
      </Group>
      <Facts
        rows={[
          ["Called", text(callTarget(call))],
          ["Time", <Time key="at" at={call.at} />],
          ["Rule", text(call.rule)],
          ["Reason", text(call.reason)],
          ["Error", text(call.error)],
          ["User", call.user],
          ["Application", call.application],
          ["Roles", text(call.roles.join(", "))],
          ["Groups", text(call.groups.join(", "))],
          ["Key", code(call.keyId)],
          ["Issuer", text(call.issuer)],
          ["Token", code(call.tokenId)],
          ["Client", text(`${call.clientName} ${call.clientVersion}`.trim())],
          ["From", call.remoteAddress],
          ["Method", call.method],
          ["Protocol", text(call.protocolVersion)],
          ["Risk", call.risk],
          ["Latency", <Latency key="latency" value={call.latency} />],
          ["Of that, server", <Latency key="server" value={call.serverLatency} />],
          ["Request", `${call.requestBytes} bytes`],
          ["Response", `${call.responseBytes} bytes`],
          ["Node", call.node],
          ["Revision", String(call.revision)],
          ["Definition", code(call.definitionHash)],
          ["Arguments digest", code(call.argumentsDigest)],
          ["Trace", code(call.traceId)],
          ["Stands for", call.suppressed > 0n ? `${call.suppressed} further refusals` : ""],
          ["Id", code(call.id)],
        ]}
      />
      {call.tool !== "" && <Explain call={call} />}
    </Stack>
  );
}

function Explain({ call }: { call: Call }) {
  return (
    <PageLink to={pb.policy({ tab: "explain", call: call.id })}>
      Why? The way to this decision, by the policy of now
    </PageLink>
  );
}
