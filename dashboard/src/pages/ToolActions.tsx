import { Button, Group } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { useApiMutation } from "../api/useApiMutation";
import { type Tool, ToolService, ToolState } from "../gen/warder/admin/v1/tool_pb";
import { ReasonModal } from "../ui/ReasonModal";
import { fullName } from "./toolName";

type Verb = "Approve" | "Reject" | "Disable" | "Enable";

const explanations: Record<Verb, string> = {
  Approve:
    "The definition as shown may be called, as far as the policy allows. A later change blocks it again.",
  Reject: "It cannot be called or listed until someone approves it.",
  Disable: "It cannot be called or listed. A new discovery does not switch it on again.",
  Enable: "It can be called again, if it is approved and the policy allows it.",
};

/** Which acts make sense for a tool in its state. */
function applies(verb: Verb, tool: Tool): boolean {
  switch (verb) {
    case "Approve":
      return tool.state !== ToolState.APPROVED && !tool.missing;
    case "Reject":
      return tool.state !== ToolState.REJECTED;
    case "Disable":
      return !tool.disabled;
    case "Enable":
      return tool.disabled;
  }
}

const verbs = Object.keys(explanations) as Verb[];

/** The buttons that decide on tools, each with a question and a reason. */
export function ToolActions({ tools, onDone }: { tools: Tool[]; onDone?: () => void }) {
  const [verb, setVerb] = useState<Verb>();
  return (
    <Group gap="xs">
      {verbs.map((each) => (
        <Button
          key={each}
          size="xs"
          variant={each === "Approve" ? "filled" : "default"}
          disabled={!tools.some((tool) => applies(each, tool))}
          onClick={() => setVerb(each)}
        >
          {each}
        </Button>
      ))}
      {verb !== undefined && (
        <Confirmation
          verb={verb}
          tools={tools.filter((tool) => applies(verb, tool))}
          onClose={() => setVerb(undefined)}
          onDone={() => {
            setVerb(undefined);
            onDone?.();
          }}
        />
      )}
    </Group>
  );
}

interface ConfirmationProps {
  verb: Verb;
  tools: Tool[];
  onClose: () => void;
  onDone: () => void;
}

function Confirmation({ verb, tools: chosen, onClose, onDone }: ConfirmationProps) {
  // What was asked about stays, although the list behind is asked for again.
  const [tools] = useState(chosen);
  const act = useToolAct(verb);
  const run = useMutation({
    mutationFn: (reason: string) => act(tools, reason),
    onSuccess: onDone,
  });
  const subject =
    tools.length === 1 && tools[0] !== undefined ? fullName(tools[0]) : `${tools.length} tools`;
  return (
    <ReasonModal
      title={`${verb} ${subject}?`}
      explanation={explanations[verb]}
      verb={verb}
      withReason={verb !== "Enable"}
      pending={run.isPending}
      error={run.error}
      onConfirm={(reason) => run.mutate(reason)}
      onClose={onClose}
    />
  );
}

/** Returns the act of a verb on tools. It stops at the first error. */
function useToolAct(verb: Verb): (tools: Tool[], reason: string) => Promise<unknown> {
  const approve = useApiMutation(ToolService.method.approveTools);
  const reject = useApiMutation(ToolService.method.rejectTools);
  const disable = useApiMutation(ToolService.method.disableTools);
  const enable = useApiMutation(ToolService.method.enableTools);
  switch (verb) {
    case "Approve":
      // One at a time, each with the hash of the definition that was on the
      // screen: what changed in the meantime is refused, not approved unseen.
      return async (tools, reason) => {
        for (const tool of tools) {
          await approve.mutateAsync({
            names: [fullName(tool)],
            definitionHash: tool.definitionHash,
            reason,
          });
        }
      };
    case "Reject":
      return (tools, reason) => reject.mutateAsync({ names: tools.map(fullName), reason });
    case "Disable":
      return (tools, reason) => disable.mutateAsync({ names: tools.map(fullName), reason });
    case "Enable":
      return (tools) => enable.mutateAsync({ names: tools.map(fullName) });
  }
}
