import { Anchor, type AnchorProps } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import type { ComponentPropsWithoutRef } from "react";
import type { PageAddress } from "../paths";

type Props = AnchorProps &
  Omit<ComponentPropsWithoutRef<"a">, keyof AnchorProps | "href"> & {
    to: PageAddress;
    /** False: what is there already stays where it was scrolled to. */
    resetScroll?: boolean;
  };

/** A link to a page of the dashboard. */
export function PageLink({ to, resetScroll = true, ...props }: Props) {
  return (
    <Anchor
      {...props}
      renderRoot={(root) => <Link {...root} {...to} resetScroll={resetScroll} />}
    />
  );
}
