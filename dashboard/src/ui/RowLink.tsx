import type { ReactNode } from "react";
import type { PageAddress } from "../paths";
import { PageLink } from "./PageLink";

interface Props {
  to: PageAddress;
  /** Whether it is the name that the row goes by. */
  bold?: boolean;
  children: ReactNode;
}

/** Opens what a row is about in a drawer; the table behind keeps its place. */
export function RowLink({ bold = false, ...link }: Props) {
  return <PageLink size="sm" fw={bold ? 700 : undefined} resetScroll={false} {...link} />;
}
