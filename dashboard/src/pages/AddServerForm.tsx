import { Checkbox, Text, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useApiMutation } from "../api/useApiMutation";
import {
  type AddServerResponse,
  type DiscoveryReport,
  type Server,
  ServerService,
} from "../gen/warder/admin/v1/server_pb";
import { FormModal } from "../ui/FormModal";
import * as rules from "../ui/fieldRules";
import {
  type Header,
  HeaderFields,
  nextHeader,
  serverRules,
  TransportFields,
  toDuration,
  toHeaders,
  usualTransport,
} from "./serverFields";

interface Props {
  onDiscovered: (found: { server: Server; report: DiscoveryReport | undefined }) => void;
  onClose: () => void;
}

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
  const form = useForm({
    initialValues: {
      name: "",
      url: "",
      private: false,
      headers: [] as Header[],
      ...usualTransport,
    },
    validate: { name: rules.serverName, ...serverRules },
  });
  return (
    <FormModal
      title="Add a server"
      verb="Add"
      pending={add.isPending}
      error={add.error}
      onSubmit={form.onSubmit(({ headers, callTimeout, maxInFlight, ...values }) =>
        add.mutate({
          ...values,
          headers: toHeaders(headers),
          callTimeout: toDuration(callTimeout),
          maxInFlight: maxInFlight || 0,
        }),
      )}
      onClose={onClose}
    >
      <TextInput
        label="Name"
        description="Its tools and prompts are named after it."
        data-autofocus
        {...form.getInputProps("name")}
      />
      <TextInput
        label="Address"
        description="The server's MCP endpoint over streamable HTTP."
        placeholder="https://mcp.example.com/mcp"
        inputMode="url"
        {...form.getInputProps("url")}
      />
      <Checkbox
        label="It is at a loopback or private address"
        {...form.getInputProps("private", { type: "checkbox" })}
      />
      <HeaderFields
        headers={form.values.headers}
        field={(index, part) => form.getInputProps(`headers.${index}.${part}`)}
        onAdd={() => form.insertListItem("headers", nextHeader(form.values.headers))}
        onRemove={(index) => form.removeListItem("headers", index)}
      />
      <TransportFields field={(name) => form.getInputProps(name)} />
      <Text size="sm">What it offers is discovered now, and waits for your approval.</Text>
    </FormModal>
  );
}
