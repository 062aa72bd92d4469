import { Anchor } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import type { pb } from "../paths";

interface Props {
  to: ReturnType<(typeof pb)[keyof typeof pb]>;
  /** Whether it is the name that the row goes by. */
  bold?: boolean;
  children: ReactNode;
}

/** Opens what a row is about in a drawer; the table behind keeps its place. */
export function RowLink({ to, bold = false, children }: Props) {
  return (
    <Anchor
      size="sm"
      fw={bold ? 700 : undefined}
      renderRoot={(props) => <Link {...props} {...to} resetScroll={false} />}
    >
      {children}
    </Anchor>
  );
}
