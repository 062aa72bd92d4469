import { Anchor, Checkbox, Stack, Text } from "@mantine/core";
import { useSuspenseQuery } from "@tanstack/react-query";
import { getRouteApi, Link, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import * as queries from "../api/queries";
import { useApiMutation } from "../api/useApiMutation";
import { type Alert, AlertService } from "../gen/warder/admin/v1/alert_pb";
import { pb } from "../paths";
import { VisibleText } from "../text/VisibleText";
import { ActButton } from "../ui/ActButton";
import { AlertBadge } from "../ui/badges";
import { type Column, DataTable } from "../ui/DataTable";
import { Page } from "../ui/Page";
import { ReasonModal } from "../ui/ReasonModal";
import { Time } from "../ui/Time";
import { alertLink, alertTitle } from "./alertKind";

const route = getRouteApi("/signed-in/alerts");

/** What an administrator should look at, the newest first. */
export function AlertsPage() {
  const { transport } = route.useRouteContext();
  const { closed = false } = route.useSearch();
  const navigate = useNavigate();
  const { data } = useSuspenseQuery({
    ...queries.alerts(transport, closed),
    refetchInterval: queries.alertsInterval,
  });
  const [closing, setClosing] = useState<Alert>();
  return (
    <Page title="Alerts">
      <Checkbox
        label="Show those that are closed as well"
        checked={closed}
        onChange={(event) =>
          navigate(pb.alerts({ closed: event.currentTarget.checked || undefined }))
        }
      />
      <DataTable
        caption="Alerts"
        columns={columns(setClosing)}
        rows={data.alerts}
        rowKey={(alert) => String(alert.id)}
        empty={closed ? "There was no alert yet." : "No alert is open. Nothing needs you here."}
        minWidth={820}
      />
      {closing !== undefined && (
        <CloseAlert alert={closing} onClose={() => setClosing(undefined)} />
      )}
    </Page>
  );
}

const columns = (close: (alert: Alert) => void): Column<Alert>[] => [
  {
    title: "What",
    cell: (alert) => (
      <Stack gap={2}>
        <AlertBadge open={alert.closedAt === undefined} label={alertTitle(alert.kind)} />
        <Text size="sm" component="div">
          <VisibleText text={alert.text} />
        </Text>
      </Stack>
    ),
  },
  {
    title: "Server",
    cell: (alert) => (
      <Anchor
        size="sm"
        renderRoot={(props) => <Link {...props} {...pb.servers({ server: alert.target })} />}
      >
        <VisibleText text={alert.target} />
      </Anchor>
    ),
  },
  { title: "How often", cell: (alert) => String(alert.count) },
  {
    title: "When",
    cell: (alert) => (
      <Text size="sm" component="div">
        <Time at={alert.lastAt} />
        {alert.count > 1n && (
          <div>
            first <Time at={alert.firstAt} />
          </div>
        )}
      </Text>
    ),
  },
  { title: "Act", cell: (alert) => <Acts alert={alert} onClose={() => close(alert)} /> },
];

function Acts({ alert, onClose }: { alert: Alert; onClose: () => void }) {
  const review = alertLink(alert.kind, alert.target);
  if (alert.closedAt !== undefined) {
    return (
      <Text size="sm" component="div">
        Closed by {alert.closedBy || "Warder: its reason is gone"}, <Time at={alert.closedAt} />
      </Text>
    );
  }
  return (
    <Stack gap={6} align="flex-start">
      {review !== undefined && (
        <Anchor size="sm" renderRoot={(props) => <Link {...props} {...review} />}>
          Review
        </Anchor>
      )}
      <ActButton
        size="xs"
        variant="default"
        needs="alerts:write"
        aria-label={`Close: ${alertTitle(alert.kind)}, ${alert.target}`}
        onClick={onClose}
      >
        Close
      </ActButton>
    </Stack>
  );
}

function CloseAlert({ alert, onClose }: { alert: Alert; onClose: () => void }) {
  const close = useApiMutation(AlertService.method.closeAlert, {
    done: () => "The alert is closed",
    onSuccess: onClose,
  });
  return (
    <ReasonModal
      title="Close this alert?"
      explanation="Say that somebody has seen to it. If it happens again, it opens anew."
      verb="Close the alert"
      withReason
      pending={close.isPending}
      error={close.error}
      onConfirm={(reason) => close.mutate({ id: alert.id, reason })}
      onClose={onClose}
    />
  );
}
