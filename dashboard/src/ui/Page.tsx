import { Group, Stack, Title } from "@mantine/core";
import type { ReactNode } from "react";

interface Props {
  title: string;
  /** The page's main action. */
  action?: ReactNode;
  children: ReactNode;
}

/** A page: its title in the window and as the only first heading. */
export function Page({ title, action, children }: Props) {
  return (
    <Stack gap="lg">
      <title>{`${title} · Warder`}</title>
      <Group justify="space-between">
        <Title order={1} size="h2">
          {title}
        </Title>
        {action}
      </Group>
      {children}
    </Stack>
  );
}
