import { Box, Button, Center, Loader, Stack, Text } from "@mantine/core";
import { type ErrorComponentProps, useRouter } from "@tanstack/react-router";
import { pb } from "../paths";
import { ErrorNote } from "./ErrorNote";
import { Page } from "./Page";
import { PageLink } from "./PageLink";

/** Shown while a page loads, after a moment's grace. */
export function PagePending() {
  return (
    <Center mih={200} role="status" aria-label="Loading">
      <Loader />
    </Center>
  );
}

/** Shown instead of a page that could not be loaded. */
export function PageError({ error }: ErrorComponentProps) {
  const router = useRouter();
  return (
    <Stack p="md" align="flex-start">
      <ErrorNote error={error} title="This page could not be loaded" />
      <Button onClick={() => router.invalidate()}>Try again</Button>
    </Stack>
  );
}

export function PageNotFound() {
  return (
    <Box component="main" p="md">
      <Page title="No such page">
        <Text>
          Nothing lives at this address.{" "}
          <PageLink to={pb.overview()} underline="always">
            Go to the overview
          </PageLink>
          .
        </Text>
      </Page>
    </Box>
  );
}
