import { Button, PasswordInput, Stack, Text, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useQueryClient, useSuspenseQuery } from "@tanstack/react-query";
import { getRouteApi, useRouter } from "@tanstack/react-router";
import * as queries from "../api/queries";
import { useApiMutation } from "../api/useApiMutation";
import { LoginService } from "../gen/warder/admin/v1/login_pb";
import { safeReturn } from "../paths";
import { ErrorNote } from "../ui/ErrorNote";
import * as rules from "../ui/fieldRules";
import { PublicFrame } from "../ui/PublicFrame";

const route = getRouteApi("/login");

export function LoginPage() {
  const { transport } = route.useRouteContext();
  const { data: health } = useSuspenseQuery(queries.health(transport));
  return (
    <PublicFrame title="Sign in">
      {health.setupNeeded && (
        <Text>
          No administrator exists yet. Open the setup link that Warder printed when it started.
        </Text>
      )}
      <LoginForm />
    </PublicFrame>
  );
}

function LoginForm() {
  const { next } = route.useSearch();
  const router = useRouter();
  const queryClient = useQueryClient();
  const signIn = useApiMutation(LoginService.method.signIn, {
    changesSession: true,
    onSuccess: () => {
      queryClient.clear();
      router.history.push(safeReturn(next));
    },
  });
  const form = useForm({
    initialValues: { name: "", password: "" },
    validate: { name: rules.required, password: rules.required },
  });
  return (
    <form onSubmit={form.onSubmit((values) => signIn.mutate(values))}>
      <Stack>
        <TextInput
          label="Name"
          autoComplete="username"
          autoCapitalize="none"
          {...form.getInputProps("name")}
        />
        <PasswordInput
          label="Password"
          autoComplete="current-password"
          {...form.getInputProps("password")}
        />
        <ErrorNote error={signIn.error} title="You are not signed in" />
        <Button type="submit" loading={signIn.isPending}>
          Sign in
        </Button>
      </Stack>
    </form>
  );
}
