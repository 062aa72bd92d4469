import { Button, Divider, PasswordInput, Stack, Text, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useQuery, useQueryClient, useSuspenseQuery } from "@tanstack/react-query";
import { getRouteApi, useRouter } from "@tanstack/react-router";
import * as queries from "../api/queries";
import { useApiMutation } from "../api/useApiMutation";
import { LoginService } from "../gen/warder/admin/v1/login_pb";
import { safeReturn } from "../paths";
import { VisibleText } from "../text/VisibleText";
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
      <Providers />
    </PublicFrame>
  );
}

/** A button for each provider; they are links, since the browser itself has to go there. */
function Providers() {
  const { transport } = route.useRouteContext();
  const { next } = route.useSearch();
  // Who has a password signs in whether or not this answers.
  const { data } = useQuery(queries.signOns(transport));
  if (data === undefined || data.providers.length === 0) {
    return null;
  }
  return (
    <Stack>
      <Divider label="or" />
      {data.providers.map(({ name, title, path }) => (
        <Button
          key={name}
          component="a"
          href={`${path}?${new URLSearchParams({ next: safeReturn(next) })}`}
          variant="default"
        >
          <span>
            Sign in with <VisibleText text={title} />
          </span>
        </Button>
      ))}
    </Stack>
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
