import { Alert, Button, Group, Loader, Stack, Text, Textarea } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { useRef, useState } from "react";
import * as queries from "../api/queries";
import { useApiMutation } from "../api/useApiMutation";
import {
  type CheckPolicyResponse,
  type Policy,
  PolicyService,
} from "../gen/warder/admin/v1/policy_pb";
import { VisibleText } from "../text/VisibleText";
import { ActButton } from "../ui/ActButton";
import { DocumentField, select } from "../ui/DocumentField";
import { ErrorNote } from "../ui/ErrorNote";
import { FormModal } from "../ui/FormModal";
import { Section } from "../ui/Section";
import { ChangeSummary, Remarks, RuleChanges } from "./PolicyCheck";
import { PolicySimulation } from "./PolicySimulation";
import { isError, markedLines, selection, verdictOf } from "./remarks";

/** A document that somebody writes, and the version that he began from. */
export interface Draft {
  text: string;
  base: bigint;
}

interface Props {
  inForce: Policy | undefined;
  draft: Draft | undefined;
  onDraft: (draft: Draft) => void;
  onApplied: () => void;
}

const example = `rules:
  - name: no-deletes
    priority: 10
    effect: deny
    reason: Deleting needs a person
    risk: [destructive]
tests:
  - as: {user: ana, roles: [operator]}
    call: github/delete_repo
    expect: deny
`;

/** How long to wait for another key before a document is checked, in milliseconds. */
const typingPause = 400;

/** A draft of the next version: checked as it is written, compared, simulated, and applied. */
export function PolicyEditor({ inForce, draft: kept, onDraft, onApplied }: Props) {
  const version = inForce?.version ?? 0n;
  const draft = kept ?? { text: inForce?.document || example, base: version };
  const field = useRef<HTMLTextAreaElement>(null);
  const { check, checking, error } = useCheck(draft.text);
  const remarks = check?.remarks ?? [];
  const [applying, setApplying] = useState(false);
  return (
    <Stack gap="lg">
      {draft.base !== version && (
        <Overtaken
          inForce={inForce}
          onTake={() => onDraft({ text: inForce?.document ?? "", base: version })}
          onKeep={() => onDraft({ ...draft, base: version })}
        />
      )}
      <DocumentField
        label="Policy document"
        description="YAML. It replaces the version in force as a whole; nothing happens before you apply it."
        value={draft.text}
        onChange={(text) => onDraft({ ...draft, text })}
        marks={markedLines(remarks)}
        field={field}
      />
      <Stack gap="xs">
        <Verdict text={draft.text} check={check} checking={checking} />
        <ErrorNote error={error} title="The document could not be checked" />
        <Remarks
          document={draft.text}
          remarks={remarks}
          onGo={(remark) => select(field.current, remark.line, selection(draft.text, remark))}
        />
      </Stack>
      <Group>
        <ActButton
          needs="policy:write"
          unless={obstacle(draft, inForce, check, checking)}
          onClick={() => setApplying(true)}
        >
          Apply
        </ActButton>
        <Button
          variant="default"
          disabled={kept === undefined}
          onClick={() => onDraft({ text: inForce?.document || example, base: version })}
        >
          Start over
        </Button>
      </Group>
      {check !== undefined && !remarks.some(isError) && (
        <Section title="What would be different">
          <RuleChanges changes={check.changes} />
        </Section>
      )}
      <PolicySimulation document={draft.text} />
      {applying && (
        <Apply
          draft={draft}
          check={check}
          onApplied={onApplied}
          onClose={() => setApplying(false)}
        />
      )}
    </Stack>
  );
}

/** Checks a document once nobody types. What was found stays until the next answer. */
function useCheck(text: string) {
  const { transport } = getRouteApi("/signed-in/policy").useRouteContext();
  const [settled] = useDebouncedValue(text, typingPause);
  const query = useQuery({
    ...queries.policyCheck(transport, settled),
    enabled: settled.trim() !== "",
    placeholderData: keepPreviousData,
    gcTime: 0,
  });
  return {
    check: settled.trim() === "" ? undefined : query.data,
    checking: settled !== text || query.isPlaceholderData || query.isLoading,
    error: query.error,
  };
}

/** Why a draft cannot be applied now; undefined if it can. */
function obstacle(
  draft: Draft,
  inForce: Policy | undefined,
  check: CheckPolicyResponse | undefined,
  checking: boolean,
): string | undefined {
  if (draft.text === inForce?.document) {
    return "It is the document in force.";
  }
  if (draft.text.trim() === "") {
    return "A document without rules says rules: [].";
  }
  if (checking) {
    return "It is being checked.";
  }
  return check?.remarks.some(isError) ? "It has errors. Each is shown with its line." : undefined;
}

function Verdict({
  text,
  check,
  checking,
}: {
  text: string;
  check: CheckPolicyResponse | undefined;
  checking: boolean;
}) {
  return (
    <Group gap="xs" role="status" aria-label="Check" mih={24}>
      {checking && text.trim() !== "" ? (
        <>
          <Loader size="xs" aria-hidden="true" />
          <Text size="sm">Checking</Text>
        </>
      ) : (
        check !== undefined && <Text size="sm">{verdictOf(check.remarks, check)}</Text>
      )}
    </Group>
  );
}

function Overtaken({
  inForce,
  onTake,
  onKeep,
}: {
  inForce: Policy | undefined;
  onTake: () => void;
  onKeep: () => void;
}) {
  return (
    <Alert role="alert" color="orange" title="Another version is in force than you began from">
      <Stack gap="xs" align="flex-start">
        <div>
          Version {String(inForce?.version ?? 0n)} was applied meanwhile by{" "}
          <VisibleText text={inForce?.createdBy ?? "somebody"} />. What would be different, below,
          is in comparison with it: see that you undo nothing.
        </div>
        <Group gap="xs">
          <Button size="xs" variant="default" onClick={onTake}>
            Begin anew from it
          </Button>
          <Button size="xs" variant="default" onClick={onKeep}>
            Go on with mine
          </Button>
        </Group>
      </Stack>
    </Alert>
  );
}

interface ApplyProps {
  draft: Draft;
  check: CheckPolicyResponse | undefined;
  onApplied: () => void;
  onClose: () => void;
}

/** Asks once more, and for a reason. If another version came since, the server refuses. */
function Apply({ draft, check, onApplied, onClose }: ApplyProps) {
  const [reason, setReason] = useState("");
  const apply = useApiMutation(PolicyService.method.applyPolicy, {
    done: ({ policy, revision }) =>
      `Version ${policy?.version} is applied, at revision ${revision}`,
    onSuccess: onApplied,
  });
  return (
    <FormModal
      title="Apply this document?"
      verb="Apply"
      pending={apply.isPending}
      error={apply.error}
      onSubmit={(event) => {
        event.preventDefault();
        apply.mutate({ document: draft.text, expectedVersion: draft.base, reason });
      }}
      onClose={onClose}
    >
      <Text>
        It decides who may use what, on all nodes within seconds. The version in force is kept, and
        can be brought back.
      </Text>
      {check !== undefined && <ChangeSummary changes={check.changes} />}
      <Textarea
        label="Reason"
        description="Kept in the history."
        maxLength={1000}
        data-autofocus
        value={reason}
        onChange={(event) => setReason(event.currentTarget.value)}
      />
    </FormModal>
  );
}
