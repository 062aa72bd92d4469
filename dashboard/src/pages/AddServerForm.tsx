import { Button, Checkbox, Group, PasswordInput, Stack, Text, TextInput } from "@mantine/core";
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

interface Props {
  onDiscovered: (found: { server: Server; report: DiscoveryReport | undefined }) => void;
  onClose: () => void;
}

interface Header {
  id: number;
  name: string;
  value: string;
}

const httpUrl = (value: string) =>
  URL.canParse(value) && /^https?:$/.test(new URL(value).protocol)
    ? null
    : "An http or https address";

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
    initialValues: { name: "", url: "", private: false, headers: [] as Header[] },
    validate: { name: rules.serverName, url: httpUrl, headers: { name: rules.required } },
  });
  return (
    <FormModal
      title="Add a server"
      verb="Add"
      pending={add.isPending}
      error={add.error}
      onSubmit={form.onSubmit(({ headers, ...values }) =>
        add.mutate({ ...values, headers: headers.map(({ name, value }) => ({ name, value })) }),
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
        onAdd={() =>
          form.insertListItem("headers", { id: nextId(form.values.headers), name: "", value: "" })
        }
        onRemove={(index) => form.removeListItem("headers", index)}
      />
      <Text size="sm">What it offers is discovered now, and waits for your approval.</Text>
    </FormModal>
  );
}

function nextId(headers: Header[]): number {
  return Math.max(0, ...headers.map((header) => header.id)) + 1;
}

interface HeaderFieldsProps {
  headers: Header[];
  field: (index: number, part: "name" | "value") => object;
  onAdd: () => void;
  onRemove: (index: number) => void;
}

function HeaderFields({ headers, field, onAdd, onRemove }: HeaderFieldsProps) {
  return (
    <Stack gap="xs" role="group" aria-label="Headers">
      {headers.map(({ id }, index) => (
        <Group key={id} align="flex-end" wrap="nowrap">
          <TextInput
            label={`Header ${index + 1}`}
            placeholder="Authorization"
            {...field(index, "name")}
          />
          <PasswordInput
            label={`Value ${index + 1}`}
            description="Sealed; never shown again."
            autoComplete="off"
            flex={1}
            {...field(index, "value")}
          />
          <Button
            variant="default"
            aria-label={`Remove header ${index + 1}`}
            onClick={() => onRemove(index)}
          >
            Remove
          </Button>
        </Group>
      ))}
      <Button variant="default" size="xs" onClick={onAdd} style={{ alignSelf: "flex-start" }}>
        Add a header
      </Button>
    </Stack>
  );
}
