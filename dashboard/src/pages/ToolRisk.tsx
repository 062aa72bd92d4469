import { Group, Select, Stack, Text, Textarea } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useState } from "react";
import { useApiMutation } from "../api/useApiMutation";
import { Kind, type RiskReason, type Tool, ToolService } from "../gen/warder/admin/v1/tool_pb";
import { type RiskName, risks } from "../paths";
import { VisibleText } from "../text/VisibleText";
import { ActButton } from "../ui/ActButton";
import { FormModal } from "../ui/FormModal";
import { ReasonModal } from "../ui/ReasonModal";
import { Part } from "./ToolReview";
import { fullName } from "./toolName";

/** What a caller can do with a tool of each category; docs/concepts.md says it at length. */
const meanings: Record<RiskName, string> = {
  read: "gets what is there, and changes nothing",
  write: "changes what another call can put right",
  destructive: "deletes or overwrites what no call brings back",
  admin: "decides who may do what, or how the system is set up",
  execute: "runs what the caller wrote or chose",
  external: "reaches beyond the system behind",
  unclassified: "nobody knows: treated as the riskiest",
};

/** The category of a tool with what speaks for it, and a person's in its place. */
export function ToolRisk({ tool }: { tool: Tool }) {
  const [act, setAct] = useState<"set" | "withdraw">();
  const close = () => setAct(undefined);
  return (
    <Part title="Risk">
      <RiskText tool={tool} />
      <Riskier tool={tool} />
      <RiskReasons reasons={tool.riskReasons} />
      <Group gap="xs">
        <ActButton size="xs" variant="default" needs="tools:approve" onClick={() => setAct("set")}>
          Set the risk
        </ActButton>
        {tool.riskSet && (
          <ActButton
            size="xs"
            variant="default"
            needs="tools:approve"
            onClick={() => setAct("withdraw")}
          >
            Back to the classifier
          </ActButton>
        )}
      </Group>
      {act === "set" && <SetRisk tool={tool} onClose={close} />}
      {act === "withdraw" && <Withdraw tool={tool} onClose={close} />}
    </Part>
  );
}

/** A category, and whose it is. */
export function RiskText({ tool }: { tool: Pick<Tool, "risk" | "riskSet"> }) {
  return (
    <Text size="sm" component="div">
      <strong>{tool.risk}</strong>
      {tool.riskSet && ", set by a person"}
    </Text>
  );
}

/** Least risky first, as in internal/risk. */
const severity = [
  "read",
  "write",
  "external",
  "destructive",
  "admin",
  "execute",
  "unclassified",
] as const satisfies RiskName[];

/** Warns where a person's category outlived a definition that is riskier by now. */
export function Riskier({ tool }: { tool: Pick<Tool, "risk" | "riskSet" | "riskReasons"> }) {
  const said = tool.riskReasons[0]?.risk;
  const rank = (risk: string) => severity.findIndex((name) => name === risk);
  if (!tool.riskSet || said === undefined || rank(said) <= rank(tool.risk)) {
    return null;
  }
  return (
    <Text size="sm" role="alert">
      By its definition of now it is <strong>{said}</strong>, riskier than {tool.risk}, which a
      person set and which stays.
    </Text>
  );
}

function RiskReasons({ reasons }: { reasons: RiskReason[] }) {
  if (reasons.length === 0) {
    return null;
  }
  return (
    <Stack gap={2}>
      <Text size="sm">What speaks for which category:</Text>
      <Text size="sm" component="ul" m={0} ps="lg">
        {reasons.map(({ risk, what, where }) => (
          <li key={`${risk} ${what} ${where}`}>
            {risk}:{" "}
            <VisibleText text={where === "definition" ? what : `“${what}” in the ${where}`} />
          </li>
        ))}
      </Text>
    </Stack>
  );
}

const nameOf = (tool: Tool) => ({
  name: fullName(tool),
  kind: tool.kind === Kind.UNSPECIFIED ? Kind.TOOL : tool.kind,
});

function SetRisk({ tool, onClose }: { tool: Tool; onClose: () => void }) {
  const set = useApiMutation(ToolService.method.setRisk, {
    done: (answer) => `The risk of ${fullName(tool)} is ${answer.tool?.risk}`,
    onSuccess: onClose,
  });
  const form = useForm({
    initialValues: { risk: tool.risk, reason: "" },
    validate: {
      risk: (risk) => (risk === tool.risk && tool.riskSet ? "It is that already" : null),
    },
  });
  return (
    <FormModal
      title={`Set the risk of ${fullName(tool)}`}
      verb="Set the risk"
      pending={set.isPending}
      error={set.error}
      onSubmit={form.onSubmit((values) => set.mutate({ ...nameOf(tool), ...values }))}
      onClose={onClose}
    >
      <Text>
        It takes the place of the classifier's, also for definitions to come. Rules and roles that
        name categories go by it at once.
      </Text>
      <Select
        label="Category"
        allowDeselect={false}
        data={risks.map((value) => ({ value, label: `${value}: ${meanings[value]}` }))}
        {...form.getInputProps("risk")}
      />
      <Textarea
        label="Reason"
        description="Kept in the history."
        maxLength={1000}
        {...form.getInputProps("reason")}
      />
    </FormModal>
  );
}

function Withdraw({ tool, onClose }: { tool: Tool; onClose: () => void }) {
  const set = useApiMutation(ToolService.method.setRisk, {
    done: (answer) => `The classifier says: ${answer.tool?.risk}`,
    onSuccess: onClose,
  });
  return (
    <ReasonModal
      title={`Take back the risk of ${fullName(tool)}?`}
      explanation="The classifier's category holds again, now and for definitions to come."
      verb="Take it back"
      withReason
      pending={set.isPending}
      error={set.error}
      onConfirm={(reason) => set.mutate({ ...nameOf(tool), risk: "", reason })}
      onClose={onClose}
    />
  );
}
