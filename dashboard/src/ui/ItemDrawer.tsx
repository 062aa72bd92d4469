import { Drawer, Group, Stack, Text } from "@mantine/core";
import { type ReactNode, useState } from "react";
import type { Permission } from "../api/useLacks";
import { VisibleText } from "../text/VisibleText";
import { ActButton } from "./ActButton";

interface SideProps {
  name: string;
  /** What stands there if nothing has the name. */
  missing: string;
  onClose: () => void;
  /** Absent: nothing has the name. */
  children: ReactNode | undefined;
}

/** One thing of a list, at the side, under its name. */
export function SideDrawer({ name, missing, onClose, children }: SideProps) {
  return (
    <Drawer opened onClose={onClose} size="xl" title={<VisibleText text={name} />}>
      {children === undefined ? <Text>{missing}</Text> : <Stack>{children}</Stack>}
    </Drawer>
  );
}

interface ChangesProps {
  /** The permission that changing and removing need. */
  needs: Permission;
  change: (onClose: () => void) => ReactNode;
  remove: (onClose: () => void) => ReactNode;
}

/** The buttons that change and remove a thing, and what they open. */
export function Changes({ needs, change, remove }: ChangesProps) {
  const [act, setAct] = useState<"change" | "remove">();
  const done = () => setAct(undefined);
  return (
    <Group gap="xs">
      <ActButton needs={needs} size="xs" variant="default" onClick={() => setAct("change")}>
        Change
      </ActButton>
      <ActButton needs={needs} size="xs" variant="default" onClick={() => setAct("remove")}>
        Remove
      </ActButton>
      {act === "change" && change(done)}
      {act === "remove" && remove(done)}
    </Group>
  );
}
