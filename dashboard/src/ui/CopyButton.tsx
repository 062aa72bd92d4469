import { Button, CopyButton as MantineCopyButton } from "@mantine/core";
import { Icon } from "./icons";

/** Copies a text, and says so. */
export function CopyButton({ value, label = "Copy" }: { value: string; label?: string }) {
  return (
    <MantineCopyButton value={value} timeout={2000}>
      {({ copied, copy }) => (
        <Button
          size="xs"
          variant="default"
          onClick={copy}
          leftSection={copied && <Icon name="allow" />}
        >
          <span aria-live="polite">{copied ? "Copied" : label}</span>
        </Button>
      )}
    </MantineCopyButton>
  );
}
