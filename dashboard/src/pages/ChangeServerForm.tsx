import { durationMs } from "@bufbuild/protobuf/wkt";
import { Checkbox, Text, TextInput } from "@mantine/core";
import { type UseFormReturnType, useForm } from "@mantine/form";
import { useApiMutation } from "../api/useApiMutation";
import { type DiscoveryReport, type Server, ServerService } from "../gen/warder/admin/v1/server_pb";
import { CertificatesField } from "../ui/CertificatesField";
import { FormModal } from "../ui/FormModal";
import * as rules from "../ui/fieldRules";
import { PrivateField } from "../ui/PrivateField";
import { AgentField } from "./AgentField";
import { CommandField } from "./CommandField";
import { commandMistake, commandText, wordsOf } from "./commandLine";
import {
  BoundFields,
  type Secret,
  SecretFields,
  serverRules,
  toDuration,
  toHeaders,
  toVariables,
} from "./serverFields";

interface Props {
  server: Server;
  onChanged: (found: { server: Server; report: DiscoveryReport | undefined }) => void;
  onClose: () => void;
}

/** What a server is, as far as it can be changed. */
const valuesOf = (server: Server) => ({
  url: server.url,
  private: server.private,
  caCertificates: server.caCertificates,
  agent: server.agent,
  command: commandText(server.command),
  directory: server.directory,
  shared: server.shared,
  callTimeout:
    server.callTimeout === undefined ? ("" as const) : durationMs(server.callTimeout) / 1000,
  maxInFlight: server.maxInFlight || ("" as const),
});

type Values = ReturnType<typeof valuesOf> & {
  headers: Secret[];
  removed: string[];
  environment: Secret[];
  removedVariables: string[];
};

/** Changes where a server is, what runs there, and how it is spoken to. What was not touched is not sent, and stays as it is. */
export function ChangeServerForm({ server, onChanged, onClose }: Props) {
  const update = useApiMutation(ServerService.method.updateServer, {
    done: () => `${server.name} is changed`,
    onSuccess: (answer) => {
      onChanged({ server: answer.server ?? server, report: answer.discovery });
      onClose();
    },
  });
  const before = valuesOf(server);
  const form = useForm<Values>({
    initialValues: { ...before, headers: [], removed: [], environment: [], removedVariables: [] },
    validate: {
      ...serverRules,
      url: (url) => (server.url === "" ? null : rules.httpUrl(url)),
      agent: (agent) => (server.agent === "" ? null : rules.required(agent)),
      command: (typed) => (server.command.length === 0 ? null : commandMistake(typed)),
      environment: { name: rules.variableName },
    },
  });
  const submit = (values: Values) => {
    const touched = (name: keyof typeof before) => values[name] !== before[name];
    update.mutate({
      name: server.name,
      url: touched("url") ? values.url : undefined,
      private: touched("private") ? values.private : undefined,
      caCertificates: touched("caCertificates") ? values.caCertificates : undefined,
      agent: touched("agent") ? values.agent : undefined,
      command: touched("command") ? wordsOf(values.command) : [],
      directory: touched("directory") ? values.directory.trim() : undefined,
      shared: touched("shared") ? values.shared : undefined,
      callTimeout: touched("callTimeout") ? toDuration(values.callTimeout || 0) : undefined,
      maxInFlight: touched("maxInFlight") ? values.maxInFlight || 0 : undefined,
      headers: toHeaders(values.headers),
      removeHeaders: values.removed,
      environment: toVariables(values.environment),
      removeEnvironment: values.removedVariables,
    });
  };
  return (
    <FormModal
      title={`Change ${server.name}`}
      verb="Change"
      pending={update.isPending}
      error={update.error}
      onSubmit={form.onSubmit(submit)}
      onClose={onClose}
    >
      {server.agent === "" ? (
        <AddressFields server={server} form={form} />
      ) : (
        <ProcessFields server={server} form={form} />
      )}
      <BoundFields field={(name) => form.getInputProps(name)} />
      {!form.isDirty() && <Text size="sm">Nothing is changed yet.</Text>}
    </FormModal>
  );
}

interface FieldsProps {
  server: Server;
  form: UseFormReturnType<Values>;
}

function AddressFields({ server, form }: FieldsProps) {
  return (
    <>
      <TextInput
        label="Address"
        description="At another address it is discovered at once. What is approved stays so; what differs there is blocked."
        inputMode="url"
        data-autofocus
        {...form.getInputProps("url")}
      />
      <PrivateField {...form.getInputProps("private", { type: "checkbox" })} />
      <Removals
        label="Headers that it is sent no more"
        description="At another host a header is sent only if it is given anew."
        names={server.headerNames}
        field={form.getInputProps("removed")}
      />
      <SecretFields list="headers" form={form} />
      <CertificatesField {...form.getInputProps("caCertificates")} />
    </>
  );
}

function ProcessFields({ server, form }: FieldsProps) {
  return (
    <>
      <AgentField
        description="With another agent or command, nothing is offered until it is discovered. What is approved stays so; what differs there is blocked."
        {...form.getInputProps("agent")}
      />
      {server.url !== "" && (
        <TextInput
          label="Address"
          description="As the agent reaches it."
          inputMode="url"
          {...form.getInputProps("url")}
        />
      )}
      {server.command.length > 0 && <CommandFields server={server} form={form} />}
    </>
  );
}

function CommandFields({ server, form }: FieldsProps) {
  return (
    <>
      <CommandField {...form.getInputProps("command")} />
      <TextInput
        label="Directory"
        description="Where it runs, on the agent's machine. Empty: where the agent runs."
        {...form.getInputProps("directory")}
      />
      <Removals
        label="Variables that are set for it no more"
        description="With another agent, command or directory a variable is set only if it is given anew."
        names={server.environmentNames}
        field={form.getInputProps("removedVariables")}
      />
      <SecretFields list="environment" form={form} />
      <Checkbox
        label="One process for all sessions"
        {...form.getInputProps("shared", { type: "checkbox" })}
      />
    </>
  );
}

interface RemovalsProps {
  label: string;
  description?: string;
  names: string[];
  field: object;
}

function Removals({ label, description, names, field }: RemovalsProps) {
  return (
    names.length > 0 && (
      <Checkbox.Group label={label} description={description} {...field}>
        {names.map((name) => (
          <Checkbox key={name} mt={4} value={name} label={name} />
        ))}
      </Checkbox.Group>
    )
  );
}
