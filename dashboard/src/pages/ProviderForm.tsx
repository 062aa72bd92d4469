import { Checkbox, PasswordInput, SimpleGrid, TagsInput, Text, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useApiMutation } from "../api/useApiMutation";
import { type Provider, ProviderService } from "../gen/warder/admin/v1/provider_pb";
import { CertificatesField } from "../ui/CertificatesField";
import { FormModal } from "../ui/FormModal";
import { PrivateField } from "../ui/PrivateField";
import { GroupRoleFields } from "./groupRoles";
import { changedSecret, providerRules, providerValues, toProvider } from "./providerFields";

interface Props {
  /** Absent: a new one. */
  provider?: Provider;
  /** Told what to register at a provider that was added. */
  onAdded?: (redirectUrl: string) => void;
  onClose: () => void;
}

/** Adds a provider, or replaces one but for its URL. */
export function ProviderForm({ provider, onAdded, onClose }: Props) {
  const add = useApiMutation(ProviderService.method.addProvider, {
    onSuccess: ({ redirectUrl }) => {
      onClose();
      onAdded?.(redirectUrl);
    },
  });
  const update = useApiMutation(ProviderService.method.updateProvider, {
    done: () => `${provider?.name} is changed`,
    onSuccess: onClose,
  });
  const added = provider === undefined;
  const form = useForm({ initialValues: providerValues(provider), validate: providerRules });
  const submit = (values: typeof form.values) =>
    added
      ? add.mutate({ provider: toProvider(values), clientSecret: values.clientSecret })
      : update.mutate({ provider: toProvider(values), clientSecret: changedSecret(values) });
  return (
    <FormModal
      title={added ? "Add a provider" : `Change ${provider.name}`}
      verb={added ? "Add" : "Change"}
      pending={add.isPending || update.isPending}
      error={add.error ?? update.error}
      onSubmit={form.onSubmit(submit)}
      onClose={onClose}
    >
      {added && (
        <SimpleGrid cols={{ base: 1, xs: 2 }}>
          <TextInput label="Name" data-autofocus {...form.getInputProps("name")} />
          <TextInput label="URL of the issuer" inputMode="url" {...form.getInputProps("url")} />
        </SimpleGrid>
      )}
      <TextInput
        label="Title"
        description="What the button on the sign-in page says. Empty: the name."
        maxLength={64}
        {...form.getInputProps("title")}
      />
      <TextInput label="Client id" autoComplete="off" {...form.getInputProps("clientId")} />
      <PasswordInput
        label="Client secret"
        description={
          provider?.hasClientSecret
            ? "Empty: as it is. Sealed; never shown again."
            : "Empty: a public client. Sealed; never shown again."
        }
        autoComplete="off"
        disabled={form.values.noSecret}
        {...form.getInputProps("clientSecret")}
      />
      {provider?.hasClientSecret && (
        <Checkbox
          label="Forget the secret: it is a public client"
          {...form.getInputProps("noSecret", { type: "checkbox" })}
        />
      )}
      <TagsInput
        label="Scopes"
        description="Asked for beside openid, each ended by Enter."
        {...form.getInputProps("scopes")}
      />
      <SimpleGrid cols={{ base: 1, xs: 2 }}>
        <TextInput
          label="User claim"
          placeholder="preferred_username"
          {...form.getInputProps("userClaim")}
        />
        <TextInput
          label="Groups claim"
          placeholder="groups"
          {...form.getInputProps("groupsClaim")}
        />
      </SimpleGrid>
      <Text size="sm">Who is in none of these groups may not sign in:</Text>
      <GroupRoleFields form={form} />
      <PrivateField {...form.getInputProps("private", { type: "checkbox" })} />
      <CertificatesField {...form.getInputProps("caCertificates")} />
    </FormModal>
  );
}
