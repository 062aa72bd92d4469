import { Text, Textarea } from "@mantine/core";
import { type ReactNode, useState } from "react";
import { FormModal } from "./FormModal";

interface Props {
  title: string;
  /** What will happen, in a sentence. */
  explanation: string;
  /** The word on the button. */
  verb: string;
  /** Whether the act takes a reason, which is kept in the audit. */
  withReason?: boolean;
  pending: boolean;
  error: unknown;
  onConfirm: (reason: string) => void;
  onClose: () => void;
  /** What else to know before. */
  children?: ReactNode;
}

/** Asks once more before an act, and for its reason. Mount it to open it. */
export function ReasonModal({
  explanation,
  withReason = false,
  onConfirm,
  children,
  ...form
}: Props) {
  const [reason, setReason] = useState("");
  return (
    <FormModal
      {...form}
      onSubmit={(event) => {
        event.preventDefault();
        onConfirm(reason);
      }}
    >
      <Text>{explanation}</Text>
      {children}
      {withReason && (
        <Textarea
          label="Reason"
          description="Kept in the audit."
          maxLength={1000}
          data-autofocus
          value={reason}
          onChange={(event) => setReason(event.currentTarget.value)}
        />
      )}
    </FormModal>
  );
}
