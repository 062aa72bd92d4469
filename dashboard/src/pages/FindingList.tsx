import { Card, Code, Group, Stack, Text } from "@mantine/core";
import type { Finding } from "../gen/warder/admin/v1/tool_pb";
import { VisibleText } from "../text/VisibleText";
import { SeverityBadge } from "../ui/badges";
import { hardFirst, isHard } from "./scan";

/** What the scanner found, the worst first: what, where and in which words. */
export function FindingList({ findings }: { findings: readonly Finding[] }) {
  return (
    <Stack gap="xs" component="ul" p={0} m={0} style={{ listStyle: "none" }}>
      {hardFirst(findings).map((finding, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: two findings may say the same.
        <Card key={index} component="li" withBorder padding="xs">
          <Stack gap={4}>
            <Group gap="xs">
              <SeverityBadge hard={isHard(finding)} />
              <Text size="sm" fw={600}>
                {finding.check}
              </Text>
            </Group>
            <Text size="sm" component="div">
              <VisibleText text={finding.explanation} />
            </Text>
            <Place path={finding.path} />
            {finding.excerpt !== "" && (
              <Code block>
                <VisibleText text={finding.excerpt} />
              </Code>
            )}
          </Stack>
        </Card>
      ))}
    </Stack>
  );
}

/** Where in a definition: its JSON pointer, whose words are the server's. */
export function Place({ path }: { path: string }) {
  return (
    <Text size="sm" component="div">
      {path === "" ? (
        "In the definition as a whole"
      ) : (
        <>
          At{" "}
          <Code>
            <VisibleText text={path} />
          </Code>
        </>
      )}
    </Text>
  );
}
