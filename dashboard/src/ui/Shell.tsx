import { useSuspenseQuery, useTransport } from "@connectrpc/connect-query";
import {
  AppShell,
  Badge,
  Burger,
  Button,
  Group,
  NavLink,
  SegmentedControl,
  Stack,
  Text,
  useMantineColorScheme,
} from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { notifications } from "@mantine/notifications";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, Outlet, useRouter } from "@tanstack/react-router";
import * as queries from "../api/queries";
import { useApiMutation } from "../api/useApiMutation";
import { LoginService } from "../gen/warder/admin/v1/login_pb";
import { pb } from "../paths";
import { Icon } from "./icons";
import { PageLink } from "./PageLink";

const pages = [
  ["Overview", pb.overview()],
  ["Servers", pb.servers()],
  ["Tools", pb.tools()],
  ["Alerts", pb.alerts()],
  ["Fleet", pb.fleet()],
  ["Access", pb.access()],
  ["Trust", pb.trust()],
  ["Policy", pb.policy()],
  ["Audit", pb.audit()],
] as const;

/** The frame of every page behind the sign-in. */
export function Shell() {
  const [opened, { toggle, close }] = useDisclosure();
  return (
    <AppShell
      header={{ height: 52 }}
      navbar={{ width: 190, breakpoint: "sm", collapsed: { mobile: !opened } }}
      padding="md"
    >
      <a className="skip-link" href="#main">
        Skip to content
      </a>
      <AppShell.Header>
        <Group h="100%" px="md" justify="space-between" wrap="nowrap">
          <Group gap="xs" wrap="nowrap">
            <Burger opened={opened} onClick={toggle} hiddenFrom="sm" size="sm" aria-label="Menu" />
            <Icon name="shield" size={22} />
            <Text fw={700}>Warder</Text>
          </Group>
          <Account />
        </Group>
      </AppShell.Header>
      <AppShell.Navbar p="xs" component="nav" aria-label="Pages">
        <Stack justify="space-between" h="100%">
          <div>
            {pages.map(([label, link]) => (
              <NavLink
                key={label}
                label={label}
                rightSection={label === "Alerts" && <OpenAlerts />}
                variant="filled"
                onClick={close}
                renderRoot={(props) => (
                  <Link
                    {...props}
                    {...link}
                    activeOptions={{ exact: link.to === "/", includeSearch: false }}
                    activeProps={{ "data-active": true }}
                  />
                )}
              />
            ))}
          </div>
          <SchemeControl />
        </Stack>
      </AppShell.Navbar>
      <AppShell.Main id="main" tabIndex={-1}>
        <Outlet />
      </AppShell.Main>
    </AppShell>
  );
}

/** How many alerts are open. It says nothing while it does not know. */
function OpenAlerts() {
  const { data } = useQuery({
    ...queries.alerts(useTransport(), false),
    refetchInterval: queries.alertsInterval,
  });
  const open = data?.alerts.length ?? 0;
  return (
    open > 0 && (
      <Badge component="span" size="sm" color="red" variant="filled" tt="none">
        {open} open
      </Badge>
    )
  );
}

function Account() {
  const { data: me } = useSuspenseQuery(LoginService.method.whoAmI, {});
  const queryClient = useQueryClient();
  const router = useRouter();
  const signOut = useApiMutation(LoginService.method.signOut, {
    changesSession: true,
    onSuccess: async () => {
      // First away from the page, or it would ask again for what is cleared.
      await router.navigate(pb.login());
      queryClient.clear();
      notifications.clean(); // What was done is nothing for whoever signs in next.
    },
  });
  return (
    <Group gap="xs" wrap="nowrap">
      <PageLink to={pb.account()} size="sm" truncate maw={200} title="Your account">
        {me.name}
      </PageLink>
      <Button
        size="xs"
        variant="default"
        loading={signOut.isPending}
        onClick={() => signOut.mutate({})}
      >
        Sign out
      </Button>
    </Group>
  );
}

function SchemeControl() {
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  return (
    <SegmentedControl
      aria-label="Colours"
      size="xs"
      fullWidth
      value={colorScheme}
      onChange={(value) => setColorScheme(value)}
      data={[
        { value: "auto", label: "Auto" },
        { value: "light", label: "Light" },
        { value: "dark", label: "Dark" },
      ]}
    />
  );
}
