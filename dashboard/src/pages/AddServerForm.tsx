import { Checkbox, Radio, Stack, Text, TextInput } from "@mantine/core";
import { type UseFormReturnType, useForm } from "@mantine/form";
import { useApiMutation } from "../api/useApiMutation";
import {
  type AddServerResponse,
  type DiscoveryReport,
  type Server,
  ServerService,
} from "../gen/warder/admin/v1/server_pb";
import { CertificatesField } from "../ui/CertificatesField";
import { FormModal } from "../ui/FormModal";
import { PrivateField } from "../ui/PrivateField";
import { AgentField } from "./AgentField";
import { CommandField } from "./CommandField";
import { type NewServer, newServerRules, places, toRequest } from "./newServer";
import { BoundFields, SecretFields, usualTransport } from "./serverFields";

interface Props {
  onDiscovered: (found: { server: Server; report: DiscoveryReport | undefined }) => void;
  onClose: () => void;
}

const nothingTyped: NewServer = {
  name: "",
  place: "url",
  url: "",
  private: false,
  headers: [],
  agent: "",
  command: "",
  directory: "",
  environment: [],
  shared: false,
  ...usualTransport,
};

/** Adds a server; what its discovery found is told to the page behind. */
export function AddServerForm({ onDiscovered, onClose }: Props) {
  const add = useApiMutation(ServerService.method.addServer, {
    onSuccess: ({ server, discovery }: AddServerResponse) => {
      if (server !== undefined) {
        onDiscovered({ server, report: discovery });
      }
      onClose();
    },
  });
  const form = useForm<NewServer>({ initialValues: nothingTyped, validate: newServerRules });
  const { place } = form.values;
  return (
    <FormModal
      title="Add a server"
      verb="Add"
      pending={add.isPending}
      error={add.error}
      onSubmit={form.onSubmit((values) => add.mutate(toRequest(values)))}
      onClose={onClose}
    >
      <TextInput
        label="Name"
        description="Its tools and prompts are named after it."
        data-autofocus
        {...form.getInputProps("name")}
      />
      <Radio.Group label="Where it is" {...form.getInputProps("place")}>
        <Stack gap="xs" mt={4}>
          {places.map(({ value, label, description }) => (
            <Radio key={value} value={value} label={label} description={description} />
          ))}
        </Stack>
      </Radio.Group>
      {place === "url" ? <AddressFields form={form} /> : <AgentFields form={form} />}
      <BoundFields field={(name) => form.getInputProps(name)} />
      <Text size="sm">What it offers is discovered now, and waits for your approval.</Text>
    </FormModal>
  );
}

interface FieldsProps {
  form: UseFormReturnType<NewServer>;
}

function AddressFields({ form }: FieldsProps) {
  return (
    <>
      <TextInput
        label="Address"
        description="The server's MCP endpoint over streamable HTTP."
        placeholder="https://mcp.example.com/mcp"
        inputMode="url"
        {...form.getInputProps("url")}
      />
      <PrivateField {...form.getInputProps("private", { type: "checkbox" })} />
      <SecretFields list="headers" form={form} />
      <CertificatesField {...form.getInputProps("caCertificates")} />
    </>
  );
}

function AgentFields({ form }: FieldsProps) {
  const { place } = form.values;
  return (
    <>
      <AgentField {...form.getInputProps("agent")} />
      {place === "beside" && (
        <TextInput
          label="Address"
          description="As the agent reaches it. Headers for it stand in the agent's own file."
          placeholder="http://127.0.0.1:3001/mcp"
          inputMode="url"
          {...form.getInputProps("url")}
        />
      )}
      {place === "command" && (
        <>
          <CommandField {...form.getInputProps("command")} />
          <TextInput
            label="Directory"
            description="Where it runs, on the agent's machine. Empty: where the agent runs."
            {...form.getInputProps("directory")}
          />
          <SecretFields list="environment" form={form} />
          <Checkbox
            label="One process for all sessions"
            description="For a server that keeps nothing between calls. Otherwise each session has a process of its own."
            {...form.getInputProps("shared", { type: "checkbox" })}
          />
        </>
      )}
    </>
  );
}
