import { Anchor, Stack, Text } from "@mantine/core";
import { useSuspenseQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import * as queries from "../api/queries";
import { useLacks } from "../api/useLacks";
import { pb } from "../paths";
import { AccessFilter } from "./AccessFilter";
import { SessionsTable } from "./SessionsTable";

const route = getRouteApi("/signed-in/access");

/** Who is signed in to the administration. */
export function SessionsPanel() {
  const lacks = useLacks("users:write");
  if (lacks === undefined) {
    return <Everybody />;
  }
  return (
    <Text size="sm">
      {`Only your own sessions are yours to see. ${lacks} `}
      <Anchor
        size="sm"
        underline="always"
        renderRoot={(props) => <Link {...props} {...pb.account()} />}
      >
        See your own
      </Anchor>
    </Text>
  );
}

function Everybody() {
  const { transport } = route.useRouteContext();
  const { data } = useSuspenseQuery(queries.sessions(transport, "*"));
  const { q = "" } = route.useSearch();
  const found = data.sessions.filter(({ user, address }) =>
    [user, address].some((text) => text.toLowerCase().includes(q.toLowerCase())),
  );
  return (
    <Stack align="stretch">
      <AccessFilter label="Part of the user or the address" />
      <SessionsTable sessions={found} ofEverybody />
    </Stack>
  );
}
