import { Button, type ButtonProps, Tooltip, VisuallyHidden } from "@mantine/core";
import { type ComponentPropsWithoutRef, useId } from "react";
import { type Permission, useLacks } from "../api/useLacks";

type Props = ButtonProps &
  Omit<ComponentPropsWithoutRef<"button">, keyof ButtonProps> & {
    needs: Permission;
    /** Why the act makes no sense now; undefined if it does. */
    unless?: string;
  };

/**
 * A button for an act that needs a permission. Where it can do nothing it stays in
 * its place, can be reached by keyboard, and says why.
 */
export function ActButton({ needs, unless, children, ...props }: Props) {
  const id = useId();
  const reason = useLacks(needs) ?? unless;
  if (reason === undefined) {
    return <Button {...props}>{children}</Button>;
  }
  return (
    <>
      <Tooltip
        label={reason}
        multiline
        maw={300}
        events={{ hover: true, focus: true, touch: true }}
      >
        <Button
          {...props}
          type="button"
          data-disabled
          aria-disabled="true"
          aria-describedby={id}
          onClick={(event) => event.preventDefault()}
        >
          {children}
        </Button>
      </Tooltip>
      <VisuallyHidden id={id}>{reason}</VisuallyHidden>
    </>
  );
}
