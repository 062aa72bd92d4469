import { MultiSelect, SimpleGrid, TagsInput, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useApiMutation } from "../api/useApiMutation";
import { type Issuer, IssuerService } from "../gen/warder/admin/v1/issuer_pb";
import { CertificatesField } from "../ui/CertificatesField";
import { FormModal } from "../ui/FormModal";
import { PrivateField } from "../ui/PrivateField";
import { GroupRoleFields } from "./groupRoles";
import { algorithms, issuerRules, issuerValues, toIssuer } from "./issuerFields";

interface Props {
  /** Absent: a new one. */
  issuer?: Issuer;
  onClose: () => void;
}

/** Adds an issuer, or replaces one. */
export function IssuerForm({ issuer, onClose }: Props) {
  const told = {
    done: ({ issuer }: { issuer?: Issuer }) => `Tokens of ${issuer?.name} are trusted`,
    onSuccess: onClose,
  };
  const add = useApiMutation(IssuerService.method.addIssuer, told);
  const update = useApiMutation(IssuerService.method.updateIssuer, told);
  const save = issuer === undefined ? add : update;
  const form = useForm({ initialValues: issuerValues(issuer), validate: issuerRules });
  return (
    <FormModal
      title={issuer === undefined ? "Add an issuer" : `Change ${issuer.name}`}
      verb={issuer === undefined ? "Add" : "Change"}
      pending={save.isPending}
      error={save.error}
      onSubmit={form.onSubmit((values) => save.mutate({ issuer: toIssuer(values) }))}
      onClose={onClose}
    >
      {issuer === undefined && (
        <TextInput label="Name" data-autofocus {...form.getInputProps("name")} />
      )}
      <TextInput
        label="URL"
        description="Exactly as in the claim iss of its tokens. Its keys are fetched at once."
        inputMode="url"
        {...form.getInputProps("url")}
      />
      <TagsInput
        label="Audiences"
        description="A token must have one of them, each ended by Enter. Empty: the URL of the endpoint that is called."
        {...form.getInputProps("audiences")}
      />
      <TextInput
        label="User prefix"
        description="Stands before the names of its users, for example corp: with the colon. Without one that no name here can have, its tokens can name any user here."
        {...form.getInputProps("userPrefix")}
      />
      <SimpleGrid cols={{ base: 1, xs: 3 }}>
        <TextInput label="User claim" {...form.getInputProps("userClaim")} />
        <TextInput label="Groups claim" placeholder="none" {...form.getInputProps("groupsClaim")} />
        <TextInput
          label="Application claim"
          placeholder="client_id or azp"
          {...form.getInputProps("applicationClaim")}
        />
      </SimpleGrid>
      <GroupRoleFields form={form} />
      <SimpleGrid cols={{ base: 1, xs: 2 }}>
        <MultiSelect label="Algorithms" data={algorithms} {...form.getInputProps("algorithms")} />
        <TagsInput
          label="Scopes"
          placeholder="those that clients are told to ask for"
          {...form.getInputProps("scopes")}
        />
      </SimpleGrid>
      <TextInput
        label="Address of its keys"
        description="Empty: found by its metadata."
        inputMode="url"
        {...form.getInputProps("jwksUrl")}
      />
      <PrivateField {...form.getInputProps("private", { type: "checkbox" })} />
      <CertificatesField {...form.getInputProps("caCertificates")} />
    </FormModal>
  );
}
