import { Button, Code, Drawer, Group, Loader, Stack, Text } from "@mantine/core";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { getRouteApi, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import * as queries from "../api/queries";
import { useApiMutation } from "../api/useApiMutation";
import { type Policy, PolicyService } from "../gen/warder/admin/v1/policy_pb";
import { pb } from "../paths";
import { VisibleText } from "../text/VisibleText";
import { ActButton } from "../ui/ActButton";
import { type Column, DataTable } from "../ui/DataTable";
import { ErrorNote } from "../ui/ErrorNote";
import { LineDiff } from "../ui/LineDiff";
import { PagePending } from "../ui/pageStates";
import { ReasonModal } from "../ui/ReasonModal";
import { RowLink } from "../ui/RowLink";
import { Section } from "../ui/Section";
import { Time } from "../ui/Time";
import { ChangeSummary, Remarks } from "./PolicyCheck";
import { VersionLine } from "./PolicyDocument";
import { isError } from "./remarks";

const route = getRouteApi("/signed-in/policy");

/** Every version, newest first, and the way back to each. */
export function PolicyHistory({ inForce }: { inForce: Policy | undefined }) {
  const { transport } = route.useRouteContext();
  const search = route.useSearch();
  const navigate = useNavigate();
  const { data, error, isPending, hasNextPage, isFetchingNextPage, fetchNextPage } =
    useInfiniteQuery(queries.policyVersions(transport));
  const close = () =>
    navigate({ ...pb.policy({ ...search, version: undefined }), resetScroll: false });
  return (
    <Stack>
      {isPending && <PagePending />}
      <ErrorNote error={error} title="The history could not be read" />
      {data && (
        <DataTable
          caption="Versions"
          columns={columns(inForce)}
          rows={data.pages.flatMap((page) => page.policies)}
          rowKey={(policy) => String(policy.version)}
          empty="No document was applied yet."
        />
      )}
      {hasNextPage && (
        <Group justify="center">
          <Button variant="default" loading={isFetchingNextPage} onClick={() => fetchNextPage()}>
            Load older versions
          </Button>
        </Group>
      )}
      {search.version !== undefined && (
        <Version version={search.version} inForce={inForce} onClose={close} />
      )}
    </Stack>
  );
}

const columns = (inForce: Policy | undefined): Column<Policy>[] => [
  {
    title: "Version",
    cell: ({ version }) => (
      <RowLink to={pb.policy({ tab: "history", version: Number(version) })}>
        Version {String(version)}
      </RowLink>
    ),
  },
  { title: "Applied", cell: (policy) => <Time at={policy.createdAt} /> },
  { title: "By", cell: (policy) => <VisibleText text={policy.createdBy} /> },
  {
    title: "Reason",
    cell: (policy) => (
      <>
        <VisibleText text={policy.reason || "–"} />
        {policy.rollbackOf > 0n && (
          <Text size="xs">brought version {String(policy.rollbackOf)} back</Text>
        )}
      </>
    ),
  },
  {
    title: "State",
    cell: ({ version }) => (version === inForce?.version ? <strong>in force</strong> : "replaced"),
  },
];

interface VersionProps {
  version: number;
  inForce: Policy | undefined;
  onClose: () => void;
}

function Version({ version, inForce, onClose }: VersionProps) {
  const { transport } = route.useRouteContext();
  const { data, error, isPending } = useQuery(queries.policyVersion(transport, version));
  return (
    <Drawer opened onClose={onClose} size="xl" title={`Version ${version} of the policy`}>
      {isPending && <Loader role="status" aria-label="Loading" />}
      <ErrorNote error={error} />
      {data?.policy && <Details policy={data.policy} inForce={inForce} />}
    </Drawer>
  );
}

function Details({ policy, inForce }: { policy: Policy; inForce: Policy | undefined }) {
  const [rollingBack, setRollingBack] = useState(false);
  const current = policy.version === inForce?.version;
  return (
    <Stack>
      <VersionLine policy={policy} />
      <Group>
        <ActButton
          size="xs"
          variant="default"
          needs="policy:write"
          unless={current ? "It is the version in force." : undefined}
          onClick={() => setRollingBack(true)}
        >
          Roll back to it
        </ActButton>
      </Group>
      {!current && inForce !== undefined && (
        <Section title="From the version in force to it">
          <LineDiff before={inForce.document} after={policy.document} />
        </Section>
      )}
      <Section title="Document">
        <Code block>
          <VisibleText text={policy.document} />
        </Code>
      </Section>
      {rollingBack && (
        <RollBack policy={policy} inForce={inForce} onClose={() => setRollingBack(false)} />
      )}
    </Stack>
  );
}

function RollBack({
  policy,
  inForce,
  onClose,
}: {
  policy: Policy;
  inForce: Policy | undefined;
  onClose: () => void;
}) {
  const { transport } = route.useRouteContext();
  const check = useQuery(queries.policyCheck(transport, policy.document));
  const errors = check.data?.remarks.filter(isError) ?? [];
  const rollBack = useApiMutation(PolicyService.method.rollbackPolicy, {
    done: (answer) =>
      `Version ${policy.version} is in force again, as version ${answer.policy?.version}`,
    onSuccess: onClose,
  });
  return (
    <ReasonModal
      title={`Roll back to version ${policy.version}?`}
      explanation={`Its document becomes a new version, which replaces version ${inForce?.version ?? 0n} on all nodes within seconds.`}
      verb="Roll back"
      withReason
      pending={rollBack.isPending}
      error={rollBack.error ?? check.error}
      onConfirm={(reason) =>
        rollBack.mutate({ version: policy.version, expectedVersion: inForce?.version, reason })
      }
      onClose={onClose}
    >
      {check.isPending && <Loader size="sm" role="status" aria-label="Checking" />}
      {check.data && <ChangeSummary changes={check.data.changes} />}
      {errors.length > 0 && (
        <>
          <Text fw={600}>It does not hold today:</Text>
          <Remarks document={policy.document} remarks={errors} />
        </>
      )}
    </ReasonModal>
  );
}
