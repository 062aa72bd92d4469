import { Checkbox, type CheckboxProps } from "@mantine/core";

/** Whether something may lie where only this machine, or this network, reaches it. */
export function PrivateField(props: CheckboxProps) {
  return <Checkbox label="It is at a loopback or private address" {...props} />;
}
