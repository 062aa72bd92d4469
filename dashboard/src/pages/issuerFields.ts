// What the form of an issuer holds.

import type { Issuer } from "../gen/warder/admin/v1/issuer_pb";
import * as rules from "../ui/fieldRules";
import { fromRows, groupRoleRules, toRows } from "./groupRoles";

// controlplane/internal/issuer, Algorithms.
export const algorithms = [
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
];

/** An issuer as a form holds it. Absent: one that is to be added. */
export function issuerValues(issuer?: Issuer) {
  return {
    name: issuer?.name ?? "",
    url: issuer?.url ?? "",
    audiences: issuer?.audiences ?? [],
    jwksUrl: issuer?.jwksUrl ?? "",
    algorithms: issuer?.algorithms ?? ["RS256", "ES256"],
    userClaim: issuer?.userClaim ?? "sub",
    groupsClaim: issuer?.groupsClaim ?? "",
    applicationClaim: issuer?.applicationClaim ?? "",
    userPrefix: issuer?.userPrefix ?? "",
    groupRoles: toRows(issuer?.groupRoles ?? []),
    private: issuer?.private ?? false,
    caCertificates: issuer?.caCertificates ?? "",
    scopes: issuer?.scopes ?? [],
  };
}

export type IssuerValues = ReturnType<typeof issuerValues>;

/** The issuer that a form says. An update replaces all of one, so nothing is left out. */
export const toIssuer = ({ groupRoles, ...values }: IssuerValues) => ({
  ...values,
  groupRoles: fromRows(groupRoles),
});

export const issuerRules = {
  name: rules.issuerName,
  url: rules.httpUrl,
  jwksUrl: rules.optional(rules.httpUrl),
  caCertificates: rules.certificates,
  groupRoles: groupRoleRules,
  groupsClaim: (value: string, { groupRoles }: IssuerValues) =>
    value === "" && groupRoles.length > 0 ? "Roles by group need it" : null,
};
