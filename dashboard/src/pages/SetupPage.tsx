import { Button, PasswordInput, Stack, Text, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useQueryClient, useSuspenseQuery } from "@tanstack/react-query";
import { getRouteApi, useRouter } from "@tanstack/react-router";
import * as queries from "../api/queries";
import { useApiMutation } from "../api/useApiMutation";
import { LoginService } from "../gen/warder/admin/v1/login_pb";
import { pb } from "../paths";
import { ErrorNote } from "../ui/ErrorNote";
import * as rules from "../ui/fieldRules";
import { PageLink } from "../ui/PageLink";
import { PublicFrame } from "../ui/PublicFrame";

const route = getRouteApi("/setup");

export function SetupPage() {
  const { transport } = route.useRouteContext();
  const { data: health } = useSuspenseQuery(queries.health(transport));
  if (!health.setupNeeded) {
    return (
      <PublicFrame title="Warder is set up">
        <Text>
          The first administrator exists.{" "}
          <PageLink to={pb.login()} underline="always">
            Sign in
          </PageLink>
          .
        </Text>
      </PublicFrame>
    );
  }
  return (
    <PublicFrame title="Create the first administrator">
      <SetupForm />
    </PublicFrame>
  );
}

function SetupForm() {
  const { setupToken } = route.useRouteContext();
  const router = useRouter();
  const queryClient = useQueryClient();
  const setUp = useApiMutation(LoginService.method.setUp, {
    changesSession: true,
    onSuccess: () => {
      queryClient.clear();
      void router.navigate(pb.overview());
    },
  });
  const form = useForm({
    initialValues: { token: setupToken, name: "", password: "" },
    validate: { token: rules.required, name: rules.userName, password: rules.newPassword },
  });
  return (
    <form onSubmit={form.onSubmit((values) => setUp.mutate(values))}>
      <Stack>
        {setupToken === "" && (
          <PasswordInput
            label="Setup token"
            description="It begins with wds_ and was printed when Warder started; opening the printed link fills it in."
            autoComplete="off"
            {...form.getInputProps("token")}
          />
        )}
        <TextInput
          label="Name"
          description="An e-mail address or a short name."
          autoComplete="username"
          autoCapitalize="none"
          {...form.getInputProps("name")}
        />
        <PasswordInput
          label="Password"
          description={`At least ${rules.minPasswordLength} characters.`}
          autoComplete="new-password"
          {...form.getInputProps("password")}
        />
        <ErrorNote error={setUp.error} />
        <Button type="submit" loading={setUp.isPending}>
          Create administrator
        </Button>
      </Stack>
    </form>
  );
}
