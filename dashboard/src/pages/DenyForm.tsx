import { Alert, Select, Textarea, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useApiMutation } from "../api/useApiMutation";
import { DenialService } from "../gen/warder/admin/v1/denial_pb";
import { type DenialKind, denialKinds } from "../paths";
import { FormModal } from "../ui/FormModal";
import { Icon } from "../ui/icons";
import { named, nameHints } from "./denials";
import { denialLifetimes, forever, lasting } from "./lifetime";

/** Denies something at once and everywhere. */
export function DenyForm({ onClose }: { onClose: () => void }) {
  const add = useApiMutation(DenialService.method.addDenial, {
    done: ({ denial }) => `Denied: ${denial && named(denial)}`,
    onSuccess: onClose,
  });
  const form = useForm({
    initialValues: { kind: "user" as DenialKind, name: "", reason: "", lifetime: forever },
    validate: {
      name: (name, { kind }) => (kind !== "all" && name.trim() === "" ? "Needed" : null),
    },
  });
  const { kind } = form.values;
  return (
    <FormModal
      title="Deny something"
      verb={kind === "all" ? "Deny everything" : "Deny"}
      pending={add.isPending}
      error={add.error}
      onSubmit={form.onSubmit(({ kind, name, reason, lifetime }) =>
        add.mutate({
          kind,
          name: kind === "all" ? "" : name.trim(),
          reason,
          expiresIn: lasting(lifetime),
        }),
      )}
      onClose={onClose}
    >
      <Select
        label="Kind"
        data={denialKinds}
        allowDeselect={false}
        data-autofocus
        {...form.getInputProps("kind")}
      />
      {kind === "all" ? (
        <Alert color="red" title="Everything stops" icon={<Icon name="changed" />}>
          Every call of everybody is refused on every connected node, until this is lifted.
        </Alert>
      ) : (
        <TextInput
          label="Name"
          description={nameHints[kind]}
          autoComplete="off"
          {...form.getInputProps("name")}
        />
      )}
      <Textarea
        label="Reason"
        description="Kept in the audit, and shown to whom it hits."
        maxLength={1000}
        {...form.getInputProps("reason")}
      />
      <Select
        label="For"
        data={denialLifetimes}
        allowDeselect={false}
        {...form.getInputProps("lifetime")}
      />
    </FormModal>
  );
}
