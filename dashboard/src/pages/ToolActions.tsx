import { Button, Group } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { useApiMutation } from "../api/useApiMutation";
import { Kind, type Tool, ToolService, ToolState } from "../gen/warder/admin/v1/tool_pb";
import { ReasonModal } from "../ui/ReasonModal";
import { fullName, kindName, words } from "./toolName";

type Verb = "Approve" | "Reject" | "Disable" | "Enable";

/** What a verb means, by what can be done with the entries. */
const explanations: Record<Verb, (use: string) => string> = {
  Approve: (use) =>
    `It may be ${use} as shown, as far as the policy allows. A later change blocks it again.`,
  Reject: (use) => `It cannot be ${use} until someone approves it.`,
  Disable: (use) => `It cannot be ${use}. A new discovery does not switch it on again.`,
  Enable: (use) => `It can be ${use} again, if it is approved and the policy allows it.`,
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
  const kind = words[kindName(tools[0] ?? { kind: Kind.TOOL })];
  const subject =
    tools.length === 1 && tools[0] !== undefined
      ? fullName(tools[0])
      : `${tools.length} ${kind.many.toLowerCase()}`;
  return (
    <ReasonModal
      title={`${verb} ${subject}?`}
      explanation={explanations[verb](kind.use)}
      verb={verb}
      withReason={verb !== "Enable"}
      pending={run.isPending}
      error={run.error}
      onConfirm={(reason) => run.mutate(reason)}
      onClose={onClose}
    />
  );
}

/** How requests name entries, which are of one kind. */
function named(tools: Tool[]) {
  const kinds = [...new Set(tools.map((tool) => tool.kind))];
  return { names: tools.map(fullName), kinds: kinds.filter((kind) => kind !== Kind.UNSPECIFIED) };
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
            ...named([tool]),
            definitionHash: tool.definitionHash,
            reason,
          });
        }
      };
    case "Reject":
      return (tools, reason) => reject.mutateAsync({ ...named(tools), reason });
    case "Disable":
      return (tools, reason) => disable.mutateAsync({ ...named(tools), reason });
    case "Enable":
      return (tools) => enable.mutateAsync(named(tools));
  }
}
