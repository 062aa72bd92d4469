import { Button, Group, Text } from "@mantine/core";
import { useSuspenseInfiniteQuery } from "@tanstack/react-query";
import { getRouteApi, useNavigate } from "@tanstack/react-router";
import * as queries from "../api/queries";
import { useCallTail } from "../api/useCallTail";
import type { Call } from "../gen/warder/admin/v1/audit_pb";
import { type AuditSearch, pb } from "../paths";
import { HealthBadge } from "../ui/badges";
import { CallsTable } from "../ui/CallsTable";
import { Page } from "../ui/Page";
import { AuditFilters } from "./AuditFilters";
import { CallDrawer } from "./CallDrawer";

const route = getRouteApi("/signed-in/audit");

export function AuditPage() {
  const { call: _, ...filter } = route.useSearch();
  const navigate = useNavigate();
  const key = JSON.stringify(filter);
  const toggle = () => navigate(pb.audit({ ...filter, live: filter.live ? undefined : true }));
  return (
    <Page
      title="Audit"
      action={
        <Button variant="default" onClick={toggle}>
          {filter.live ? "Back to the ledger" : "Follow live"}
        </Button>
      }
    >
      <AuditFilters key={key} />
      {filter.live ? <LiveCalls key={key} filter={filter} /> : <LedgerCalls filter={filter} />}
    </Page>
  );
}

function LedgerCalls({ filter }: { filter: AuditSearch }) {
  const { transport } = route.useRouteContext();
  const { data, hasNextPage, isFetchingNextPage, fetchNextPage } = useSuspenseInfiniteQuery(
    queries.calls(transport, filter),
  );
  return (
    <>
      <Calls
        calls={data.pages.flatMap((page) => page.calls)}
        empty="No call is like that. Widen the time or take filters away; calls that no client made are not here."
      />
      {hasNextPage && (
        <Group justify="center">
          <Button variant="default" loading={isFetchingNextPage} onClick={() => fetchNextPage()}>
            Load older calls
          </Button>
        </Group>
      )}
    </>
  );
}

const statusLabels = {
  connecting: "Connecting",
  live: "Live",
  lost: "Connection lost, trying again",
};

function LiveCalls({ filter }: { filter: AuditSearch }) {
  const { calls, waiting, status, paused, pause, resume } = useCallTail(filter);
  return (
    <>
      <Group role="status">
        <HealthBadge ok={status !== "lost"} label={statusLabels[status]} />
        <Button size="xs" variant="default" onClick={paused ? resume : pause}>
          {paused ? "Resume" : "Pause"}
        </Button>
        {paused && <Text size="sm">{waiting} new since the pause</Text>}
      </Group>
      <Calls calls={calls} empty="Nothing yet. The next call will show here." />
    </>
  );
}

function Calls({ calls, empty }: { calls: Call[]; empty: string }) {
  const search = route.useSearch();
  const navigate = useNavigate();
  const close = () => navigate({ ...pb.audit({ ...search, call: undefined }), resetScroll: false });
  return (
    <>
      <CallsTable
        calls={calls}
        link={(call) => pb.audit({ ...search, call: call.id })}
        empty={empty}
      />
      {search.call !== undefined && (
        <CallDrawer call={calls.find((call) => call.id === search.call)} onClose={close} />
      )}
    </>
  );
}
