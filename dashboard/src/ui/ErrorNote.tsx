import { ConnectError } from "@connectrpc/connect";
import { Alert } from "@mantine/core";
import { VisibleText } from "../text/VisibleText";
import { Icon } from "./icons";

interface Props {
  /** Nothing is shown for null and undefined. */
  error: unknown;
  title?: string;
}

/** In a long form it would stand where nobody looks. */
function intoView(note: HTMLElement | null) {
  note?.scrollIntoView({ block: "nearest" });
}

/** Says what went wrong, where it went wrong, and tells screen readers. */
export function ErrorNote({ error, title = "That did not work" }: Props) {
  if (error === null || error === undefined) {
    return null;
  }
  return (
    <Alert ref={intoView} role="alert" color="red" title={title} icon={<Icon name="changed" />}>
      <VisibleText text={ConnectError.from(error).rawMessage} />
    </Alert>
  );
}
