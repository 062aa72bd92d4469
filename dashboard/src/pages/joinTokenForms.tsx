import { Autocomplete, Select, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import * as queries from "../api/queries";
import { useApiMutation } from "../api/useApiMutation";
import { EnrollmentService } from "../gen/warder/admin/v1/agent_pb";
import { FormModal } from "../ui/FormModal";
import * as rules from "../ui/fieldRules";
import { joinTokenLifetimes, lasting } from "./lifetime";
import { NewJoinToken } from "./NewJoinToken";

const route = getRouteApi("/signed-in/fleet");

const kinds = [
  { value: "agent", label: "An agent, beside servers" },
  { value: "node", label: "A node, which serves clients" },
];

/** Makes a join token, and shows it once. */
export function CreateJoinToken({ onClose }: { onClose: () => void }) {
  const { transport } = route.useRouteContext();
  const { data: nodes } = useQuery(queries.nodes(transport));
  const { data: agents } = useQuery(queries.agents(transport));
  const create = useApiMutation(EnrollmentService.method.createJoinToken);
  const form = useForm({
    initialValues: { kind: "agent", name: "", region: "", life: "15" },
    validate: { name: rules.peerName, region: rules.region },
  });
  if (create.data?.joinToken !== undefined) {
    return (
      <NewJoinToken
        joinToken={create.data.joinToken}
        secret={create.data.token}
        controlPlane={create.data.controlPlane}
        onClose={onClose}
      />
    );
  }
  const regions = [...(nodes?.nodes ?? []), ...(agents?.agents ?? [])].map(({ region }) => region);
  return (
    <FormModal
      title="Create a join token"
      verb="Create"
      pending={create.isPending}
      error={create.error}
      onSubmit={form.onSubmit(({ life, ...values }) =>
        create.mutate({ ...values, life: lasting(life) }),
      )}
      onClose={onClose}
    >
      <Select
        label="What joins"
        data={kinds}
        allowDeselect={false}
        {...form.getInputProps("kind")}
      />
      <TextInput
        label="Name"
        description="Its certificate carries it. One that was let in before is let in again."
        data-autofocus
        {...form.getInputProps("name")}
      />
      <Autocomplete
        label="Region"
        description="A word of yours: agents choose nodes of their own region first. May be empty."
        data={[...new Set(regions.filter((region) => region !== ""))]}
        {...form.getInputProps("region")}
      />
      <Select
        label="Good for"
        data={joinTokenLifetimes}
        allowDeselect={false}
        {...form.getInputProps("life")}
      />
    </FormModal>
  );
}
