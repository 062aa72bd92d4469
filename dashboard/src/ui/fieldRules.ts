// What forms check before they ask. The server checks the same and has the last
// word; its rules stand in proto/warder/admin/v1.

type Rule = (value: string) => string | null;

const matches =
  (pattern: RegExp, message: string): Rule =>
  (value) =>
    pattern.test(value) ? null : message;

/** proto/warder/admin/v1/user.proto, user.name. */
export const userName = matches(
  /^[a-z0-9][a-z0-9._@+-]{0,127}$/,
  "1 to 128 characters of a-z, 0-9 and . _ @ + -, beginning with a letter or digit",
);

/** proto/warder/admin/v1/application.proto, application.name. */
export const applicationName = matches(
  /^[a-z0-9][a-z0-9._-]{0,63}$/,
  "1 to 64 characters of a-z, 0-9 and . _ -, beginning with a letter or digit",
);

/** proto/warder/admin/v1/server.proto, server.name. */
export const serverName = matches(
  /^[a-z][a-z0-9-]{0,19}$/,
  "1 to 20 characters of a-z, 0-9 and -, beginning with a letter",
);

/** proto/warder/admin/v1/agent.proto, peer.name and peer.region. */
export const peerName = matches(
  /^[a-z][a-z0-9-]{0,62}$/,
  "1 to 63 characters of a-z, 0-9 and -, beginning with a letter",
);
export const region = matches(/^[a-z0-9-]{0,63}$/, "At most 63 characters of a-z, 0-9 and -");

/** proto/warder/admin/v1/server.proto, Variable.name. */
export const variableName = matches(
  /^[A-Za-z_][A-Za-z0-9_]{0,127}$/,
  "1 to 128 letters, digits and _, not beginning with a digit",
);

/** proto/warder/admin/v1/role.proto, role.name. */
export const roleName = matches(
  /^[a-z][a-z0-9_-]{0,63}$/,
  "1 to 64 characters of a-z, 0-9, _ and -, beginning with a letter",
);

/** proto/warder/admin/v1/login.proto, SetUpRequest.password. */
export const minPasswordLength = 12;

export const newPassword: Rule = (value) =>
  value.length >= minPasswordLength ? null : `At least ${minPasswordLength} characters`;

/** Passes what a rule passes, and nothing typed at all. */
export const optional =
  (rule: Rule): Rule =>
  (value) =>
    value === "" ? null : rule(value);

export const required: Rule = (value) => (value.trim() === "" ? "Needed" : null);

/** proto/warder/admin/v1/issuer.proto and provider.proto, their names. */
export const issuerName = matches(
  /^[a-z][a-z0-9-]{0,63}$/,
  "1 to 64 characters of a-z, 0-9 and -, beginning with a letter",
);

export const httpUrl: Rule = (value) =>
  URL.canParse(value) && /^https?:$/.test(new URL(value).protocol)
    ? null
    : "An http or https address";

/** PEM of authorities, or nothing. */
export const certificates: Rule = (value) => {
  if (/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(value)) {
    return "This is a private key, which belongs to the authority alone. Paste its certificate";
  }
  return value.trim() === "" || value.includes("-----BEGIN CERTIFICATE-----")
    ? null
    : "PEM, with lines of -----BEGIN CERTIFICATE-----";
};
