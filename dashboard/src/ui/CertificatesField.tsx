import { Textarea, type TextareaProps } from "@mantine/core";

/** PEM of the private authorities that sign for something; see fieldRules.certificates. */
export function CertificatesField(props: TextareaProps) {
  return (
    <Textarea
      label="Certificates of its authorities"
      description="PEM, if a private authority signs for it. Empty: those of the system."
      placeholder="-----BEGIN CERTIFICATE-----"
      autosize
      minRows={2}
      maxRows={8}
      spellCheck={false}
      {...props}
    />
  );
}
