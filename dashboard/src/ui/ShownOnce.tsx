import { Button, Group, Modal, Stack, TextInput } from "@mantine/core";
import type { ReactNode } from "react";
import { CopyButton } from "./CopyButton";

interface Props {
  title: string;
  /** The word on the button that ends it. */
  done: string;
  onClose: () => void;
  children: ReactNode;
}

/** A dialog about a secret that is in no other answer, with what to do with it. */
export function ShownOnce({ title, done, onClose, children }: Props) {
  return (
    <Modal
      opened
      onClose={onClose}
      title={title}
      size="lg"
      // A click beside the dialog must not lose what is shown once.
      closeOnClickOutside={false}
    >
      <Stack>
        {children}
        <Group justify="flex-end">
          <Button onClick={onClose}>{done}</Button>
        </Group>
      </Stack>
    </Modal>
  );
}

interface SecretProps {
  label: string;
  value: string;
  /** The words on the button that copies it. */
  copy: string;
}

/** The secret itself, to be copied. */
export function Secret({ label, value, copy }: SecretProps) {
  return (
    <Group wrap="nowrap" align="flex-end">
      <TextInput
        label={label}
        value={value}
        readOnly
        flex={1}
        data-autofocus
        onFocus={(event) => event.currentTarget.select()}
      />
      <CopyButton value={value} label={copy} />
    </Group>
  );
}
