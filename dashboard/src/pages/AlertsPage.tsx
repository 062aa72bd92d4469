import { Button, Card, Checkbox, Group, Stack, Text } from "@mantine/core";
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
import { Page } from "../ui/Page";
import { PageLink } from "../ui/PageLink";
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
      {data.alerts.length === 0 ? (
        <Text c="dimmed">
          {closed ? "There was no alert yet." : "No alert is open. Nothing needs you here."}
        </Text>
      ) : (
        <Stack component="ul" gap="xs" p={0} m={0} style={{ listStyle: "none" }}>
          {data.alerts.map((alert) => (
            <AlertCard key={String(alert.id)} alert={alert} onClose={() => setClosing(alert)} />
          ))}
        </Stack>
      )}
      {closing !== undefined && (
        <CloseAlert alert={closing} onClose={() => setClosing(undefined)} />
      )}
    </Page>
  );
}

function AlertCard({ alert, onClose }: { alert: Alert; onClose: () => void }) {
  const open = alert.closedAt === undefined;
  return (
    <Card component="li" withBorder padding="sm">
      <Stack gap="xs">
        <Group gap="xs">
          <AlertBadge open={open} label={alertTitle(alert.kind)} />
          <PageLink to={pb.servers({ server: alert.target })} size="sm">
            <VisibleText text={alert.target} />
          </PageLink>
        </Group>
        <Text component="div">
          <VisibleText text={alert.text} />
        </Text>
        <Text size="sm" c="dimmed" component="div">
          <Time at={alert.lastAt} />
          {alert.count > 1n && (
            <>
              ; {String(alert.count)} times since <Time at={alert.firstAt} />
            </>
          )}
        </Text>
        {open ? (
          <Acts alert={alert} onClose={onClose} />
        ) : (
          <Text size="sm" component="div">
            Closed by {alert.closedBy}, <Time at={alert.closedAt} />
          </Text>
        )}
      </Stack>
    </Card>
  );
}

function Acts({ alert, onClose }: { alert: Alert; onClose: () => void }) {
  const review = alertLink(alert.kind, alert.target);
  return (
    <Group gap="xs">
      {review !== undefined && (
        <Button size="xs" variant="default" renderRoot={(props) => <Link {...props} {...review} />}>
          Review
        </Button>
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
    </Group>
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
