// What the forms that add a server and that change one have in common.

import { type Duration, durationFromMs } from "@bufbuild/protobuf/wkt";
import { Button, Group, NumberInput, PasswordInput, Stack, TextInput } from "@mantine/core";
import * as rules from "../ui/fieldRules";
import type { RowsForm } from "../ui/rowsForm";

/** A header or a variable as it is typed. What it is before is never shown. */
export interface Secret {
  id: number;
  name: string;
  value: string;
}

/** How a server is spoken to, as it is typed. Empty: as usual. */
export interface Transport {
  caCertificates: string;
  /** Seconds. */
  callTimeout: number | "";
  maxInFlight: number | "";
}

export const usualTransport: Transport = { caCertificates: "", callTimeout: "", maxInFlight: "" };

/** proto/warder/admin/v1/server.proto has the same bounds. */
const between = (least: number, most: number, unit: string) => (value: number | "") =>
  value === "" || (value >= least && value <= most) ? null : `From ${least} to ${most} ${unit}`;

export const serverRules = {
  url: rules.httpUrl,
  headers: { name: rules.required },
  caCertificates: rules.certificates,
  callTimeout: between(0.001, 3600, "seconds"),
  maxInFlight: between(1, 100_000, "calls"),
};

/** The API's form of a typed number of seconds; undefined: as usual. */
export function toDuration(seconds: number | ""): Duration | undefined {
  return seconds === "" ? undefined : durationFromMs(Math.round(seconds * 1000));
}

export const toHeaders = (headers: Secret[]) =>
  headers.map(({ name, value }) => ({ name: name.trim(), value: value.trim() }));

/** Values of variables are taken as they are: white space may belong to them. */
export const toVariables = (variables: Secret[]) =>
  variables.map(({ name, value }) => ({ name: name.trim(), value }));

export const nextSecret = (secrets: Secret[]): Secret => ({
  id: Math.max(0, ...secrets.map((secret) => secret.id)) + 1,
  name: "",
  value: "",
});

const secretWords = {
  headers: { kind: "header", one: "Header", all: "Headers", example: "Authorization" },
  environment: { kind: "variable", one: "Variable", all: "Environment", example: "GITHUB_TOKEN" },
};

interface SecretFieldsProps {
  list: "headers" | "environment";
  form: RowsForm<"headers" | "environment", Secret>;
}

/** Names with values that are sealed. */
export function SecretFields({ list, form }: SecretFieldsProps) {
  const { kind, one, all, example } = secretWords[list];
  const secrets = form.values[list];
  return (
    <Stack gap="xs" role="group" aria-label={all}>
      {secrets.map(({ id }, index) => (
        <Group key={id} align="flex-end">
          <TextInput
            label={`${one} ${index + 1}`}
            placeholder={example}
            flex="1 1 140px"
            {...form.getInputProps(`${list}.${index}.name`)}
          />
          <PasswordInput
            label={`Value ${index + 1}`}
            description="Sealed; never shown again."
            autoComplete="off"
            flex="2 1 180px"
            {...form.getInputProps(`${list}.${index}.value`)}
          />
          <Button
            variant="default"
            aria-label={`Remove ${kind} ${index + 1}`}
            onClick={() => form.removeListItem(list, index)}
          >
            Remove
          </Button>
        </Group>
      ))}
      <Button
        variant="default"
        size="xs"
        onClick={() => form.insertListItem(list, nextSecret(secrets))}
        style={{ alignSelf: "flex-start" }}
      >
        {`Add a ${kind}`}
      </Button>
    </Stack>
  );
}

/** How long calls may take, and how many there may be. */
export function BoundFields({ field }: { field: (name: "callTimeout" | "maxInFlight") => object }) {
  return (
    <Group align="flex-start" grow>
      <NumberInput
        label="Call timeout, in seconds"
        description="Empty: the node's own bound."
        hideControls
        {...field("callTimeout")}
      />
      <NumberInput
        label="Calls at a time, per node"
        description="Empty: the node's own bound."
        allowDecimal={false}
        hideControls
        {...field("maxInFlight")}
      />
    </Group>
  );
}
