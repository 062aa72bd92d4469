import { Checkbox, PasswordInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useApiMutation } from "../api/useApiMutation";
import { type User, UserService } from "../gen/warder/admin/v1/user_pb";
import { FormModal } from "../ui/FormModal";
import * as rules from "../ui/fieldRules";

interface Props {
  user: Pick<User, "name" | "hasPassword">;
  /** Who sets his own gives the old one, and cannot take it away. */
  own?: boolean;
  onClose: () => void;
}

/** Sets somebody's password, or takes it away. */
export function PasswordForm({ user: { name, hasPassword }, own = false, onClose }: Props) {
  const set = useApiMutation(UserService.method.setPassword, {
    done: () => (own ? "Your password is changed" : `The password of ${name} is changed`),
    onSuccess: onClose,
  });
  const form = useForm({
    initialValues: { oldPassword: "", newPassword: "", none: false },
    validate: {
      oldPassword: (value) => (own ? rules.required(value) : null),
      newPassword: (value, { none }) => (none ? null : rules.newPassword(value)),
    },
  });
  return (
    <FormModal
      title={own ? "Change your password" : `Set the password of ${name}`}
      verb={own ? "Change" : "Set"}
      pending={set.isPending}
      error={set.error}
      onSubmit={form.onSubmit(({ oldPassword, newPassword, none }) =>
        set.mutate({ name, oldPassword, newPassword: none ? "" : newPassword }),
      )}
      onClose={onClose}
    >
      {own && (
        <PasswordInput
          label="Password until now"
          autoComplete="current-password"
          data-autofocus
          {...form.getInputProps("oldPassword")}
        />
      )}
      <PasswordInput
        label="New password"
        description={
          own ? "Your other sessions end." : "The sessions of the user end. Give it to him safely."
        }
        autoComplete="new-password"
        data-autofocus={!own || undefined}
        disabled={form.values.none}
        {...form.getInputProps("newPassword")}
      />
      {!own && hasPassword && (
        <Checkbox
          label="Take the password away"
          description="He cannot sign in by it any more."
          {...form.getInputProps("none", { type: "checkbox" })}
        />
      )}
    </FormModal>
  );
}
