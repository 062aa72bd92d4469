import { Button, Stack, Title } from "@mantine/core";
import { useSuspenseQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { useState } from "react";
import * as queries from "../api/queries";
import { Facts } from "../ui/Facts";
import { Page } from "../ui/Page";
import { Permissions } from "../ui/Permissions";
import { PasswordForm } from "./PasswordForm";
import { SessionsTable } from "./SessionsTable";

const route = getRouteApi("/signed-in/account");

/** Who is signed in: what he may do here, his password, his sessions. */
export function AccountPage() {
  const { transport } = route.useRouteContext();
  const { data: me } = useSuspenseQuery(queries.whoAmI(transport));
  const { data } = useSuspenseQuery(queries.sessions(transport, ""));
  const [changing, setChanging] = useState(false);
  return (
    <Page
      title="Your account"
      action={<Button onClick={() => setChanging(true)}>Change your password</Button>}
    >
      <Facts
        rows={[
          ["Name", me.name],
          ["Roles", me.roles.join(", ") || "none"],
          [
            "Permissions",
            <Permissions
              key="permissions"
              names={me.permissions}
              none="none: your roles let you do nothing here"
            />,
          ],
        ]}
      />
      <Stack gap="xs" component="section">
        <Title order={2} size="h4">
          Your sessions
        </Title>
        <SessionsTable sessions={data.sessions} />
      </Stack>
      {changing && (
        <PasswordForm
          user={{ name: me.name, hasPassword: true }}
          own
          onClose={() => setChanging(false)}
        />
      )}
    </Page>
  );
}
