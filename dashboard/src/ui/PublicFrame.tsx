import { Center, Group, Paper, Stack, Text, Title } from "@mantine/core";
import type { ReactNode } from "react";
import { Icon } from "./icons";

/** The frame of the pages that need no sign-in. */
export function PublicFrame({ title, children }: { title: string; children: ReactNode }) {
  return (
    <Center component="main" mih="100vh" p="md">
      <title>{`${title} · Warder`}</title>
      <Paper withBorder p="xl" w="100%" maw={440}>
        <Stack>
          <Group gap="xs">
            <Icon name="shield" size={22} />
            <Text fw={700}>Warder</Text>
          </Group>
          <Title order={1} size="h3">
            {title}
          </Title>
          {children}
        </Stack>
      </Paper>
    </Center>
  );
}
