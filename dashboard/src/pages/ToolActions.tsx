import { Group } from "@mantine/core";
import { useState } from "react";
import { useApiMutation } from "../api/useApiMutation";
import { type Tool, ToolService, ToolState } from "../gen/warder/admin/v1/tool_pb";
import { ActButton } from "../ui/ActButton";
import { ReasonModal } from "../ui/ReasonModal";
import { ApproveTools } from "./ApproveTools";
import { asked, named, use } from "./toolName";

const verbs = ["Approve", "Reject", "Disable", "Enable"] as const;
type Verb = (typeof verbs)[number];

/** What a verb means, by what can be done with the entries. */
const explanations: Record<Exclude<Verb, "Approve">, (use: string) => string> = {
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

/** Why a verb has nothing to act on. */
const idle: Record<Verb, string> = {
  Approve: "It is approved already, or no longer offered.",
  Reject: "It is rejected already.",
  Disable: "It is disabled already.",
  Enable: "It is not disabled.",
};

/** The buttons that decide on entries, each with a question and a reason. */
export function ToolActions({ tools, onDone }: { tools: Tool[]; onDone?: () => void }) {
  // What is asked about stays, although the list behind is asked for again.
  const [act, setAct] = useState<{ verb: Verb; tools: Tool[] }>();
  const close = () => setAct(undefined);
  const done = () => {
    close();
    onDone?.();
  };
  return (
    <Group gap="xs">
      {verbs.map((verb) => {
        const fitting = tools.filter((tool) => applies(verb, tool));
        return (
          <ActButton
            key={verb}
            size="xs"
            variant={verb === "Approve" ? "filled" : "default"}
            needs="tools:approve"
            unless={fitting.length === 0 ? idle[verb] : undefined}
            onClick={() => setAct({ verb, tools: fitting })}
          >
            {verb}
          </ActButton>
        );
      })}
      {act?.verb === "Approve" && <ApproveTools tools={act.tools} onClose={close} onDone={done} />}
      {act !== undefined && act.verb !== "Approve" && (
        <Confirmation verb={act.verb} tools={act.tools} onClose={close} onDone={done} />
      )}
    </Group>
  );
}

interface ConfirmationProps {
  verb: Exclude<Verb, "Approve">;
  tools: Tool[];
  onClose: () => void;
  onDone: () => void;
}

function Confirmation({ verb, tools, onClose, onDone }: ConfirmationProps) {
  const enable = useApiMutation(ToolService.method.enableTools, { onSuccess: onDone });
  const reject = useApiMutation(ToolService.method.rejectTools, { onSuccess: onDone });
  const disable = useApiMutation(ToolService.method.disableTools, { onSuccess: onDone });
  const run = { Enable: enable, Reject: reject, Disable: disable }[verb];
  return (
    <ReasonModal
      title={`${verb} ${asked(tools)}?`}
      explanation={explanations[verb](use(tools))}
      verb={verb}
      withReason={verb !== "Enable"}
      pending={run.isPending}
      error={run.error}
      onConfirm={(reason) =>
        verb === "Enable"
          ? enable.mutate(named(tools))
          : (verb === "Reject" ? reject : disable).mutate({ ...named(tools), reason })
      }
      onClose={onClose}
    />
  );
}
