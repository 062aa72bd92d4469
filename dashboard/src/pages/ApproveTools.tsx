import { Button, Checkbox, Group, Modal, ScrollArea, Stack, Text, Textarea } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { useApiMutation } from "../api/useApiMutation";
import { type Tool, ToolService } from "../gen/warder/admin/v1/tool_pb";
import { VisibleText } from "../text/VisibleText";
import { FormModal } from "../ui/FormModal";
import { approveEach, type Skipped } from "./approval";
import { FindingList } from "./FindingList";
import { isSuspect } from "./scan";
import { asked, fullName, named, use } from "./toolName";

interface Props {
  tools: Tool[];
  onClose: () => void;
  onDone: () => void;
}

/** Asks for a reason, and where there are hard findings for the word that they were seen. */
export function ApproveTools({ tools, onClose, onDone }: Props) {
  const [skipped, setSkipped] = useState<Skipped[]>([]);
  const approve = useApiMutation(ToolService.method.approveTools);
  const run = useMutation({
    mutationFn: ({ accept, reason }: { accept: boolean; reason: string }) =>
      // Each with the hash of the definition that was on the screen: what changed
      // in the meantime is refused, not approved unseen.
      approveEach(tools, accept, (tool) =>
        approve.mutateAsync({
          ...named([tool]),
          definitionHash: tool.definitionHash,
          acceptFindings: accept && isSuspect(tool),
          reason,
        }),
      ),
    onSuccess: (left) => (left.length === 0 ? onDone() : setSkipped(left)),
  });
  const suspects = tools.filter(isSuspect);
  const single = tools.length === 1;
  const form = useForm({
    initialValues: { accept: false, reason: "" },
    validate: {
      accept: (accept) =>
        suspects.length === tools.length && !accept
          ? "It cannot be approved unless you accept what was found"
          : null,
      reason: (reason, { accept }) =>
        accept && reason.trim() === "" ? "Say why it is approved all the same" : null,
    },
  });
  if (skipped.length > 0) {
    return <Outcome of={tools.length} skipped={skipped} onClose={onDone} />;
  }
  return (
    <FormModal
      title={`Approve ${asked(tools)}?`}
      verb="Approve"
      pending={run.isPending}
      error={run.error}
      onSubmit={form.onSubmit((values) => run.mutate(values))}
      onClose={onClose}
    >
      <Text>
        It may be {use(tools)} as shown, as far as the policy allows. A later change blocks it
        again.
      </Text>
      <FoundIn tools={tools} />
      {suspects.length > 0 && (
        <Checkbox
          label={
            single
              ? "I have read the hard findings, and accept them"
              : `I have read the hard findings, and accept them. Otherwise ${suspects.length} of ${tools.length} are skipped`
          }
          {...form.getInputProps("accept", { type: "checkbox" })}
        />
      )}
      <Textarea
        label="Reason"
        description="Kept in the history."
        maxLength={1000}
        data-autofocus={suspects.length === 0 || undefined}
        {...form.getInputProps("reason")}
      />
    </FormModal>
  );
}

/** The findings of all that is to be approved. */
function FoundIn({ tools }: { tools: Tool[] }) {
  const found = tools.filter((tool) => tool.findings.length > 0);
  if (found.length === 0) {
    return null;
  }
  return (
    <ScrollArea.Autosize
      mah={320}
      type="auto"
      offsetScrollbars
      viewportProps={{ tabIndex: 0, role: "region", "aria-label": "What the scanner found" }}
    >
      <Stack gap="sm">
        {found.map((tool) => (
          <Stack key={fullName(tool)} gap="xs">
            <Text size="sm" fw={600} component="div">
              The scanner found in <VisibleText text={fullName(tool)} />:
            </Text>
            <FindingList findings={tool.findings} />
          </Stack>
        ))}
      </Stack>
    </ScrollArea.Autosize>
  );
}

/** What was not approved, and why. */
function Outcome({
  of,
  skipped,
  onClose,
}: {
  of: number;
  skipped: Skipped[];
  onClose: () => void;
}) {
  return (
    <Modal
      opened
      onClose={onClose}
      title={`${of - skipped.length} approved, ${skipped.length} skipped`}
      size="lg"
    >
      <Stack role="status">
        {skipped.map(({ tool, why }) => (
          <div key={fullName(tool)}>
            <Text fw={600} component="div">
              <VisibleText text={fullName(tool)} />
            </Text>
            <Text size="sm" component="div">
              <VisibleText text={why} />
            </Text>
          </div>
        ))}
        <Group justify="flex-end">
          <Button onClick={onClose}>Understood</Button>
        </Group>
      </Stack>
    </Modal>
  );
}
