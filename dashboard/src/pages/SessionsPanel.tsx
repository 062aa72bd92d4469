import { Stack, Text } from "@mantine/core";
import { useSuspenseQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import * as queries from "../api/queries";
import { useLacks } from "../api/useLacks";
import { pb } from "../paths";
import { PageLink } from "../ui/PageLink";
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
      <PageLink to={pb.account()} size="sm" underline="always">
        See your own
      </PageLink>
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
