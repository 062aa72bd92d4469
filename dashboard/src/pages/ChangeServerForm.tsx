import { durationMs } from "@bufbuild/protobuf/wkt";
import { Checkbox, Text, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useApiMutation } from "../api/useApiMutation";
import { type DiscoveryReport, type Server, ServerService } from "../gen/warder/admin/v1/server_pb";
import { FormModal } from "../ui/FormModal";
import {
  type Header,
  HeaderFields,
  nextHeader,
  serverRules,
  TransportFields,
  toDuration,
  toHeaders,
} from "./serverFields";

interface Props {
  server: Server;
  onChanged: (found: { server: Server; report: DiscoveryReport | undefined }) => void;
  onClose: () => void;
}

/** Changes how a server is spoken to. What was not touched is not sent, and stays as it is. */
export function ChangeServerForm({ server, onChanged, onClose }: Props) {
  const update = useApiMutation(ServerService.method.updateServer, {
    done: () => `${server.name} is changed`,
    onSuccess: (answer) => {
      onChanged({ server: answer.server ?? server, report: answer.discovery });
      onClose();
    },
  });
  const before = {
    url: server.url,
    private: server.private,
    caCertificates: server.caCertificates,
    callTimeout:
      server.callTimeout === undefined ? ("" as const) : durationMs(server.callTimeout) / 1000,
    maxInFlight: server.maxInFlight || ("" as const),
  };
  const form = useForm({
    initialValues: { ...before, headers: [] as Header[], removed: [] as string[] },
    validate: serverRules,
  });
  const submit = (values: typeof form.values) => {
    const touched = (name: keyof typeof before) => values[name] !== before[name];
    update.mutate({
      name: server.name,
      url: touched("url") ? values.url : undefined,
      private: touched("private") ? values.private : undefined,
      caCertificates: touched("caCertificates") ? values.caCertificates : undefined,
      callTimeout: touched("callTimeout") ? toDuration(values.callTimeout || 0) : undefined,
      maxInFlight: touched("maxInFlight") ? values.maxInFlight || 0 : undefined,
      headers: toHeaders(values.headers),
      removeHeaders: values.removed,
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
      <TextInput
        label="Address"
        description="At another address it is discovered at once. What is approved stays so; what differs there is blocked."
        inputMode="url"
        data-autofocus
        {...form.getInputProps("url")}
      />
      <Checkbox
        label="It is at a loopback or private address"
        {...form.getInputProps("private", { type: "checkbox" })}
      />
      {server.headerNames.length > 0 && (
        <Checkbox.Group
          label="Headers that it is sent no more"
          description="At another host a header is sent only if it is given anew."
          {...form.getInputProps("removed")}
        >
          {server.headerNames.map((name) => (
            <Checkbox key={name} mt={4} value={name} label={name} />
          ))}
        </Checkbox.Group>
      )}
      <HeaderFields
        headers={form.values.headers}
        field={(index, part) => form.getInputProps(`headers.${index}.${part}`)}
        onAdd={() => form.insertListItem("headers", nextHeader(form.values.headers))}
        onRemove={(index) => form.removeListItem("headers", index)}
      />
      <TransportFields field={(name) => form.getInputProps(name)} />
      {!form.isDirty() && <Text size="sm">Nothing is changed yet.</Text>}
    </FormModal>
  );
}
